"""The command `payments`: build, deploy, run locally, pay, replay and inspect. Makefile targets only call it."""

"""The command `payments`: build, deploy, run on one machine, replay and look. Makefile targets only call it."""

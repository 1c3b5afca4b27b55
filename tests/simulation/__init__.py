"""Simulates the workflow under random failures. Every run has a seed, and the same seed gives the same run.

clock.py simulates time, network.py the failures between two parties, table.py DynamoDB, gateway.py Sparkle, and
lambdas.py and states.py the AWS side of the handlers and state machines, which are the product's own. world.py connects
them and generates the failures, invariants.py checks what must hold in every run, and mutants.py shows that the
simulation detects a broken product.
"""

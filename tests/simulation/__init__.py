"""The workflow in a world of bad luck: every run is one seed, and the same seed is the same run.

clock.py is time, network.py what can go wrong between two parties, table.py DynamoDB, gateway.py Sparkle, lambdas.py
and states.py AWS's side of the handlers and the state machines, which are the product's own. world.py joins them and
makes the bad luck up, invariants.py says what must hold whatever happens, mutants.py shows that a broken product is
noticed.
"""

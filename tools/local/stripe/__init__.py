"""A double of Stripe: localstripe, a third-party fake, behind a proxy that adds what it lacks and Stripe has.

app.py has the HTTP routes and the switchboard, account.py what Stripe does beyond localstripe, cards.py the test cards,
errors.py Stripe's errors, localstripe.py the child process, and contract.json the names of Stripe's parameters and
fields, taken from the types of its SDK for Python (package `stripe` 16.1.0, seen 2026-11-29).
"""

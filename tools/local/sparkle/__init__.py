"""The Sparkle gateway's sandbox: `docs/sparkle.yaml`, served on this machine.

app.py has the HTTP routes, charges.py the bank's books, and settlements.py the report of a day.
"""

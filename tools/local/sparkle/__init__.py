"""The Sparkle gateway's sandbox: `docs/sparkle.yaml`, served on this machine.

app.py speaks HTTP, charges.py is the bank's book, settlements.py its report of a day, faults.py breaks things on
demand, server.py is the socket.
"""

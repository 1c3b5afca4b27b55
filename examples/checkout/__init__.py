"""A shop's checkout that uses the payments API: `make checkout` serves it.

`page/` runs in the customer's browser: it seals the card, and follows the payment to its end. `app.py` is the shop's
back end: it signs and forwards requests with `client`, and never sees a card in the clear. `orders.py` takes the place
of the shop's database.
"""

"""A shop's checkout on the payments API: `make checkout` serves it.

`page/` runs in the customer's browser: it seals the card there, and follows the payment to its end. `app.py` is the
shop's back end: it signs and forwards, by client, and never has a card in the clear. `orders.py` stands for
the shop's database.
"""

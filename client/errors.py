"""Everything that the client raises.

PaymentsError
├── NotSent                the client itself refuses: nothing has left the process
├── RequestRefused         the API said no: nothing was done, and the same again would be refused again
│   ├── AccessDenied         the credentials are wrong, expired, or may not do this
│   ├── NotFound             there is no such payment, operation or stored card
│   └── KeyUsedForAnother    the idempotency key belongs to another payment, card or operation than this one
├── CardNotSealed          the card or the key is not fit for it: nothing was sent
├── TooManyRequests        the API was busy at every try: nothing was done; later, with the same key
├── NoAnswer               no answer at any try, or a failure: it may have been done; again, with the same key
└── StillProcessing        the time to wait is over; the payment or operation goes on

A declined payment and a rejected refund are none of these: they are values. No message holds card data.
"""


class PaymentsError(Exception):
    """Base of all errors of the client."""


class NotSent(PaymentsError):
    """It is of a wrong type, has a card number in the clear, or breaks a rule; the message says which field and why."""


class RequestRefused(PaymentsError):
    """The API refused the request. `code` and `message` are its own, `status` is the HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class AccessDenied(RequestRefused):
    """The credentials are unknown, wrong or expired, or what they belong to may not make this call."""


class NotFound(RequestRefused):
    """There is no payment or operation with this id, or no stored card with this token."""


class KeyUsedForAnother(RequestRefused):
    """The idempotency key was used before, for something else than this. Make a new key for a new payment."""


class CardNotSealed(PaymentsError):
    """The card has a field that is not taken, a security code for instance, or the API's key is not to be trusted."""


class TooManyRequests(PaymentsError):
    """The API was busy at every try, and did nothing."""


class NoAnswer(PaymentsError):
    """No try brought an answer that says what happened.

    A call with an `idempotency_key` may have been carried out. Make it again with the same key: that does it once at
    most, and tells. A call without one changed nothing, or may be repeated as it is.
    """

    def __init__(self, message: str, idempotency_key: str | None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class StillProcessing(PaymentsError):
    """The time to wait is over; the message says what was seen last. Nothing is wrong yet: wait again or look later."""

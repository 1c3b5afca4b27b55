"""The errors that the client raises.

PaymentsError
├── NotSent                the client itself refused the call: nothing has left the process
├── RequestRefused         the API refused the call: it did nothing, and would refuse the same call again
│   ├── AccessDenied         the credentials are wrong, expired, or not allowed to make this call
│   ├── NotFound             there is no such payment, operation or stored card
│   └── KeyUsedForAnother    the idempotency key belongs to a different payment, card or operation
├── CardNotSealed          there is no suitable key to seal the card with: it was not sent
├── TooManyRequests        the API was busy at every try and did nothing: try later, with the same key
├── NoAnswer               the tries failed or got no answer: the call may have taken effect; repeat it, same key
└── StillProcessing        the timeout has passed; the payment or operation goes on

A declined payment and a rejected refund are not errors but return values. No message contains card data.
"""


class PaymentsError(Exception):
    """Base of all errors of the client."""


class NotSent(PaymentsError):
    """A value has a wrong type, holds a card number in the clear, or breaks a rule; the message says what is wrong."""


class RequestRefused(PaymentsError):
    """The API refused the request. `code` and `message` come from the API, `status` is the HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class AccessDenied(RequestRefused):
    """The credentials are unknown, wrong or expired, or their user or role may not make this call."""


class NotFound(RequestRefused):
    """There is no payment or operation with this id, or no stored card with this token."""


class KeyUsedForAnother(RequestRefused):
    """The idempotency key was used before, for a different request. Use a new key for a new payment."""


class CardNotSealed(PaymentsError):
    """The API has no suitable sealing key: none at all, none that is pinned, or none that may seal a security code."""


class TooManyRequests(PaymentsError):
    """The API was busy at every try, and did nothing."""


class NoAnswer(PaymentsError):
    """No try got an answer that says what happened.

    A call with an `idempotency_key` may have been carried out. Repeat it with the same key: it takes effect at most
    once, and the answer says what happened. A call without a key changed nothing, or is safe to repeat.
    """

    def __init__(self, message: str, idempotency_key: str | None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class StillProcessing(PaymentsError):
    """The timeout passed before the end. The message says what was last seen. Nothing has failed yet: wait again."""

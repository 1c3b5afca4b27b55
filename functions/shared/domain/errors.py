"""Every error that leaves a function. A class name is the error name in the state machine, so it is public API.

PaymentError
├── Rejection                  the card or the request is no good; never retried
│   ├── InvalidInput
│   ├── InvalidCardNumber
│   ├── BrandNotAccepted
│   ├── TestCardNotAccepted
│   ├── CardNumberInText         where a reference, a description or a name belongs
│   ├── CardDataMustBeSealed
│   ├── InvalidSealedCard        not a compact JWE, or no card in it
│   ├── SealedCardTampered
│   ├── SealedForAnotherPayment
│   ├── SealingNotSupported      another alg, enc or compression than ours
│   ├── UnknownSealingKey
│   ├── SensitiveAuthenticationData
│   ├── ExpiredCard
│   ├── UnknownToken             no card is stored under it
│   └── UnknownCurrency
├── Unavailable                try again; nothing is known to be wrong with the payment
│   ├── KeyServiceUnavailable
│   ├── SecretUnavailable
│   ├── LedgerUnavailable
│   ├── ExecutionsUnavailable
│   ├── GatewayBusy            the gateway said that it did nothing
│   ├── GatewayOutcomeUnknown  money may have moved
│   ├── ReversalUnconfirmed    money may have moved and may not be back
│   └── PaymentUnderWay        it has no end, or cannot be seen, yet: what is to be done with it has to wait
├── KeyUnusable                the key is disabled, gone, or not ours to use
├── GatewayRefused             the gateway refused to process the request at all
├── GatewayMismatch            the gateway charged another amount or currency than asked
├── SettlementUnreadable       the gateway's settlement report is cut off, or none
├── LedgerConflict             the ledger holds another record under this payment's id
├── PaymentNotFound            neither the ledger nor any execution knows the payment
└── InternalError              anything unforeseen, without its data

Messages are written by us and never contain card data: they end up in the execution's history.
"""

import re


class PaymentError(Exception):
    """Base of all errors that leave a function."""

    @classmethod
    def code(cls) -> str:
        """The error's code in the API: the class name in snake case, `ExpiredCard` → `expired_card`."""
        return error_code(cls.__name__)


def error_code(error_name: str) -> str:
    """`ExpiredCard` → `expired_card`, and AWS's own `States.Timeout` → `states_timeout`."""
    return re.sub(r"(?<=[a-z])\.?(?=[A-Z])", "_", error_name).lower()


class Rejection(PaymentError):
    """The card or the request is no good. The gateway was not called, and repeating would not help."""


class InvalidInput(Rejection):
    """The input breaks the function's contract."""


class InvalidCardNumber(Rejection):
    """The card number fails the Luhn check, or no card brand has numbers like it."""


class BrandNotAccepted(Rejection):
    """The card's brand is none that this deployment takes."""


class TestCardNotAccepted(Rejection):
    """The number is a published test card's, and this deployment takes none."""


class CardNumberInText(Rejection):
    """A text that is kept and shown looks like a card number. The message says which."""


class CardDataMustBeSealed(Rejection):
    """A card number in the clear that is not a published test card."""


class InvalidSealedCard(Rejection):
    """The sealed card is not a compact JWE, or what is in it is no card."""


class SealedCardTampered(Rejection):
    """The sealed card does not open: its header, key, ciphertext or tag is not what was sealed."""


class SealedForAnotherPayment(Rejection):
    """The sealed card is good for another payment_id than this one."""


class SealingNotSupported(Rejection):
    """The sealed card asks for another algorithm, encryption or compression than ours."""


class UnknownSealingKey(Rejection):
    """The sealed card names a key that we neither serve nor served."""


class SensitiveAuthenticationData(Rejection):
    """There is a security code in the sealed card. PCI DSS 3.3.1 forbids keeping it, so we take none."""


class ExpiredCard(Rejection):
    """The card's expiry month has ended everywhere."""


class UnknownToken(Rejection):
    """No card is stored under this token, or not any more."""


class UnknownCurrency(Rejection):
    """No ISO 4217 currency with a minor unit has this code."""


class Unavailable(PaymentError):
    """A dependency did not answer. Repeating is safe."""


class KeyServiceUnavailable(Unavailable):
    """KMS did not answer, or throttled."""


class SecretUnavailable(Unavailable):
    """The gateway's key could not be read from Secrets Manager."""


class LedgerUnavailable(Unavailable):
    """DynamoDB did not answer, throttled, or another transaction held the item."""


class ExecutionsUnavailable(Unavailable):
    """Step Functions did not answer, or throttled."""


class GatewayBusy(Unavailable):
    """The gateway said that it did nothing, and to come back."""


class GatewayOutcomeUnknown(Unavailable):
    """No answer, or none that can be understood: money may have moved."""


class ReversalUnconfirmed(Unavailable):
    """The gateway did not confirm the reversal: the ledger says in doubt until it does."""


class PaymentUnderWay(Unavailable):
    """The payment has no end yet, or cannot be seen yet: what is to be done with it has to wait."""


class KeyUnusable(PaymentError):
    """KMS refused the key: disabled, deleted, not permitted, or the wrong encryption context."""


class GatewayRefused(PaymentError):
    """The gateway refused to process the request: a wrong key, a body it can't read, a reversed reference."""


class GatewayMismatch(PaymentError):
    """The gateway's charge is not the one that was asked for."""


class SettlementUnreadable(PaymentError):
    """The gateway's settlement report is cut off, or is not what its contract says."""


class LedgerConflict(PaymentError):
    """The ledger already holds a different record under this payment's id."""


class PaymentNotFound(PaymentError):
    """Neither the ledger nor any execution knows a payment with this id."""


class InternalError(PaymentError):
    """An unforeseen error. It carries the original's type, and none of its data."""


UNCONFIRMED = (GatewayBusy, GatewayMismatch, GatewayOutcomeUnknown, GatewayRefused, SecretUnavailable)
"""What the gateway's port raises: it has not confirmed what it was asked for, for whatever reason."""

"""Every error that leaves a function. A class name is the error name in the state machine, so it is public API.

PaymentError
├── Rejection                  the card or the request is unacceptable; never retried
│   ├── InvalidInput
│   ├── InvalidCardNumber
│   ├── BrandNotAccepted
│   ├── TestCardNotAccepted
│   ├── CardNumberInText         in a reference, a description or a name
│   ├── CardDataMustBeSealed
│   ├── InvalidSealedCard        not a compact JWE, or its content is not a card
│   ├── SealedCardTampered
│   ├── SealedForAnotherPayment
│   ├── SealedWithTheWrongKind   a static key, where only single-use keys are accepted
│   ├── SealingKeyExpired        the payment did not begin while its key was valid
│   ├── SealingKeyUsed           the payment has ended, and its key was deleted
│   ├── SealingNotSupported      an alg, enc or compression that we don't support
│   ├── UnknownSealingKey
│   ├── SensitiveAuthenticationData
│   ├── ExpiredCard
│   ├── UnknownToken             no card is stored under it
│   ├── ReturnUrlNotAllowed      not one of this deployment's return_urls
│   ├── AuthenticationNotSupported  by the gateway that would take the payment
│   └── UnknownCurrency
├── Unavailable                retry; no fault of the payment is known
│   ├── KeyServiceUnavailable
│   ├── SecretUnavailable
│   ├── LedgerUnavailable
│   ├── ExecutionsUnavailable
│   ├── QueueUnavailable
│   ├── EventBusUnavailable
│   ├── GatewayBusy            the gateway said that it did nothing
│   ├── GatewayOutcomeUnknown  money may have moved
│   ├── ReversalUnconfirmed    money may have moved and may not be back
│   └── PaymentUnderWay        it has not ended, or is not visible yet; what is to be done with it has to wait
├── CustomerActionRequired     the issuer asks the customer first; the message says what to wait for
├── PaymentDenied              a screening rule denies the payment; the message is the verdict
├── VerificationDeclined       the issuer declines a card that is to be stored; the message is the verdict
├── KeyUnusable                the key is disabled or deleted, or we may not use it
├── GatewayRefused             the gateway refused to process the request at all
├── GatewayMismatch            the gateway's charge is not the one requested, for instance in amount or currency
├── GatewayNotConfigured       the payment's gateway is not among those of this deployment any more
├── SettlementUnreadable       the gateway's settlement report is truncated or malformed
├── LedgerConflict             the ledger holds another record under this payment's id, or the vault another card
├── PaymentNotFound            neither the ledger nor any execution knows the payment
└── InternalError              any unforeseen error, without its data

We write every message ourselves, without card data: messages end up in the execution's history.
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
    """The card or the request is unacceptable. The gateway was not called, and a retry would not help."""


class InvalidInput(Rejection):
    """The input breaks the function's contract."""


class InvalidCardNumber(Rejection):
    """The card number fails the Luhn check, or no card brand has numbers like it."""


class BrandNotAccepted(Rejection):
    """This deployment does not accept the card's brand."""


class TestCardNotAccepted(Rejection):
    """The number belongs to a published test card, and this deployment does not accept test cards."""


class CardNumberInText(Rejection):
    """A text field that is stored and shown looks like a card number. The message names the field."""


class CardDataMustBeSealed(Rejection):
    """The request has a card number in the clear, and it is not a published test card's."""


class InvalidSealedCard(Rejection):
    """The sealed card is not a compact JWE, or its content is not a card."""


class SealedCardTampered(Rejection):
    """The sealed card can't be decrypted: its header, key, ciphertext or tag was changed after sealing."""


class SealedForAnotherPayment(Rejection):
    """The card was sealed for a different payment_id, or to a key that was issued for another payment."""


class SealedWithTheWrongKind(Rejection):
    """The card was sealed to a static key, and this deployment accepts only single-use keys."""


class SealingKeyExpired(Rejection):
    """The single-use key was valid for an hour, and the payment did not begin in that time."""


class SealingKeyUsed(Rejection):
    """The single-use key was deleted when its payment ended, so nothing can open what was sealed to it."""


class SealingNotSupported(Rejection):
    """The sealed card uses an algorithm, encryption or compression that we don't support."""


class UnknownSealingKey(Rejection):
    """The sealed card names no key that we accept: none issued for its payment, and no static key in service."""


class SensitiveAuthenticationData(Rejection):
    """The sealed card contains a security code, and its key outlives the payment. PCI DSS 3.3.1 forbids storing it."""


class ExpiredCard(Rejection):
    """The card's expiry month has ended everywhere."""


class UnknownToken(Rejection):
    """No card is stored under this token, or it no longer is."""


class UnknownCurrency(Rejection):
    """No ISO 4217 currency with a minor unit has this code."""


class ReturnUrlNotAllowed(Rejection):
    """The customer's browser would come back to a place that this deployment does not know."""


class AuthenticationNotSupported(Rejection):
    """The customer must be authenticated, and the gateway that would take the payment can't do it."""


class Unavailable(PaymentError):
    """A dependency did not answer. A retry is safe."""


class KeyServiceUnavailable(Unavailable):
    """KMS did not answer, or throttled."""


class SecretUnavailable(Unavailable):
    """A secret of the gateway's could not be read from Secrets Manager."""


class LedgerUnavailable(Unavailable):
    """DynamoDB did not answer, throttled, or another transaction held the item."""


class ExecutionsUnavailable(Unavailable):
    """Step Functions did not answer, or throttled."""


class QueueUnavailable(Unavailable):
    """SQS did not answer, or throttled."""


class EventBusUnavailable(Unavailable):
    """EventBridge did not answer, throttled, or has not taken every event."""


class GatewayBusy(Unavailable):
    """The gateway said that it did nothing and that the call should be retried."""


class GatewayOutcomeUnknown(Unavailable):
    """The gateway's answer is missing or unintelligible: money may have moved.

    `shown` says that the gateway is up and showed what it was asked for, but not as documented: it will probably show
    the same next time.
    """

    def __init__(self, message: str, *, shown: bool = False) -> None:
        super().__init__(message)
        self.shown = shown


class ReversalUnconfirmed(Unavailable):
    """The gateway did not confirm the reversal. The payment stays in doubt in the ledger until it does."""


class PaymentUnderWay(Unavailable):
    """The payment has not ended or is not visible yet, so the operation on it has to wait."""


class CustomerActionRequired(PaymentError):
    """The charge waits for the customer. The message is JSON: `{"gateway", "charge_id"}`."""


class PaymentDenied(PaymentError):
    """A screening rule denies the payment, or the card to be stored. The message is the verdict as JSON."""


class VerificationDeclined(PaymentError):
    """The gateway or the issuer declines a card that is to be stored. The message is the verdict as JSON."""


class KeyUnusable(PaymentError):
    """KMS rejected the use of the key: it is disabled, deleted or not permitted, or the encryption context is wrong."""


class GatewayRefused(PaymentError):
    """The gateway refused to process the request: its key is wrong, its body unreadable, or its reference reversed."""


class GatewayMismatch(PaymentError):
    """The gateway's charge is not the one that was requested."""


class GatewayNotConfigured(PaymentError):
    """The payment's gateway is not among those of this deployment any more. It has to be configured again."""


class SettlementUnreadable(PaymentError):
    """The gateway's settlement report is truncated or violates its contract."""


class LedgerConflict(PaymentError):
    """The ledger already holds a different record under this payment's id, or the vault another card under this key."""


class PaymentNotFound(PaymentError):
    """Neither the ledger nor any execution knows a payment with this id."""


class InternalError(PaymentError):
    """An unforeseen error. It carries the original error's type, but none of its data."""


UNCONFIRMED = (
    GatewayBusy,
    GatewayMismatch,
    GatewayNotConfigured,
    GatewayOutcomeUnknown,
    GatewayRefused,
    SecretUnavailable,
)
"""The errors of the gateway's port: for one of these reasons, the gateway has not confirmed the request."""

"""What the use cases need from the outside, in their own words. Adapters implement these; tests fake them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from functions.shared.domain.card import Card, CardSummary
from functions.shared.domain.charge import Charge, Order, Reversal
from functions.shared.domain.ledger import JournalEntry
from functions.shared.domain.payment import Payment, PaymentRequest


class CardCipher(Protocol):
    """Encryption under the card-data key. The encryption context binds a ciphertext to its card's token.

    Raises KeyServiceUnavailable, KeyUnusable (which includes a context that doesn't match).
    """

    def encrypt(self, plaintext: bytes, context: dict[str, str]) -> bytes: ...

    def decrypt(self, ciphertext: bytes, context: dict[str, str]) -> bytes: ...


class CardOpener(Protocol):
    """Opens sealed cards.

    Raises InvalidSealedCard, SealedCardTampered, SealedForAnotherPayment, SealingNotSupported, UnknownSealingKey,
    KeyServiceUnavailable, KeyUnusable.
    """

    def open(self, sealed: str, payment_id: str) -> bytes:
        """What was sealed for this payment: the card data as JSON."""
        ...


class TokenMac(Protocol):
    """A keyed hash of the card number; the key never leaves KMS. Raises KeyServiceUnavailable, KeyUnusable."""

    def mac(self, message: bytes) -> bytes: ...


class PaymentGateway(Protocol):
    """A card payment gateway.

    Every call may raise GatewayBusy, GatewayOutcomeUnknown, GatewayRefused and, with nothing sent, SecretUnavailable.
    """

    name: str

    def charge(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        """Take the money at once. A decline is a Charge with status `declined`, not an error."""
        ...

    def authorize(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        """Hold the money, to be captured or voided later."""
        ...

    def find_by_reference(self, reference: str) -> Charge | None:
        """The charge with our reference, or None if the gateway knows none (yet)."""
        ...

    def reverse(self, reference: str) -> Reversal:
        """The timeout reversal: undo the charge, or make sure that it can't happen any more. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class RecordedPayment:
    """A payment with its journal, oldest entry first."""

    payment: Payment
    entries: tuple[JournalEntry, ...]


@dataclass(frozen=True, slots=True)
class Doubts:
    """How many payments are in doubt, and since when the oldest of them is (ISO 8601), or None without any."""

    count: int
    oldest_since: str | None


class Ledger(Protocol):
    """The payment ledger. Raises LedgerUnavailable."""

    def record(self, payment: Payment, entries: Sequence[JournalEntry] = ()) -> None:
        """Write the payment's next version and its new entries, all or nothing.

        `payment.version` 1 must be new; a later one replaces the version before it. `payment.entry_count` counts the
        new entries too, and `payment.updated_at` is when they are posted. Writing the same again is a success; raises
        LedgerConflict if something else is there.
        """
        ...

    def payment(self, payment_id: str) -> Payment | None: ...

    def find(self, payment_id: str) -> RecordedPayment | None: ...

    def doubts(self) -> Doubts:
        """The payments in doubt, as of a moment ago. Thousands of them need not be counted to the last."""
        ...


@dataclass(frozen=True, slots=True)
class StoredCard:
    """A card that can be charged again by its token: the summary, and the card encrypted under that token."""

    summary: CardSummary
    ciphertext: bytes


class CardVault(Protocol):
    """The stored cards, each kept for a set time after it was last used. Times are UTC in ISO 8601.

    Raises LedgerUnavailable.
    """

    def keep(self, card: StoredCard, at: str) -> None:
        """Store the card and begin its time anew. The newest stays: a renewed card has another expiry date."""
        ...

    def summary(self, token: str, at: str) -> CardSummary | None:
        """The card, or None if there is none or its time is over."""
        ...

    def erase(self, token: str) -> bool:
        """Erase the card and its ciphertext; False if there was none."""
        ...


@dataclass(frozen=True, slots=True)
class Velocity:
    """How often a card paid in the last hour and day, and how much of one currency, in its minor unit."""

    payments_1h: int
    payments_24h: int
    amount_minor_1h: int
    amount_minor_24h: int


class VelocityCounter(Protocol):
    """Counts each card's payments, whatever becomes of them. Raises LedgerUnavailable."""

    def count(self, token: str, payment_id: str, amount_minor: int, currency: str, started_at: str) -> Velocity:
        """Count the payment, and return the velocity of its card with it. Counting it again changes nothing.

        The hour and the day are those before the payment started (UTC, ISO 8601), rounded up to whole five minutes of
        the clock, and the time since. So of payments that come at once, the last one to be counted sees them all.
        """
        ...


@dataclass(frozen=True, slots=True)
class Execution:
    """A payment's execution. `error` and `cause` are its Fail state's; `request` is the request without its card."""

    running: bool
    error: str | None
    cause: str | None
    request: PaymentRequest
    started_at: str
    stopped_at: str | None

    @property
    def was_rejected(self) -> bool:
        """Whether it ended without asking the gateway for money, and never will."""
        asked_for_none = self.request.operation == "store" or self.request.amount_minor is None
        return not self.running and (self.error == "PaymentRejected" or asked_for_none)


class Executions(Protocol):
    """The workflow's executions, by payment id. Raises Unavailable."""

    def find(self, payment_id: str) -> Execution | None: ...

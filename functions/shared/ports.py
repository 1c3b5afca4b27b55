"""What the use cases need from the outside, in their own words. Adapters implement these; tests fake them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

# Only named here: a function imports of the domain what it uses.
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from functions.shared.domain.anchor import Anchor, Line
    from functions.shared.domain.card import Card, CardSummary
    from functions.shared.domain.charge import Charge, Order, Refused, Reversal
    from functions.shared.domain.ledger import EntryKind, JournalEntry, PostedEntry, Posting
    from functions.shared.domain.payment import Payment, PaymentRequest, Status
    from functions.shared.domain.settlement import Break, SettlementPage


class CardCipher(Protocol):
    """Encryption under the card-data key. The encryption context binds a ciphertext to its card.

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


class Mac(Protocol):
    """A keyed hash, of a card's number or of a record; the key never leaves KMS.

    Raises KeyServiceUnavailable, KeyUnusable.
    """

    def mac(self, message: bytes) -> bytes: ...


class PaymentGateway(Protocol):
    """A card payment gateway.

    Every call may raise GatewayBusy, GatewayOutcomeUnknown, GatewayRefused, GatewayMismatch (a currency or an amount
    that is none) and, with nothing sent, SecretUnavailable. A text that is not what it must be comes as REDACTED.
    """

    name: str

    def charge(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        """Take the money at once. A decline is a Charge with status `declined`, not an error."""
        ...

    def authorize(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        """Hold the money, to be captured or voided later."""
        ...

    def capture(self, charge_id: str, amount_minor: int, currency: str, idempotency_key: str) -> Charge | Refused:
        """Take what was authorized, or less of it; the rest is released."""
        ...

    def void(self, charge_id: str, idempotency_key: str) -> Charge | Refused:
        """Release what was authorized."""
        ...

    def refund(
        self, charge_id: str, amount_minor: int, currency: str, reference: str, idempotency_key: str
    ) -> Charge | Refused:
        """Give back what was captured, or a part of it. One reference, one refund of the charge, which shows it."""
        ...

    def find_by_reference(self, reference: str) -> Charge | None:
        """The charge with our reference, or None if the gateway knows none (yet). What it shows may be a moment old."""
        ...

    def find(self, charge_id: str) -> Charge | None:
        """The charge with the gateway's own id, or None if it does not show it (yet). As above, but never forgotten."""
        ...

    def reverse(self, reference: str) -> Reversal:
        """The timeout reversal: undo the charge, or make sure that it can't happen any more. Idempotent."""
        ...

    def settlement(self, day: str, page: str | None, limit: int) -> SettlementPage:
        """A page of the settlement report of a day (UTC, YYYY-MM-DD). Raises SettlementUnreadable."""
        ...


@dataclass(frozen=True, slots=True)
class RecordedPayment:
    """A payment with its journal, oldest entry first."""

    payment: Payment
    entries: tuple[PostedEntry, ...]

    @property
    def journal(self) -> tuple[JournalEntry, ...]:
        """The entries, without when they were posted."""
        return tuple(posted.entry for posted in self.entries)


@dataclass(frozen=True, slots=True)
class Doubts:
    """How many payments are in doubt, themselves or an operation of theirs, and since when the oldest of them is
    (ISO 8601), or None without any."""

    count: int
    oldest_since: str | None


class Ledger(Protocol):
    """The payment ledger. Raises LedgerUnavailable."""

    def record(self, payment: Payment, entries: Sequence[PostedEntry] = (), card: StoredCard | None = None) -> None:
        """Write the payment's next version, its new entries (`Payment.post`) and a card to be kept, all or nothing.

        `payment.version` 1 must be new; a later one replaces the version before it. Writing the same again is a
        success; raises LedgerConflict if something else is there.
        """
        ...

    def payment(self, payment_id: str) -> Payment | None: ...

    def find(self, payment_id: str) -> RecordedPayment | None: ...

    def statuses(self, payment_ids: Collection[str]) -> dict[str, Status]:
        """The status of each payment that is recorded."""
        ...

    def payments(self, payment_ids: Collection[str]) -> dict[str, Payment]:
        """Each payment that is recorded, without those of its operations that are kept apart."""
        ...

    def entries(self, numbers: Collection[tuple[str, int]]) -> dict[tuple[str, int], PostedEntry]:
        """The entries with these numbers in their payments' journals; what there is of them."""
        ...

    def awaiting_gateway(self, page: str | None) -> tuple[list[str], str | None]:
        """Some payments of which the gateway may yet end something by itself (`Payment.awaits_gateway`), as of a moment
        ago; and what gives the next ones, or None."""
        ...

    def doubts(self) -> Doubts:
        """The payments in doubt, as of a moment ago. The count need not be exact when there are thousands."""
        ...


@dataclass(frozen=True, slots=True)
class AccountPosting:
    """A posting as its account has it: of which entry of which payment, of what kind, from what source, and when."""

    payment_id: str
    number: int
    kind: EntryKind
    source: str | None
    posted_at: str
    posting: Posting


DayTotals = dict[str, dict[str, tuple[int, int]]]
"""What was debited and credited in minor units, by account and currency."""


class Books(Protocol):
    """All payments' postings, by account and day (UTC, YYYY-MM-DD). Raises LedgerUnavailable.

    An account's day is spread over this many `shards`.
    """

    shards: int

    def postings(self, account: str, day: str, shards: Sequence[int] | None = None) -> Iterator[AccountPosting]:
        """An account's postings of a day in the order of time, payment and number, as of a moment ago; only those of
        some shards if given."""
        ...

    def close(self, day: str, totals: DayTotals, at: str) -> None:
        """Keep what a day that is over comes to, so that nobody has to add it up again."""
        ...

    def closed_days(self, first: str, last: str) -> dict[str, DayTotals]:
        """The days from the first to the last that were closed."""
        ...


class Breaks(Protocol):
    """What reconciliation found, by day. Raises LedgerUnavailable."""

    def record(self, found: Break, run: str, at: str) -> None: ...

    def of_run(self, day: str, run: str) -> list[Break]:
        """What the run has found so far."""
        ...

    def resolve_others(self, day: str, run: str, at: str) -> None:
        """The day's breaks that the run has not found are none any more."""
        ...


@dataclass(frozen=True, slots=True)
class StoredCard:
    """A card that can be charged again by its token: the summary, the card encrypted under that token, and when its
    time is over (UTC, ISO 8601)."""

    summary: CardSummary
    ciphertext: bytes
    until: str


class CardVault(Protocol):
    """The stored cards, which `Ledger.record` stores with the payment that asked for it. Times are UTC in ISO 8601.

    Raises LedgerUnavailable.
    """

    def renew(self, token: str, until: str) -> None:
        """Keep a card for longer. One that was erased meanwhile stays erased."""
        ...

    def ciphertext(self, token: str, at: str) -> bytes | None:
        """The card encrypted under its token, or None if there is none or its time is over."""
        ...

    def summary(self, token: str, at: str) -> CardSummary | None:
        """The card, or None if there is none or its time is over."""
        ...

    def erase(self, token: str) -> bool:
        """Erase the card and its ciphertext; False if there was none."""
        ...


@dataclass(frozen=True, slots=True)
class Velocity:
    """What came before a payment, itself included: in the last hour, and of the card's payments in the last day too.

    How often the card paid or was to be stored, and how much of one currency, in its minor unit. With how many expiry
    dates it came. How many cards came with the merchant's reference, with the card's first six and last four digits,
    with its BIN, from the caller; and how many payments of these the gateway declined. What is not known counts none.
    """

    payments_1h: int
    payments_24h: int
    amount_minor_1h: int
    amount_minor_24h: int
    card_expiry_dates_1h: int
    lookalike_cards_1h: int
    reference_cards_1h: int
    reference_declines_1h: int
    bin_cards_1h: int
    bin_declines_1h: int
    caller_cards_1h: int
    caller_declines_1h: int


class VelocityCounter(Protocol):
    """Counts payments, and cards to be stored, whatever becomes of them. Raises LedgerUnavailable."""

    def count(self, payment_id: str, payment: PaymentRequest, card: CardSummary, started_at: str) -> Velocity:
        """Count the payment, and return the velocity with it. Counting it again changes nothing, but for a card that
        pays dozens of times within minutes: then it may count as one more.

        The hour and the day are those before the payment started (UTC, ISO 8601), rounded up to whole five minutes of
        the clock, for what is asked of other than the card to whole twenty minutes, and the time since. So of payments
        that come at once, the last one to be counted sees them all. Cards and declines are counted to 50 in each twenty
        minutes. Where there are more, what is told may be seconds old.
        """
        ...

    def count_decline(self, payment: Payment) -> None:
        """Count that the gateway declined the payment. Counting it again changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution of a payment or an operation. `error` and `cause` are its Fail state's, `request` is its input
    without the card."""

    running: bool
    error: str | None
    cause: str | None
    request: Mapping[str, Any]
    started_at: str
    stopped_at: str | None

    @property
    def payment(self) -> PaymentRequest:
        """The request, if it is a payment's."""
        from functions.shared.domain.payment import PaymentRequest

        return PaymentRequest.from_request(self.request)

    @property
    def was_rejected(self) -> bool:
        """Whether a payment ended without asking the gateway for money, and never will."""
        asked_for_none = self.payment.operation == "store" or self.payment.amount_minor is None
        return not self.running and (self.error == "PaymentRejected" or asked_for_none)


@dataclass(frozen=True, slots=True)
class ExecutionSummary:
    """What a list of executions tells of each. `status` is Step Functions' own word."""

    name: str
    status: str
    started_at: str
    stopped_at: str | None


class Executions(Protocol):
    """The executions of one state machine, by their names: a payment's or an operation's id.

    What has just happened to an execution, its start too, may be seen a moment late. Raises ExecutionsUnavailable.
    """

    def find(self, name: str) -> Execution | None: ...

    def page(self, token: str | None, status: str | None = None) -> tuple[list[ExecutionSummary], str | None]:
        """Some executions, the newest first, or those of one status; and what gives the next ones, or None."""
        ...


class StateMachine(Protocol):
    """A state machine whose executions are started here. Raises ExecutionsUnavailable."""

    def start(self, name: str, request: Mapping[str, Any]) -> bool:
        """Start an execution, unless there was one of that name; whether this one is new, as far as is known."""
        ...


class Attendance(Protocol):
    """Which executions somebody looks after, of those that ended badly. Raises LedgerUnavailable.

    `machine` is the state machine's name, `payment` or `operation`; times are UTC in ISO 8601.
    """

    def attend(self, machine: str, name: str, at: str) -> None:
        """Remember that somebody looks after this execution."""
        ...

    def unattended(self, machine: str, names: Collection[str]) -> set[str]:
        """Those of the executions that nobody looks after."""
        ...

    def checked_until(self) -> str | None:
        """Until when all that ended has been checked, or None before the first time."""
        ...

    def check_until(self, moment: str) -> None: ...


class Written(Protocol):
    """The payments by the day (UTC, YYYY-MM-DD) on which their records were last written, as of a moment ago.

    A day is spread over this many `shards`. Raises LedgerUnavailable.
    """

    shards: int

    def lines(self, day: str, shard: int) -> Iterator[Line]:
        """What an anchor says of each, in no order. UNSEALED stands for the days before there were seals."""
        ...


class Anchors(Protocol):
    """The ledger's anchors, which are only ever added to. Raises LedgerUnavailable."""

    def last(self) -> Anchor | None: ...

    def keep_part(self, part: bytes) -> None:
        """Keep lines of the next anchor, which has their hash."""
        ...

    def keep(self, anchor: Anchor, mac: bytes) -> bool:
        """Keep an anchor, whose parts are kept; False if there is one of its number."""
        ...

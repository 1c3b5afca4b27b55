"""The interfaces that the use cases need, in the domain's terms. Adapters implement them; tests fake them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

# For annotations only: each function imports just the parts of the domain that it uses.
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from functions.shared.domain.anchor import Anchor, Line
    from functions.shared.domain.card import Card, CardSummary
    from functions.shared.domain.charge import Abilities, Charge, Order, Refused, Reversal, Verification
    from functions.shared.domain.event import Event
    from functions.shared.domain.gateway_event import GatewayEvent
    from functions.shared.domain.ledger import EntryKind, JournalEntry, PostedEntry, Posting
    from functions.shared.domain.payment import DeclinedCard, Payment, PaymentRequest, Status, StoreRequest
    from functions.shared.domain.settlement import Break, SettlementPage


class CardCipher(Protocol):
    """Encryption under the card-data key. The encryption context binds a ciphertext to its card.

    Raises KeyServiceUnavailable, KeyUnusable (which includes a context that doesn't match).
    """

    def encrypt(self, plaintext: bytes, context: dict[str, str]) -> bytes: ...

    def decrypt(self, ciphertext: bytes, context: dict[str, str]) -> bytes: ...


class CardOpener(Protocol):
    """Opens sealed cards.

    Raises InvalidSealedCard, SealedCardTampered, SealedForAnotherPayment, SealedWithTheWrongKind, SealingNotSupported,
    UnknownSealingKey, KeyServiceUnavailable, KeyUnusable; and for a single-use key, the errors of `SealingKeys`.
    """

    def open(self, sealed: str, payment_id: str) -> Opened: ...


@dataclass(frozen=True, slots=True, repr=False)
class Opened:
    """What was sealed for a payment: the card data as JSON, and whether the key is for this payment alone."""

    content: bytes
    single_use: bool


@dataclass(frozen=True, slots=True)
class SealingKey:
    """The public half of a key for one payment: a point of P-256, its coordinates in base64url as in a JWK."""

    kid: str
    """The JWK's thumbprint (RFC 7638)."""
    x: str
    y: str
    expires_at: str
    """The time until which the payment must begin."""


class SealingKeys(Protocol):
    """The single-use keys. Raises LedgerUnavailable, KeyServiceUnavailable, KeyUnusable."""

    def issue(self, payment_id: str, at: str) -> SealingKey:
        """The payment's key: the same again until it expires. Raises SealingKeyUsed if the payment has ended,
        and PaymentUnderWay if it has begun and has no valid key."""
        ...

    def private_key(self, payment_id: str, kid: str, at: str) -> bytes:
        """The private half of the payment's key, 32 bytes.

        Raises UnknownSealingKey if the payment has no key, SealedForAnotherPayment if it has another,
        SealingKeyExpired, SealingKeyUsed.
        """
        ...


@dataclass(frozen=True, slots=True)
class HeldCard:
    """A card for the gateway: its data, encrypted as for the vault, and its security code, encrypted by a key that is
    encrypted with the data; of a stored card, the network's id of the customer's transaction that its charges rest
    upon."""

    ciphertext: bytes
    security_code: bytes | None = None
    network_transaction_id: str | None = None

    @property
    def transaction_id(self) -> str:
        """The SHA-256 of the ciphertext, in hex."""
        return sha256(self.ciphertext).hexdigest()


class HeldCards(Protocol):
    """The encrypted cards of payments that have not ended. Raises LedgerUnavailable."""

    def hold(self, payment_id: str, card: HeldCard, at: str) -> HeldCard:
        """Hold the card until the payment ends, and return what is held: of several, the first.

        Raises LedgerConflict if the payment has ended.
        """
        ...

    def find(self, payment_id: str) -> HeldCard | None: ...

    def erase(self, payment_id: str, at: str) -> None:
        """End the payment: delete its card, its security code, its single-use key and its wait for the customer.

        From then on nothing is held for the payment, and no key is issued. The call may be repeated.
        """
        ...

    def erase_key(self, payment_id: str) -> None:
        """Delete only the single-use key, if there is one: it has sealed a card that is now stored. None is issued in
        its place. The call may be repeated."""
        ...


@dataclass(frozen=True, slots=True)
class CustomerWait:
    """What a payment waits for: that the customer goes to the URL, and passes the challenge of this gateway's charge.

    The wait began at `since` and ends at `until` (UTC, ISO 8601).
    """

    gateway: str
    charge_id: str
    redirect_url: str
    since: str
    until: str


class CustomerWaits(Protocol):
    """The payments that wait for their customers. Raises LedgerUnavailable.

    A task token lets its holder resume an execution. It is kept encrypted, and no longer than the wait.
    """

    def begin(self, payment_id: str, task_token: str, wait: CustomerWait) -> None:
        """Begin the wait, or replace it together with its token.

        Raises LedgerConflict if the payment has ended, KeyServiceUnavailable, KeyUnusable.
        """
        ...

    def find(self, payment_id: str) -> CustomerWait | None: ...

    def task_token(self, payment_id: str) -> str | None:
        """The token, or None if the payment does not wait. Raises KeyServiceUnavailable, KeyUnusable."""
        ...

    def waiting(self) -> Iterator[str]:
        """The ids of the payments that wait, as of a moment ago."""
        ...

    def end(self, payment_id: str) -> None:
        """Delete the wait and its token. The call may be repeated, also where nothing waits."""
        ...


class Mac(Protocol):
    """A keyed hash of a card number or a record; the key never leaves KMS.

    Raises KeyServiceUnavailable, KeyUnusable.
    """

    def mac(self, message: bytes) -> bytes: ...


class ChargeLookUp(Protocol):
    """Where the charge of an order may be. The errors are those of `PaymentGateway`."""

    def find_by_reference(self, order: Order) -> Charge | None:
        """The order's charge, or None if the gateway knows none (yet). The data may be a moment old."""
        ...

    def reverse(self, order: Order) -> Reversal:
        """The timeout reversal: undo the order's charge, or make sure that it can never happen. Idempotent.

        A charge that waits for the customer is `declined`, as by `PaymentGateway.cancel_authentication`.
        """
        ...


class PaymentGateway(ChargeLookUp, Protocol):
    """A card payment gateway.

    Every call may raise GatewayBusy, GatewayOutcomeUnknown, GatewayRefused, GatewayMismatch (an invalid currency or
    amount) and, before anything is sent, SecretUnavailable. REDACTED replaces every malformed text. An amount that the
    gateway never takes, such as one with too many decimals, is GatewayRefused for a charge, and for a capture or refund
    Refused with `amount_not_supported`.
    """

    name: str
    abilities: Abilities

    def charge(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        """Take the money at once. A decline is a Charge with status `declined`, not an error. A charge that is
        `action_required` has a redirect URL, waits for the customer, and then ends by itself."""
        ...

    def authorize(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        """Hold the money for a later capture or void."""
        ...

    def verify(self, reference: str, card: Card, idempotency_key: str) -> Verification:
        """Ask the issuer whether the card, which the customer wants to be stored, is good. No money moves."""
        ...

    def capture(self, charge_id: str, amount_minor: int, currency: str, idempotency_key: str) -> Charge | Refused:
        """Capture the authorized amount or less; the rest is released."""
        ...

    def void(self, charge_id: str, idempotency_key: str) -> Charge | Refused:
        """Release the authorized amount."""
        ...

    def refund(
        self, charge_id: str, amount_minor: int, currency: str, reference: str, idempotency_key: str
    ) -> Charge | Refused:
        """Refund the captured amount or a part of it. A reference names one refund, which the charge shows."""
        ...

    def cancel_authentication(self, charge_id: str) -> Charge:
        """End the wait for the customer: nobody can pass the challenge any more, and the charge is `declined` with
        `authentication_expired`. Returns the charge as it ended, which may be captured or authorized if the customer
        was faster. The call may be repeated."""
        ...

    def find(self, charge_id: str) -> Charge | None:
        """The charge with the gateway's own id, or None if it is not visible (yet). The gateway never forgets an id."""
        ...

    def settlement(self, day: str, page: str | None, limit: int) -> SettlementPage:
        """A page of the settlement report for a day (UTC, YYYY-MM-DD). Raises SettlementUnreadable."""
        ...


class EventReader(Protocol):
    """Reads what one gateway sends by itself. Raises SecretUnavailable."""

    def read(self, headers: Mapping[str, str], body: bytes, now: str) -> GatewayEvent | None:
        """The event, or None if its type doesn't concern us. The headers' names are in lower case.

        Raises InvalidEvent unless the gateway has signed this body within the last minutes.
        """
        ...


class EventQueue(Protocol):
    """The gateways' events that nobody has followed yet. Raises QueueUnavailable."""

    def send(self, gateway: str, event: GatewayEvent) -> None: ...


class Gateways(Protocol):
    """The gateways to which payments go or went, by name, in the order of their names."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def named(self, name: str) -> PaymentGateway:
        """Raises GatewayNotConfigured."""
        ...

    def of(self, payment: Payment) -> PaymentGateway:
        """The gateway that has the payment's charge. For a payment from before gateways were recorded, it is the one
        that shows the charge.

        Raises GatewayNotConfigured, GatewayOutcomeUnknown and the gateways' errors.
        """
        ...

    def possible(self, payment: Payment) -> ChargeLookUp:
        """The gateway that may have the payment's charge, or if none was recorded, every gateway. Raises
        GatewayNotConfigured."""
        ...


@dataclass(frozen=True, slots=True)
class RecordedPayment:
    """A payment with its journal, oldest entry first."""

    payment: Payment
    entries: tuple[PostedEntry, ...]

    @property
    def journal(self) -> tuple[JournalEntry, ...]:
        """The entries without their numbers, times and hashes."""
        return tuple(posted.entry for posted in self.entries)


@dataclass(frozen=True, slots=True)
class Doubts:
    """The number of payments that are in doubt or have an operation in doubt, and the start of the oldest doubt
    (ISO 8601), or None if there is none."""

    count: int
    oldest_since: str | None


class Ledger(Protocol):
    """The payment ledger. Raises LedgerUnavailable."""

    def record(
        self,
        payment: Payment,
        entries: Sequence[PostedEntry] = (),
        card: StoredCard | None = None,
        *,
        previous: Payment | None = None,
    ) -> None:
        """Write the payment's next version, the event that reports it, its new entries (`Payment.post`) and a card to
        be stored, all or nothing.

        `payment.version` 1 must be new and has no `previous` version, which any later one replaces. Writing the same
        again succeeds; raises LedgerConflict if the ledger holds anything else.
        """
        ...

    def payment(self, payment_id: str) -> Payment | None: ...

    def find(self, payment_id: str) -> RecordedPayment | None: ...

    def statuses(self, payment_ids: Collection[str]) -> dict[str, Status]:
        """The status of each recorded payment among these ids."""
        ...

    def payments(self, payment_ids: Collection[str]) -> dict[str, Payment]:
        """Each recorded payment among these ids, without the operations stored apart from its record."""
        ...

    def entries(self, numbers: Collection[tuple[str, int]]) -> dict[tuple[str, int], PostedEntry]:
        """The existing entries among these pairs of payment id and number in the payment's journal."""
        ...

    def awaiting_gateway(self, page: str | None) -> tuple[list[str], str | None]:
        """A page of the ids of payments for which `Payment.awaits_gateway` is true, as of a moment ago; and the token
        for the next page, or None."""
        ...

    def doubts(self) -> Doubts:
        """The payments in doubt, as of a moment ago. The count need not be exact when there are thousands."""
        ...


class Events(Protocol):
    """The recorded events. Raises LedgerUnavailable."""

    def read(self, places: Collection[tuple[str, str]]) -> list[Event]:
        """The events at these places, which are as the table's stream names them (pk, sk), in the same order."""
        ...

    def before(self, event: Event, after: str) -> Iterator[Event]:
        """The subject's events before this one and after the one with this `sequence`, or all if it is empty; oldest
        first."""
        ...


class EventBus(Protocol):
    """The bus from which all receivers take the events. Raises EventBusUnavailable."""

    def publish(self, events: Sequence[Event]) -> None:
        """Publish all events, or raise an error; some may then have been published."""
        ...


class Deliveries(Protocol):
    """Which event of each subject each webhook endpoint has accepted last. Raises LedgerUnavailable."""

    def last(self, endpoint: str, event: Event) -> str:
        """The `sequence` of the last event of the same subject that the endpoint has accepted, or an empty text."""
        ...

    def delivered(self, endpoint: str, event: Event, at: str) -> None:
        """Record that the endpoint has accepted this event."""
        ...


class Webhook(Protocol):
    """Posts events to one endpoint, signed."""

    def post(self, event: Event, now: str) -> None:
        """Raises NotDelivered unless the endpoint accepts the event, EndpointGone if it wants no more events, and
        SecretUnavailable."""
        ...


class DeliveryQueue(Protocol):
    """The events that one endpoint has not accepted yet. Raises QueueUnavailable."""

    def postpone(self, receipt: str, seconds: int) -> None:
        """Show the message with this receipt again after this time, unless it has been deleted."""
        ...

    def set_aside(self, message: str) -> None:
        """Move a message to the dead letters, where it stays until somebody redelivers it."""
        ...


class WebhookEndpoint(Protocol):
    """An endpoint by its name in the deployment, with the types of the events that it wants."""

    @property
    def name(self) -> str: ...

    @property
    def types(self) -> Collection[str]: ...

    @property
    def webhook(self) -> Webhook: ...

    @property
    def queue(self) -> DeliveryQueue: ...


class Position(NamedTuple):
    """A payment's place among all, in the order of time: the time of its request (UTC, ISO 8601), then its id."""

    created_at: str
    payment_id: str

    @classmethod
    def read(cls, text: str) -> Position:
        """The inverse of `str`, unchecked."""
        created_at, _, payment_id = text.partition("~")
        return cls(created_at, payment_id)

    def __str__(self) -> str:
        return f"{self.created_at}~{self.payment_id}"


class PaymentIndex(Protocol):
    """The recorded payments that were requested between two times, both inclusive, newest first, as of a moment ago.
    Raises LedgerUnavailable."""

    def on(
        self, day: str, status: Status | None, since: str, until: str, *, oldest_first: bool = False
    ) -> Iterator[Position]:
        """The payments of a day (UTC, YYYY-MM-DD), all or those that have this status."""
        ...

    def with_reference(self, reference: str, since: str, until: str) -> Iterator[Position]:
        """The payments with this merchant's reference."""
        ...


@dataclass(frozen=True, slots=True)
class AccountPosting:
    """A posting in its account, with its entry's payment, number, kind and source, and the time of posting."""

    payment_id: str
    number: int
    kind: EntryKind
    source: str | None
    posted_at: str
    posting: Posting


DayTotals = dict[str, dict[str, tuple[int, int]]]
"""The total debits and credits in minor units, by account and currency."""


class Books(Protocol):
    """All payments' postings, by account and day (UTC, YYYY-MM-DD). Raises LedgerUnavailable.

    `shards` is the number of shards over which an account's day is spread.
    """

    shards: int

    def postings(self, account: str, day: str, shards: Sequence[int] | None = None) -> Iterator[AccountPosting]:
        """An account's postings of a day, ordered by time, payment and number, as of a moment ago; if `shards` is
        given, only those in these shards."""
        ...

    def close(self, day: str, totals: DayTotals, at: str) -> None:
        """Store the totals of a day that is over, so that they need not be computed again."""
        ...

    def closed_days(self, first_day: str, last_day: str) -> dict[str, DayTotals]:
        """The totals of the closed days from `first_day` to `last_day`."""
        ...


class Breaks(Protocol):
    """The breaks that reconciliation found, by day. Raises LedgerUnavailable."""

    def record(self, found_break: Break, run: str, at: str) -> None: ...

    def found_in_run(self, day: str, run: str) -> list[Break]:
        """The breaks that the run has found so far."""
        ...

    def resolve_not_found(self, day: str, run: str, at: str) -> None:
        """Mark those breaks of the day as resolved that the run has not found."""
        ...


@dataclass(frozen=True, slots=True)
class StoredCard:
    """A card that can be charged again by its token: the summary, the card encrypted under that token, and the time
    at which it expires from the vault (UTC, ISO 8601).

    `network_transaction_id` is the card network's id of the transaction with which the customer stored the card or,
    failing that, first paid with the stored card. Every later charge names it, so it is never replaced.
    """

    summary: CardSummary
    ciphertext: bytes
    until: str
    network_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredOnRequest:
    """A request that stored a card without a payment.

    `card` is None once the card is erased or has expired. `sealed_hash` is the SHA-256 of the sealed card in hex, or
    None if the card came in the clear.
    """

    card: CardSummary | None
    created_at: str
    sealed_hash: str | None = None


class CardVault(Protocol):
    """The stored cards. `Ledger.record` stores a card with the payment that requested it. Times are UTC in ISO 8601.

    Raises LedgerUnavailable.
    """

    def keep(self, key: str, card: StoredCard, at: str, sealed_hash: str | None = None) -> None:
        """Store a card without a payment, together with the request's idempotency key. The call may be repeated.

        Raises LedgerConflict if the key has stored another card, or one that was erased since.
        """
        ...

    def stored_on_request(self, key: str, at: str) -> StoredOnRequest | None:
        """What a request with this idempotency key has stored, or None if it has stored nothing or that has expired."""
        ...

    def renew(self, token: str, until: str, network_transaction_id: str | None = None) -> None:
        """Extend the time for which a card is kept, and give it this network transaction id if it has none.

        A card erased in the meantime stays erased.
        """
        ...

    def find(self, token: str, at: str) -> HeldCard | None:
        """The encrypted card as it is held for its charge, or None if there is none or its time has expired."""
        ...

    def summary(self, token: str, at: str) -> CardSummary | None:
        """The card's summary, or None if there is no card or its time has expired."""
        ...

    def erase(self, token: str, at: str) -> bool:
        """Erase the card and its ciphertext, and record the event that reports it; False if there was no card."""
        ...


@dataclass(frozen=True, slots=True)
class Velocity:
    """The activity up to and including a payment in the last hour and, for the card's payments, in the last day, too.

    For the card: the payments and requests to store it, their amount in the payment's currency (in its minor unit), and
    the expiry dates used. For the merchant's reference, the BIN and the caller: the cards used, and the payments that
    the gateway declined. `lookalike_cards` share the card's first six and last four digits. Unknown keys count 0.
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
    """Counts payments and requests to store a card, whatever their outcome. Raises LedgerUnavailable."""

    def count(
        self,
        payment_id: str,
        request: PaymentRequest | StoreRequest,
        card: CardSummary,
        started_at: str,
        admits: Callable[[int], bool],
    ) -> Velocity:
        """Count the payment, and return the velocity that includes it. Counting it again with the same start changes
        nothing, except for a card that pays dozens of times within minutes: the repetition may then count as another
        payment. With another start it is another attempt under the same key, and counts again.

        `admits(lookalike_cards_1h)` says whether the card may be counted by its number. If not, only the lookalikes
        count it so. All else counts as that of a card that never came before: neither the velocity that is returned nor
        any later one depends on which of the lookalikes it was.

        The hour and the day before the payment's start (UTC, ISO 8601) are extended back to a full five minutes of the
        clock, or twenty for keys other than the card, and include the time since the start. Of concurrent payments, the
        last to be counted thus sees all others. At most 50 cards and 50 declines are counted in each twenty minutes;
        beyond that, the counts may be seconds old.
        """
        ...

    def count_decline(self, declined: Payment | DeclinedCard) -> None:
        """Count that the gateway declined the payment, or the card to be stored. Counting it again changes nothing,
        unless it was created at another time: then it is another attempt under the same key."""
        ...


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution for a payment or an operation. `error` and `cause` come from its Fail state; `request` is its input
    without the card."""

    running: bool
    error: str | None
    cause: str | None
    request: Mapping[str, Any]
    started_at: str
    stopped_at: str | None

    @property
    def payment(self) -> PaymentRequest | None:
        """The request for a payment, or None if it asked for no money."""
        from functions.shared.domain.payment import PaymentRequest

        asked_for_money = {"amount_minor", "currency"} <= self.request.keys()
        return PaymentRequest.from_request(self.request) if asked_for_money else None

    @property
    def was_rejected(self) -> bool:
        """Whether the payment has ended without a request for money to the gateway, and can't make one any more."""
        return not self.running and (self.error == "PaymentRejected" or self.payment is None)


@dataclass(frozen=True, slots=True)
class ExecutionSummary:
    """An execution in a list of executions. `status` is Step Functions' own term."""

    name: str
    status: str
    started_at: str
    stopped_at: str | None


class Executions(Protocol):
    """The executions of one state machine, by name, which is the id of a payment or an operation.

    Changes to an execution, including its start, may become visible a moment late. Raises ExecutionsUnavailable.
    """

    def find(self, name: str) -> Execution | None: ...

    def page(self, token: str | None, status: str | None = None) -> tuple[list[ExecutionSummary], str | None]:
        """A page of executions, newest first, optionally of one status; and the token for the next page, or None."""
        ...

    def resume(self, task_token: str) -> None:
        """Let the task that waits with this token succeed, without a result. Nothing happens if none waits any more."""
        ...


class StateMachine(Protocol):
    """A state machine whose executions can be started. Raises ExecutionsUnavailable."""

    def start(self, name: str, request: Mapping[str, Any]) -> bool:
        """Start an execution unless one of this name is known to exist, and return whether it was started."""
        ...


class Attendance(Protocol):
    """The failed executions that somebody already looks after. Raises LedgerUnavailable.

    `machine` is the state machine's name, `payment` or `operation`; times are UTC in ISO 8601.
    """

    def attend(self, machine: str, name: str, at: str) -> None:
        """Record that somebody looks after this execution."""
        ...

    def unattended(self, machine: str, names: Collection[str]) -> set[str]:
        """The executions among these that nobody looks after."""
        ...

    def checked_until(self) -> str | None:
        """The time until which all ended executions have been checked, or None before the first check."""
        ...

    def check_until(self, moment: str) -> None: ...


class Written(Protocol):
    """The payments by the day (UTC, YYYY-MM-DD) on which their records were last written, as of a moment ago.

    `shards` is the number of shards over which a day is spread. Raises LedgerUnavailable.
    """

    shards: int

    def lines(self, day: str, shard: int) -> Iterator[Line]:
        """The anchor lines of the payments, in no particular order. UNSEALED as the day stands for the time before
        seals existed."""
        ...


class Anchors(Protocol):
    """The ledger's anchors, an append-only series. Raises LedgerUnavailable."""

    def last(self) -> Anchor | None: ...

    def keep_part(self, part: bytes) -> None:
        """Store a part with lines of the next anchor, which will contain the part's hash."""
        ...

    def keep(self, anchor: Anchor, mac: bytes) -> bool:
        """Store an anchor whose parts are already stored; False if an anchor of its number exists."""
        ...

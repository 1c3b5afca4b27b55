"""A payment as the ledger records it, and the allowed transitions of its status."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

from functions.shared.domain.card import CardSummary
from functions.shared.domain.card_number import refused_fields
from functions.shared.domain.charge import Authentication, Exemption, Initiator, Order, Reason, ThreeDSecure
from functions.shared.domain.dispute import Dispute, held_minor
from functions.shared.domain.errors import CardNumberInText
from functions.shared.domain.ledger import GENESIS_HASH, JournalEntry, PostedEntry
from functions.shared.domain.operation import (
    MAX_OPERATIONS_IN_RECORD,
    Operation,
    OperationRequest,
    OperationStatus,
    OperationType,
    Refusal,
    in_order,
)

Status = Literal[
    "captured",
    "authorized",
    "declined",
    "stored",  # only in records from before POST /cards had a workflow of its own: a card, not a payment
    "reversed",
    "in_doubt",
    "voided",
    "refunded",
    "partially_refunded",
]
NO_CURRENCY = "XXX"
"""ISO 4217's code for the absence of a currency."""

SCREENED_PREFIX = "screened:"
"""The prefix of a decline code that names the screening rule behind the decline."""

# The allowed transitions: a known outcome is final, evidence clears a doubt, an authorization is captured or voided
# once, and a capture may be refunded in parts or voided by the gateway. A failed refund returns the payment to an
# earlier status. One transition may combine several steps that the gateway made by itself.
NEXT_STATUSES: dict[Status, frozenset[Status]] = {
    "in_doubt": frozenset(
        {"in_doubt", "captured", "authorized", "declined", "reversed", "voided", "refunded", "partially_refunded"}
    ),
    "captured": frozenset({"partially_refunded", "refunded", "voided"}),
    "authorized": frozenset({"captured", "partially_refunded", "refunded", "voided"}),
    "declined": frozenset(),
    "stored": frozenset(),
    "reversed": frozenset(),
    "voided": frozenset(),
    "refunded": frozenset({"captured", "partially_refunded", "voided"}),
    "partially_refunded": frozenset({"captured", "partially_refunded", "refunded", "voided"}),
}

FAILURE_STATUSES: frozenset[Status] = frozenset({"reversed", "in_doubt"})
"""The statuses with which a payment's execution fails."""


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """The merchant's request, without the card.

    `card_on_file` means that the payment charges a stored card by its token instead of card data in the request.
    Such a payment has an `initiator`: the customer, or the merchant for a `reason`. `caller` is the ARN of the user or
    role that called the API; a payment started by hand has none. `metadata` are the merchant's own names and texts,
    which are only stored and shown. `return_url` is where the customer's browser goes after a challenge. Raises
    CardNumberInText.
    """

    operation: ClassVar = "charge"

    amount_minor: int
    currency: str
    capture: bool = True
    merchant_reference: str | None = None
    description: str | None = None
    card_on_file: bool = False
    caller: str | None = None
    initiator: Initiator | None = None
    reason: Reason | None = None
    three_d_secure: ThreeDSecure = "automatic"
    return_url: str | None = None
    exemption: Exemption | None = None
    metadata: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        names = ("merchant_reference", "description", "metadata", "return_url")
        texts = {name: getattr(self, name) for name in names}
        if refused := refused_fields(texts):
            raise CardNumberInText(f"This looks like a card number: {', '.join(refused)}.")

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> "PaymentRequest":
        """Read the API's request body, or the `payment` that an earlier state derived from it. Null means absent."""
        card_on_file = request.get("card_on_file", request.get("token") is not None)
        return cls(
            amount_minor=int(request["amount_minor"]),
            currency=request["currency"],
            capture=request.get("capture") is not False,
            merchant_reference=request.get("merchant_reference"),
            description=request.get("description"),
            card_on_file=card_on_file,
            caller=request.get("caller"),
            initiator=request.get("initiator") or ("customer" if card_on_file else None),
            reason=request.get("reason"),
            three_d_secure=request.get("three_d_secure") or "automatic",
            return_url=request.get("return_url"),
            exemption=request.get("exemption"),
            metadata=request.get("metadata") or None,
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """The merchant's request to store a card, without the card. The screening rules see it as a payment of nothing.

    `verify` asks the gateway whether the card is good before it is stored.
    """

    operation: ClassVar = "store"
    amount_minor: ClassVar = 0
    currency: ClassVar = NO_CURRENCY
    merchant_reference: ClassVar = None
    initiator: ClassVar = None
    three_d_secure: ClassVar = "none"

    caller: str | None = None
    verify: bool = False


@dataclass(frozen=True, slots=True)
class DeclinedCard:
    """A card that its issuer declined when it was to be stored; `payment_id` is the request's idempotency key."""

    payment_id: str
    card: CardSummary
    caller: str | None
    created_at: str
    merchant_reference: None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """The ledger's record of one payment. Amounts are in the currency's minor unit, times are ISO 8601 in UTC.

    Only a record that is `stored` has no amount and no currency. Nothing writes such records any more.
    `card` and `transaction_id` are None if the execution was stopped before they were known. `reversing` means that the
    gateway was, or may have been, asked to undo the charge: from then on, finding the charge proves nothing.
    """

    payment_id: str
    status: Status
    amount_minor: int | None
    currency: str | None
    captured_minor: int
    refunded_minor: int
    card: CardSummary | None
    transaction_id: str | None
    charge_id: str | None
    decline_code: str | None
    error: str | None
    merchant_reference: str | None
    description: str | None
    created_at: str
    updated_at: str
    version: int = 1  # the number of writes of the record; every write names the version that it replaces
    reversing: bool = False
    entry_count: int = 0  # the number of the payment's journal entries; the next entry gets the next number
    journal_hash: str = GENESIS_HASH  # the last entry's
    flags: tuple[str, ...] = ()  # the screening rules that flagged the payment for a person to review
    operations: tuple[Operation, ...] = ()  # `in_order`
    caller: str | None = None  # the requester: the ARN of a user or a role
    expires_at: str | None = None  # the time at which the gateway lets an authorization expire
    initiator: Initiator | None = None  # of a payment with a stored card: who caused it
    reason: Reason | None = None  # of a payment that the merchant caused
    gateway: str | None = None  # the gateway that was asked for the money; earlier versions recorded none
    authentication: Authentication | None = None  # the result of the customer's authentication, if there was one
    metadata: Mapping[str, str] | None = None  # the merchant's own names and texts
    disputes: tuple[Dispute, ...] = ()  # oldest first

    @classmethod
    def first(
        cls,
        payment_id: str,
        status: Status,
        request: PaymentRequest,
        card: CardSummary | None,
        transaction_id: str | None,
        *,
        started_at: str,
        now: str,
        charge_id: str | None = None,
        decline_code: str | None = None,
        error: str | None = None,
        flags: tuple[str, ...] = (),
        gateway: str | None = None,
    ) -> "Payment":
        """The first record of a payment. It keeps the card only if the payment succeeded or the card was on file."""
        keeps_card = request.card_on_file or status in ("captured", "authorized")
        return cls(
            payment_id=payment_id,
            status=status,
            amount_minor=request.amount_minor,
            currency=request.currency,
            captured_minor=request.amount_minor if status == "captured" else 0,
            refunded_minor=0,
            card=card if card is None or keeps_card else card.without_token(),
            transaction_id=transaction_id,
            charge_id=charge_id,
            decline_code=decline_code,
            error=error,
            merchant_reference=request.merchant_reference,
            description=request.description,
            created_at=started_at,
            updated_at=now,
            flags=flags,
            caller=request.caller,
            initiator=request.initiator,
            reason=request.reason,
            gateway=gateway,
            metadata=request.metadata,
        )

    @classmethod
    def first_of(cls, event: Mapping[str, Any], status: Status, transaction_id: str | None, **fields: Any) -> "Payment":
        """The first record of a payment, from a state's input `{"payment_id", "started_at", "payment", "card",
        "flags"}`. `fields` holds further arguments of `first`."""
        return cls.first(
            event["payment_id"],
            status,
            PaymentRequest.from_request(event["payment"]),
            CardSummary.from_dict(event["card"]),
            transaction_id,
            started_at=event["started_at"],
            flags=tuple(event["flags"]),
            **fields,
        )

    @property
    def order(self) -> Order:
        """The order, as a gateway was or may have been asked for it."""
        assert self.amount_minor and self.currency  # every payment has them
        return Order(
            self.payment_id,
            self.amount_minor,
            self.currency,
            self.created_at,
            self.merchant_reference,
            self.description,
        )

    @property
    def in_doubt_since(self) -> str | None:
        """The start of the oldest doubt about the payment's money, or None without a doubt."""
        doubts = [operation.updated_at for operation in self.operations if operation.status == "in_doubt"]
        return min([self.updated_at] if self.status == "in_doubt" else doubts, default=None)

    @property
    def awaits_gateway(self) -> bool:
        """Whether the gateway may still end something by itself: an authorization, a pending refund, a dispute."""
        is_disputed = any(dispute.status == "open" for dispute in self.disputes)
        return self.status == "authorized" or is_disputed or any(operation.pending for operation in self.operations)

    @property
    def was_declined_by_rule(self) -> bool:
        """Whether a screening rule declined the payment before the gateway was called."""
        return self.decline_code is not None and self.decline_code.startswith(SCREENED_PREFIX)

    @property
    def was_declined_by_gateway(self) -> bool:
        """Whether the gateway, rather than a screening rule, declined the payment."""
        return self.status == "declined" and not self.was_declined_by_rule

    def outcome(self) -> dict[str, Any]:
        """The output that the state machine ends on: it branches on `status`; `error` says why a payment was undone."""
        return {
            "payment_id": self.payment_id,
            "status": self.status,
            "token": self.card.token if self.card else None,
            "transaction_id": self.transaction_id,
            "charge_id": self.charge_id,
            "decline_code": self.decline_code,
            "error": {"Error": self.error},
        }

    def moved_to(self, status: Status, **changes: Any) -> "Payment":
        """The payment's next version. Raises ValueError if NEXT_STATUSES does not allow the transition."""
        if status not in NEXT_STATUSES[self.status]:
            raise ValueError(f"A payment that is {self.status} can't become {status}.")
        return replace(self, status=status, version=self.version + 1, **changes)

    def post(self, *entries: JournalEntry) -> tuple["Payment", tuple[PostedEntry, ...]]:
        """Add the entries to this version's journal, at the time of its update; return the version and the entries."""
        posted: list[PostedEntry] = []
        payment = self
        for entry in entries:
            added = PostedEntry.after(
                payment.journal_hash,
                entry,
                payment_id=self.payment_id,
                number=payment.entry_count + 1,
                posted_at=self.updated_at,
            )
            payment = replace(payment, entry_count=added.number, journal_hash=added.hash)
            posted.append(added)
        return payment, tuple(posted)

    def next_version(self, now: str) -> "Payment":
        """The next version, which differs only in the entries that are then posted to it."""
        return replace(self, version=self.version + 1, updated_at=self._updated_at(now))

    def is_same_as(self, other: "Payment") -> bool:
        """Whether both are the same version.

        A first one may have been made again, at another time, which the hashes contain, too. A later one was made from
        one that was read, and the next may be made from it: then even the time must be the same.
        """
        if self.version > 1:
            return self == other
        return self == replace(other, updated_at=self.updated_at, journal_hash=self.journal_hash)

    # -- Operations

    def operation(self, operation_id: str) -> Operation | None:
        return next((operation for operation in self.operations if operation.operation_id == operation_id), None)

    @property
    def other_charges(self) -> set[str]:
        """The charges that the gateway made beside the payment's own and that operations undo."""
        return {operation.charge_id for operation in self.operations if operation.charge_id}

    @property
    def unrefunded_minor(self) -> int:
        """The captured amount, less completed refunds and open ones."""
        refunds = [refund for refund in self.operations if refund.type == "refund" and refund.charge_id is None]
        reserved = sum(refund.amount_minor or 0 for refund in refunds if refund.is_open)
        return self.captured_minor - self.refunded_minor - reserved

    @property
    def disputed_minor(self) -> int:
        """What disputes hold now or have cost, and so nobody may refund."""
        return held_minor(self.disputes)

    @property
    def refundable_minor(self) -> int:
        """What is neither refunded nor disputed. A cardholder may dispute what was refunded, too."""
        return max(0, self.unrefunded_minor - self.disputed_minor)

    def reserve(self, request: OperationRequest, now: str) -> "Payment":
        """The next version, in which the operation is processing, or rejected if it is not allowed."""
        if refusal := self._refusal(request):
            return self.reject(request, refusal, now)
        amount_minor = request.amount_minor or self._available_amount(request)
        return self._with_operation(_requested(request, amount_minor, "processing", None, now), now)

    def reject(self, request: OperationRequest, error: str, now: str) -> "Payment":
        """The next version, which rejects an operation that was never reserved and so rules out reserving it later."""
        return self._with_operation(_requested(request, request.amount_minor, "rejected", error, now), now)

    def undo_other_charge(self, charge_id: str, type: OperationType, now: str) -> "Payment":
        """The next version, with an operation to undo a second charge of the payment by a void or a full refund.

        Nobody requested the operation, so it takes the charge's id.
        """
        undoing = Operation(
            operation_id=charge_id,
            type=type,
            amount_minor=self.amount_minor,
            status="processing",
            error=None,
            created_at=now,
            updated_at=now,
            charge_id=charge_id,
        )
        return self._with_operation(undoing, now)

    def settle(self, operation: Operation, now: str) -> "Payment":
        """The next version, in which the gateway has carried out the operation."""
        assert operation.status != "succeeded" and operation.amount_minor is not None
        payment = self.end(operation, "succeeded", None, now)
        if operation.charge_id:
            return payment
        match operation.type:
            case "capture":
                return replace(payment, status="captured", captured_minor=operation.amount_minor)
            case "void":
                return replace(payment, status="voided")
        return payment._refunded_by(operation.amount_minor)

    def fail_refund(self, operation: Operation, now: str) -> "Payment":
        """The next version, in which a refund has failed after it had succeeded, and the money has returned."""
        assert operation.type == "refund" and operation.status == "succeeded" and operation.amount_minor is not None
        payment = self.end(operation, "rejected", "refund_failed", now)
        return payment if operation.charge_id else payment._refunded_by(-operation.amount_minor)

    def dispute(self, dispute_id: str) -> Dispute | None:
        return next((dispute for dispute in self.disputes if dispute.dispute_id == dispute_id), None)

    def with_dispute(self, dispute: Dispute, now: str) -> "Payment":
        """The next version with the dispute, updated or added as the newest."""
        by_id = {other.dispute_id: other for other in self.disputes} | {dispute.dispute_id: dispute}
        return replace(self.next_version(now), disputes=tuple(by_id.values()))

    def end(
        self, operation: Operation, status: OperationStatus, error: str | None, now: str, *, pending: bool = False
    ) -> "Payment":
        """The next version, in which only the operation's status, error and `pending` have changed."""
        return self._with_operation(
            replace(operation, status=status, error=error, pending=pending, updated_at=now), now
        )

    def _refusal(self, request: OperationRequest) -> Refusal | None:
        amount_minor = request.amount_minor
        if self._has_max_open_operations():
            return "too_many_operations"
        if request.type == "refund":
            if self.status not in ("captured", "partially_refunded", "refunded"):
                return "invalid_state"
            if 0 < (amount_minor or 1) <= self.refundable_minor:
                return None
            is_disputed = self.disputed_minor and 0 < (amount_minor or 1) <= self.unrefunded_minor
            return "payment_disputed" if is_disputed else "amount_exceeds_captured"
        # A capture or a void needs an authorization without any open operation.
        if self.status != "authorized" or any(operation.is_open for operation in self.operations):
            return "invalid_state"
        exceeds = request.type == "capture" and (amount_minor or 0) > (self.amount_minor or 0)
        return "amount_exceeds_authorized" if exceeds else None

    def _available_amount(self, request: OperationRequest) -> int | None:
        return self.refundable_minor if request.type == "refund" else self.amount_minor

    def _refunded_by(self, amount_minor: int) -> "Payment":
        refunded_minor = self.refunded_minor + amount_minor
        statuses: dict[int, Status] = {0: "captured", self.captured_minor: "refunded"}
        return replace(self, refunded_minor=refunded_minor, status=statuses.get(refunded_minor, "partially_refunded"))

    def _has_max_open_operations(self) -> bool:
        return sum(operation.is_open for operation in self.operations) >= MAX_OPERATIONS_IN_RECORD

    def _with_operation(self, operation: Operation, now: str) -> "Payment":
        """The next version with the operation, updated or added as the newest; the oldest ended ones make room."""
        by_id = {other.operation_id: other for other in self.operations} | {operation.operation_id: operation}
        in_record = [other for other in by_id.values() if not other.kept_apart]
        ended = [other for other in in_record if not other.is_open]
        for oldest in ended[: max(0, len(in_record) - MAX_OPERATIONS_IN_RECORD)]:
            by_id[oldest.operation_id] = replace(oldest, kept_apart=True)
        return replace(self.next_version(now), operations=in_order(by_id.values()))

    def _updated_at(self, now: str) -> str:
        """The time of the update; a payment in doubt keeps its own, which says since when it has been in doubt."""
        return self.updated_at if self.status == "in_doubt" else now


def _requested(
    request: OperationRequest, amount_minor: int | None, status: OperationStatus, error: str | None, now: str
) -> Operation:
    """The operation that was requested from us, in its first status."""
    return Operation(
        operation_id=request.operation_id,
        type=request.type,
        amount_minor=amount_minor,
        status=status,
        error=error,
        created_at=request.requested_at,
        updated_at=now,
        caller=request.caller,
    )

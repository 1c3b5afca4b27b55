"""A payment as the ledger records it, and the ways that its status may move."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from functions.shared.domain.card import CardSummary
from functions.shared.domain.card_number import refused_fields
from functions.shared.domain.errors import CardNumberInText
from functions.shared.domain.ledger import NO_ENTRY, JournalEntry, PostedEntry
from functions.shared.domain.operation import (
    OPERATIONS_KEPT,
    Operation,
    OperationRequest,
    OperationStatus,
    OperationType,
    Refusal,
    in_order,
)
from functions.shared.domain.shapes import whole

Status = Literal[
    "captured",
    "authorized",
    "declined",
    "stored",
    "reversed",
    "in_doubt",
    "voided",
    "refunded",
    "partially_refunded",
]
Purpose = Literal["charge", "store"]

NO_CURRENCY = "XXX"
"""ISO 4217's code for it."""

SCREENED = "screened:"
"""What a decline code begins with that names the screening rule which declined the payment."""

# Where a recorded payment may go next: an outcome that is known stays, doubt is cleared by evidence, an authorization
# is captured or voided once, and what was captured may be refunded bit by bit, or voided by the gateway. A refund that
# failed comes back. What the gateway did by itself may be several steps at once.
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

FAILURES: frozenset[Status] = frozenset({"reversed", "in_doubt"})
"""The statuses of payments whose executions fail."""


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What the merchant asked for, without the card. Amount and currency are None when a card is only stored.

    `card_on_file` says that it is charged by the token of a stored card, and not by the card itself. `caller` is the
    ARN of the user or role that asked the API; what was started by hand has none. Raises CardNumberInText.
    """

    operation: Purpose
    amount_minor: int | None = None
    currency: str | None = None
    capture: bool = True
    merchant_reference: str | None = None
    description: str | None = None
    card_on_file: bool = False
    caller: str | None = None

    def __post_init__(self) -> None:
        texts = {"merchant_reference": self.merchant_reference, "description": self.description}
        if refused := refused_fields(texts):
            raise CardNumberInText(f"This looks like a card number: {', '.join(refused)}.")

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> "PaymentRequest":
        """Read the API's request body, or the `payment` that an earlier state made of it. Null is as good as absent."""
        return cls(
            operation=request.get("operation", "charge"),
            amount_minor=whole(request.get("amount_minor")),
            currency=request.get("currency"),
            capture=request.get("capture") is not False,
            merchant_reference=request.get("merchant_reference"),
            description=request.get("description"),
            card_on_file=request.get("card_on_file", request.get("token") is not None),
            caller=request.get("caller"),
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Payment:
    """The ledger's record of one payment. Amounts are in the currency's minor unit, times are ISO 8601 in UTC.

    `card` and `transaction_id` are None where its execution was stopped before they were known. `reversing` says that
    the gateway was, or may have been, asked to undo the charge: from then on a charge that is found is no evidence.
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
    version: int = 1  # how often the record was written; every write names the version that it replaces
    reversing: bool = False
    entry_count: int = 0  # how many journal entries the payment has; the next one gets the next number
    journal_hash: str = NO_ENTRY  # the last entry's
    flags: tuple[str, ...] = ()  # the screening rules that wanted somebody to look
    operations: tuple[Operation, ...] = ()  # `in_order`
    caller: str | None = None  # who asked for it: the ARN of a user or a role
    expires_at: str | None = None  # when the gateway lets an authorization end by itself

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
        reversing: bool = False,
        flags: tuple[str, ...] = (),
    ) -> "Payment":
        """The first record of a payment. The card is kept only if the payment succeeded, or if it was stored before."""
        keeps_card = request.card_on_file or status in ("captured", "authorized", "stored")
        return cls(
            payment_id=payment_id,
            status=status,
            amount_minor=request.amount_minor,
            currency=request.currency,
            captured_minor=(request.amount_minor or 0) if status == "captured" else 0,
            refunded_minor=0,
            card=card if card is None or keeps_card else card.not_kept(),
            transaction_id=transaction_id,
            charge_id=charge_id,
            decline_code=decline_code,
            error=error,
            merchant_reference=request.merchant_reference,
            description=request.description,
            created_at=started_at,
            updated_at=now,
            reversing=reversing,
            flags=flags,
            caller=request.caller,
        )

    @classmethod
    def first_of(cls, event: Mapping[str, Any], status: Status, transaction_id: str | None, **known: Any) -> "Payment":
        """The first record of a payment, from what a state is given of it: `{"payment_id", "started_at", "payment",
        "card", "flags"}`. What is `known` besides is as `first` takes it."""
        return cls.first(
            event["payment_id"],
            status,
            PaymentRequest.from_request(event["payment"]),
            CardSummary.from_dict(event["card"]),
            transaction_id,
            started_at=event["started_at"],
            flags=tuple(event["flags"]),
            **known,
        )

    @property
    def in_doubt_since(self) -> str | None:
        """Since when somebody must find out what became of its money; None where nobody must."""
        doubts = [operation.updated_at for operation in self.operations if operation.status == "in_doubt"]
        return min([self.updated_at] if self.status == "in_doubt" else doubts, default=None)

    @property
    def awaits_gateway(self) -> bool:
        """Whether the gateway may yet end something by itself: an authorization that expires, a pending refund."""
        return self.status == "authorized" or any(operation.pending for operation in self.operations)

    @property
    def was_screened(self) -> bool:
        """Whether a screening rule declined it, so that the gateway was not asked."""
        return self.decline_code is not None and self.decline_code.startswith(SCREENED)

    @property
    def was_declined_by_gateway(self) -> bool:
        """Whether the gateway was asked for the payment, and declined it."""
        return self.status == "declined" and not self.was_screened

    def outcome(self) -> dict[str, Any]:
        """What the state machine needs to end: it chooses by the status, and `error` is why a payment was undone."""
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
        """The payment's next version. Raises ValueError where the status may not move that way."""
        if status not in NEXT_STATUSES[self.status]:
            raise ValueError(f"A payment that is {self.status} can't become {status}.")
        return replace(self, status=status, version=self.version + 1, **changes)

    def post(self, *entries: JournalEntry) -> tuple["Payment", tuple[PostedEntry, ...]]:
        """This version with the entries added to its journal, at the time of its update; and the entries as posted."""
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
        """The next version, which says nothing new but that it has more entries, once they are posted."""
        return replace(self, version=self.version + 1, updated_at=self._updated_at(now))

    def is_same_as(self, other: "Payment") -> bool:
        """Whether both are one version, made at whatever time: that is in the hashes, too."""
        return self == replace(other, updated_at=self.updated_at, journal_hash=self.journal_hash)

    # -- Operations

    def operation(self, operation_id: str) -> Operation | None:
        return next((each for each in self.operations if each.operation_id == operation_id), None)

    @property
    def refundable_minor(self) -> int:
        """What was captured, and neither given back nor reserved to be."""
        refunds = [each for each in self.operations if each.type == "refund" and each.charge_id is None]
        reserved = sum(each.amount_minor or 0 for each in refunds if each.is_open)
        return self.captured_minor - self.refunded_minor - reserved

    def reserve(self, request: OperationRequest, now: str) -> "Payment":
        """The next version, in which the operation is processing, or rejected if it may not be done."""
        refusal = self._refusal(request)
        return self._with(
            Operation(
                operation_id=request.operation_id,
                type=request.type,
                amount_minor=request.amount_minor or (None if refusal else self._whole_amount(request)),
                status="rejected" if refusal else "processing",
                error=refusal,
                created_at=request.requested_at,
                updated_at=now,
                caller=request.caller,
            ),
            now,
        )

    def reject(self, request: OperationRequest, error: str, now: str) -> "Payment":
        """The next version, in which an operation that was never reserved is rejected, so that it can't be any more."""
        rejected = Operation(
            operation_id=request.operation_id,
            type=request.type,
            amount_minor=request.amount_minor,
            status="rejected",
            error=error,
            created_at=request.requested_at,
            updated_at=now,
            caller=request.caller,
        )
        return self._with(rejected, now)

    def undo_other_charge(self, charge_id: str, type: OperationType, now: str) -> "Payment":
        """The next version, in which a second charge of the payment is to be undone: voided, or refunded whole.

        The operation has the charge's own id, as nobody gave it one.
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
        return self._with(undoing, now)

    def settle(self, operation: Operation, now: str) -> "Payment":
        """The next version, in which the gateway has done what the operation is about."""
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
        """The next version, in which a refund that had succeeded has failed after all: the money is back."""
        assert operation.type == "refund" and operation.status == "succeeded" and operation.amount_minor is not None
        payment = self.end(operation, "rejected", "refund_failed", now)
        return payment if operation.charge_id else payment._refunded_by(-operation.amount_minor)

    def end(
        self, operation: Operation, status: OperationStatus, error: str | None, now: str, *, pending: bool = False
    ) -> "Payment":
        """The next version, in which the operation has this status. Nothing else is changed."""
        return self._with(replace(operation, status=status, error=error, pending=pending, updated_at=now), now)

    def _refusal(self, request: OperationRequest) -> Refusal | None:
        amount_minor = request.amount_minor
        if self._has_no_room():
            return "too_many_operations"
        if request.type == "refund":
            if self.status not in ("captured", "partially_refunded", "refunded"):
                return "invalid_state"
            return "amount_exceeds_captured" if not 0 < (amount_minor or 1) <= self.refundable_minor else None
        # An authorization is captured or voided once.
        if self.status != "authorized" or any(operation.is_open for operation in self.operations):
            return "invalid_state"
        exceeds = request.type == "capture" and (amount_minor or 0) > (self.amount_minor or 0)
        return "amount_exceeds_authorized" if exceeds else None

    def _whole_amount(self, request: OperationRequest) -> int | None:
        return self.refundable_minor if request.type == "refund" else self.amount_minor

    def _refunded_by(self, amount_minor: int) -> "Payment":
        refunded_minor = self.refunded_minor + amount_minor
        ends: dict[int, Status] = {0: "captured", self.captured_minor: "refunded"}
        return replace(self, refunded_minor=refunded_minor, status=ends.get(refunded_minor, "partially_refunded"))

    def _has_no_room(self) -> bool:
        return sum(each.is_open for each in self.operations) >= OPERATIONS_KEPT

    def _with(self, operation: Operation, now: str) -> "Payment":
        """The next version with the operation, in its place or as the newest; the oldest that ended make room."""
        version = self.version + 1
        kept = {each.operation_id: each for each in self.operations} | {operation.operation_id: operation}
        if operation.kept_apart is not None:
            kept[operation.operation_id] = replace(operation, kept_apart=version)
        in_the_record = [each for each in kept.values() if each.kept_apart is None]
        ended = [each for each in in_the_record if not each.is_open]
        for oldest in ended[: max(0, len(in_the_record) - OPERATIONS_KEPT)]:
            kept[oldest.operation_id] = replace(oldest, kept_apart=version)
        return replace(
            self,
            operations=in_order(kept.values()),
            version=version,
            updated_at=self._updated_at(now),
        )

    def _updated_at(self, now: str) -> str:
        """A doubt is as old as it was."""
        return self.updated_at if self.status == "in_doubt" else now

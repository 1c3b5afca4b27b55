"""What may be done to a payment afterwards: capture what was authorized, void it, or refund what was captured.

An operation is reserved in the payment's record before the gateway is asked, so that two at once can't have the same
money; then it is settled or released, as the gateway did it or not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from functions.shared.domain.shapes import whole

OperationType = Literal["refund", "capture", "void"]
OperationStatus = Literal["processing", "succeeded", "rejected", "in_doubt"]
Refusal = Literal["amount_exceeds_captured", "amount_exceeds_authorized", "invalid_state", "too_many_operations"]
"""Why an operation may not be done; these are the API's words."""

RESERVED_WITHIN_SECONDS = 3600
"""An operation that was asked for longer ago than this is not reserved: its execution has given up long before."""

SEEN_WITHIN_SECONDS = 10
"""A payment that is not seen this long after an operation on it was asked for does not exist: Step Functions shows an
execution a moment after its start."""

OPERATIONS_KEPT = 100
"""A payment's record holds at most this many operations, as it is read and written as a whole. So at most this many may
be open at once, and when there are more, the oldest that have ended are kept apart from the record."""


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """What the merchant asked for. Without an amount, it is all that there is.

    `caller` is the ARN of the user or role that asked the API; what was started by hand has none.
    """

    operation_id: str
    payment_id: str
    type: OperationType
    amount_minor: int | None
    requested_at: str
    caller: str | None = None

    @classmethod
    def from_request(cls, operation_id: str, request: Mapping[str, Any], requested_at: str) -> "OperationRequest":
        """Read `{"operation", "payment_id", "amount_minor", "caller"}`, an execution's input."""
        return cls(
            operation_id=operation_id,
            payment_id=request["payment_id"],
            type=request["operation"],
            amount_minor=whole(request.get("amount_minor")),
            requested_at=requested_at,
            caller=request.get("caller"),
        )

    def is_too_late(self, now: str) -> bool:
        """Whether it was asked for so long ago that it is not reserved any more."""
        return self._age_seconds(now) > RESERVED_WITHIN_SECONDS

    def is_old(self, now: str) -> bool:
        """Whether it was asked for so long ago that its payment would be seen by now, if there were one."""
        return self._age_seconds(now) > SEEN_WITHIN_SECONDS

    def _age_seconds(self, now: str) -> float:
        return (datetime.fromisoformat(now) - datetime.fromisoformat(self.requested_at)).total_seconds()


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as the payment's record has it; `error` says why it is rejected or in doubt.

    `amount_minor` is None where it was rejected before it had one. `source` is `gateway` where nobody asked us for it:
    the gateway showed that it was done there. `pending` says that the gateway has it, and has not ended it yet.
    `charge_id` is None but for the undoing of another charge than the payment's own, which the gateway made beside it:
    nobody asked for that, and it changes nothing of what the payment comes to. `kept_apart` is None while the payment's
    record has it, and else the version of the payment that wrote it beside the record.
    """

    operation_id: str
    type: OperationType
    amount_minor: int | None
    status: OperationStatus
    error: str | None
    created_at: str
    updated_at: str
    caller: str | None = None
    source: Literal["gateway"] | None = None
    pending: bool = False
    charge_id: str | None = None
    kept_apart: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may yet move money, so that no other operation may have the amount that it reserved."""
        return self.status in ("processing", "in_doubt")


def in_order(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """As a payment has them: those kept apart first, by age, and then the record's, as they were asked for."""
    every = list(operations)
    apart = [each for each in every if each.kept_apart is not None]
    apart.sort(key=lambda each: (each.created_at, each.operation_id))
    return (*apart, *(each for each in every if each.kept_apart is None))

"""Operations on an existing payment: capture or void an authorization, or refund a capture.

An operation is reserved in the payment's record before the gateway is called, so that two concurrent operations can't
use the same money. It is then settled if the gateway carried it out, and released if not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from functions.shared.domain.shapes import to_int

OperationType = Literal["refund", "capture", "void"]
OperationStatus = Literal["processing", "succeeded", "rejected", "in_doubt"]
Refusal = Literal[
    "amount_exceeds_captured",
    "amount_exceeds_authorized",
    "amount_not_supported",
    "invalid_state",
    "payment_disputed",
    "too_many_operations",
]
"""The reasons for refusing an operation, in the API's terms."""

RESERVED_WITHIN_SECONDS = 3600
"""An operation requested longer ago than this is not reserved: its execution gave up long before."""

PAYMENT_VISIBLE_WITHIN_SECONDS = 10
"""A payment that is still not visible this long after the request for an operation on it does not exist: Step Functions
shows an execution only a moment after its start."""

MAX_OPERATIONS_IN_RECORD = 100
"""A payment's record holds at most this many operations, because it is read and written as a whole. This is also the
limit for open operations; beyond it, the oldest ended operations are stored apart from the record."""


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """The merchant's request. Without an amount, it covers the whole amount available.

    `caller` is the ARN of the user or role that called the API; an execution started by hand has none.
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
            amount_minor=to_int(request.get("amount_minor")),
            requested_at=requested_at,
            caller=request.get("caller"),
        )

    def is_too_late(self, now: str) -> bool:
        """Whether the request is too old for the operation to be reserved."""
        return self._age_seconds(now) > RESERVED_WITHIN_SECONDS

    def payment_would_be_visible(self, now: str) -> bool:
        """Whether the request is so old that its payment, if it existed, would be visible by now."""
        return self._age_seconds(now) > PAYMENT_VISIBLE_WITHIN_SECONDS

    def _age_seconds(self, now: str) -> float:
        return (datetime.fromisoformat(now) - datetime.fromisoformat(self.requested_at)).total_seconds()


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation in the payment's record. `error` says why it is rejected or in doubt.

    `amount_minor` is None if the operation was rejected before its amount was known. `source` is `gateway` if nobody
    requested the operation from us and we learned of it from the gateway. `pending` means that the gateway has accepted
    the operation but not ended it. `charge_id` is set only on an operation that undoes a second charge, which the
    gateway made beside the payment's own: no merchant requested it, and it leaves the payment's amounts unchanged.
    `kept_apart` means that the operation is stored beside the payment's record, which has room for the newest ones.
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
    kept_apart: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the operation may still move money; until it ends, no other operation may use its reserved amount."""
        return self.status in ("processing", "in_doubt")


def in_order(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """A payment's operations in order: first those kept apart, oldest first, then the record's, as requested."""
    all_operations = list(operations)
    older = [operation for operation in all_operations if operation.kept_apart]
    older.sort(key=lambda operation: (operation.created_at, operation.operation_id))
    return (*older, *(operation for operation in all_operations if not operation.kept_apart))

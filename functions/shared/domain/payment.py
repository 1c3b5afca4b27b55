"""A payment as the ledger records it, and the ways that its status may move."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from functions.shared.domain.card import CardSummary

Status = Literal["captured", "authorized", "declined", "stored", "reversed", "in_doubt"]
Operation = Literal["charge", "store"]

# Where a recorded payment may go next: an outcome that is known stays, and doubt is cleared by evidence.
NEXT_STATUSES: dict[Status, frozenset[Status]] = {
    "in_doubt": frozenset({"in_doubt", "captured", "authorized", "declined", "reversed"}),
    "captured": frozenset(),
    "authorized": frozenset(),
    "declined": frozenset(),
    "stored": frozenset(),
    "reversed": frozenset(),
}


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What the merchant asked for, without the card. Amount and currency are None when a card is only stored."""

    operation: Operation
    amount_minor: int | None = None
    currency: str | None = None
    capture: bool = True
    merchant_reference: str | None = None
    description: str | None = None

    @classmethod
    def from_request(cls, request: dict[str, Any]) -> "PaymentRequest":
        """Read the API's request body, or the `payment` that an earlier state made of it."""
        return cls(
            operation=request.get("operation", "charge"),
            amount_minor=request.get("amount_minor"),
            currency=request.get("currency"),
            capture=request.get("capture", True),
            merchant_reference=request.get("merchant_reference"),
            description=request.get("description"),
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
    ) -> "Payment":
        """The first record of a payment."""
        return cls(
            payment_id=payment_id,
            status=status,
            amount_minor=request.amount_minor,
            currency=request.currency,
            captured_minor=(request.amount_minor or 0) if status == "captured" else 0,
            refunded_minor=0,
            card=card,
            transaction_id=transaction_id,
            charge_id=charge_id,
            decline_code=decline_code,
            error=error,
            merchant_reference=request.merchant_reference,
            description=request.description,
            created_at=started_at,
            updated_at=now,
            reversing=reversing,
        )

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

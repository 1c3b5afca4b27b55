"""What the client takes and gives. A field that the API adds one day is ignored."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, Self

PaymentStatus = Literal[
    "processing",
    "captured",
    "authorized",
    "declined",
    "rejected",
    "reversed",
    "in_doubt",
    "voided",
    "refunded",
    "partially_refunded",
    "stored",
]
OperationType = Literal["refund", "capture", "void"]
OperationStatus = Literal["processing", "succeeded", "rejected", "in_doubt"]


@dataclass(frozen=True, slots=True, repr=False)
class CardData:
    """A card in the clear, to be sealed by the client. It prints as asterisks."""

    card_number: str
    expiry_date: str  # "MM/YY"
    card_holder: str

    def __repr__(self) -> str:
        return "CardData(***)"


@dataclass(frozen=True, slots=True)
class CardSummary:
    """What is shown of a card. `token` is None where it is not kept; `fingerprint` is the same for the same number, and
    None where a screening rule denied it."""

    token: str | None
    fingerprint: str | None
    brand: str
    bin: str  # the first six digits
    last4: str
    expiry: str  # "MM/YY"

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**_known(cls, body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A refund, a capture or a void. `error` says why one was rejected: `amount_exceeds_captured`, for instance.

    `source` is `gateway` where it was not asked for here, but done in the gateway's dashboard, or by the gateway.
    """

    operation_id: str
    type: OperationType
    status: OperationStatus
    amount_minor: int | None = None
    error: str | None = None
    created_at: datetime | None = None
    source: str | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**_known(cls, body) | _times(body, "created_at"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment, or a card being stored. What is not known yet, or does not apply, is None.

    Amounts are in the currency's minor unit. `declined` comes with a `decline_code`, `rejected` with an `error`.
    `authorized` holds until `expires_at`; `voided` has the `error` `expired` if nobody captured it by then.
    `in_doubt` means that money may have moved: it is being found out, and it is neither paid nor failed until then.
    """

    payment_id: str
    status: PaymentStatus
    amount_minor: int | None = None
    currency: str | None = None
    captured_minor: int | None = None
    refunded_minor: int | None = None
    card: CardSummary | None = None
    transaction_id: str | None = None
    charge_id: str | None = None
    decline_code: str | None = None
    error: str | None = None
    merchant_reference: str | None = None
    operations: tuple[Operation, ...] = ()
    expires_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        card, operations = body.get("card"), body.get("operations") or ()
        nested = {
            "card": CardSummary.from_json(card) if card else None,
            "operations": tuple(Operation.from_json(operation) for operation in operations),
        }
        return cls(**_known(cls, body) | nested | _times(body, "expires_at", "created_at", "updated_at"))

    def operation(self, operation_id: str) -> Operation | None:
        """The refund, capture or void with this id, if the payment shows it."""
        return next((each for each in self.operations if each.operation_id == operation_id), None)


@dataclass(frozen=True, slots=True)
class SealingKey:
    """The public key that cards are sealed with."""

    kid: str
    alg: str
    enc: str
    pem: str

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**_known(cls, body))


def _known(cls: type[Any], body: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: body[field.name] for field in fields(cls) if field.name in body}


def _times(body: Mapping[str, Any], *names: str) -> dict[str, datetime | None]:
    return {name: datetime.fromisoformat(body[name]) if body.get(name) else None for name in names}

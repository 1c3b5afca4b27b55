"""The client's arguments and results. It ignores fields that it does not know, so the API may add some."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, Self

PaymentStatus = Literal[
    "processing",
    "action_required",
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
Initiator = Literal["customer", "merchant"]
Reason = Literal["recurring", "installment", "unscheduled"]
ThreeDSecure = Literal["automatic", "required", "none"]
Exemption = Literal["low_value", "transaction_risk", "trusted_beneficiary", "secure_corporate"]
OperationType = Literal["refund", "capture", "void"]
OperationStatus = Literal["processing", "succeeded", "rejected", "in_doubt"]
DisputeStatus = Literal["open", "won", "lost"]


@dataclass(frozen=True, slots=True, repr=False)
class CardData:
    """A card in the clear, which the client seals. Its repr hides the data."""

    card_number: str
    expiry_date: str  # "MM/YY"
    card_holder: str
    security_code: str | None = None  # of 3 or 4 digits; never stored, and sealed only with a single-use key

    def __repr__(self) -> str:
        return "CardData(***)"


@dataclass(frozen=True, slots=True)
class CardSummary:
    """The details of a card that may be displayed. `token` is None if the card is not stored. Equal card numbers have
    equal fingerprints; `fingerprint` is None if a screening rule denied the card."""

    token: str | None
    fingerprint: str | None
    brand: str
    bin: str  # the first six digits
    last4: str
    expiry: str  # "MM/YY"

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**_known_fields(cls, body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A refund, a capture or a void. `error` says why it was rejected: `amount_exceeds_captured`, for instance.

    `source` is `gateway` if the operation was not requested through this API, but made in the gateway's dashboard or by
    the gateway itself.
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
        return cls(**_known_fields(cls, body) | _times(body, "created_at"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A dispute (chargeback). The gateway has taken `amount_minor` until the bank decides (`open`), or for good
    (`lost`). `reason` is what the cardholder says: `fraudulent`, for instance.
    """

    dispute_id: str
    status: DisputeStatus
    amount_minor: int
    reason: str
    opened_at: datetime | None = None
    ended_at: datetime | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**_known_fields(cls, body) | _times(body, "opened_at", "ended_at"))


@dataclass(frozen=True, slots=True)
class NextAction:
    """What the customer has to do: open `url`, where the bank asks who pays. It belongs to this payment, and to nobody
    else's eyes.
    """

    type: Literal["redirect"]
    url: str

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**_known_fields(cls, body))


@dataclass(frozen=True, slots=True)
class Authentication:
    """The result of 3-D Secure: `authenticated`, `attempted`, `exempt` or `failed`, by which version (like `2.2.0`),
    and whether the issuer bears the loss if the payment is disputed. What the gateway doesn't say is None.
    """

    result: str
    version: str | None = None
    liability_shift: bool | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**_known_fields(cls, body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment, or the storing of a card. A field that is not known yet, or does not apply, is None.

    Amounts are in the currency's minor unit. A `declined` payment has a `decline_code`, a `rejected` one an `error`.
    An `authorized` payment can be captured until `expires_at`; if it was not, it becomes `voided` with the `error`
    `expired`. `in_doubt` means that money may have moved: until the API has found out, the payment has neither
    succeeded nor failed. A payment with a stored card has an `initiator`, and if that is the merchant, a `reason`.

    `action_required` means that the customer's bank asks who pays: send the browser to `next_action.url`. The payment
    waits since `action_required_since`, for some minutes, and ends by itself. A payment that used 3-D Secure has an
    `authentication`.

    A payment that the cardholder disputes keeps its status; its `disputes` have their own. `disputed_minor` is what
    open disputes hold and lost ones have cost, and can't be refunded.
    """

    payment_id: str
    status: PaymentStatus
    amount_minor: int | None = None
    currency: str | None = None
    captured_minor: int | None = None
    refunded_minor: int | None = None
    disputed_minor: int | None = None
    card: CardSummary | None = None
    transaction_id: str | None = None
    charge_id: str | None = None
    gateway: str | None = None
    decline_code: str | None = None
    error: str | None = None
    merchant_reference: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    initiator: Initiator | None = None
    reason: Reason | None = None
    next_action: NextAction | None = None
    action_required_since: datetime | None = None
    authentication: Authentication | None = None
    operations: tuple[Operation, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    expires_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        parts: dict[str, Any] = {"card": CardSummary, "next_action": NextAction, "authentication": Authentication}
        nested = {name: part.from_json(body[name]) if body.get(name) else None for name, part in parts.items()}
        nested["operations"] = tuple(map(Operation.from_json, body.get("operations") or ()))
        nested["disputes"] = tuple(map(Dispute.from_json, body.get("disputes") or ()))
        times = _times(body, "action_required_since", "expires_at", "created_at", "updated_at")
        return cls(**_known_fields(cls, body) | nested | times)

    def operation(self, operation_id: str) -> Operation | None:
        """Return the refund, capture or void with this id, or None if the payment does not list it."""
        return next((operation for operation in self.operations if operation.operation_id == operation_id), None)


@dataclass(frozen=True, slots=True)
class SingleUseKey:
    """A public key to seal the card of one payment with, which must begin before `expires_at`."""

    kid: str
    alg: str
    enc: str
    jwk: Mapping[str, str]
    expires_at: datetime

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**_known_fields(cls, body) | _times(body, "expires_at"))


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A static public key to seal cards with, of any number of payments."""

    kid: str
    alg: str
    enc: str
    pem: str

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**_known_fields(cls, body))


def _known_fields(cls: type[Any], body: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: body[field.name] for field in fields(cls) if field.name in body}


def _times(body: Mapping[str, Any], *names: str) -> dict[str, datetime | None]:
    return {name: datetime.fromisoformat(body[name]) if body.get(name) else None for name in names}

"""What a gateway is asked, and what it answers, in the field's words and not one gateway's."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from functions.shared.domain.operation import Refusal

ChargeStatus = Literal["authorized", "captured", "declined", "voided", "refunded", "partially_refunded"]
RefundStatus = Literal["pending", "succeeded", "failed"]
ReversalResult = Literal["voided", "refunded", "tombstoned", "already_reversed", "declined"]

REDACTED: Any = "[redacted]"
"""Stands for a text of the gateway that is not what it must be. It may be a card number: it is not kept or shown."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be paid. `reference` is our payment_id: all that finds the charge after a timeout."""

    reference: str
    amount_minor: int
    currency: str
    merchant_reference: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that is, or may be, given back. `reference` is our operation's id, or None if we did not ask for it.

    What is `pending` may yet succeed or fail, and what `succeeded` may yet fail.
    """

    refund_id: str
    reference: str | None
    status: RefundStatus
    amount_minor: int
    created_at: str


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge as its gateway shows it, with all that was done to it by anybody.

    Amounts are in the currency's minor unit, times are UTC. `captured_minor` is 0 again once it is voided.
    `expires_at` is when an authorization ends by itself, and `void_reason` says `expired` where it did.
    """

    gateway: str
    charge_id: str
    reference: str
    status: ChargeStatus
    amount_minor: int
    currency: str
    captured_minor: int
    refunds: tuple[Refund, ...] = ()
    decline_code: str | None = None
    void_reason: str | None = None
    captured_at: str | None = None
    expires_at: str | None = None

    def is_for(self, reference: str, amount_minor: int | None, currency: str | None) -> bool:
        """Whether it is the charge of this payment, and every text of it is what it must be."""
        texts = [self.charge_id, self.status, self.decline_code, self.void_reason, self.captured_at, self.expires_at]
        texts += [text for refund in self.refunds for text in (refund.refund_id, refund.status, refund.created_at)]
        asked = (reference, amount_minor, currency)
        return REDACTED not in texts and (self.reference, self.amount_minor, self.currency) == asked

    def is_as_asked(self, reference: str, amount_minor: int | None, currency: str | None, *, capture: bool) -> bool:
        """Whether it is the charge that was asked for, whatever was done to it since: what was to be captured was
        captured in full. What is declined or voided holds and has taken nothing."""
        has_all = self.captured_minor == amount_minor or self.status in ("declined", "voided")
        return self.is_for(reference, amount_minor, currency) and (has_all or not capture)

    def outcome(self, *, capture: bool) -> Literal["captured", "authorized", "declined"]:
        """What came of asking for it, if it is as asked: before anything else was done to it."""
        if self.status == "declined":
            return "declined"
        return "captured" if capture else "authorized"

    def refund(self, reference: str) -> Refund | None:
        """The refund with our reference, if it is shown."""
        return next((each for each in self.refunds if each.reference == reference), None)

    @classmethod
    def from_dict(cls, charge: Mapping[str, Any]) -> "Charge":
        """Read what `to_dict` gave to the next state."""
        return cls(**{**charge, "refunds": tuple(Refund(**refund) for refund in charge["refunds"])})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"refunds": [asdict(refund) for refund in self.refunds]}


@dataclass(frozen=True, slots=True)
class Reversal:
    """A confirmed timeout reversal. `charge` is None where there was none: the reference is now refused for good."""

    result: ReversalResult
    charge: Charge | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway did nothing, and never will for this request: a value, as a decline is one."""

    reason: Refusal

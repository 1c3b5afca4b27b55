"""What a gateway is asked, and what it answers, in the field's words and not one gateway's."""

from dataclasses import dataclass
from typing import Any, Literal

from functions.shared.domain.operation import Refusal

ChargeStatus = Literal["authorized", "captured", "declined", "voided", "refunded", "partially_refunded"]
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
class Charge:
    """A charge as the gateway knows it; amounts are in the currency's minor unit."""

    charge_id: str
    reference: str
    status: ChargeStatus
    amount_minor: int
    currency: str
    captured_minor: int
    decline_code: str | None = None
    captured_at: str | None = None

    def is_as_asked(self, reference: str, amount_minor: int | None, currency: str | None) -> bool:
        """Whether it is the charge that we asked for, and every text of it is what it must be."""
        texts = (self.charge_id, self.status, self.decline_code, self.captured_at)
        asked = (reference, amount_minor, currency)
        return REDACTED not in texts and (self.reference, self.amount_minor, self.currency) == asked


@dataclass(frozen=True, slots=True)
class Reversal:
    """A confirmed timeout reversal. `charge` is None where there was none: the reference is now refused for good."""

    result: ReversalResult
    charge: Charge | None


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back. `reference` is our operation's id."""

    refund_id: str
    charge_id: str
    reference: str | None
    amount_minor: int
    currency: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway did nothing, and never will for this request: a value, as a decline is one."""

    reason: Refusal

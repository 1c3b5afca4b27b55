"""Requests to a gateway and its answers, in the industry's terms rather than one gateway's."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from functions.shared.domain.card import Card
from functions.shared.domain.operation import Refusal

ChargeStatus = Literal["authorized", "captured", "declined", "voided", "refunded", "partially_refunded"]
RefundStatus = Literal["pending", "succeeded", "failed"]
ReversalResult = Literal["voided", "refunded", "tombstoned", "already_reversed", "declined"]

Initiator = Literal["customer", "merchant"]
Reason = Literal["recurring", "installment", "unscheduled"]

REDACTED: Any = "[redacted]"
"""Replaces a malformed text from the gateway. The text may be a card number, so it is neither kept nor shown."""


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """What the card networks want to know of a charge by which a card is stored (`initial`), or of a stored card
    (`subsequent`).

    `initiator` is who caused the charge: the customer, or the merchant alone, under an agreement with the customer and
    for a `reason`. `previous_network_transaction_id` names the customer's own transaction that the charge rests upon.
    Sources, seen 2026-11-29: "subsequentAuthTransactionID", Cybersource's API fields (the id of the original
    transaction of the series, or of the previous one); "networkTransactionId", Worldpay's CNP API (it links subsequent
    payments to the initial transaction).
    """

    use: Literal["initial", "subsequent"]
    initiator: Initiator
    reason: Reason | None = None
    previous_network_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """The payment to request. `reference` is our payment_id, the only way to find the charge after a timeout."""

    reference: str
    amount_minor: int
    currency: str
    merchant_reference: str | None = None
    description: str | None = None
    stored_credential: StoredCredential | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund at the gateway. `reference` is our operation's id, or None if we did not request the refund.

    A `pending` refund may still succeed or fail, and a `succeeded` one may still fail.
    """

    refund_id: str
    reference: str | None
    status: RefundStatus
    amount_minor: int
    created_at: str


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge as its gateway shows it, including every movement on it, whoever made it.

    Amounts are in the currency's minor unit, times are UTC. `captured_minor` returns to 0 once the charge is voided.
    `expires_at` is the time at which an authorization ends by itself; `void_reason` is `expired` if it has.
    `network_transaction_id` is the card network's own id of the transaction. It may look like a card number: Visa's
    has 15 digits.
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
    network_transaction_id: str | None = None

    def network_transaction_id_for(self, card: Card) -> str | None:
        """The id, unless it is the number of the card that was charged."""
        return _network_transaction_id(self.network_transaction_id, card)

    def is_for(self, reference: str, amount_minor: int | None, currency: str | None) -> bool:
        """Whether the charge belongs to this payment and none of its texts was malformed."""
        texts = [self.charge_id, self.status, self.decline_code, self.void_reason, self.captured_at, self.expires_at]
        texts += [text for refund in self.refunds for text in (refund.refund_id, refund.status, refund.created_at)]
        requested = (reference, amount_minor, currency)
        return REDACTED not in texts and (self.reference, self.amount_minor, self.currency) == requested

    def is_as_requested(self, reference: str, amount_minor: int | None, currency: str | None, *, capture: bool) -> bool:
        """Whether the charge is the one requested, whatever happened to it since.

        A charge to be captured must have been captured in full. A declined or voided charge passes, too: it holds no
        money and has taken none.
        """
        is_complete = self.captured_minor == amount_minor or self.status in ("declined", "voided")
        return self.is_for(reference, amount_minor, currency) and (is_complete or not capture)

    def outcome(self, *, capture: bool) -> Literal["captured", "authorized", "declined"]:
        """The result of requesting the charge, before any later movement. The charge must be as requested."""
        if self.status == "declined":
            return "declined"
        return "captured" if capture else "authorized"

    def refund(self, reference: str) -> Refund | None:
        """The refund with this reference, or None if the charge shows none."""
        return next((refund for refund in self.refunds if refund.reference == reference), None)

    @classmethod
    def from_dict(cls, charge: Mapping[str, Any]) -> "Charge":
        """The inverse of `to_dict`, but for the network's id."""
        return cls(**{**charge, "refunds": tuple(Refund(**refund) for refund in charge["refunds"])})

    def to_dict(self) -> dict[str, Any]:
        """The charge for the next state, without the network's id, as nobody can tell that from a card number."""
        charge = asdict(self) | {"refunds": [asdict(refund) for refund in self.refunds]}
        del charge["network_transaction_id"]
        return charge


@dataclass(frozen=True, slots=True)
class Verification:
    """A gateway's answer to the question whether a card is good, for which it charges nothing. A declined card has a
    `decline_code`."""

    reference: str
    decline_code: str | None
    network_transaction_id: str | None

    def network_transaction_id_for(self, card: Card) -> str | None:
        """The id, unless it is the number of the card that was verified."""
        return _network_transaction_id(self.network_transaction_id, card)


@dataclass(frozen=True, slots=True)
class Reversal:
    """A confirmed timeout reversal. `charge` is None if none existed; the reference can then never be charged."""

    result: ReversalResult
    charge: Charge | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway did nothing, and never will for this request. Like a decline, this is a value and not an error."""

    reason: Refusal


def _network_transaction_id(text: str | None, card: Card) -> str | None:
    return None if text and card.pan in text else text

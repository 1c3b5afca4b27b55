"""Requests to a gateway and its answers, in the industry's terms rather than one gateway's."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from functions.shared.domain.card import CardSummary
from functions.shared.domain.dispute import Dispute
from functions.shared.domain.operation import OperationType, Refusal

ChargeStatus = Literal[
    "authorized", "captured", "declined", "voided", "refunded", "partially_refunded", "action_required"
]
"""With `action_required`, the issuer wants to authenticate the customer first, and the charge has no outcome yet."""

RefundStatus = Literal["pending", "succeeded", "failed"]
ReversalResult = Literal["voided", "refunded", "tombstoned", "already_reversed", "declined"]

Initiator = Literal["customer", "merchant"]
Reason = Literal["recurring", "installment", "unscheduled"]

ThreeDSecure = Literal["automatic", "required", "none"]
"""When to have the customer authenticated (3-D Secure): where the gateway sees a need, always, or never."""

Exemption = Literal["low_value", "transaction_risk", "trusted_beneficiary", "secure_corporate"]
"""The reasons for which PSD2 lets the merchant ask for no authentication. The issuer decides. Source, seen 2026-11-29:
"SCA exemptions", Adyen's documentation."""

AUTHENTICATION_REQUIRED = "authentication_required"
"""The decline code of a charge that the customer was not asked about, although the issuer or the gateway wanted it."""
AUTHENTICATION_FAILED = "authentication_failed"
"""The decline code of a charge whose customer was not authenticated."""
AUTHENTICATION_EXPIRED = "authentication_expired"
"""The decline code of a charge whose customer was asked, and did not answer in time."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a gateway can do beyond charging a card, and refunding and finding a charge."""

    void: bool
    """It releases an authorization."""
    partial_capture: bool
    """It captures less than it has authorized."""
    settlement_report: bool
    """It says for each day what it has moved and paid."""
    three_d_secure: bool
    """It can have customers authenticated by their issuers."""
    security_code: bool
    """It lets the issuer check the card's security code."""

    def include(self, type: OperationType, *, in_part: bool) -> bool:
        """Whether the gateway carries out such an operation, for a part of the charge's amount or for all of it."""
        return (self.void or type != "void") and (self.partial_capture or type != "capture" or not in_part)


@dataclass(frozen=True, slots=True)
class Order:
    """The payment to request. `reference` is our payment_id, and often the only way to find the charge after a timeout.

    `requested_at` is the payment's start (ISO 8601, UTC). It tells an adapter how long ago the first request was made:
    gateways forget idempotency keys. `return_url` is where the customer's browser goes after a challenge; without one,
    nobody can be asked. All but the credential and what is said of the authentication is the same whenever the payment
    is asked for.
    """

    reference: str
    amount_minor: int
    currency: str
    requested_at: str
    merchant_reference: str | None = None
    description: str | None = None
    stored_credential: StoredCredential | None = None
    three_d_secure: ThreeDSecure = "automatic"
    return_url: str | None = None
    exemption: Exemption | None = None


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
class Authentication:
    """The result of the customer's authentication (3-D Secure).

    `attempted` means that the issuer or its scheme vouches for it without an answer of the customer's, and `exempt`
    that the issuer accepted that nobody is asked. `version` is the protocol's, such as `2.2.0`. With a
    `liability_shift`, the issuer bears the loss from fraud; None if the gateway doesn't say.
    """

    result: Literal["authenticated", "attempted", "exempt", "failed"]
    version: str | None = None
    liability_shift: bool | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge as its gateway shows it, including every movement on it, whoever made it.

    Amounts are in the currency's minor unit, times are UTC. `captured_minor` returns to 0 once the charge is voided.
    `expires_at` is the time at which an authorization ends by itself; `void_reason` is `expired` if it has.
    `network_transaction_id` is the card network's own id of the transaction. It may look like a card number: Visa's
    has 15 digits. `redirect_url` is where the customer is to be sent while the charge is `action_required`.
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
    redirect_url: str | None = None
    authentication: Authentication | None = None
    disputes: tuple[Dispute, ...] = ()

    def network_transaction_id_for(self, card: CardSummary) -> str | None:
        """The id, unless it may be the number of the card that was charged."""
        return _network_transaction_id(self.network_transaction_id, card)

    def is_for(self, reference: str, amount_minor: int | None, currency: str | None) -> bool:
        """Whether the charge belongs to this payment and none of its texts was malformed."""
        texts = [self.charge_id, self.status, self.decline_code, self.void_reason, self.captured_at, self.expires_at]
        texts += [text for refund in self.refunds for text in (refund.refund_id, refund.status, refund.created_at)]
        texts += [text for each in self.disputes for text in (each.dispute_id, each.status, each.opened_at)]
        texts += [dispute.ended_at for dispute in self.disputes]
        requested = (reference, amount_minor, currency)
        return REDACTED not in texts and (self.reference, self.amount_minor, self.currency) == requested

    def is_as_requested(self, reference: str, amount_minor: int | None, currency: str | None, *, capture: bool) -> bool:
        """Whether the charge is the one requested, whatever happened to it since.

        A charge to be captured must have been captured in full. A charge that is declined, voided or waits for the
        customer passes, too: it holds no money and has taken none.
        """
        is_complete = self.captured_minor == amount_minor or self.status in ("declined", "voided", "action_required")
        return self.is_for(reference, amount_minor, currency) and (is_complete or not capture)

    def outcome(self, *, capture: bool) -> Literal["captured", "authorized", "declined"]:
        """The result of requesting the charge, before any later movement. The charge must be as requested, and not
        wait for the customer."""
        assert self.status != "action_required"
        if self.status == "declined":
            return "declined"
        return "captured" if capture else "authorized"

    @property
    def is_undone(self) -> bool:
        """Whether the charge is voided, or whatever it took is the cardholder's again: by refunds and lost disputes."""
        refunded = sum(refund.amount_minor for refund in self.refunds if refund.status == "succeeded")
        lost = sum(dispute.amount_minor for dispute in self.disputes if dispute.status == "lost")
        return self.status in ("voided", "refunded") or 0 < self.captured_minor <= refunded + lost

    def refund(self, reference: str) -> Refund | None:
        """The refund with this reference, or None if the charge shows none."""
        return next((refund for refund in self.refunds if refund.reference == reference), None)

    @classmethod
    def from_dict(cls, charge: Mapping[str, Any]) -> "Charge":
        """The inverse of `to_dict`, but for what that leaves out."""
        authentication = charge["authentication"]
        return cls(
            **{
                **charge,
                "refunds": tuple(Refund(**refund) for refund in charge["refunds"]),
                "authentication": Authentication(**authentication) if authentication else None,
                "disputes": tuple(Dispute(**dispute) for dispute in charge.get("disputes", ())),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """The charge for the next state, without the network's id, which can't be told from a card number, and without
        the URL, which is of no use any more. Only a charge with disputes lists them."""
        charge = asdict(self) | {"refunds": [asdict(refund) for refund in self.refunds]}
        del charge["network_transaction_id"], charge["redirect_url"], charge["disputes"]
        return charge | ({"disputes": [asdict(dispute) for dispute in self.disputes]} if self.disputes else {})


@dataclass(frozen=True, slots=True)
class Verification:
    """A gateway's answer to the question whether a card is good, for which it charges nothing. A declined card has a
    `decline_code`."""

    reference: str
    decline_code: str | None
    network_transaction_id: str | None

    def network_transaction_id_for(self, card: CardSummary) -> str | None:
        """The id, unless it may be the number of the card that was verified."""
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


def _network_transaction_id(text: str | None, card: CardSummary) -> str | None:
    return None if text and re.search(rf"{card.bin}\d*{card.last4}", text) else text

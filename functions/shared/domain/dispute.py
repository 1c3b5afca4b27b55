"""Disputes (chargebacks): a cardholder contests a charge at the bank, and the gateway takes the money until that is
decided."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

DisputeStatus = Literal["open", "lost", "won"]
"""In the order in which a dispute takes them. One that is won has returned its money, which is the last it can do."""

DisputeReason = Literal[
    "fraudulent",
    "unrecognized",
    "duplicate",
    "product_not_received",
    "product_unacceptable",
    "credit_not_processed",
    "subscription_canceled",
    "other",
]
"""What the cardholder says: the card networks' categories as gateways sum them up, and `other` for the rest. Source,
seen 2026-11-29: "Dispute reason codes", docs.stripe.com/disputes/categories."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute that has moved money. An inquiry, for which the gateway takes none, is not one yet.

    `amount_minor` is what the gateway took, without its fee; `dispute_id` is the gateway's. Times are ISO 8601 in UTC:
    `opened_at` is when the money was taken, and `ended_at` when the dispute was won or lost, or when we learned of it
    if the gateway doesn't say.
    """

    dispute_id: str
    status: DisputeStatus
    amount_minor: int
    reason: DisputeReason
    opened_at: str
    ended_at: str | None = None

    @property
    def held_minor(self) -> int:
        """What is not the merchant's to refund: it is held, or it is the cardholder's already."""
        return 0 if self.status == "won" else self.amount_minor

    def is_later_than(self, other: "Dispute | None") -> bool:
        """Whether the dispute has gone further than in the other picture of it, if there is one."""
        order = get_args(DisputeStatus)
        return other is None or order.index(self.status) > order.index(other.status)


def held_minor(disputes: Iterable[Dispute]) -> int:
    """What these disputes hold now or have cost."""
    return sum(dispute.held_minor for dispute in disputes)

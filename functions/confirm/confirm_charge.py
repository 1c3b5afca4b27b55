"""Determine the outcome of a charge that waited for the customer."""

from typing import Any

from functions.shared.domain.card import CardSummary
from functions.shared.domain.charge import Order
from functions.shared.domain.payment import PaymentRequest
from functions.shared.ports import CustomerWaits, PaymentGateway
from functions.shared.use_cases.adopt_charge import read_charge
from functions.shared.use_cases.charge_outcome import charge_outcome, check_charge
from functions.shared.use_cases.end_wait import end_wait


def confirm_charge(
    payment_id: str,
    payment: PaymentRequest,
    card: CardSummary,
    started_at: str,
    charge_id: str,
    *,
    customer_waits: CustomerWaits,
    gateway: PaymentGateway,
) -> dict[str, Any]:
    """Return what `charge_outcome` makes of the charge, on the gateway's word alone. The call may be repeated.

    It makes no difference why the wait is over. If the customer has not answered, it is ended (`end_wait`).

    Raises LedgerUnavailable, GatewayOutcomeUnknown if the gateway does not show the charge, GatewayMismatch if it is
    not the one that was asked for, and the errors of the gateway.
    """
    customer_waits.end(payment_id)
    order = Order(payment_id, payment.amount_minor, payment.currency, started_at)
    charge = end_wait(read_charge(charge_id, gateway=gateway), gateway=gateway)
    check_charge(charge, order, capture=payment.capture)
    return charge_outcome(charge, card, capture=payment.capture)

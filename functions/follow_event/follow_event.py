"""Look at the payment that a gateway's event is about."""

from datetime import datetime, timedelta
from typing import Any

from functions.shared.domain.errors import GatewayMismatch, PaymentUnderWay
from functions.shared.domain.gateway_event import GatewayEvent
from functions.shared.ports import CustomerWaits, Executions, Gateways, Ledger
from functions.shared.use_cases.adopt_charge import read_charge
from functions.shared.use_cases.resolve_payment import resolve_payment
from functions.shared.use_cases.resume_payment import resume_payment

# An execution that is not visible this long after an event about its charge is none of ours: others may have charges at
# the same gateway.
OURS_VISIBLE_WITHIN = timedelta(minutes=15)


def follow_event(
    gateway: str,
    event: GatewayEvent,
    *,
    gateways: Gateways,
    ledger: Ledger,
    executions: Executions,
    customer_waits: CustomerWaits,
    now: str,
) -> str:
    """Return the payment's status, or `unknown` if the charge is none of ours.

    `gateway` is the name of the event's sender. The event says only which payment to look at. What is recorded is what
    the gateway shows, as in `resolve_payment`. Following an event again, or an older one later, changes nothing.

    If the payment waits for its customer, and the gateway shows that the wait is over, the payment's execution goes on
    (`processing`), and records its own outcome.

    Raises PaymentUnderWay while the payment's execution runs and waits for nobody, because it records its own outcome,
    GatewayOutcomeUnknown if the gateway doesn't show the charge (yet), GatewayMismatch for another payment's charge,
    and the errors of the ports and of `resolve_payment`.
    """
    charge = None if event.payment_id else read_charge(event.charge_id, gateway=gateways.named(gateway))
    payment_id = charge.reference if charge else event.payment_id
    assert payment_id
    record = ledger.find(payment_id)
    if record and record.payment.status != "in_doubt":
        if event.status == record.payment.status:
            return event.status  # nothing new: most events are about what we did ourselves
    else:
        execution = executions.find(payment_id)
        if execution is None and record is None and _age(event, now) > OURS_VISIBLE_WITHIN:
            return "unknown"
        if execution and execution.running:
            if event.status == "action_required":
                return event.status  # the execution knows, and has begun to wait
            if resume_payment(payment_id, customer_waits=customer_waits, gateways=gateways, executions=executions):
                return "processing"
        if execution is None or execution.running:
            raise PaymentUnderWay("The payment has not been seen to end yet.")
        # So soon after the execution's end, a look by reference might miss the charge. The event has its own id.
        charge = charge or read_charge(event.charge_id, gateway=gateways.named(gateway))
        if charge.reference != payment_id:
            raise GatewayMismatch("The event is about a charge of another payment.")
    ports: dict[str, Any] = {"gateways": gateways, "ledger": ledger, "executions": executions}
    return resolve_payment(payment_id, **ports, now=now, shown_charge=charge)[0]


def _age(event: GatewayEvent, now: str) -> timedelta:
    return datetime.fromisoformat(now) - datetime.fromisoformat(event.at)

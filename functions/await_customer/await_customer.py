"""Have the payment wait for its customer."""

from datetime import datetime, timedelta

from functions.shared.domain.errors import GatewayOutcomeUnknown
from functions.shared.domain.times import iso
from functions.shared.ports import CustomerWait, CustomerWaits, PaymentGateway
from functions.shared.use_cases.adopt_charge import read_charge


def await_customer(
    payment_id: str,
    charge_id: str,
    task_token: str,
    *,
    customer_waits: CustomerWaits,
    gateway: PaymentGateway,
    now: str,
    timeout: timedelta,
) -> CustomerWait:
    """Store what the payment waits for, and the task token that resumes the execution. The call may be repeated.

    The URL is read from the gateway: it may contain secrets, which no execution's history and no log should have.

    Raises GatewayOutcomeUnknown if the gateway does not show it (yet), and the errors of the gateway and of
    `CustomerWaits.begin`.
    """
    charge = read_charge(charge_id, gateway=gateway)
    if charge.redirect_url is None:
        raise GatewayOutcomeUnknown("The gateway does not say where to send the customer.")
    until = iso(datetime.fromisoformat(now) + timeout)
    wait = CustomerWait(gateway.name, charge_id, charge.redirect_url, now, until)
    customer_waits.begin(payment_id, task_token, wait)
    return wait

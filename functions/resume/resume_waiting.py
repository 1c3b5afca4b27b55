"""Resume the payments whose customers have answered, even if no event from the gateway has arrived."""

from collections.abc import Callable
from dataclasses import dataclass

from functions.shared.domain.errors import PaymentError
from functions.shared.ports import CustomerWaits, Executions, Gateways
from functions.shared.use_cases.resume_payment import resume_payment


@dataclass(slots=True)
class Swept:
    """The numbers of payments that waited, that were resumed, and that could not be looked at."""

    waiting: int = 0
    resumed: int = 0
    failed: int = 0


def resume_waiting(
    *,
    customer_waits: CustomerWaits,
    gateways: Gateways,
    executions: Executions,
    has_time: Callable[[], bool],
    failed: Callable[[str, PaymentError], None],
) -> Swept:
    """Look at every payment that waits, as long as there is time; the rest is for the next run.

    An error about one payment is passed to `failed`, and does not stop the others. Raises LedgerUnavailable.
    """
    swept = Swept()
    for payment_id in customer_waits.waiting():
        if not has_time():
            break
        swept.waiting += 1
        try:
            swept.resumed += resume_payment(
                payment_id, customer_waits=customer_waits, gateways=gateways, executions=executions
            )
        except PaymentError as error:
            swept.failed += 1
            failed(payment_id, error)
    return swept

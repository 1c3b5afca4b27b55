"""On a schedule: look at the payments that wait for their customers. A gateway's event may get lost, or the deployment
may receive none."""

from dataclasses import asdict
from time import monotonic
from typing import Any

from functions.resume.resume_waiting import resume_waiting
from functions.shared import runtime
from functions.shared.domain.errors import PaymentError

# The next run follows after a minute; a look at one more payment must fit in before the function's timeout.
WORKS_SECONDS = 40

FACTORIES = (runtime.customer_waits, runtime.gateways, runtime.executions)


@runtime.function("resume", uses=FACTORIES, payment_id=lambda event: None)
def handler(event: runtime.Event) -> dict[str, Any]:
    until = monotonic() + WORKS_SECONDS
    swept = resume_waiting(
        customer_waits=runtime.customer_waits(),
        gateways=runtime.gateways(),
        executions=runtime.executions(),
        has_time=lambda: monotonic() < until,
        failed=_not_looked_at,
    )
    return asdict(swept)


def _not_looked_at(payment_id: str, error: PaymentError) -> None:
    runtime.logger.warning("not looked at", payment_id=payment_id, error=type(error).__name__, reason=str(error))

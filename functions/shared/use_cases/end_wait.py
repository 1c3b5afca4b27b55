"""End a charge's wait for the customer."""

from functions.shared.domain.charge import Charge
from functions.shared.ports import PaymentGateway


def end_wait(charge: Charge, *, gateway: PaymentGateway) -> Charge:
    """The charge after its wait for the customer, if any, has been ended: from then on nobody can pass the challenge.
    If the customer answers at the same moment, the gateway decides which came first. Raises the gateway's errors."""
    if charge.status != "action_required":
        return charge
    return gateway.cancel_authentication(charge.charge_id)

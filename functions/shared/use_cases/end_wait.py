"""End a charge's wait for the customer."""

from functions.shared.domain.charge import Charge
from functions.shared.ports import PaymentGateway


def end_wait(charge: Charge, *, gateway: PaymentGateway) -> Charge:
    """The charge after the wait for the customer, if it is in one: nobody can pass the challenge any more, and of two
    who are about as fast, the gateway decides who was first. Raises the gateway's errors."""
    if charge.status != "action_required":
        return charge
    return gateway.cancel_authentication(charge.charge_id)

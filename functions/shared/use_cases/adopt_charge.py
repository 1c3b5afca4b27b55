"""Look at a charge at the gateway, and record what the books don't know of it: `domain/adoption.py` has the rules."""

from dataclasses import replace

from functions.shared.domain.adoption import ADOPTING, adopt
from functions.shared.domain.charge import Charge
from functions.shared.domain.errors import GatewayOutcomeUnknown
from functions.shared.ports import Ledger, PaymentGateway, RecordedPayment


def look(charge_id: str, *, gateway: PaymentGateway) -> Charge:
    """The charge as the gateway shows it, by its own id: gateways forget references.

    Raises GatewayOutcomeUnknown if the gateway does not show it: there is one, so the gateway has not caught up.
    """
    charge = gateway.find(charge_id)
    if charge is None:
        raise GatewayOutcomeUnknown("The gateway does not show the charge, and so not what became of it.")
    return charge


def adopt_charge(known: RecordedPayment, *, gateway: PaymentGateway, ledger: Ledger, now: str) -> RecordedPayment:
    """Look at the payment's charge, record what the books don't know of it, and return what is recorded then.

    `known` has to be read before, so that whatever is recorded meanwhile is a conflict. Raises GatewayMismatch for a
    charge that can't be the payment's, LedgerConflict, LedgerUnavailable, and what `look` and the gateway raise.
    """
    if known.payment.status not in ADOPTING:
        return known
    assert known.payment.charge_id  # of these statuses, each has one
    return adopt_shown(known, look(known.payment.charge_id, gateway=gateway), ledger=ledger, now=now)


def adopt_shown(known: RecordedPayment, charge: Charge, *, ledger: Ledger, now: str) -> RecordedPayment:
    """Record what the books don't know of the payment's charge, and return what is recorded then.

    Raises GatewayMismatch, LedgerConflict, LedgerUnavailable.
    """
    payment, posted = adopt(known.payment, known.entries, charge, now)
    if payment == known.payment:
        return known
    payment = replace(payment, version=payment.version + 1)
    ledger.record(payment, posted)
    return RecordedPayment(payment, known.entries + posted)

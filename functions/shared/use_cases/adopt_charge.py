"""Read a charge from the gateway, and record its new movements by the rules in `domain/adoption.py`."""

from dataclasses import replace

from functions.shared.domain.adoption import ADOPTABLE_STATUSES, adopt
from functions.shared.domain.charge import Charge
from functions.shared.domain.errors import GatewayOutcomeUnknown
from functions.shared.ports import Gateways, Ledger, PaymentGateway, RecordedPayment


def read_charge(charge_id: str, *, gateway: PaymentGateway) -> Charge:
    """Read the charge from the gateway by the gateway's id, because gateways forget references.

    Raises GatewayOutcomeUnknown if the gateway does not show the charge: it exists, so the gateway has not caught up.
    """
    charge = gateway.find(charge_id)
    if charge is None:
        raise GatewayOutcomeUnknown("The gateway does not show the charge, and so not its outcome.")
    return charge


def adopt_charge(record: RecordedPayment, *, gateways: Gateways, ledger: Ledger, now: str) -> RecordedPayment:
    """Read the payment's charge, record its new movements, and return the resulting record.

    `record` must have been read before this call, so that a concurrent write causes a conflict. Raises GatewayMismatch
    for a charge that can't be the payment's, LedgerConflict, LedgerUnavailable, and the errors of `read_charge` and the
    gateway.
    """
    if record.payment.status not in ADOPTABLE_STATUSES:
        return record
    assert record.payment.charge_id  # every payment with one of these statuses has a charge
    charge = read_charge(record.payment.charge_id, gateway=gateways.of(record.payment))
    return record_movements(record, charge, ledger=ledger, now=now)


def record_movements(record: RecordedPayment, charge: Charge, *, ledger: Ledger, now: str) -> RecordedPayment:
    """Record the new movements of the payment's charge, which has been read already, and return the resulting record.

    Raises GatewayMismatch, LedgerConflict, LedgerUnavailable.
    """
    payment, posted = adopt(record.payment, record.entries, charge, now)
    if payment == record.payment:
        return record
    payment = replace(payment, version=payment.version + 1)
    ledger.record(payment, posted, previous=record.payment)
    adopted = RecordedPayment(payment, record.entries + posted)
    return record_movements(adopted, charge, ledger=ledger, now=now)  # those for which the write had no room

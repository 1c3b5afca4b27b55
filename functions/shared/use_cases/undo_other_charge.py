"""Undo a second charge that the gateway made beside the payment's own."""

from functions.shared.domain.charge import Charge
from functions.shared.domain.errors import UNCONFIRMED, ReversalUnconfirmed
from functions.shared.domain.operation import Operation
from functions.shared.domain.payment import Payment
from functions.shared.ports import Gateways, Ledger
from functions.shared.use_cases.adopt_charge import read_charge
from functions.shared.use_cases.perform_operation import Performed, perform_operation, reserved_in
from functions.shared.use_cases.settle_operation import settle_operation


def undo_other_charge(
    payment: Payment, operation: Operation, *, gateways: Gateways, ledger: Ledger, now: str
) -> Payment:
    """Carry out the payment's recorded operation to undo a second charge, and return the record.

    Raises ReversalUnconfirmed while the gateway does not confirm that the charge is undone (the operation is then in
    doubt or pending), LedgerUnavailable, LedgerConflict.
    """
    reserved = reserved_in(payment, operation)
    try:
        if operation.pending:
            performed = Performed(read_charge(reserved.charge_id, gateway=gateways.of(payment)))
        else:
            performed = perform_operation(reserved, gateways=gateways, ledger=ledger)
        if performed.charge and not performed.charge.is_undone and not _is_pending(performed.charge, operation):
            # The charge still stands, and a person has to find out why.
            performed = Performed(reason=performed.reason or "refund_failed")
    except UNCONFIRMED as error:
        performed = Performed(reason=type(error).__name__)
    settled = settle_operation(payment.payment_id, operation.operation_id, performed, ledger=ledger, now=now)
    undone = settled.operation(operation.operation_id)
    assert undone
    if undone.status != "succeeded":
        raise ReversalUnconfirmed(f"It is not confirmed that a second charge is undone: {performed.reason}.")
    return settled


def _is_pending(charge: Charge, operation: Operation) -> bool:
    refund = charge.refund(operation.operation_id)
    return refund is not None and refund.status == "pending"

"""Have the gateway carry out a reserved refund, capture or void.

A request may be repeated at any time: each operation has its own idempotency key, a charge is captured or voided only
once, and a refund has the operation's id as its reference. So repeating the request reveals an operation's outcome.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from functions.shared.domain.charge import Charge, Refused
from functions.shared.domain.errors import GatewayMismatch, GatewayOutcomeUnknown
from functions.shared.domain.operation import Operation, OperationType
from functions.shared.domain.payment import Payment
from functions.shared.ports import Gateways, Ledger, PaymentGateway
from functions.shared.use_cases.adopt_charge import read_charge


@dataclass(frozen=True, slots=True)
class Reserved:
    """A reserved operation, with the data for the request to the gateway."""

    payment_id: str
    operation_id: str
    type: OperationType
    amount_minor: int
    currency: str
    charge_id: str


@dataclass(frozen=True, slots=True)
class Performed:
    """The charge as the gateway showed it, or None if it is unknown; and the reason for a refusal or the lack of a
    charge."""

    charge: Charge | None = None
    reason: str | None = None

    @classmethod
    def from_dict(cls, performed: Mapping[str, Any]) -> "Performed":
        """The inverse of `to_dict`, which passes the result to the next state."""
        charge = performed["charge"]
        return cls(Charge.from_dict(charge) if charge else None, performed["reason"])

    def to_dict(self) -> dict[str, Any]:
        return {"charge": self.charge.to_dict() if self.charge else None, "reason": self.reason}


def reserved_in(payment: Payment, operation: Operation) -> Reserved:
    """Make a `Reserved` from an open operation in the payment's record."""
    charge_id = operation.charge_id or payment.charge_id
    assert operation.amount_minor and payment.currency and charge_id
    return Reserved(
        payment.payment_id,
        operation.operation_id,
        operation.type,
        operation.amount_minor,
        payment.currency,
        charge_id,
    )


def perform_operation(reserved: Reserved, *, gateways: Gateways, ledger: Ledger) -> Performed:
    """Have the gateway carry out the operation, unless the ledger shows that it has ended, which gateways may forget.

    Raises GatewayOutcomeUnknown if neither the gateway's answer nor the charge reveals the outcome, GatewayMismatch if
    the gateway did something else, LedgerUnavailable, and the gateway's errors.
    """
    payment = ledger.payment(reserved.payment_id)
    operation = payment.operation(reserved.operation_id) if payment else None
    if payment is None or operation is None or not operation.is_open:
        return Performed()  # the record remains as it is
    gateway = gateways.of(payment)
    try:
        answer = _request(reserved, gateway)
    except GatewayOutcomeUnknown:
        charge = read_charge(reserved.charge_id, gateway=gateway)
        if not _shows_outcome(charge, reserved):
            raise  # not there yet is not the same as never there
        return Performed(charge)
    if isinstance(answer, Refused):
        # An earlier attempt, whose answer was lost, may have succeeded, or somebody may have used the dashboard.
        charge = read_charge(reserved.charge_id, gateway=gateway)
        if reserved.type != "refund" and answer.reason == "invalid_state" and charge.status == "authorized":
            raise GatewayOutcomeUnknown("The gateway refuses what the charge allows: what it shows is not the newest.")
        return Performed(charge, answer.reason)
    if not _is_as_requested(answer, reserved):
        raise GatewayMismatch(f"The gateway's {reserved.type} is not the one that was asked for.")
    return Performed(answer)


def _request(reserved: Reserved, gateway: PaymentGateway) -> Charge | Refused:
    key = f"{reserved.payment_id}-{reserved.type}-{reserved.operation_id}"
    match reserved.type:
        case "capture":
            return gateway.capture(reserved.charge_id, reserved.amount_minor, reserved.currency, key)
        case "void":
            return gateway.void(reserved.charge_id, key)
        case "refund":
            return gateway.refund(
                reserved.charge_id, reserved.amount_minor, reserved.currency, reserved.operation_id, key
            )


def _shows_outcome(charge: Charge, reserved: Reserved) -> bool:
    """Whether the charge shows the operation's outcome, whoever requested it."""
    if reserved.type == "refund":
        return charge.refund(reserved.operation_id) is not None
    return charge.status != "authorized"


def _is_as_requested(charge: Charge, reserved: Reserved) -> bool:
    requested = (reserved.charge_id, reserved.currency)
    if (charge.charge_id, charge.currency) != requested:
        return False
    if reserved.type == "refund":
        refund = charge.refund(reserved.operation_id)
        return refund is not None and refund.amount_minor == reserved.amount_minor
    if reserved.type == "void":
        return charge.status == "voided"
    return charge.captured_minor == reserved.amount_minor

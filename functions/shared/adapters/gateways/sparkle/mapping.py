"""The conversion between Sparkle's JSON and the domain: charges, refunds, reversals, settlements and amounts."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any, get_args

from functions.shared.adapters.gateways.reading import (
    Amounts,
    network_transaction_id,
    present,
    protocol_version,
    redirect_url,
    text,
)
from functions.shared.domain.card import Card
from functions.shared.domain.charge import (
    Authentication,
    Charge,
    ChargeStatus,
    Order,
    Refund,
    RefundStatus,
    Reversal,
    ReversalResult,
    Verification,
)
from functions.shared.domain.dispute import Dispute, DisputeReason, DisputeStatus, held_minor
from functions.shared.domain.errors import GatewayMismatch, GatewayOutcomeUnknown, SettlementUnreadable
from functions.shared.domain.operation import Refusal
from functions.shared.domain.settlement import LineType, SettlementLine, SettlementPage
from functions.shared.domain.shapes import is_code, is_gateway_id

NAME = "sparkle"
"""The gateway's name, which is part of the name of its account in the ledger."""

# Sparkle remembers these refusals and repeats them for a request with the same key.
REFUSALS: dict[str, Refusal] = {
    "amount_exceeds_authorized": "amount_exceeds_authorized",
    "amount_exceeds_captured": "amount_exceeds_captured",
    "charge_disputed": "payment_disputed",
    "invalid_state": "invalid_state",
}

AUTHENTICATION_RESULTS = ("authenticated", "attempted", "exempt", "failed")

CHARGE_NOT_FOUND = "charge_not_found"

_TOTAL_LIMIT_MINOR = 10**18
"""Totals in minor units must be below this."""
_TIME = re.compile(
    r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])"
)
_CURSOR = re.compile("[A-Za-z0-9._~+/=-]{1,256}")


class SparkleMapping:
    """Reads and writes Sparkle's JSON.

    A text that violates its contract is read as REDACTED, so that no part of it is kept; an invalid currency or amount
    raises GatewayMismatch. The parameters are those of Amounts.
    """

    def __init__(self, iso_minor_unit: Callable[[str], int | None], minor_units: Mapping[str, int]) -> None:
        self.amounts = Amounts("Sparkle", iso_minor_unit, minor_units)

    def charge_request(self, order: Order, card: Card, *, capture: bool) -> dict[str, Any]:
        """The body of a request for a charge."""
        body: dict[str, Any] = {
            "reference": order.reference,
            "amount_minor": self.amounts.to_gateway(order.amount_minor, order.currency),
            "currency": order.currency,
            "capture": capture,
            "card": _card(card),
            "merchant_reference": order.merchant_reference,
            "description": order.description,
            "stored_credential": order.stored_credential and present(asdict(order.stored_credential)),
            "three_d_secure": None if order.three_d_secure == "automatic" else order.three_d_secure,
            "return_url": order.return_url,
            "exemption": order.exemption,
        }
        return present(body)

    def verification_request(self, reference: str, card: Card) -> dict[str, Any]:
        """The body of a request to verify a card that is to be stored."""
        stored_credential = {"use": "initial", "initiator": "customer"}
        return {"reference": reference, "card": _card(card), "stored_credential": stored_credential}

    def listed_charge(self, answer: dict[str, Any]) -> Charge | None:
        charges = _field(answer, "charges", list)
        return self.charge(charges[0]) if charges else None

    def found_charge(self, answer: dict[str, Any]) -> Charge | None:
        return None if "error" in answer else self.charge(answer)

    def reversal(self, answer: dict[str, Any]) -> Reversal:
        result, charge = _field(answer, "result", str), answer.get("charge")
        if result not in get_args(ReversalResult):
            raise GatewayOutcomeUnknown("Sparkle's answer does not say that the charge is undone.")
        return Reversal(result, self.charge(charge) if charge else None)

    def answered_charge(self, answer: dict[str, Any]) -> Charge:
        if "error" not in answer:
            return self.charge(answer)
        declined, error = _field(answer, "charge", dict), _field(answer, "error", dict)
        return self.charge({**declined, "decline_code": error.get("decline_code")})

    def verification(self, answer: dict[str, Any]) -> Verification:
        if "error" in answer:
            verified = _field(answer, "verification", dict)
            decline_code = text(_field(answer, "error", dict).get("decline_code"), is_code)
        else:
            verified, decline_code = answer, None
        if verified.get("status") != ("declined" if decline_code else "verified"):
            raise GatewayOutcomeUnknown("Sparkle's answer does not say whether the card is good.")
        return Verification(
            reference=text(verified.get("reference"), is_gateway_id),
            decline_code=decline_code,
            network_transaction_id=network_transaction_id(verified.get("network_transaction_id")),
        )

    def charge(self, charge: Any) -> Charge:
        try:
            currency, next_action = charge["currency"], charge.get("next_action")
            parsed = Charge(
                gateway=NAME,
                charge_id=text(charge["id"], is_gateway_id),
                reference=text(charge["reference"], is_gateway_id),
                status=text(charge["status"], get_args(ChargeStatus).__contains__),
                amount_minor=self.amounts.to_minor(charge["amount_minor"], currency),
                currency=currency,
                captured_minor=self.amounts.to_minor(charge["captured_minor"], currency),
                refunds=tuple(self._refund(refund, currency) for refund in charge["refunds"]),
                decline_code=text(charge.get("decline_code"), is_code, optional=True),
                void_reason=text(charge.get("void_reason"), is_code, optional=True),
                captured_at=text(charge.get("captured_at"), _is_time, optional=True),
                expires_at=text(charge.get("expires_at"), _is_time, optional=True),
                network_transaction_id=network_transaction_id(charge.get("network_transaction_id")),
                redirect_url=redirect_url(next_action["redirect_url"]) if next_action else None,
                authentication=_authentication(charge.get("authentication")),
                disputes=tuple(self._dispute(dispute, currency) for dispute in charge["disputes"]),
            )
            refunded_minor = self.amounts.to_minor(charge["refunded_minor"], currency)
            disputed_minor = self.amounts.to_minor(charge["disputed_minor"], currency)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise GatewayOutcomeUnknown(
                "Sparkle answered with a charge that is not as documented.", shown=True
            ) from None
        if (parsed.status == "action_required") != bool(next_action):
            raise GatewayOutcomeUnknown("Sparkle's answer does not say what the customer must do.", shown=True)
        if refunded_minor != sum(refund.amount_minor for refund in parsed.refunds if refund.status == "succeeded"):
            raise GatewayMismatch("Sparkle answered with a charge whose refunds don't come to what is refunded.")
        if disputed_minor != held_minor(parsed.disputes):
            raise GatewayMismatch("Sparkle answered with a charge whose disputes don't come to what is disputed.")
        return parsed

    def refunded_charge(self, refund: Mapping[str, Any]) -> Charge:
        return self.charge(refund.get("charge"))

    def _refund(self, refund: Mapping[str, Any], currency: str) -> Refund:
        reference = refund["refund_reference"]
        return Refund(
            refund_id=text(refund["id"], is_gateway_id),
            # A merchant who refunds in the dashboard may enter any text as the reference.
            reference=reference if is_gateway_id(reference) else None,
            status=text(refund["status"], get_args(RefundStatus).__contains__),
            amount_minor=self.amounts.to_minor(refund["amount_minor"], currency),
            created_at=text(refund["created_at"], _is_time),
        )

    def _dispute(self, dispute: Mapping[str, Any], currency: str) -> Dispute:
        return Dispute(
            dispute_id=text(dispute["id"], is_gateway_id),
            status=text(dispute["status"], get_args(DisputeStatus).__contains__),
            amount_minor=self.amounts.to_minor(dispute["amount_minor"], currency),
            reason=dispute["reason"] if dispute["reason"] in get_args(DisputeReason) else "other",
            opened_at=text(dispute["opened_at"], _is_time),
            ended_at=text(dispute["ended_at"], _is_time, optional=True),
        )

    def settlement(self, answer: Mapping[str, Any]) -> SettlementPage:
        try:
            return SettlementPage(
                lines=tuple(self._line(line) for line in answer["lines"]),
                line_count=int(answer["line_count"]),
                totals={
                    total["currency"]: (
                        self.amounts.to_minor(total["amount_minor"], total["currency"], _TOTAL_LIMIT_MINOR),
                        self.amounts.to_minor(total["fee_minor"], total["currency"], _TOTAL_LIMIT_MINOR),
                    )
                    for total in answer["totals"]
                },
                next_page=_cursor(answer["next_cursor"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, GatewayMismatch) as error:
            problem = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else type(error).__name__
            raise SettlementUnreadable(f"The settlement report is not as documented: {problem}.") from None

    def _line(self, line: Mapping[str, Any]) -> SettlementLine:
        # A line of an unknown type may concern anything, and perhaps no charge at all.
        is_known = line["type"] in get_args(LineType)
        ids = line if is_known else {"charge_id": None, "reference": None, "refund_reference": None, **line}
        return SettlementLine(
            line_id=text(line["id"], is_gateway_id),
            type=text(line["type"], is_code),
            charge_id=text(ids["charge_id"], is_gateway_id, optional=not is_known),
            reference=text(ids["reference"], is_gateway_id, optional=not is_known),
            refund_reference=text(ids["refund_reference"], is_gateway_id, optional=True),
            amount_minor=self.amounts.to_minor(line["amount_minor"], line["currency"]),
            fee_minor=self.amounts.to_minor(line["fee_minor"], line["currency"]),
            currency=line["currency"],
            settled_at=text(line["settled_at"], _is_time),
        )


def _authentication(authentication: Any) -> Authentication | None:
    if authentication is None:
        return None
    if authentication["result"] not in AUTHENTICATION_RESULTS or type(authentication["liability_shift"]) is not bool:
        raise ValueError
    return Authentication(
        authentication["result"], protocol_version(authentication["version"]), authentication["liability_shift"]
    )


def _card(card: Card) -> dict[str, Any]:
    return present(
        {
            "number": card.pan,
            "expiry_month": card.expiry_month,
            "expiry_year": card.expiry_year,
            "holder": card.card_holder,
            "security_code": card.security_code,
        }
    )


def _field(answer: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(answer.get(name), kind):
        raise GatewayOutcomeUnknown(f"Sparkle's answer has no {name}.")
    return answer[name]


def _is_time(value: object) -> bool:
    if not (isinstance(value, str) and _TIME.fullmatch(value)):
        return False
    with suppress(ValueError):
        return bool(datetime.fromisoformat(value))
    return False  # no such date, for instance the 31st of February


def _cursor(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and _CURSOR.fullmatch(value)):
        raise ValueError
    return value

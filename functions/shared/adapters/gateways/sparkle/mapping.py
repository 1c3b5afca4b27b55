"""The conversion between Sparkle's JSON and the domain: charges, refunds, reversals, settlements and amounts."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any, get_args

from functions.shared.domain.card import Card
from functions.shared.domain.charge import (
    REDACTED,
    Charge,
    ChargeStatus,
    Order,
    Refund,
    RefundStatus,
    Reversal,
    ReversalResult,
    Verification,
)
from functions.shared.domain.errors import GatewayMismatch, GatewayOutcomeUnknown, GatewayRefused, SettlementUnreadable
from functions.shared.domain.operation import Refusal
from functions.shared.domain.settlement import LineType, SettlementLine, SettlementPage
from functions.shared.domain.shapes import is_code, is_gateway_id

NAME = "sparkle"
"""The gateway's name, which is part of the name of its account in the ledger."""

# Sparkle remembers these refusals and repeats them for a request with the same key.
REFUSALS: dict[str, Refusal] = {
    "amount_exceeds_authorized": "amount_exceeds_authorized",
    "amount_exceeds_captured": "amount_exceeds_captured",
    "invalid_state": "invalid_state",
}

CHARGE_NOT_FOUND = "charge_not_found"

# Amounts and totals in minor units must be below these.
_AMOUNT_LIMIT_MINOR, _TOTAL_LIMIT_MINOR = 10**12, 10**18
_TIME = re.compile(
    r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])"
)
_NETWORK_TRANSACTION_ID = re.compile("[A-Za-z0-9]{9,29}")
_CURSOR = re.compile("[A-Za-z0-9._~+/=-]{1,256}")


MINOR_UNITS: Mapping[str, int] = {"ISK": 2, "UGX": 2}
"""The currencies for which Sparkle's decimals differ from ISO 4217: docs/sparkle.yaml."""


class SparkleMapping:
    """Reads and writes Sparkle's JSON.

    A text that violates its contract is read as REDACTED, so that no part of it is kept; an invalid currency or amount
    raises GatewayMismatch. `iso_minor_unit` returns the decimals of ISO 4217, and `minor_units` holds Sparkle's
    decimals where they differ. An amount with a fraction of our minor unit is a mismatch.
    """

    def __init__(self, iso_minor_unit: Callable[[str], int | None], minor_units: Mapping[str, int]) -> None:
        self._iso_minor_unit = iso_minor_unit
        self._minor_units = minor_units

    def charge_request(self, order: Order, card: Card, *, capture: bool) -> dict[str, Any]:
        """The body of a request for a charge."""
        body: dict[str, Any] = {
            "reference": order.reference,
            "amount_minor": self.to_amount(order.amount_minor, order.currency),
            "currency": order.currency,
            "capture": capture,
            "card": _card(card),
            "merchant_reference": order.merchant_reference,
            "description": order.description,
            "stored_credential": order.stored_credential and _present(asdict(order.stored_credential)),
        }
        return _present(body)

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
            decline_code = _text(_field(answer, "error", dict).get("decline_code"), is_code)
        else:
            verified, decline_code = answer, None
        if verified.get("status") != ("declined" if decline_code else "verified"):
            raise GatewayOutcomeUnknown("Sparkle's answer does not say whether the card is good.")
        return Verification(
            reference=_text(verified.get("reference"), is_gateway_id),
            decline_code=decline_code,
            network_transaction_id=_network_transaction_id(verified.get("network_transaction_id")),
        )

    def charge(self, charge: Any) -> Charge:
        try:
            currency = charge["currency"]
            parsed = Charge(
                gateway=NAME,
                charge_id=_text(charge["id"], is_gateway_id),
                reference=_text(charge["reference"], is_gateway_id),
                status=_text(charge["status"], get_args(ChargeStatus).__contains__),
                amount_minor=self._to_minor(charge["amount_minor"], currency),
                currency=currency,
                captured_minor=self._to_minor(charge["captured_minor"], currency),
                refunds=tuple(self._refund(refund, currency) for refund in charge["refunds"]),
                decline_code=_text(charge.get("decline_code"), is_code, optional=True),
                void_reason=_text(charge.get("void_reason"), is_code, optional=True),
                captured_at=_text(charge.get("captured_at"), _is_time, optional=True),
                expires_at=_text(charge.get("expires_at"), _is_time, optional=True),
                network_transaction_id=_network_transaction_id(charge.get("network_transaction_id")),
            )
            refunded_minor = self._to_minor(charge["refunded_minor"], currency)
        except (KeyError, TypeError, AttributeError):
            raise GatewayOutcomeUnknown("Sparkle answered with a charge that lacks a field.") from None
        if refunded_minor != sum(refund.amount_minor for refund in parsed.refunds if refund.status == "succeeded"):
            raise GatewayMismatch("Sparkle answered with a charge whose refunds don't come to what is refunded.")
        return parsed

    def refunded_charge(self, refund: Mapping[str, Any]) -> Charge:
        return self.charge(refund.get("charge"))

    def _refund(self, refund: Mapping[str, Any], currency: str) -> Refund:
        reference = refund["refund_reference"]
        return Refund(
            refund_id=_text(refund["id"], is_gateway_id),
            # A merchant who refunds in the dashboard may enter any text as the reference.
            reference=reference if is_gateway_id(reference) else None,
            status=_text(refund["status"], get_args(RefundStatus).__contains__),
            amount_minor=self._to_minor(refund["amount_minor"], currency),
            created_at=_text(refund["created_at"], _is_time),
        )

    def settlement(self, answer: Mapping[str, Any]) -> SettlementPage:
        try:
            return SettlementPage(
                lines=tuple(self._line(line) for line in answer["lines"]),
                line_count=int(answer["line_count"]),
                totals={
                    total["currency"]: (
                        self._to_minor(total["amount_minor"], total["currency"], _TOTAL_LIMIT_MINOR),
                        self._to_minor(total["fee_minor"], total["currency"], _TOTAL_LIMIT_MINOR),
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
            line_id=_text(line["id"], is_gateway_id),
            type=_text(line["type"], is_code),
            charge_id=_text(ids["charge_id"], is_gateway_id, optional=not is_known),
            reference=_text(ids["reference"], is_gateway_id, optional=not is_known),
            refund_reference=_text(ids["refund_reference"], is_gateway_id, optional=True),
            amount_minor=self._to_minor(line["amount_minor"], line["currency"]),
            fee_minor=self._to_minor(line["fee_minor"], line["currency"]),
            currency=line["currency"],
            settled_at=_text(line["settled_at"], _is_time),
        )

    def to_amount(self, amount_minor: int, currency: str) -> int:
        amount, remainder = divmod(amount_minor * self._sparkle_units(currency), self._iso_units(currency))
        if remainder:
            raise GatewayRefused(f"Sparkle takes {currency} with fewer decimals than the amount has.")
        return amount

    def _to_minor(self, amount: Any, currency: Any, limit_minor: int = _AMOUNT_LIMIT_MINOR) -> int:
        if type(amount) is not int:
            raise TypeError
        if not re.fullmatch("[A-Z]{3}", currency):
            raise GatewayMismatch("Sparkle answered with a currency that is none.")
        minor, remainder = divmod(amount * self._iso_units(currency), self._sparkle_units(currency))
        if remainder:
            raise GatewayMismatch(f"Sparkle answered with less than one minor unit of {currency}.")
        if abs(minor) >= limit_minor:
            raise GatewayMismatch("Sparkle answered with an amount that is none.")
        return minor

    def _iso_units(self, currency: str) -> int:
        """The number of ISO 4217's minor units in one unit of the currency; 1 for a currency without a minor unit."""
        return int(10 ** (self._iso_minor_unit(currency) or 0))

    def _sparkle_units(self, currency: str) -> int:
        decimals = self._minor_units.get(currency)
        return self._iso_units(currency) if decimals is None else int(10**decimals)


def _card(card: Card) -> dict[str, Any]:
    return _present(
        {
            "number": card.pan,
            "expiry_month": card.expiry_month,
            "expiry_year": card.expiry_year,
            "holder": card.card_holder,
            "security_code": card.security_code,
        }
    )


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _field(answer: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(answer.get(name), kind):
        raise GatewayOutcomeUnknown(f"Sparkle's answer has no {name}.")
    return answer[name]


def _text(value: Any, is_valid: Callable[[Any], bool], *, optional: bool = False) -> Any:
    """The text, or REDACTED if the text violates its contract. An optional text may be None."""
    return value if is_valid(value) or (optional and value is None) else REDACTED


def _network_transaction_id(value: Any) -> str | None:
    """The id, or None if it is malformed: a charge is as good without it."""
    return value if isinstance(value, str) and _NETWORK_TRANSACTION_ID.fullmatch(value) else None


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

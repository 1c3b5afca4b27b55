"""The Sparkle payment gateway over HTTP, as its contract says in docs/sparkle.yaml."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar, get_args

import requests

from functions.shared import strict_json
from functions.shared.domain.card import Card
from functions.shared.domain.charge import (
    REDACTED,
    Charge,
    ChargeStatus,
    Order,
    Refund,
    RefundStatus,
    Refused,
    Reversal,
    ReversalResult,
)
from functions.shared.domain.errors import (
    GatewayBusy,
    GatewayMismatch,
    GatewayOutcomeUnknown,
    GatewayRefused,
    SettlementUnreadable,
)
from functions.shared.domain.operation import Refusal
from functions.shared.domain.settlement import LineType, SettlementLine, SettlementPage
from functions.shared.domain.shapes import is_code, is_gateway_id

Outcome = TypeVar("Outcome")
CallObserver = Callable[[str, float, bool], None]

# What Sparkle decided, and remembers: asked again, it says the same.
_REFUSALS: dict[str, Refusal] = {
    "amount_exceeds_authorized": "amount_exceeds_authorized",
    "amount_exceeds_captured": "amount_exceeds_captured",
    "invalid_state": "invalid_state",
}

_NO_CHARGE = "charge_not_found"

_BELOW_MINOR, _TOTALS_BELOW_MINOR = 10**12, 10**18
_TIME = re.compile(
    r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])"
)
_CURSOR = re.compile("[A-Za-z0-9._~+/=-]{1,256}")


MINOR_UNITS: Mapping[str, int] = {"ISK": 2, "UGX": 2}
"""The currencies whose decimals at Sparkle are not those of ISO 4217: docs/sparkle.yaml."""


class Sparkle:
    """`PaymentGateway` on Sparkle's REST API.

    Only what Sparkle says in so many words counts: its own JSON with a status of 2xx or 402 is an outcome, as is a
    refusal because of the charge's state or amounts; any other 4xx refuses the request itself. Everything else (a
    timeout, a dropped connection, a 5xx, an answer that is not Sparkle's JSON) leaves the outcome unknown. A text that
    is not what it must be comes as REDACTED, so that nothing of it is kept; a currency or an amount raises
    GatewayMismatch.

    `api_key` is called for every request, so that a rotated key is picked up. `iso_minor_unit` knows the decimals of
    ISO 4217, and `minor_units` Sparkle's own where they differ: what is less than one of our units is a mismatch.
    `observe` is told each call's operation, its duration in seconds, and whether it had an outcome; a decline is one.
    """

    name = "sparkle"

    def __init__(
        self,
        url: str,
        api_key: Callable[[], str],
        *,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        iso_minor_unit: Callable[[str], int | None],
        minor_units: Mapping[str, int] = MINOR_UNITS,
        observe: CallObserver = lambda operation, seconds, succeeded: None,
    ) -> None:
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._timeouts = (connect_timeout_seconds, read_timeout_seconds)
        self._iso_minor_unit = iso_minor_unit
        self._minor_units = minor_units
        self._observe = observe
        self._session = requests.Session()

    def charge(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._create_charge(order, card, idempotency_key, capture=True)

    def authorize(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._create_charge(order, card, idempotency_key, capture=False)

    def capture(self, charge_id: str, amount_minor: int, currency: str, idempotency_key: str) -> Charge | Refused:
        body = {"amount_minor": self._to_sparkle(amount_minor, currency)}
        return self._operate("capture", self._to_charge, f"/v1/charges/{charge_id}/capture", body, idempotency_key)

    def void(self, charge_id: str, idempotency_key: str) -> Charge | Refused:
        return self._operate("void", self._to_charge, f"/v1/charges/{charge_id}/void", {}, idempotency_key)

    def refund(
        self, charge_id: str, amount_minor: int, currency: str, reference: str, idempotency_key: str
    ) -> Charge | Refused:
        body = {"amount_minor": self._to_sparkle(amount_minor, currency), "refund_reference": reference}
        return self._operate("refund", self._to_refunded, f"/v1/charges/{charge_id}/refunds", body, idempotency_key)

    def find_by_reference(self, reference: str) -> Charge | None:
        return self._call("find", self._to_found, "GET", "/v1/charges", params={"reference": reference})

    def find(self, charge_id: str) -> Charge | None:
        return self._call("find", self._to_known, "GET", f"/v1/charges/{charge_id}")

    def reverse(self, reference: str) -> Reversal:
        return self._call("reverse", self._to_reversal, "POST", "/v1/reversals", json={"reference": reference})

    def settlement(self, day: str, page: str | None, limit: int) -> SettlementPage:
        query = {"date": day, "limit": str(limit)} | ({"cursor": page} if page else {})

        def read(answer: requests.Response) -> SettlementPage:
            try:
                body = strict_json.loads(answer.content)
            except ValueError:
                if answer.status_code != requests.codes.ok:
                    raise GatewayOutcomeUnknown(f"Sparkle answered {answer.status_code}.") from None
                raise SettlementUnreadable(f"The settlement report of {day} is cut off: it is not JSON.") from None
            return self._to_settlement(self._understood(answer.status_code, body))

        return self._send("settlements", read, "GET", "/v1/settlements", params=query)

    def _create_charge(self, order: Order, card: Card, idempotency_key: str, *, capture: bool) -> Charge:
        body = {
            "reference": order.reference,
            "amount_minor": self._to_sparkle(order.amount_minor, order.currency),
            "currency": order.currency,
            "capture": capture,
            "card": {
                "number": card.pan,
                "expiry_month": card.expiry_month,
                "expiry_year": card.expiry_year,
                "holder": card.card_holder,
            },
            "merchant_reference": order.merchant_reference,
            "description": order.description,
        }
        body = {name: value for name, value in body.items() if value is not None}
        headers = {"Idempotency-Key": idempotency_key}
        return self._call("charge", self._to_answered, "POST", "/v1/charges", json=body, headers=headers)

    def _operate(
        self,
        operation: str,
        read: Callable[[dict[str, Any]], Charge],
        path: str,
        body: dict[str, Any],
        idempotency_key: str,
    ) -> Charge | Refused:
        def outcome(answer: dict[str, Any]) -> Charge | Refused:
            code = answer["error"]["code"] if "error" in answer else None
            if code == _NO_CHARGE:
                raise GatewayRefused("Sparkle knows no such charge.")
            return Refused(_REFUSALS[code]) if code else read(answer)

        headers = {"Idempotency-Key": idempotency_key}
        return self._call(operation, outcome, "POST", path, json=body, headers=headers)

    def _call(
        self, operation: str, read: Callable[[dict[str, Any]], Outcome], method: str, path: str, **request: Any
    ) -> Outcome:
        def understand(answer: requests.Response) -> Outcome:
            try:
                body = strict_json.loads(answer.content)
            except ValueError:
                raise GatewayOutcomeUnknown(f"Sparkle answered {answer.status_code}, and not with JSON.") from None
            return read(self._understood(answer.status_code, body))

        return self._send(operation, understand, method, path, **request)

    def _send(
        self, operation: str, read: Callable[[requests.Response], Outcome], method: str, path: str, **request: Any
    ) -> Outcome:
        headers = {"Authorization": f"Bearer {self._api_key()}", **request.pop("headers", {})}
        started, succeeded = time.perf_counter(), False
        try:
            outcome = read(self._answer(method, path, headers=headers, **request))
            succeeded = True
            return outcome
        finally:
            self._observe(operation, time.perf_counter() - started, succeeded)

    def _answer(self, method: str, path: str, **request: Any) -> requests.Response:
        try:
            return self._session.request(
                method, self._url + path, timeout=self._timeouts, allow_redirects=False, **request
            )
        except requests.RequestException as error:
            # `from None`: the exception holds the request, and the request the card.
            raise GatewayOutcomeUnknown(f"Sparkle did not answer: {type(error).__name__}.") from None

    def _understood(self, status: int, body: Any) -> dict[str, Any]:
        if not isinstance(body, dict):
            raise GatewayOutcomeUnknown(f"Sparkle answered {status} with something that is not its JSON.")
        code = body["error"].get("code") if isinstance(body.get("error"), dict) else None
        decided = (code in _REFUSALS and status in (409, 422)) or (status, code) == (404, _NO_CHARGE)
        if (status in (200, 201) and code is None) or (status == 402 and "charge" in body) or decided:
            return body
        if status == 429:
            raise GatewayBusy("Sparkle answered 429.")
        if not 400 <= status < 500 or code is None or (status == 409 and code != "reference_reversed"):
            raise GatewayOutcomeUnknown(f"Sparkle answered {status}.")
        raise GatewayRefused(f"Sparkle refused: {status}.")

    def _to_found(self, answer: dict[str, Any]) -> Charge | None:
        charges = _field(answer, "charges", list)
        return self._to_charge(charges[0]) if charges else None

    def _to_known(self, answer: dict[str, Any]) -> Charge | None:
        return None if "error" in answer else self._to_charge(answer)

    def _to_reversal(self, answer: dict[str, Any]) -> Reversal:
        result, charge = _field(answer, "result", str), answer.get("charge")
        if result not in get_args(ReversalResult):
            raise GatewayOutcomeUnknown("Sparkle's answer does not say that the charge is undone.")
        return Reversal(result, self._to_charge(charge) if charge else None)

    def _to_answered(self, answer: dict[str, Any]) -> Charge:
        if "error" not in answer:
            return self._to_charge(answer)
        declined, error = _field(answer, "charge", dict), _field(answer, "error", dict)
        return self._to_charge({**declined, "decline_code": error.get("decline_code")})

    def _to_charge(self, charge: Any) -> Charge:
        try:
            currency = charge["currency"]
            read = Charge(
                gateway=self.name,
                charge_id=_text(charge["id"], is_gateway_id),
                reference=_text(charge["reference"], is_gateway_id),
                status=_text(charge["status"], get_args(ChargeStatus).__contains__),
                amount_minor=self._from_sparkle(charge["amount_minor"], currency),
                currency=currency,
                captured_minor=self._from_sparkle(charge["captured_minor"], currency),
                refunds=tuple(self._to_refund(refund, currency) for refund in charge["refunds"]),
                decline_code=_text(charge.get("decline_code"), is_code, optional=True),
                void_reason=_text(charge.get("void_reason"), is_code, optional=True),
                captured_at=_text(charge.get("captured_at"), _is_time, optional=True),
                expires_at=_text(charge.get("expires_at"), _is_time, optional=True),
            )
            refunded_minor = self._from_sparkle(charge["refunded_minor"], currency)
        except (KeyError, TypeError, AttributeError):
            raise GatewayOutcomeUnknown("Sparkle answered with a charge that lacks a field.") from None
        if refunded_minor != sum(refund.amount_minor for refund in read.refunds if refund.status == "succeeded"):
            raise GatewayMismatch("Sparkle answered with a charge whose refunds don't come to what is refunded.")
        return read

    def _to_refunded(self, refund: Mapping[str, Any]) -> Charge:
        return self._to_charge(refund.get("charge"))

    def _to_refund(self, refund: Mapping[str, Any], currency: str) -> Refund:
        reference = refund["refund_reference"]
        return Refund(
            refund_id=_text(refund["id"], is_gateway_id),
            # Whoever refunds in the dashboard may write there what he likes.
            reference=reference if is_gateway_id(reference) else None,
            status=_text(refund["status"], get_args(RefundStatus).__contains__),
            amount_minor=self._from_sparkle(refund["amount_minor"], currency),
            created_at=_text(refund["created_at"], _is_time),
        )

    def _to_settlement(self, answer: Mapping[str, Any]) -> SettlementPage:
        try:
            return SettlementPage(
                lines=tuple(self._to_line(line) for line in answer["lines"]),
                line_count=int(answer["line_count"]),
                totals={
                    total["currency"]: (
                        self._from_sparkle(total["amount_minor"], total["currency"], _TOTALS_BELOW_MINOR),
                        self._from_sparkle(total["fee_minor"], total["currency"], _TOTALS_BELOW_MINOR),
                    )
                    for total in answer["totals"]
                },
                next_page=_cursor(answer["next_cursor"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, GatewayMismatch) as error:
            what = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else type(error).__name__
            raise SettlementUnreadable(f"The settlement report is not as documented: {what}.") from None

    def _to_line(self, line: Mapping[str, Any]) -> SettlementLine:
        # What a line of another type is about we don't know: not even whether it is about a charge.
        known = line["type"] in get_args(LineType)
        about = line if known else {"charge_id": None, "reference": None, "refund_reference": None, **line}
        return SettlementLine(
            line_id=_text(line["id"], is_gateway_id),
            type=_text(line["type"], is_code),
            charge_id=_text(about["charge_id"], is_gateway_id, optional=not known),
            reference=_text(about["reference"], is_gateway_id, optional=not known),
            refund_reference=_text(about["refund_reference"], is_gateway_id, optional=True),
            amount_minor=self._from_sparkle(line["amount_minor"], line["currency"]),
            fee_minor=self._from_sparkle(line["fee_minor"], line["currency"]),
            currency=line["currency"],
            settled_at=_text(line["settled_at"], _is_time),
        )

    def _to_sparkle(self, amount_minor: int, currency: str) -> int:
        amount, rest = divmod(amount_minor * self._sparkle_units(currency), self._iso_units(currency))
        if rest:
            raise GatewayRefused(f"Sparkle takes {currency} with fewer decimals than the amount has.")
        return amount

    def _from_sparkle(self, amount: Any, currency: Any, below_minor: int = _BELOW_MINOR) -> int:
        if type(amount) is not int:
            raise TypeError
        if not re.fullmatch("[A-Z]{3}", currency):
            raise GatewayMismatch("Sparkle answered with a currency that is none.")
        minor, rest = divmod(amount * self._iso_units(currency), self._sparkle_units(currency))
        if rest:
            raise GatewayMismatch(f"Sparkle answered with less than one minor unit of {currency}.")
        if abs(minor) >= below_minor:
            raise GatewayMismatch("Sparkle answered with an amount that is none.")
        return minor

    def _iso_units(self, currency: str) -> int:
        """How many of ISO 4217's minor units make one of the currency; 1 for one that has none."""
        return int(10 ** (self._iso_minor_unit(currency) or 0))

    def _sparkle_units(self, currency: str) -> int:
        decimals = self._minor_units.get(currency)
        return self._iso_units(currency) if decimals is None else int(10**decimals)


def _field(answer: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(answer.get(name), kind):
        raise GatewayOutcomeUnknown(f"Sparkle's answer has no {name}.")
    return answer[name]


def _text(value: Any, is_as_it_must_be: Callable[[Any], bool], *, optional: bool = False) -> Any:
    """The text, or REDACTED in its place; None is one where it is optional."""
    return value if is_as_it_must_be(value) or (optional and value is None) else REDACTED


def _is_time(value: object) -> bool:
    if not (isinstance(value, str) and _TIME.fullmatch(value)):
        return False
    with suppress(ValueError):
        return bool(datetime.fromisoformat(value))
    return False  # the 31st of February


def _cursor(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and _CURSOR.fullmatch(value)):
        raise ValueError
    return value

"""The Sparkle payment gateway over HTTP, as its contract says in docs/sparkle.yaml."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

import requests

from functions.shared.domain.card import Card
from functions.shared.domain.charge import Charge, Order, Reversal, ReversalResult
from functions.shared.domain.errors import GatewayBusy, GatewayOutcomeUnknown, GatewayRefused

Outcome = TypeVar("Outcome")
CallObserver = Callable[[str, float, bool], None]


class Sparkle:
    """`PaymentGateway` on Sparkle's REST API.

    Only what Sparkle says in so many words counts: its own JSON with a status of 2xx or 402 is an outcome, a 4xx a
    refusal. Everything else (a timeout, a dropped connection, a 5xx, an answer that is not Sparkle's JSON) leaves the
    outcome unknown.

    `api_key` is called for every request, so that a rotated key is picked up. `minor_units` holds the currencies whose
    decimals at Sparkle differ from ISO 4217, and `iso_minor_unit` those of the standard. `observe` is told each call's
    operation, its duration in seconds, and whether it had an outcome; a decline is one.
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
        minor_units: Mapping[str, int] | None = None,
        observe: CallObserver = lambda operation, seconds, succeeded: None,
    ) -> None:
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._timeouts = (connect_timeout_seconds, read_timeout_seconds)
        self._iso_minor_unit = iso_minor_unit
        self._minor_units = minor_units or {}
        self._observe = observe
        self._session = requests.Session()

    def charge(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._create_charge(order, card, idempotency_key, capture=True)

    def authorize(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._create_charge(order, card, idempotency_key, capture=False)

    def find_by_reference(self, reference: str) -> Charge | None:
        return self._call("find", self._to_found, "GET", "/v1/charges", params={"reference": reference})

    def reverse(self, reference: str) -> Reversal:
        return self._call("reverse", self._to_reversal, "POST", "/v1/reversals", json={"reference": reference})

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

    def _call(
        self, operation: str, read: Callable[[dict[str, Any]], Outcome], method: str, path: str, **request: Any
    ) -> Outcome:
        headers = {"Authorization": f"Bearer {self._api_key()}", **request.pop("headers", {})}
        started, succeeded = time.perf_counter(), False
        try:
            outcome = read(self._ask(method, path, headers=headers, **request))
            succeeded = True
            return outcome
        finally:
            self._observe(operation, time.perf_counter() - started, succeeded)

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            answer = self._session.request(
                method, self._url + path, timeout=self._timeouts, allow_redirects=False, **request
            )
            body = answer.json()
        except (requests.RequestException, ValueError) as error:
            # `from None`: the exception holds the request, and the request the card.
            raise GatewayOutcomeUnknown(f"Sparkle did not answer: {type(error).__name__}.") from None
        return self._understood(answer.status_code, body)

    def _understood(self, status: int, body: Any) -> dict[str, Any]:
        if not isinstance(body, dict):
            raise GatewayOutcomeUnknown(f"Sparkle answered {status} with something that is not its JSON.")
        code = body["error"].get("code") if isinstance(body.get("error"), dict) else None
        if (status in (200, 201) and code is None) or (status == 402 and "charge" in body):
            return body
        if status == 429:
            raise GatewayBusy("Sparkle answered 429.")
        if not 400 <= status < 500 or code is None or (status == 409 and code != "reference_reversed"):
            raise GatewayOutcomeUnknown(f"Sparkle answered {status}.")
        raise GatewayRefused(f"Sparkle refused: {status}.")

    def _to_found(self, answer: dict[str, Any]) -> Charge | None:
        charges = _field(answer, "charges", list)
        return self._to_charge(charges[0]) if charges else None

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

    def _to_charge(self, charge: Mapping[str, Any]) -> Charge:
        try:
            return Charge(
                charge_id=charge["id"],
                reference=charge["reference"],
                status=charge["status"],
                amount_minor=self._from_sparkle(charge["amount_minor"], charge["currency"]),
                currency=charge["currency"],
                captured_minor=self._from_sparkle(charge["captured_minor"], charge["currency"]),
                decline_code=charge.get("decline_code"),
            )
        except (KeyError, TypeError, AttributeError):
            raise GatewayOutcomeUnknown("Sparkle answered with a charge that lacks a field.") from None

    def _to_sparkle(self, amount_minor: int, currency: str) -> int:
        amount, rest = divmod(amount_minor * self._sparkle_units(currency), self._iso_units(currency))
        if rest:
            raise GatewayRefused(f"Sparkle takes {currency} with fewer decimals than the amount has.")
        return amount

    def _from_sparkle(self, amount: int, currency: str) -> int:
        return amount * self._iso_units(currency) // self._sparkle_units(currency)

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

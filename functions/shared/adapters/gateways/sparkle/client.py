"""The HTTP client for the Sparkle payment gateway, according to its contract in docs/sparkle.yaml."""

from collections.abc import Callable, Mapping
from typing import Any

import requests

from functions.shared import strict_json
from functions.shared.adapters.gateways.http import CallObserver, Outcome, Transport
from functions.shared.adapters.gateways.sparkle import ABILITIES, MINOR_UNITS
from functions.shared.adapters.gateways.sparkle.mapping import (
    CHARGE_NOT_FOUND,
    NAME,
    REFUSALS,
    SparkleMapping,
)
from functions.shared.domain.card import Card
from functions.shared.domain.charge import Charge, Order, Refused, Reversal, Verification
from functions.shared.domain.errors import GatewayBusy, GatewayOutcomeUnknown, GatewayRefused, SettlementUnreadable
from functions.shared.domain.settlement import SettlementPage


class Sparkle:
    """`PaymentGateway` on Sparkle's REST API.

    Only an explicit answer of Sparkle's counts. Its JSON with a status of 200, 201 or 402 is an outcome, and so is a
    refusal because of the charge's state or amounts. A 429 means that Sparkle is busy; any other 4xx with an error code
    refuses the request itself. Everything else (a timeout, a dropped connection, a 5xx, an answer that is not Sparkle's
    JSON) leaves the outcome unknown. SparkleMapping explains the treatment of texts and amounts, and the parameters
    `iso_minor_unit` and `minor_units`.

    `api_key` is called for every request to pick up a rotated key, and `observe` is Transport's.
    """

    name = NAME
    abilities = ABILITIES

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
        self._api_key = api_key
        self._mapping = SparkleMapping(iso_minor_unit, minor_units)
        self._transport = Transport(
            "Sparkle",
            url,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
            observe=observe,
        )

    def charge(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._create_charge(order, card, idempotency_key, capture=True)

    def authorize(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._create_charge(order, card, idempotency_key, capture=False)

    def verify(self, reference: str, card: Card, idempotency_key: str) -> Verification:
        body = self._mapping.verification_request(reference, card)
        headers = {"Idempotency-Key": idempotency_key}
        return self._call("verify", self._mapping.verification, "POST", "/v1/verifications", json=body, headers=headers)

    def capture(self, charge_id: str, amount_minor: int, currency: str, idempotency_key: str) -> Charge | Refused:
        body = {"amount_minor": self._mapping.amounts.to_gateway(amount_minor, currency)}
        return self._operate("capture", self._mapping.charge, f"/v1/charges/{charge_id}/capture", body, idempotency_key)

    def void(self, charge_id: str, idempotency_key: str) -> Charge | Refused:
        return self._operate("void", self._mapping.charge, f"/v1/charges/{charge_id}/void", {}, idempotency_key)

    def refund(
        self, charge_id: str, amount_minor: int, currency: str, reference: str, idempotency_key: str
    ) -> Charge | Refused:
        body = {"amount_minor": self._mapping.amounts.to_gateway(amount_minor, currency), "refund_reference": reference}
        return self._operate(
            "refund", self._mapping.refunded_charge, f"/v1/charges/{charge_id}/refunds", body, idempotency_key
        )

    def cancel_authentication(self, charge_id: str) -> Charge:
        def ended(answer: dict[str, Any]) -> Charge:
            charge = self._mapping.found_charge(answer)
            if charge is None:
                raise GatewayRefused("Sparkle knows no such charge.")
            return charge

        return self._call("cancel_authentication", ended, "POST", f"/v1/charges/{charge_id}/cancel_authentication")

    def find_by_reference(self, order: Order) -> Charge | None:
        params = {"reference": order.reference}
        return self._call("find", self._mapping.listed_charge, "GET", "/v1/charges", params=params)

    def find(self, charge_id: str) -> Charge | None:
        return self._call("find", self._mapping.found_charge, "GET", f"/v1/charges/{charge_id}")

    def reverse(self, order: Order) -> Reversal:
        body = {"reference": order.reference}
        return self._call("reverse", self._mapping.reversal, "POST", "/v1/reversals", json=body)

    def settlement(self, day: str, page: str | None, limit: int) -> SettlementPage:
        query = {"date": day, "limit": str(limit)} | ({"cursor": page} if page else {})

        def read(answer: requests.Response) -> SettlementPage:
            try:
                body = strict_json.loads(answer.content)
            except ValueError:
                if answer.status_code != requests.codes.ok:
                    raise GatewayOutcomeUnknown(f"Sparkle answered {answer.status_code}.") from None
                raise SettlementUnreadable(f"The settlement report of {day} is cut off: it is not JSON.") from None
            return self._mapping.settlement(self._checked_body(answer.status_code, body))

        return self._send("settlements", read, "GET", "/v1/settlements", params=query)

    def _create_charge(self, order: Order, card: Card, idempotency_key: str, *, capture: bool) -> Charge:
        body = self._mapping.charge_request(order, card, capture=capture)
        headers = {"Idempotency-Key": idempotency_key}
        return self._call("charge", self._mapping.answered_charge, "POST", "/v1/charges", json=body, headers=headers)

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
            if code == CHARGE_NOT_FOUND:
                raise GatewayRefused("Sparkle knows no such charge.")
            return Refused(REFUSALS[code]) if code else read(answer)

        headers = {"Idempotency-Key": idempotency_key}
        return self._call(operation, outcome, "POST", path, json=body, headers=headers)

    def _call(
        self, operation: str, read: Callable[[dict[str, Any]], Outcome], method: str, path: str, **request: Any
    ) -> Outcome:
        def read_json(answer: requests.Response) -> Outcome:
            try:
                body = strict_json.loads(answer.content)
            except ValueError:
                raise GatewayOutcomeUnknown(f"Sparkle answered {answer.status_code}, and not with JSON.") from None
            return read(self._checked_body(answer.status_code, body))

        return self._send(operation, read_json, method, path, **request)

    def _send(
        self, operation: str, read: Callable[[requests.Response], Outcome], method: str, path: str, **request: Any
    ) -> Outcome:
        headers = {"Authorization": f"Bearer {self._api_key()}", **request.pop("headers", {})}
        return self._transport.send(operation, read, method, path, headers=headers, **request)

    def _checked_body(self, status: int, body: Any) -> dict[str, Any]:
        if not isinstance(body, dict):
            raise GatewayOutcomeUnknown(f"Sparkle answered {status} with something that is not its JSON.")
        code = body["error"].get("code") if isinstance(body.get("error"), dict) else None
        is_refusal = (code in REFUSALS and status in (409, 422)) or (status, code) == (404, CHARGE_NOT_FOUND)
        if (
            (status in (200, 201) and code is None)
            or (status == 402 and ("charge" in body or "verification" in body))
            or is_refusal
        ):
            return body
        if status == 429:
            raise GatewayBusy("Sparkle answered 429.")
        if not 400 <= status < 500 or code is None or (status == 409 and code != "reference_reversed"):
            raise GatewayOutcomeUnknown(f"Sparkle answered {status}.")
        raise GatewayRefused(f"Sparkle refused: {status}.")

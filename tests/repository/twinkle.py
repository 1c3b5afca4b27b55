"""A stand-in for the gateway of the example in docs/extending/gateway.md: its API over a gateway in memory."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any

from flask import Flask, Response, jsonify, request

from functions.shared.domain.card import Card
from functions.shared.domain.charge import Charge, Order, Refused, StoredCredential
from functions.shared.domain.errors import GatewayBusy, GatewayOutcomeUnknown, GatewayRefused
from tests.fakes import FakeGateway
from tests.samples import NOW
from tests.sandbox import serving

API_KEY = "twinkle-key"  # pragma: allowlist secret

STATES = {
    "authorized": "held",
    "captured": "paid",
    "declined": "denied",
    "voided": "released",
    "refunded": "returned",
    "partially_refunded": "partly_returned",
}
RETURN_STATES = {"pending": "on_its_way", "succeeded": "done", "failed": "came_back"}
REASONS = {
    "amount_exceeds_authorized": "above_held",
    "amount_exceeds_captured": "above_paid",
    "invalid_state": "wrong_state",
}


def decimal(amount_minor: int) -> str:
    return str(Decimal(amount_minor).scaleb(-2))


def minor(amount: str) -> int:
    return int(Decimal(amount).scaleb(2))


def sale(charge: Charge | None) -> dict[str, Any] | None:
    if charge is None:
        return None
    return {
        "id": charge.charge_id,
        "our": charge.reference,
        "state": STATES[charge.status],
        "amount": decimal(charge.amount_minor),
        "paid": decimal(charge.captured_minor),
        "currency": charge.currency,
        "denied_for": charge.decline_code,
        "released_for": charge.void_reason,
        "paid_at": charge.captured_at,
        "held_until": charge.expires_at,
        "trace": charge.network_transaction_id,
        "returns": [
            {
                "id": refund.refund_id,
                "our": refund.reference,
                "state": RETURN_STATES[refund.status],
                "amount": decimal(refund.amount_minor),
                "at": refund.created_at,
            }
            for refund in charge.refunds
        ],
    }


def order_of(body: dict[str, Any]) -> Order:
    return Order(body["our"], 0, "", NOW)


def twinkle(gateway: FakeGateway) -> Flask:
    """The gateway's API: one POST per verb, which answers every decision with 200."""
    app = Flask("twinkle")

    def sell(body: dict[str, Any]) -> dict[str, Any]:
        stored = StoredCredential(**body["stored"]) if body["stored"] else None
        order = Order(body["our"], minor(body["amount"]), body["currency"], NOW, stored_credential=stored)
        ask = gateway.authorize if body["hold"] else gateway.charge
        return {"sale": sale(ask(order, Card.from_card_data(body["card"]), body["once"]))}

    def check(body: dict[str, Any]) -> dict[str, Any]:
        good = gateway.verify(body["our"], Card.from_card_data(body["card"]), body["once"])
        return {"our": good.reference, "denied_for": good.decline_code, "trace": good.network_transaction_id}

    def decided(result: Charge | Refused) -> dict[str, Any]:
        if isinstance(result, Refused):
            return {"result": "no", "why": REASONS[result.reason]}
        return {"sale": sale(result)}

    def undo(body: dict[str, Any]) -> dict[str, Any]:
        reversal = gateway.reverse(order_of(body))
        return {"undone": reversal.result, "sale": sale(reversal.charge)}

    def report(body: dict[str, Any]) -> dict[str, Any]:
        page = gateway.settlement(body["day"], body["page"], body["limit"])
        assert page.totals is not None
        lines = [
            {
                "id": line.line_id,
                "kind": line.type,
                "sale": line.charge_id,
                "our": line.reference,
                "our_return": line.refund_reference,
                "amount": decimal(line.amount_minor),
                "fee": decimal(line.fee_minor),
                "currency": line.currency,
                "paid_out_at": line.settled_at,
            }
            for line in page.lines
        ]
        totals = {currency: [decimal(amount), decimal(fee)] for currency, (amount, fee) in page.totals.items()}
        return {"lines": lines, "count": page.line_count, "totals": totals, "next": page.next_page}

    verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "sell": sell,
        "check": check,
        "take": lambda body: decided(
            gateway.capture(body["sale"], minor(body["amount"]), body["currency"], body["once"])
        ),
        "release": lambda body: decided(gateway.void(body["sale"], body["once"])),
        "return": lambda body: decided(
            gateway.refund(body["sale"], minor(body["amount"]), body["currency"], body["our"], body["once"])
        ),
        "find": lambda body: {"sale": sale(gateway.find_by_reference(order_of(body)))},
        "show": lambda body: {"sale": sale(gateway.find(body["sale"]))},
        "undo": undo,
        "report": report,
    }

    @app.post("/<verb>")
    def answer(verb: str) -> Response | tuple[str, int]:
        if request.headers.get("X-Api-Key") != API_KEY:
            return jsonify(result="bad_request")
        try:
            return jsonify({"result": "yes", **verbs[verb](request.get_json())})
        except GatewayBusy:
            return jsonify(result="busy")
        except GatewayRefused:
            return jsonify(result="bad_request")
        except GatewayOutcomeUnknown:
            return "<html>504</html>", 504

    return app


def running_twinkle(gateway: FakeGateway) -> AbstractContextManager[str]:
    """Serve the gateway within the context, which yields its URL."""
    return serving(twinkle(gateway))

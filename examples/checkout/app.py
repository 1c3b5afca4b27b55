"""The shop's back end: it knows the order, and signs and forwards requests. It can't open the sealed cards that it
forwards.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, request, send_from_directory, url_for
from flask.typing import ResponseReturnValue
from standardwebhooks import Webhook, WebhookVerificationError
from werkzeug.exceptions import HTTPException
from werkzeug.utils import redirect

import client as api
from client.shapes import is_sealed_card
from examples.checkout.orders import Order, Orders

_PAGE_FOLDER = Path(__file__).parent / "page"
_HEADERS = {
    # Allow only this server's own files: no inline scripts, no other hosts, no frames, no form submissions.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


# How long one request of the page may wait for a payment's end; the answer comes as soon as the payment has ended, or
# the bank asks the customer.
MAX_WAIT_SECONDS = 20

# The default of the deployment's `accepted_brands`: the page rejects any other brand before it sends the card.
BRANDS = ("visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay", "maestro")


class Refused(Exception):
    """A request that this shop's page never makes, or made too late."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def create_app(
    payments: api.PaymentsClient, test_cards: Mapping[str, Mapping[str, str]], webhook_secret: str | None = None
) -> Flask:
    """Create a shop that takes its payments with this client.

    The page lists `test_cards`. They map numbers to the `brand`, the `outcome` and, if declined, the `decline_code`.
    With the secret of its webhook, the shop receives its payments' events, whether or not a page is open, and asks the
    API only about payments whose events have not arrived.
    """
    app = Flask(__name__, static_folder=_PAGE_FOLDER, static_url_path="/page")
    app.config.update(MAX_CONTENT_LENGTH=16_384, TRUSTED_HOSTS=["localhost", "127.0.0.1"])
    app.json.sort_keys = False  # type: ignore[attr-defined]
    orders = Orders()
    verifier = Webhook(webhook_secret) if webhook_secret else None

    def find_order(order_id: str) -> Order:
        order = orders.find(order_id)
        if order is None:
            raise Refused(404, "order_not_found")
        return order

    def find_payment(order: Order, wait_seconds: int = 0) -> api.Payment | None:
        last_told = orders.last_told(order.payment_id)
        if last_told and order.is_settled_by(last_told):
            return last_told
        try:
            return payments.payment(order.payment_id, wait_seconds=wait_seconds)
        except api.NotFound:
            return None

    @app.before_request
    def admit() -> None:
        """Allow changes only to this shop's own pages: another site can neither send JSON nor claim this origin."""
        if request.endpoint == "be_told":
            return  # its signature says where it comes from
        is_change, origin = request.method == "POST", request.headers.get("Origin")
        if (is_change or origin is not None) and urlsplit(origin or "").netloc != request.host:
            raise Refused(403, "another_site")
        if is_change and not isinstance(request.get_json(), dict):
            raise Refused(400, "bad_request")

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    @app.errorhandler(Refused)
    def report_refusal(error: Refused) -> ResponseReturnValue:
        return _error(error.status, error.code)

    @app.errorhandler(HTTPException)
    def report_http_error(error: HTTPException) -> ResponseReturnValue:
        return _error(error.code or 500, error.name.lower().replace(" ", "_"))

    @app.errorhandler(api.PaymentsError)
    def report_api_error(error: api.PaymentsError) -> ResponseReturnValue:
        app.logger.warning("%s: %s", type(error).__name__, error)
        return _error(502, "no_answer" if isinstance(error, api.NoAnswer) else "nothing_done")

    @app.get("/")
    def create_order() -> ResponseReturnValue:
        """Create an order. There is no cookie: anyone who knows its page's address, which can't be guessed, may pay."""
        return redirect(f"/orders/{orders.create().order_id}", 303)

    @app.get("/orders/<order_id>")
    def page(order_id: str) -> ResponseReturnValue:
        """The order's page, at any time. A customer comes back to it from the bank, too: whatever the address says then
        is ignored, since anyone can write it. The page asks this back end, which asks the API."""
        return send_from_directory(_PAGE_FOLDER, "index.html")

    @app.get("/page/sealing.mjs")
    def sealing() -> ResponseReturnValue:
        return send_from_directory(_PAGE_FOLDER.parent.parent, "sealing.mjs")

    @app.get("/client/<any('card_brands.json', 'card_rules.json', 'decimals.json'):table>")
    def tables(table: str) -> ResponseReturnValue:
        """Serve the tables that both the client and the page use."""
        return send_from_directory(_PAGE_FOLDER.parents[2] / "client", table)

    @app.get("/api/orders/<order_id>")
    def show(order_id: str) -> ResponseReturnValue:
        order = find_order(order_id)
        cards = [{"card_number": number, **card} for number, card in test_cards.items()]
        return {
            "order": order.to_json(),
            "payment": _customer_view(find_payment(order), order),
            "test_cards": cards,
            "brands": BRANDS,
        }

    @app.get("/api/orders/<order_id>/payment")
    def follow(order_id: str) -> ResponseReturnValue:
        order = find_order(order_id)
        return {"payment": _customer_view(find_payment(order, wait_seconds=MAX_WAIT_SECONDS), order)}

    @app.post("/api/orders/<order_id>/attempts")
    def begin_attempt(order_id: str) -> ResponseReturnValue:
        """Return the id and its own key to seal the card with; or the payment, if the order is paid or may yet be."""
        order = find_order(order_id)
        payment = find_payment(order)
        if payment is not None and not orders.begin_attempt(order, after=payment):
            return {"payment": _customer_view(payment, order)}
        try:
            key = payments.issue_key(order.payment_id)
        except api.RequestRefused as refusal:
            if refusal.code != "payment_exists":
                raise
            # Another window has paid since.
            return {"payment": _customer_view(payments.payment(order.payment_id), order)}
        return {"payment_id": order.payment_id, "key": asdict(key) | {"expires_at": key.expires_at.isoformat()}}

    @app.post("/api/orders/<order_id>/payment")
    def pay(order_id: str) -> ResponseReturnValue:
        order, body = find_order(order_id), request.get_json()
        if not is_sealed_card(body.get("card_data")):
            raise Refused(400, "card_not_sealed")
        if body.get("payment_id") != order.payment_id:
            raise Refused(409, "attempt_over")
        payment = payments.pay(
            amount_minor=order.amount_minor,
            currency=order.currency,
            card=body["card_data"],
            merchant_reference=order.order_id,
            return_url=url_for("page", order_id=order_id, _external=True),
            idempotency_key=body["payment_id"],
        )
        return {"payment": _customer_view(payment, order)}, 202

    @app.post("/webhooks")
    def be_told() -> ResponseReturnValue:
        """Take an event of the deployment's. The shop learns the end by it, even if the customer has left the page."""
        if verifier is None:
            raise Refused(404, "not_found")
        try:
            event = verifier.verify(request.get_data(), dict(request.headers))
        except WebhookVerificationError:
            raise Refused(400, "invalid_signature") from None
        if event["type"].startswith("payment."):
            orders.tell(event["subject"], event["sequence"], api.Payment.from_json(event["data"]["payment"]))
        return "", 204

    @app.post("/api/orders/<order_id>/refund")
    def refund(order_id: str) -> ResponseReturnValue:
        """Refund the order, for trying it out. A real shop would let only its staff do this."""
        order = find_order(order_id)
        payments.refund(order.payment_id, idempotency_key=order.refund_id)
        order.refund_requested = True
        return {"payment": _customer_view(find_payment(order), order)}, 202

    return app


def _error(status: int, code: str) -> ResponseReturnValue:
    return {"error": {"code": code}}, status


def _customer_view(payment: api.Payment | None, order: Order) -> dict[str, Any] | None:
    """Return what the customer's page may know about a payment."""
    if payment is None:
        return None
    refund = payment.operation(order.refund_id)
    return {
        "payment_id": payment.payment_id,
        "paid_at": payment.created_at.isoformat() if payment.created_at else None,
        "status": payment.status,
        "next_url": payment.next_action.url if payment.next_action else None,
        "decline_code": payment.decline_code,
        "error": payment.error,
        "card": {"brand": payment.card.brand, "last4": payment.card.last4} if payment.card else None,
        "refund": refund.status if refund else "processing" if order.refund_requested else None,
    }

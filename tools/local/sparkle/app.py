"""The sandbox's HTTP interface: `docs/sparkle.yaml` as a Flask application."""

import hmac
import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import Forbidden, HTTPException

from tools.local.browsers import foreign
from tools.local.events import EventSender
from tools.local.sandbox import performing
from tools.local.sandbox.challenge import PAGES, Outcome, add_challenge_pages
from tools.local.sandbox.faults import Switchboard
from tools.local.sandbox.idempotency import Answer
from tools.local.sandbox.performing import DROP, REFUND_STATUSES, Claim
from tools.local.sandbox.routes import add_sandbox_routes
from tools.local.sparkle.charges import (
    Card,
    Charge,
    ChargeBook,
    Verification,
    check_amount,
    check_currency,
)
from tools.local.sparkle.contract import check
from tools.local.sparkle.errors import (
    GatewayError,
    InvalidApiKey,
    InvalidRequest,
    InvalidState,
    RateLimited,
    snake_case,
)
from tools.local.sparkle.idempotency import sparkle_keys
from tools.local.sparkle.settlements import report, start_of
from tools.times import parsed_day

_MAX_LOGGED_REQUESTS = 10_000
_LINES_PER_PAGE = 10_000
_BRACES = str.maketrans("<>", "{}")


def create_app(api_key: str, book: ChargeBook | None = None) -> Flask:
    """Create a sandbox with its own books (or the given ones), faults, keys and request log, all of them in memory."""
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    book = book or ChargeBook()
    keys = sparkle_keys()
    switchboard = Switchboard()
    events = EventSender("Sparkle-Signature")
    book.report = events.send
    replaced_reports: dict[date, bytes] = {}
    requests: deque[dict[str, Any]] = deque(maxlen=_MAX_LOGGED_REQUESTS)

    def perform(operation: str, reference: str, action: Callable[[], Answer], body: Any = None) -> Response:
        """Carry out the operation as the fault allows; with a `body` to compare, only once per Idempotency-Key."""
        claim = None if body is None else Claim(_idempotency_key(), request.path, body, reference)
        fault = switchboard.take(operation, reference)
        g.entry |= {"reference": reference, "fault": fault and fault.fault}
        return performing.perform(lambda: _carry_out(action), fault, keys, claim, RateLimited())

    @app.before_request
    def admit() -> None:
        if foreign(request.headers, has_pages=request.endpoint == "show_challenge"):
            raise Forbidden("This is for programs on this machine.")
        if request.path.startswith("/v1/"):
            log_arrival()
        authorization = request.headers.get("Authorization", "")
        is_authorized = hmac.compare_digest(authorization.encode(), f"Bearer {api_key}".encode())
        if not is_authorized and request.endpoint not in ("health", *PAGES):
            raise InvalidApiKey

    def log_arrival() -> None:
        g.entry = {
            "received_at": book.now(),
            "method": request.method,
            # The route and not the path, which may contain anything.
            "path": request.url_rule and str(request.url_rule).translate(_BRACES),
            "reference": None,
            "idempotency_key": request.headers.get("Idempotency-Key"),
            "status": None,
            "fault": None,
        }
        requests.append(g.entry)

    @app.after_request
    def log_status(response: Response) -> Response:
        if "entry" in g and DROP not in response.headers:
            g.entry["status"] = response.status_code
        return response

    @app.errorhandler(GatewayError)
    def refuse(error: GatewayError) -> tuple[dict[str, Any], int, dict[str, str]]:
        return error.body(), error.status, dict(error.headers)

    @app.errorhandler(HTTPException)
    def fail(error: HTTPException) -> tuple[dict[str, Any], int]:
        return {"error": {"code": snake_case(error.name), "message": error.description}}, error.code or 500

    @app.post("/v1/charges")
    def charge() -> Response:
        body = _body("ChargeRequest")
        check_currency(body["currency"])
        check_amount(body["amount_minor"], body["currency"])
        card = Card.from_number(body["card"]["number"], body["card"].get("security_code"))

        def action() -> Answer:
            charge = book.charge(
                body["reference"],
                body["amount_minor"],
                body["currency"],
                card,
                body.get("capture", True),
                partially=g.entry["fault"] == "partial_approval",
                stored_credential=body.get("stored_credential"),
                three_d_secure=body.get("three_d_secure", "automatic"),
                exemption=body.get("exemption"),
                return_url=body.get("return_url"),
                challenges=f"{request.host_url}challenge/",
            )
            return _declined("charge", charge) if charge.decline_code else Answer(201, asdict(charge))

        return perform("charge", body["reference"], action, body)

    @app.post("/v1/verifications")
    def verify() -> Response:
        body = _body("VerificationRequest")
        card = Card.from_number(body["card"]["number"], body["card"].get("security_code"))

        def deed() -> Answer:
            verification = book.verify(body["reference"], card)
            return (
                _declined("verification", verification)
                if verification.decline_code
                else Answer(201, asdict(verification))
            )

        return perform("verify", body["reference"], deed, body)

    @app.get("/v1/charges")
    def find() -> Response:
        query = request.args.to_dict()
        check(query, "ByReference")

        def action() -> Answer:
            found = book.find(query["reference"])
            return Answer(200, {"charges": [asdict(found)] if found else []})

        return perform("find", query["reference"], action)

    @app.get("/v1/charges/<charge_id>")
    def get(charge_id: str) -> Response:
        reference = book.get(charge_id).reference
        return perform("find", reference, lambda: Answer(200, asdict(book.get(charge_id))))

    @app.post("/v1/charges/<charge_id>/capture")
    def capture(charge_id: str) -> Response:
        body = _body("CaptureRequest")
        reference = book.get(charge_id).reference
        amount_minor = body.get("amount_minor")
        check_amount(amount_minor, book.get(charge_id).currency)
        return perform("capture", reference, lambda: Answer(200, asdict(book.capture(charge_id, amount_minor))), body)

    @app.post("/v1/charges/<charge_id>/cancel_authentication")
    def cancel_authentication(charge_id: str) -> Response:
        def action() -> Answer:
            return Answer(200, asdict(book.cancel_authentication(charge_id)))

        return perform("cancel_authentication", book.get(charge_id).reference, action)

    @app.post("/v1/charges/<charge_id>/void")
    def void(charge_id: str) -> Response:
        body = _body("VoidRequest")
        reference = book.get(charge_id).reference
        return perform("void", reference, lambda: Answer(200, asdict(book.void(charge_id))), body)

    @app.post("/v1/charges/<charge_id>/refunds")
    def refund(charge_id: str) -> Response:
        body = _body("RefundRequest")
        reference = book.get(charge_id).reference
        check_amount(body.get("amount_minor"), book.get(charge_id).currency)

        def action() -> Answer:
            status = REFUND_STATUSES.get(g.entry["fault"], "succeeded")
            return Answer(201, asdict(book.refund(charge_id, **body, status=status)))

        return perform("refund", reference, action, body)

    @app.get("/v1/charges/<charge_id>/refunds")
    def refunds(charge_id: str) -> Response:
        query = request.args.to_dict()
        check(query, "RefundQuery")
        reference = book.get(charge_id).reference

        def action() -> Answer:
            return Answer(200, {"refunds": [asdict(refund) for refund in book.refunds(charge_id, **query)]})

        return perform("find", reference, action)

    @app.post("/v1/reversals")
    def reverse() -> Response:
        reference = _body("ByReference")["reference"]
        return perform("reverse", reference, lambda: Answer(200, asdict(book.reverse(reference))))

    @app.get("/v1/settlements")
    def settlements() -> Response:
        day = _day(request.args.get("date", ""))
        if (replaced := replaced_reports.get(day)) is not None:
            return perform("settlements", day.isoformat(), lambda: Answer(200, replaced))
        start, limit = _page(day)

        def action() -> Answer:
            return Answer(200, asdict(report(day, book.settlements(day), start, limit)))

        return perform("settlements", day.isoformat(), action)

    @app.get("/sandbox/charges")
    def all_charges() -> dict[str, Any]:
        return {"charges": [asdict(charge) for charge in book.all()]}

    def could_end_challenge(charge_id: str, outcome: Outcome) -> bool:
        try:
            book.end_challenge(charge_id, passed=outcome == "approve")
        except InvalidState:
            return False
        return True

    add_challenge_pages(app, book.challenge, could_end_challenge)
    add_sandbox_routes(app, _body, books=book, keys=keys, switchboard=switchboard, events=events, requests=requests)

    @app.post("/sandbox/charges/<charge_id>/challenge")
    def end_challenge(charge_id: str) -> dict[str, Any]:
        passed = _body("Challenge")["outcome"] == "approve"
        return asdict(book.end_challenge(charge_id, passed=passed))

    @app.post("/sandbox/charges/<charge_id>/expire")
    def expire(charge_id: str) -> dict[str, Any]:
        return asdict(book.expire(charge_id))

    @app.post("/sandbox/refunds/<refund_id>/succeed")
    def succeed_refund(refund_id: str) -> dict[str, Any]:
        return asdict(book.succeed_refund(refund_id))

    @app.post("/sandbox/refunds/<refund_id>/fail")
    def fail_refund(refund_id: str) -> dict[str, Any]:
        return asdict(book.fail_refund(refund_id))

    @app.post("/sandbox/charges/<charge_id>/dispute")
    def dispute(charge_id: str) -> dict[str, Any]:
        body = _body("DisputeRequest")
        check_amount(body.get("amount_minor"), book.get(charge_id).currency)
        return asdict(book.dispute(charge_id, **body))

    @app.put("/sandbox/settlements/<date>")
    def replace_report(date: str) -> tuple[str, int]:
        replaced_reports[_day(date)] = request.get_data()
        return "", 204

    @app.delete("/sandbox/settlements/<date>")
    def restore_report(date: str) -> tuple[str, int]:
        replaced_reports.pop(_day(date), None)
        return "", 204

    return app


def _carry_out(action: Callable[[], Answer]) -> Answer:
    try:
        return action()
    except GatewayError as error:
        return Answer(error.status, error.body())


def _body(schema: str) -> dict[str, Any]:
    """Parse and check the request's JSON object. An absent body counts as an empty object."""
    try:
        body: dict[str, Any] = json.loads(request.get_data() or b"{}")
    except (ValueError, RecursionError):
        # Without the cause: the parser's exception holds the body, and with it the card.
        raise InvalidRequest("The body is not JSON.", reason="invalid_json") from None
    check(body, schema)
    return body


def _idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not 1 <= len(key) <= 255:
        raise InvalidRequest(
            "The Idempotency-Key header must have 1 to 255 characters.", reason="missing_idempotency_key"
        )
    return key


def _day(text: str) -> date:
    try:
        return parsed_day(text)
    except ValueError:
        raise InvalidRequest("date must be YYYY-MM-DD.", reason="invalid_field") from None


def _page(day: date) -> tuple[int, int]:
    """Return the number of the requested page's first line, and the greatest number of lines that it may have."""
    query: dict[str, Any] = request.args.to_dict()
    if re.fullmatch("[0-9]{1,9}", query.get("limit", "")):
        query["limit"] = int(query["limit"])
    check(query, "SettlementQuery")
    return start_of(query.get("cursor"), day), query.get("limit", _LINES_PER_PAGE)


def _declined(what: str, answer: Charge | Verification) -> Answer:
    error = {
        "code": "card_declined",
        "decline_code": answer.decline_code,
        "message": "The card was declined.",
    }
    return Answer(402, {"error": error, what: asdict(answer)})

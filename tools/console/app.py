"""The console: it shows a stack's payments in the browser of the person who runs it. Read-only and local.

It listens on the loopback interface only and rejects cross-site requests from other pages in the same browser
(`tools/local/browsers.py`); following a link to the console is allowed. No request can change anything.
"""

import socket
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import groupby
from operator import attrgetter
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from flask import Flask, Response, abort, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from functions.shared.domain.errors import Unavailable
from functions.shared.ports import Position
from tools.console import aws, pages
from tools.console.payments import MAX_DOUBTS_SHOWN, STATUSES, Payments, Search
from tools.console.records import BREAK_DAYS
from tools.deployment.paths import DOCS
from tools.deployment.stack import Stack, StackError
from tools.local.browsers import foreign
from tools.times import parsed_day

HOST = "127.0.0.1"
CONNECT_TIMEOUT_SECONDS = 2

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class _Quiet(WSGIRequestHandler):
    """A request handler without an access log: which payments were viewed stays private."""

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def create_app(stack: Stack, stack_file: str | None = None) -> Flask:
    """Create the console of a stack. The commands that it shows include the stack file if one is given."""
    app = Flask("tools.console", static_folder="static", template_folder=None)
    app.config.update(PROVIDE_AUTOMATIC_OPTIONS=False)
    payments = Payments(stack)
    frame = {
        "stack_name": payments.name,
        "region": stack.region,
        "url_for": url_for,
        "gateways": sorted(stack.gateways),
    }

    def page(template: str, **values: Any) -> Response:
        common = {"page": request.endpoint, "doubt_count": payments.doubt_count(), "doubts_shown": MAX_DOUBTS_SHOWN}
        return Response(pages.render(template, **frame, **common, **values), mimetype="text/html")

    def error(status: int, heading: str, message: str, command: str | None = None) -> Response:
        values = {"heading": heading, "message": message, "command": command, "doubt_count": 0, "page": None}
        return Response(pages.render("error.html", **frame, **values), status, mimetype="text/html")

    @app.before_request
    def admit() -> Response | None:
        if header := foreign(request.headers, has_pages=True):
            return Response(f"This is for this machine; the request's {header} is not.\n", 403, mimetype="text/plain")
        # Report this right away: the AWS client would retry for half a minute.
        if stack.aws_endpoint_url and request.endpoint != "static" and not _answers(stack.aws_endpoint_url):
            message = f"The local stack at {stack.aws_endpoint_url} does not answer. Start it; this page then goes on:"
            return error(502, "The stack is not running", message, "make up")
        return None

    @app.get("/", endpoint="payments")
    def newest() -> Response:
        criteria = {name: value.strip() for name, value in request.args.items()}
        before, after = (Position.read(criteria[name]) if name in criteria else None for name in ("before", "after"))
        search = Search(
            criteria.get("status", ""),
            criteria.get("text", ""),
            _day(criteria.get("first")),
            _day(criteria.get("last")),
            _amount(criteria.get("least")),
            _amount(criteria.get("most")),
            criteria.get("currency", "").upper(),
            gateway=criteria.get("gateway", ""),
        )
        result = payments.page(search, before, after)
        criteria = {name: value for name, value in criteria.items() if value and name not in ("before", "after")}
        return page("payments.html", search=search, criteria=criteria, statuses=STATUSES, result=result)

    @app.get("/payments/<name>", endpoint="payment")
    @app.get("/executions/<name>", endpoint="execution")
    def details(name: str) -> Response:
        details = payments.details(name)
        values = pages.detail_values(details)
        links = aws.links(stack, details) if stack.aws_endpoint_url is None else []
        commands = aws.commands(details, stack_file)
        operation_arn = payments.operation_arn
        return page("payment.html", operation_arn=operation_arn, links=links, commands=commands, **values)

    @app.get("/doubts", endpoint="doubts")
    def doubts() -> Response:
        since = {doubt.payment_id: doubt.since for doubt in payments.ledger.doubts(MAX_DOUBTS_SHOWN)}
        result = payments.summaries(list(since))
        return page("doubts.html", payments=result, since=since, limit=MAX_DOUBTS_SHOWN)

    @app.get("/accounts", endpoint="accounts")
    def accounts() -> Response:
        today = datetime.now(UTC).date()
        day = _day(request.args.get("day")) or today
        totals = payments.ledger.totals(day)
        currencies = [(currency, list(rows)) for currency, rows in groupby(totals.accounts, attrgetter("currency"))]
        around = [day - timedelta(1), day + timedelta(1) if day < today else None]
        return page("accounts.html", day=day, today=today, until=totals.until, currencies=currencies, around=around)

    @app.get("/breaks", endpoint="breaks")
    def breaks() -> Response:
        return page("breaks.html", breaks=payments.ledger.breaks(datetime.now(UTC).date()), days=BREAK_DAYS)

    @app.get("/machines", endpoint="machines")
    def machines() -> Response:
        return page("machines.html", machines=payments.other_machines())

    @app.get("/docs/<name>.md", endpoint="document")
    def document(name: str) -> Response:
        """Show a document from docs/: the runbook, or one that it links to."""
        file = DOCS / f"{name}.md"
        if file.parent != DOCS or not file.is_file():
            abort(404)
        return page("document.html", heading=name, body=pages.document(file.read_text()))

    @app.errorhandler(HTTPException)
    def refused(refusal: HTTPException) -> Response:
        return error(refusal.code or 500, refusal.name, refusal.description or "")

    @app.errorhandler(StackError)
    def unknown(unknown: StackError) -> Response:
        return error(404, "Not found", str(unknown))

    @app.errorhandler(Unavailable)
    @app.errorhandler(ClientError)
    @app.errorhandler(BotoCoreError)
    def no_answer(failure: Exception) -> Response:
        return error(502, "AWS does not answer as it should", str(failure))

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers.update(HEADERS)
        if response.status_code == 200 and not response.direct_passthrough:
            response.add_etag()
            response.make_conditional(request.environ)
        return response

    return app


def serve(stack: Stack, port: int, stack_file: str | None = None) -> BaseWSGIServer:
    """Create the console's server, already listening. Port 0 selects a free port."""
    return make_server(HOST, port, create_app(stack, stack_file), threaded=True, request_handler=_Quiet)


def _answers(url: str) -> bool:
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname or "", address.port or 80), CONNECT_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


def _day(text: str | None) -> date | None:
    try:
        return parsed_day(text) if text else None
    except ValueError:
        abort(400, "A day is written as 2026-11-24.")


def _amount(text: str | None) -> Decimal | None:
    try:
        return Decimal(text.replace(",", "")) if text else None
    except InvalidOperation:
        abort(400, "An amount is written as 19.99.")

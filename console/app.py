"""The console: a stack's payments in the browser of whoever runs it. Read only, and for this machine alone.

It listens on the loopback interface, and answers no page of somebody else's that the same browser shows
(`local/browsers.py`), though that may have a link to it. There is nothing that a request could change.
"""

from collections import defaultdict
from datetime import UTC, date, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from flask import Flask, Response, abort, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from cli.stack import Stack, StackError
from console import pages
from console.ledger import BREAK_DAYS, Total
from console.payments import STATUSES, Payments, Search
from functions.shared.domain.errors import Unavailable
from local.browsers import foreign

HOST = "127.0.0.1"
DOUBTS_SHOWN = 200

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
    """What was looked at is nobody's business."""

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def create_app(stack: Stack) -> Flask:
    app = Flask("console", static_folder="static", template_folder=None)
    app.config.update(PROVIDE_AUTOMATIC_OPTIONS=False)
    payments = Payments(stack)
    frame = {"stack_name": payments.name, "region": stack.region, "url_for": url_for}

    def page(template: str, status: int = 200, **values: Any) -> Response:
        return Response(pages.render(template, **frame, page=request.endpoint, **values), status, mimetype="text/html")

    @app.before_request
    def admit() -> Response | None:
        if header := foreign(request.headers, has_pages=True):
            return Response(f"This is for this machine; the request's {header} is not.\n", 403, mimetype="text/plain")
        return None

    @app.get("/", endpoint="payments")
    def newest() -> Response:
        search = Search(request.args.get("status", ""), request.args.get("text", "").strip())
        token = request.args.get("token")
        found = payments.page(search, token)
        return page("payments.html", search=search, statuses=STATUSES, found=found, token=token)

    @app.get("/payments/<name>", endpoint="payment")
    @app.get("/executions/<name>", endpoint="execution")
    def look(name: str) -> Response:
        values = pages.look_values(payments.look(name))
        return page("payment.html", operation_arn=payments.operation_arn, **values)

    @app.get("/doubts", endpoint="doubts")
    def doubts() -> Response:
        since = {doubt.payment_id: doubt.since for doubt in payments.ledger.doubts(DOUBTS_SHOWN)}
        found = payments.summaries(list(since))
        return page("doubts.html", payments=found, since=since, limit=DOUBTS_SHOWN)

    @app.get("/accounts", endpoint="accounts")
    def accounts() -> Response:
        today = datetime.now(UTC).date()
        try:
            day = date.fromisoformat(request.args.get("day", today.isoformat()))
        except ValueError:
            abort(400, "A day is written as 2026-11-24.")
        totals = payments.ledger.totals(day)
        return page("accounts.html", day=day, is_today=day == today, totals=totals, balance=_balance(totals))

    @app.get("/breaks", endpoint="breaks")
    def breaks() -> Response:
        return page("breaks.html", breaks=payments.ledger.breaks(datetime.now(UTC).date()), days=BREAK_DAYS)

    @app.get("/machines", endpoint="machines")
    def machines() -> Response:
        return page("machines.html", machines=payments.other_machines())

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        return page("error.html", error.code or 500, heading=error.name, message=error.description)

    @app.errorhandler(StackError)
    def unknown(error: StackError) -> Response:
        return page("error.html", 404, heading="Not found", message=str(error))

    @app.errorhandler(Unavailable)
    @app.errorhandler(ClientError)
    @app.errorhandler(BotoCoreError)
    def no_answer(error: Exception) -> Response:
        return page("error.html", 502, heading="AWS does not answer as it should", message=str(error))

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers.update(HEADERS)
        if response.status_code == 200 and not response.direct_passthrough:
            response.add_etag()
            response.make_conditional(request.environ)
        return response

    return app


def serve(stack: Stack, port: int) -> BaseWSGIServer:
    """The console's server, listening; port 0 takes a free one."""
    return make_server(HOST, port, create_app(stack), threaded=True, request_handler=_Quiet)


def _balance(totals: list[Total]) -> list[tuple[str, int, int]]:
    """Debits and credits of all accounts together, by currency."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for total in totals:
        sums[total.currency][0] += total.debit_minor
        sums[total.currency][1] += total.credit_minor
    return [(currency, debit, credit) for currency, (debit, credit) in sorted(sums.items())]

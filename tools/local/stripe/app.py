"""The double's HTTP interface: the part of Stripe's API that a payment needs, and the sandboxes' common switchboard.

Faults are set for these operations, about the payment with the reference in `metadata.payment_id`:

| operation | call |
|---|---|
| `create` | create a PaymentIntent, the first time or again |
| `charge` | confirm it |
| `find` | get or search PaymentIntents, charges, refunds and disputes |
| `cancel_authentication` | cancel a PaymentIntent that waits for its customer, or whose customer has failed |
| `reverse` | cancel any other PaymentIntent that is not held, or refund without a `metadata.refund_reference` |
| `void` | cancel one that is held, for the reason `requested_by_customer` |
| `capture` | capture |
| `refund` | refund with a `metadata.refund_reference` |
| `verify` | create or confirm a SetupIntent |
| `settlements` | list balance transactions or payouts; the reference is the empty string |
"""

import hmac
import re
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from flask import Flask, Response, g, request
from werkzeug.exceptions import Forbidden, HTTPException

from tools.local.browsers import foreign
from tools.local.events import EventSender
from tools.local.sandbox import performing
from tools.local.sandbox.challenge import OUTCOMES, PAGES, Outcome, add_challenge_pages
from tools.local.sandbox.faults import Fault, Switchboard
from tools.local.sandbox.idempotency import Answer, IdempotencyKeys
from tools.local.sandbox.performing import DROP, REFUND_STATUSES, Claim
from tools.local.sandbox.routes import add_sandbox_routes
from tools.local.stripe.account import CONTRACT, DISPUTE_OUTCOMES, Account, Object
from tools.local.stripe.cards import Card
from tools.local.stripe.errors import KeyInUse, KeyReused, StripeError, rate_limited

OPERATIONS = (
    *("create", "charge", "find", "cancel_authentication", "reverse", "void"),
    *("capture", "refund", "verify", "settlements"),
)
SAVED_500 = "http_500_saved"
FAULTS = (
    *("timeout_before", "timeout_after", "slow", "late", "reset", "garbage"),
    *("http_429", "http_500", "http_502_html", *REFUND_STATUSES, SAVED_500),
)
"""Those of Sparkle's that Stripe can have; it approves no part of an amount unless it is asked to. And a 500 that comes
after the endpoint has begun: it is saved under the key, and repeated (https://docs.stripe.com/api/idempotent_requests,
seen 2026-11-29)."""

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z_]+)?")
_ENDIVE = "2026-09-30"
"""The first version without the parameter `payment_method_types`:
https://docs.stripe.com/changelog/endive/2026-09-30/removes-the-payment-method-types-parameter-from-payment-intents-and-setup-intents
(seen 2026-11-29)."""
_SANDBOX_FIELDS: dict[str, tuple[str, ...]] = {
    "ByReference": ("reference",),
    "ClockShift": ("offset_seconds",),
    "EventEndpoint": ("url", "secret"),
    "Fault": ("operation", "fault"),
}
"""The required fields of the switchboard's bodies, by their schema in docs/sparkle.yaml."""
_MAX_LOGGED_REQUESTS = 10_000
_RANGES: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


def create_app(api_key: str, account: Account) -> Flask:
    """Create the double's API for an account, with its own faults, keys and request log, all of them in memory."""
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    keys = IdempotencyKeys(reused=KeyReused, in_progress=KeyInUse)
    switchboard = Switchboard()
    events = EventSender("Stripe-Signature")
    account.report = events.send
    requests: deque[dict[str, Any]] = deque(maxlen=_MAX_LOGGED_REQUESTS)

    def perform(operation: str, reference: str, action: Callable[[], Object]) -> Response:
        """Carry out the operation as the fault allows; a POST with a key only once, whether it succeeds or fails."""
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if key is not None and not 1 <= len(key) <= 255:
            raise StripeError(400, "Idempotency keys must have 1 to 255 characters.", "idempotency_error")
        fault = switchboard.take(operation, reference)
        g.entry |= {"reference": reference, "fault": fault and fault.fault}
        claim = Claim(key, request.path, g.parameters, reference) if key else None
        if fault and fault.fault == SAVED_500:
            failure = StripeError(500, "An error occurred while processing the request.", "api_error")
            return performing.perform(lambda: Answer(500, failure.body()), None, keys, claim, rate_limited())
        return performing.perform(lambda: _carry_out(action, account), fault, keys, claim, rate_limited())

    @app.before_request
    def admit() -> None:
        if foreign(request.headers, has_pages=request.endpoint == "show_challenge"):
            raise Forbidden("This is for programs on this machine.")
        g.entry = {
            "received_at": account.now(),
            "method": request.method,
            "path": request.url_rule and str(request.url_rule).translate(str.maketrans("<>", "{}")),
            "reference": None,
            "idempotency_key": request.headers.get("Idempotency-Key"),
            "status": None,
            "fault": None,
        }
        if request.path.startswith("/v1/"):
            requests.append(g.entry)
        authorization = request.headers.get("Authorization", "")
        if not hmac.compare_digest(authorization.encode(), f"Bearer {api_key}".encode()) and request.endpoint not in (
            "health",
            *PAGES,
        ):
            raise StripeError(401, "Invalid API Key provided.")
        if (version := request.headers.get("Stripe-Version")) and not _VERSION.fullmatch(version):
            raise StripeError(400, f"Invalid Stripe API version: {version[:40]}")

    @app.after_request
    def describe(response: Response) -> Response:
        if DROP not in response.headers and "entry" in g:
            g.entry["status"] = response.status_code
            response.headers["Request-Id"] = f"req_{secrets.token_hex(7)}"
            response.headers["Stripe-Version"] = request.headers.get("Stripe-Version", CONTRACT["api_version"])
        return response

    @app.errorhandler(StripeError)
    def refuse(error: StripeError) -> tuple[dict[str, Any], int]:
        return error.body(), error.status

    @app.errorhandler(HTTPException)
    def fail(error: HTTPException) -> tuple[dict[str, Any], int]:
        kind = "api_error" if error.code == 500 else "invalid_request_error"
        return StripeError(error.code or 500, error.description or error.name, kind).body(), error.code or 500

    @app.post("/v1/payment_intents")
    def create() -> Response:
        parameters = _parameters("payment_intents", "amount", "currency")
        if parameters.pop("confirm", "false") == "true":
            raise StripeError(400, "The double confirms by a call of its own.", param="confirm")
        amount, currency = _amount(parameters, "amount"), parameters.pop("currency").lower()
        del parameters["amount"]
        reference = str(parameters.get("metadata", {}).get("payment_id", ""))
        return perform("create", reference, lambda: account.create(amount, currency, **parameters))

    @app.get("/v1/payment_intents/<id>")
    @app.get("/v1/charges/<id>")
    @app.get("/v1/refunds/<id>")
    def get(id: str) -> Response:
        g.parameters = nested(request.query_string.decode())
        return perform("find", account.reference(id), lambda: account.get(id))

    @app.get("/v1/balance_transactions/<id>")
    @app.get("/v1/payouts/<id>")
    @app.get("/v1/setup_intents/<id>")
    @app.get("/v1/payment_methods/<id>")
    def get_other(id: str) -> Response:
        g.parameters = nested(request.query_string.decode())
        return perform("settlements", "", lambda: account.get(id))

    @app.get("/v1/payment_intents/search")
    def search() -> Response:
        parameters = _parameters("list payment_intents/search", "query")
        clause = re.fullmatch(r"""metadata\[["']payment_id["']\]\s*:\s*["']([^"']*)["']""", parameters["query"])
        if not clause:
            raise StripeError(400, "The double searches by metadata['payment_id'] only.", param="query")

        def action() -> Object:
            hits = account.search(clause[1])
            return {"object": "search_result", "url": request.path, "has_more": False, "next_page": None, "data": hits}

        return perform("find", clause[1], action)

    @app.post("/v1/payment_intents/<id>/confirm")
    def confirm(id: str) -> Response:
        parameters = _parameters("payment_intents/confirm", "payment_method_data")
        card, reference = _card(parameters), account.reference(id)
        settings = {name: parameters[name] for name in ("capture_method", "setup_future_usage") if name in parameters}
        off_session = parameters.get("off_session", "false") != "false"
        refuse_action = parameters.get("error_on_requires_action") == "true"
        options = parameters.get("payment_method_options", {}).get("card", {})
        three_d_secure = options.get("request_three_d_secure", "automatic")
        if three_d_secure not in ("automatic", "any", "challenge"):
            param = "payment_method_options[card][request_three_d_secure]"
            raise StripeError(400, "Invalid request_three_d_secure.", param=param)
        # Stripe takes the addresses of apps as well.
        return_url = parameters.get("return_url")
        if return_url is not None and not re.fullmatch("https?://[!-~]{1,2000}", return_url):
            raise StripeError(400, "Not a valid URL", code="url_invalid", param="return_url")

        def action() -> Object:
            return account.confirm(
                id,
                card,
                off_session=off_session,
                refuse_action=refuse_action,
                three_d_secure=three_d_secure,
                return_url=return_url,
                challenges=f"{request.host_url}challenge/",
                **settings,
            )

        return perform("charge", reference, action)

    @app.post("/v1/payment_intents/<id>/capture")
    def capture(id: str) -> Response:
        parameters = _parameters("payment_intents/capture")
        amount = _amount(parameters, "amount_to_capture") if "amount_to_capture" in parameters else None
        return perform("capture", account.reference(id), lambda: account.capture(id, amount))

    @app.post("/v1/payment_intents/<id>/cancel")
    def cancel(id: str) -> Response:
        reason = _parameters("payment_intents/cancel").get("cancellation_reason")
        if reason not in (None, "duplicate", "fraudulent", "requested_by_customer", "abandoned"):
            raise StripeError(400, "Invalid cancellation_reason.", param="cancellation_reason")
        status, operation = account.get(id)["status"], "reverse"
        if status == "requires_capture" and reason == "requested_by_customer":
            operation = "void"
        elif status in ("requires_action", "requires_payment_method") and account.challenge(id):
            operation = "cancel_authentication"
        return perform(operation, account.reference(id), lambda: account.cancel(id, reason))

    @app.post("/v1/refunds")
    def refund() -> Response:
        parameters = _parameters("refunds")
        id = parameters.get("payment_intent") or parameters.get("charge")
        if not id:
            raise StripeError(
                400, "One of the following params should be provided for this request: payment_intent or charge."
            )
        if parameters.get("reason") not in (None, "duplicate", "fraudulent", "requested_by_customer"):
            raise StripeError(400, "Invalid reason.", param="reason")
        amount = _amount(parameters, "amount") if "amount" in parameters else None
        more = {name: parameters[name] for name in ("metadata", "reason") if name in parameters}
        operation = "refund" if parameters.get("metadata", {}).get("refund_reference") else "reverse"

        def action() -> Object:
            return account.refund(id, amount, REFUND_STATUSES.get(g.entry["fault"], "succeeded"), **more)

        return perform(operation, account.reference(id), action)

    @app.post("/v1/setup_intents")
    def create_setup() -> Response:
        parameters = _parameters("setup_intents")
        card = _card(parameters) if parameters.get("confirm") == "true" else None

        def action() -> Object:
            setup = account.create_setup(**parameters)
            return account.confirm_setup(setup["id"], card) if card else setup

        return perform("verify", str(parameters.get("metadata", {}).get("payment_id", "")), action)

    @app.post("/v1/setup_intents/<id>/confirm")
    def confirm_setup(id: str) -> Response:
        card = _card(_parameters("setup_intents/confirm", "payment_method_data"))
        return perform("verify", account.reference(id), lambda: account.confirm_setup(id, card))

    @app.post("/v1/setup_intents/<id>/cancel")
    def cancel_setup(id: str) -> Response:
        reason = _parameters("setup_intents/cancel").get("cancellation_reason")
        return perform("verify", account.reference(id), lambda: account.cancel_setup(id, reason))

    @app.get("/v1/payment_intents")
    @app.get("/v1/charges")
    @app.get("/v1/refunds")
    @app.get("/v1/disputes")
    @app.get("/v1/balance_transactions")
    @app.get("/v1/payouts")
    def list_all() -> Response:
        kind = request.path.removeprefix("/v1/")
        parameters = _parameters(f"list {kind}")
        about = parameters.get("payment_intent") or parameters.get("charge")
        operation = "settlements" if kind in ("balance_transactions", "payouts") else "find"
        return perform(operation, account.reference(about) if about else "", lambda: _page(account, kind, parameters))

    @app.get("/sandbox/charges")
    def all_charges() -> dict[str, Any]:
        return {"charges": account.charges()}

    def could_end_challenge(id: str, outcome: Outcome) -> bool:
        try:
            account.authenticate(id, passed=outcome == "approve")
        except StripeError:
            return False
        return True

    add_challenge_pages(app, account.challenge, could_end_challenge)
    add_sandbox_routes(
        app, _sandbox_body, books=account, keys=keys, switchboard=switchboard, events=events, requests=requests
    )

    @app.post("/sandbox/charges/<id>/challenge")
    def end_challenge(id: str) -> Object:
        outcome = _fields("outcome")["outcome"]
        if outcome not in OUTCOMES:
            raise StripeError(422, f"The outcome must be one of {OUTCOMES}.")
        if not could_end_challenge(id, outcome):
            raise StripeError(409, "This payment does not wait for a customer.")
        return account.summary(account.get(id))

    @app.post("/sandbox/charges/<id>/expire")
    def expire(id: str) -> Object:
        return account.summary(account.expire(id))

    @app.post("/sandbox/charges/<id>/dispute")
    def dispute(id: str) -> Object:
        fields = request.get_json(force=True, silent=True) or {}
        outcome = fields.get("outcome", "open")
        if outcome not in DISPUTE_OUTCOMES:
            raise StripeError(422, f"The outcome must be one of {DISPUTE_OUTCOMES}.")
        account.dispute(id, outcome, fields.get("amount_minor"), fields.get("reason", "fraudulent"))
        return account.summary(account.get(id))

    @app.post("/sandbox/refunds/<id>/<any(succeed, fail):end>")
    def end_refund(id: str, end: str) -> Object:
        refund = account.succeed_refund(id) if end == "succeed" else account.fail_refund(id)
        charge = account.summary(account.get(refund["payment_intent"]))
        [ended] = [each for each in charge["refunds"] if each["id"] == id]
        about = {"charge_id": charge["id"], "reference": charge["reference"], "currency": charge["currency"]}
        return {**ended, **about, "charge": charge}

    return app


def nested(text: str) -> dict[str, Any]:
    """Parse `a[b]=1&c[]=2` as Stripe does: `{"a": {"b": "1"}, "c": ["2"]}`. Raises StripeError."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        *path, last = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name) or [""]
        place = tree
        for key in path:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise StripeError(400, "Invalid parameters: a value is both a string and an object.")
        place[last or str(len(place))] = value
    return {name: _with_lists(value) for name, value in tree.items()}


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    parts = {name: _with_lists(part) for name, part in value.items()}
    return list(parts.values()) if all(name.isdecimal() for name in parts) else parts


def _parameters(call: str, *required: str) -> dict[str, Any]:
    """Parse the request's parameters. Raises StripeError for one that Stripe doesn't know, or that is missing."""
    text = request.get_data(as_text=True) if request.method == "POST" else request.query_string.decode()
    parameters = nested(text)
    if (
        "payment_method_types" in parameters
        and request.headers.get("Stripe-Version", CONTRACT["api_version"]) >= _ENDIVE
    ):
        message = "payment_method_types is no longer supported; see allowed_payment_method_types."
        code = "payment_method_types_no_longer_supported"
        raise StripeError(400, message, code=code, param="payment_method_types")
    for unknown in sorted(parameters.keys() - set(CONTRACT["parameters"][call]) - {"payment_method_types"}):
        message = f"Received unknown parameter: {unknown[:40]}"
        raise StripeError(400, message, code="parameter_unknown", param=unknown[:40])
    for name in required:
        if not parameters.get(name):
            raise StripeError(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
    g.parameters = parameters.copy()
    return parameters


def _sandbox_body(schema: str) -> dict[str, Any]:
    fields = _fields(*_SANDBOX_FIELDS[schema])
    if schema == "Fault" and (fields["operation"] not in OPERATIONS or fields["fault"] not in FAULTS):
        raise StripeError(422, f"The operation must be one of {OPERATIONS}, and the fault one of {FAULTS}.")
    if schema == "Fault" and not fields.keys() <= Fault.__dataclass_fields__.keys():
        raise StripeError(422, "A fault has operation, fault, times, reference and seconds.")
    return fields


def _fields(*required: str) -> dict[str, Any]:
    fields = request.get_json(force=True, silent=True)
    if not isinstance(fields, dict) or not all(name in fields for name in required):
        raise StripeError(422, f"The body must be an object with {', '.join(required)}.")
    return fields


def _amount(parameters: dict[str, Any], name: str) -> int:
    text = parameters[name]
    if not isinstance(text, str) or not re.fullmatch("[0-9]+", text) or not int(text):
        raise StripeError(400, f"Invalid positive integer: {name}.", code="parameter_invalid_integer", param=name)
    if len(text) > 8:
        raise StripeError(400, "Amount must be no more than 8 digits.", code="amount_too_large", param=name)
    return int(text)


def _card(parameters: dict[str, Any]) -> Card:
    """Read `payment_method_data`. Raises StripeError as a card's form is checked, before any bank is asked."""
    data = parameters.get("payment_method_data")
    card = data.get("card") if isinstance(data, dict) and data.get("type") == "card" else None
    if not isinstance(card, dict) or not card.keys() >= {"number", "exp_month", "exp_year"}:
        param = "payment_method_data[card]"
        raise StripeError(400, "Missing required param: card.", code="parameter_missing", param=param)
    number, cvc = card["number"], card.get("cvc")
    doubled = str.maketrans("0123456789", "0246813579")
    if (
        not re.fullmatch("[0-9]{12,19}", number)
        or sum(map(int, number[-1::-2] + number[-2::-2].translate(doubled))) % 10
    ):
        raise _bad_card("incorrect_number", "Your card number is incorrect.")
    if not re.fullmatch("[0-9]{1,2}", card["exp_month"]) or not 1 <= int(card["exp_month"]) <= 12:
        raise _bad_card("invalid_expiry_month", "Your card's expiration month is invalid.")
    if not re.fullmatch("[0-9]{4}", card["exp_year"]):
        raise _bad_card("invalid_expiry_year", "Your card's expiration year is invalid.")
    if cvc is not None and not re.fullmatch("[0-9]{3,4}", cvc):
        raise _bad_card("invalid_cvc", "Your card's security code is invalid.")
    return Card.of(number, int(card["exp_month"]), int(card["exp_year"]), cvc)


def _bad_card(code: str, message: str) -> StripeError:
    return StripeError(402, message, "card_error", code=code)


def _carry_out(action: Callable[[], Object], account: Account) -> Answer:
    try:
        answer = action()
        for path in g.parameters.get("expand", []):
            _expand(answer, path.split("."), account)
        return Answer(200, answer)
    except StripeError as error:
        return Answer(error.status, error.body())


def _expand(node: Any, path: list[str], account: Account) -> None:
    """Replace ids by their objects, in place."""
    name, *rest = path
    if not isinstance(node, dict) or node.get(name) is None:
        return
    if isinstance(node[name], str):
        node[name] = account.get(node[name]).copy()
    for each in node[name] if isinstance(node[name], list) else [node[name]]:
        if rest:
            _expand(each, rest, account)


def _page(account: Account, kind: str, parameters: dict[str, Any]) -> Object:
    """Return a page of a list, the newest first: https://docs.stripe.com/api/pagination (seen 2026-11-29)."""
    objects = account.all(kind.removesuffix("s"))
    for name, value in parameters.items():
        if name == "payout":
            objects = [each for each in objects if account.payout_of(each["id"]) == value]
        elif name in ("created", "arrival_date"):
            bounds = value if isinstance(value, dict) else {"gte": value, "lte": value}
            for how, bound in bounds.items():
                objects = [each for each in objects if _RANGES[how](each[name], int(bound))]
        elif name in ("payment_intent", "charge", "status", "currency", "type", "source"):
            objects = [each for each in objects if each.get(name) == value]
    if after := parameters.get("starting_after"):
        ids = [each["id"] for each in objects]
        objects = objects[ids.index(after) + 1 :] if after in ids else []
    limit = int(parameters.get("limit", "10"))
    if not 1 <= limit <= 100:
        raise StripeError(400, "This value must be between 1 and 100.", param="limit")
    page = [each.copy() for each in objects[:limit]]
    return {"object": "list", "url": request.path, "has_more": len(objects) > limit, "data": page}

"""All examples of `docs/openapi.yaml`: example requests are sent, example answers are provoked and compared.

The comparison covers the status, the content type, the presence of the documented headers, and all values of the body.
Values that differ each time (`DIFFERENT`) only have to match the schema.
"""

import base64
import itertools
import json
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any

from jsonschema import Draft202012Validator

from functions.shared.domain.card_number import passes_luhn
from tools.deployment import polling
from tools.deployment.stack import UNDER_WAY, new_payment_id
from tools.trials.acceptance.hostile import NUMBER
from tools.trials.acceptance.openapi import DOCUMENT, EXAMPLES, OPERATIONS, examples, request_example
from tools.trials.acceptance.run import (
    ENDED_WITHIN_SECONDS,
    Answer,
    Run,
    Skipped,
    Step,
    Unexpected,
    accepted_status,
    expect_equal,
)
from tools.trials.replay import answer_bank, clear_faults, set_fault

Route = tuple[str, str]
"""Method and path."""

VARYING_FIELDS = {"payment_id", "operation_id", "token", "fingerprint", "transaction_id", "charge_id", "gateway"}
VARYING_FIELDS |= {"created_at", "updated_at", "action_required_since", "expires_at", "kid", "pem", "x", "y"} | {
    "self",
    "card",
    "url",
}

FINAL_EXAMPLES = {
    "testCard": "Captured",
    "sealedCard": "Captured",
    "staticallySealedCard": "Captured",
    "savedCard": "CapturedAndKept",
    "storedCard": "CapturedByToken",
    "merchantInitiated": "CapturedByTheMerchant",
    "authorization": "Authorized",
    "declinedCard": "Declined",
    "refusedCurrency": "Screened",
    "expiredCard": "Rejected",
}
"""The example that shows the final state of each example payment."""

CHALLENGED_EXAMPLE = "challengedCard"
"""The example of a payment whose customer is asked."""

CARD_EXAMPLES = ("testCard", "verifiedCard", "sealedCard")
"""The examples of cards to store, each of which is stored then."""

OPERATION_CASES = [
    ("testCard", "refunds", ["part", "tooMuch"], "PartiallyRefunded"),
    ("testCard", "refunds", ["all"], "Refunded"),
    ("authorization", "captures", ["part", "all"], "CapturedInPart"),
    ("authorization", "voids", ["all"], "Voided"),
]
"""The example of a payment, the kind and the examples of operations on it, and the example it should match then."""

NOT_PROVOKED = {
    "too_many_requests": "It takes more requests than a check should make.",
    "internal_error": "No caller can cause it.",
    "bad_gateway": "No caller can cause it.",
    "service_unavailable": "No caller can cause it.",
    "gateway_timeout": "No caller can cause it.",
    "refused_400": "Which malformed requests API Gateway refuses so is not documented.",
}
"""Answers that no step provokes, and why."""


_CHANGES_WITHIN_SECONDS = 10


# -- Comparing


def documented(route: Route, status: int) -> Any:
    """The description of an answer."""
    return OPERATIONS[route]["responses"][str(status)]


def example_bodies(route: Route, status: int) -> list[Any]:
    """The example bodies of an answer."""
    contents = documented(route, status).get("content", {}).values()
    return [body for content in contents for body in examples(content).values()]


def with_placeholders(body: Any) -> Any:
    """Replace the texts that differ each time by placeholders. (`card` is a link, or the card itself.)"""
    if isinstance(body, list):
        return [with_placeholders(each) for each in body]
    if not isinstance(body, dict):
        return body
    return {
        name: f"a {name}" if name in VARYING_FIELDS and isinstance(value, str) else with_placeholders(value)
        for name, value in body.items()
    }


def compare(answer: Answer, response: Any, status: int, example: Any) -> None:
    """Raises Unexpected unless the answer matches the example and the described response."""
    expect_equal(f"{answer}: the status", answer.status, status)
    for name in response.get("headers", {}):
        if name.lower() not in answer.headers:
            raise Unexpected(f"{answer} has no header {name}")
    if "content" not in response:
        expect_equal(f"{answer}: the body", answer.text, "")
        return
    ((content_type, content),) = response["content"].items()
    expect_equal(f"{answer}: the content type", answer.headers.get("content-type", "").partition(";")[0], content_type)
    body = answer.json
    # Compare as text, because Python considers 1, 1.0 and True equal.
    expect_equal(f"{answer}: the body", as_text(with_placeholders(body)), as_text(with_placeholders(example)))
    problems = [error.message for error in Draft202012Validator(content["schema"]).iter_errors(body)]
    expect_equal(f"{answer}: what does not fit the schema", problems, [])
    if "location" in answer.headers:
        created = body["links"].get("card", body["links"]["self"])
        expect_equal(f"{answer}: Location", answer.headers["location"], created)


def as_text(body: Any) -> str:
    return json.dumps(body, sort_keys=True, ensure_ascii=False)


def compare_payment(run: Run, payment_id: str, example: str) -> None:
    route, expected = ("GET", "/payments/{payment_id}"), EXAMPLES[example]
    answer = run.call("GET", f"/payments/{payment_id}")
    authentication = answer.json.get("authentication")
    if authentication and expected.get("authentication") and authentication["liability_shift"] is None:
        # Not every gateway says who bears the loss of a fraud.
        expected = expected | {"authentication": expected["authentication"] | {"liability_shift": None}}
    compare(answer, documented(route, 200), 200, expected)


# -- Requests and their results


def send(run: Run, path: str, name: str) -> str:
    """Send an example request, compare its answer, wait until the payment ends, and return its id."""
    route, payment_id = ("POST", path), new_payment_id()
    body = request_example(*route, name)
    if name in ("sealedCard", "staticallySealedCard"):
        seal = run.seal if name == "sealedCard" else run.seal_to_static_key
        sealed = seal(request_example(*route, "testCard")["card_data"], payment_id)
        header = jwe_header(sealed)
        own_fields = {field: header[field] for field in ("kid", "payment_id", "epk") if field in header}
        expect_equal("the sealed card's header", header, jwe_header(body["card_data"]) | own_fields)
        body |= {"card_data": sealed}
    if name in ("storedCard", "merchantInitiated"):
        body |= {"token": run.wait_until_ended(send(run, "/cards", "testCard"))["card"]["token"]}
    status = accepted_status(path)
    compare(
        run.call("POST", path, body, key=payment_id),
        documented(route, status),
        status,
        example_bodies(route, status)[0],
    )
    run.wait_until_ended(payment_id)
    return payment_id


def jwe_header(jwe: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(jwe.partition(".")[0] + "=="))
    return header


def check_payment(name: str) -> Callable[[Run], None]:
    return lambda run: compare_payment(run, send(run, "/payments", name), FINAL_EXAMPLES[name])


def challenged(run: Run) -> None:
    """Check a payment that waits for its customer, and after the customer was authenticated."""
    payment_id = send(run, "/payments", CHALLENGED_EXAMPLE)
    compare_payment(run, payment_id, "ActionRequired")
    run.require_sandbox()
    answer_bank(run.wait_until_ended(payment_id)["next_action"]["url"], "approve")
    run.wait_until(payment_id, lambda payment: payment["status"] not in UNDER_WAY)
    compare_payment(run, payment_id, "CapturedAfterChallenge")


def check_card(name: str) -> Callable[[Run], None]:
    """Create a check that stores, shows and deletes a card."""

    def check(run: Run) -> None:
        payment_id = send(run, "/cards", name)
        compare_payment(run, payment_id, "Stored")
        path, route = f"/cards/{run.wait_until_ended(payment_id)['card']['token']}", "/cards/{token}"
        compare(run.call("GET", path), documented(("GET", route), 200), 200, example_bodies(("GET", route), 200)[0])
        compare(run.call("DELETE", path), documented(("DELETE", route), 204), 204, None)
        for method in ("GET", "DELETE"):
            answer = run.call(method, path)
            compare(answer, documented((method, route), 404), 404, example_bodies((method, route), 404)[0])

    return check


def check_operation(payment: str, kind: str, names: list[str], end: str) -> Callable[[Run], None]:
    """Create a check that makes operations on a payment and then sends the last one again."""

    def check(run: Run) -> None:
        payment_id = send(run, "/payments", payment)
        route, path = ("POST", f"/payments/{{payment_id}}/{kind}"), f"/payments/{payment_id}/{kind}"
        for name in names:
            operation_id, body = new_payment_id(), request_example(*route, name)
            started = run.call("POST", path, body, key=operation_id)
            compare(started, documented(route, 202), 202, example_bodies(route, 202)[0])
            run.wait_until_ended(payment_id, operation_id)
        compare_payment(run, payment_id, end)
        again = repeat_until_not(202, lambda: run.call("POST", path, body, key=operation_id))
        compare(again, documented(route, 409), 409, example_bodies(route, 409)[0])

    return check


def read_operations(run: Run) -> None:
    """Check a refund that succeeds, and a refund of an unknown payment."""
    route = ("GET", "/payments/{payment_id}/operations/{operation_id}")
    [content] = documented(route, 200)["content"].values()
    payments = {"succeeded": send(run, "/payments", "testCard"), "paymentNotFound": new_payment_id()}
    for name, payment_id in payments.items():
        operation_id, path = new_payment_id(), f"/payments/{payment_id}"
        run.call("POST", f"{path}/refunds", {"amount_minor": 500}, key=operation_id)
        operation_path = f"{path}/operations/{operation_id}?wait=20"
        answer = polling.wait_for(partial(run.call, "GET", operation_path), ENDED_WITHIN_SECONDS, until=is_ended)
        compare(answer, documented(route, 200), 200, examples(content)[name])


def is_ended(operation: Answer) -> bool:
    return operation.status == 200 and operation.json["status"] != "processing"


def repeat_until_not(status: int, call: Callable[[], Answer]) -> Answer:
    """Repeat the call until it returns another status, and return that answer.

    The result of an execution is visible shortly before the execution ends; until then the status stays the same.
    """
    return polling.wait_for(call, _CHANGES_WITHIN_SECONDS, until=lambda answer: answer.status != status)


# -- Payments with trouble at the gateway


def processing(run: Run) -> None:
    run.require_sandbox()
    payment_id = new_payment_id()
    set_fault(run.stack, {"operation": "charge", "fault": "slow", "seconds": 2, "reference": payment_id})
    run.start("/payments", request_example("POST", "/payments", "testCard"), key=payment_id)
    run.wait_until(payment_id, lambda payment: "status" in payment)
    compare_payment(run, payment_id, "Processing")
    route = ("GET", "/payments/{payment_id}")
    waited = run.call("GET", f"/payments/{payment_id}?wait=25")
    compare(waited, documented(route, 200), 200, EXAMPLES["Captured"])


def reversed_by_the_gateway(run: Run) -> None:
    run.require_sandbox()
    payment_id = new_payment_id()
    for sandbox in run.stack.sandboxes.values():
        answer = sandbox.call("POST", "/v1/reversals", json={"reference": payment_id})
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise Skipped("This gateway undoes no charge by our reference before it was made.")
        answer.raise_for_status()
    run.start("/payments", request_example("POST", "/payments", "testCard"), key=payment_id)
    run.wait_until_ended(payment_id)
    compare_payment(run, payment_id, "Reversed")


def in_doubt(run: Run) -> None:
    run.require_sandbox()
    payment_id = new_payment_id()
    for operation in ("charge", "find", "reverse"):
        fault = {"operation": operation, "fault": "http_500", "times": 1000, "reference": payment_id}
        set_fault(run.stack, fault)
    run.start("/payments", request_example("POST", "/payments", "testCard"), key=payment_id)
    run.wait_until_ended(payment_id)
    compare_payment(run, payment_id, "InDoubt")
    clear_faults(run.stack)


# -- Refusals


def send_invalid(run: Run, route: Route, **changes: Any) -> Answer:
    """Send a valid request with some changes."""
    method, path = route
    request: dict[str, Any] = {"key": new_payment_id() if method == "POST" else None, "body": None}
    if "requestBody" in OPERATIONS[route]:
        good = examples(OPERATIONS[route]["requestBody"]["content"]["application/json"])
        request["body"] = next(iter(good.values()))
    request |= changes
    query = request.pop("query", "")
    ids = {"{payment_id}": request.pop("payment_id", new_payment_id()), "{token}": f"tok_{'a' * 52}"}
    ids |= {"{operation_id}": new_payment_id(), "{gateway}": request.pop("gateway", run.stack.gateway_names[0])}
    for name, value in ids.items():
        path = path.replace(name, value)
    return run.call(method, path + query, request.pop("body"), **request)


def search_by(query: str, run: Run, route: Route) -> Answer:
    return send_invalid(run, route, query=f"?{query}")


def invalid_path(run: Run, route: Route) -> Answer:
    if "{payment_id}" not in route[1]:
        raise Skipped("The path has no payment's id.")
    return send_invalid(run, route, payment_id="x" * 15)


def without_a_signature(run: Run, route: Route, **changes: Any) -> Answer:
    if OPERATIONS[route].get("security") == []:
        raise Skipped("Nobody signs this call with AWS's signature.")
    return send_invalid(run, route, signed=False, **changes)


def with_unknown_credentials(run: Run, route: Route) -> Answer:
    return without_a_signature(run, route, headers={"Authorization": "Bearer nobody-knows-this"})


def key_of_another_payment(run: Run, route: Route) -> Answer:
    """Request a refund of an unknown payment, then look for it under another payment."""
    operation_id = new_payment_id()
    run.call("POST", f"/payments/{new_payment_id()}/refunds", {"amount_minor": 500}, key=operation_id)
    return repeat_until_not(404, lambda: run.call("GET", f"/payments/{new_payment_id()}/operations/{operation_id}"))


def key_used_before(run: Run, route: Route) -> Answer:
    """Send a request again after it has been carried out."""
    if route[1] in ("/payments", "/cards"):
        payment_id, body = new_payment_id(), request_example(*route, "testCard")
        run.wait_until_ended(run.start(route[1], body, key=payment_id))
        if route[1] == "/cards":  # the same card may be stored again
            body = body | {"card_data": body["card_data"] | {"expiry_date": "11/30"}}
        return repeat_until_not(202, lambda: run.call("POST", route[1], body, key=payment_id))
    if route[1] == "/keys":
        return run.call("POST", route[1], key=send(run, "/payments", "testCard"))
    raise Skipped("Another check repeats the examples' operations.")


def mistyped_number(run: Run, route: Route) -> Answer:
    return store(run, f"{NUMBER[:-1]}7")


def lookalikes(run: Run, route: Route) -> Answer:
    """Store cards that differ in their middle digits only, until a rule declines one."""
    numbers = (f"402345{n:06}6789" for n in itertools.count(secrets.randbelow(900_000)))
    for number in itertools.islice(filter(passes_luhn, numbers), 5):
        answer = store(run, number)
        if answer.status != 201:
            return answer
    raise Skipped("The deployment's rules let somebody guess a card's digits.")


def store(run: Run, number: str) -> Answer:
    key, card_data = new_payment_id(), request_example("POST", "/cards", "testCard")["card_data"]
    sealed = run.seal(card_data | {"card_number": number}, key)
    return run.call("POST", "/cards", {"card_data": sealed}, key=key)


PROVOCATIONS: dict[str, Callable[[Run, Route], Answer]] = {
    "invalid_request": lambda run, route: send_invalid(run, route, body={"surprise": 1}),
    "invalid_request_of_the_path": invalid_path,
    "invalid_request_of_the_wait": lambda run, route: send_invalid(run, route, query="?wait=26"),
    **{
        f"invalid_request_of_the_{what}": partial(search_by, query)
        for what, query in {
            "names": "reference=order-1001",
            "reference": "merchant_reference=",
            "status": "status=processing",
            "time": "from=yesterday",
            "period": "from=2026-11-29&to=2026-11-28",
            "limit": "limit=101",
            "cursor": "cursor=x",
        }.items()
    },
    "missing_idempotency_key": lambda run, route: send_invalid(run, route, key=None),
    "invalid_idempotency_key": lambda run, route: send_invalid(run, route, key="x" * 15),
    "forbidden": without_a_signature,
    "invalid_event": lambda run, route: send_invalid(run, route, signed=False),
    "not_found": lambda run, route: send_invalid(run, route, gateway="nowhere"),
    "refused_403": with_unknown_credentials,
    "payment_not_found": lambda run, route: send_invalid(run, route),
    "operation_not_found": lambda run, route: send_invalid(run, route),
    "key_used_for_another_request": key_of_another_payment,
    "card_not_found": lambda run, route: send_invalid(run, route),
    "invalid_card_number": mistyped_number,
    "card_declined": lookalikes,
    "payment_exists": key_used_before,
    "operation_exists": key_used_before,
    "request_too_large": lambda run, route: send_invalid(run, route, body=b" " * (10 * 1024 * 1024 + 1)),
    "unsupported_media_type": lambda run, route: send_invalid(
        run, route, body=b"<all/>", headers={"Content-Type": "application/xml"}
    ),
}
"""How to provoke each refusal: by example name or error code, with the status if one code has two."""


def check_refusal(route: Route, status: int, name: str, example: Any) -> Callable[[Run], None]:
    code = name if name in PROVOCATIONS else example["error"]["code"]
    if code == "refused":
        code = f"refused_{status}"
    if code in NOT_PROVOKED:

        def skip(run: Run) -> None:
            raise Skipped(NOT_PROVOKED[code])

        return skip
    provoke = PROVOCATIONS[code]
    return lambda run: compare(provoke(run, route), documented(route, status), status, example)


def refusals() -> Iterator[Step]:
    for route, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values() if status >= "400" else ():
                for name, example in examples(content).items():
                    title = f"{' '.join(route)}: {status} {name}"
                    yield Step("examples", title, check_refusal(route, int(status), name, example))


def nothing_found(run: Run) -> None:
    route = ("GET", "/payments")
    [example] = example_bodies(route, 200)
    compare(run.call("GET", f"/payments?merchant_reference={new_payment_id()}"), documented(route, 200), 200, example)


def found_by_reference(run: Run) -> None:
    """Check that a payment is found by its reference, and is shown as by its id."""
    reference, payment_id = new_payment_id(), new_payment_id()
    body = request_example("POST", "/payments", "testCard") | {"merchant_reference": reference}
    run.call("POST", "/payments", body, key=payment_id)
    payment = run.wait_until_ended(payment_id)
    page = polling.wait_for(
        lambda: run.call("GET", f"/payments?merchant_reference={reference}").json,
        _CHANGES_WITHIN_SECONDS,
        until=lambda page: page["payments"],
    )
    expect_equal("what is found", page, {"payments": [payment], "next_cursor": None})


def no_route(run: Run) -> None:
    response = DOCUMENT["components"]["responses"]["RouteNotFound"]
    [example] = examples(response["content"]["application/json"]).values()
    compare(run.call("GET", "/nowhere"), response, 404, example)


def keys(run: Run) -> None:
    """Check the static keys, and a single-use key that is issued twice."""
    route = ("GET", "/keys")
    answer = run.call(*route)
    with_keys, without_keys = example_bodies(route, 200)
    compare(answer, documented(route, 200), 200, with_keys if answer.json["keys"] else without_keys)
    route, key = ("POST", "/keys"), new_payment_id()
    issued, again = run.call(*route, key=key), run.call(*route, key=key)
    compare(issued, documented(route, 201), 201, example_bodies(route, 201)[0])
    expect_equal("the key, asked for again", again.json, issued.json)


STEPS = [
    Step("examples", "GET /keys: 200, POST /keys: 201", keys),
    *(Step("examples", f"POST /payments: {name}", check_payment(name)) for name in FINAL_EXAMPLES),
    Step("examples", f"POST /payments: {CHALLENGED_EXAMPLE}, then answered", challenged),
    *(Step("examples", f"POST /cards: {name}, then shown and erased", check_card(name)) for name in CARD_EXAMPLES),
    *(
        Step("examples", f"{kind} of {payment}: {', '.join(names)}", check_operation(payment, kind, names, end))
        for payment, kind, names, end in OPERATION_CASES
    ),
    Step("examples", "operations by themselves", read_operations),
    Step("examples", "a payment that is under way", processing),
    Step("examples", "a payment that the gateway refuses", reversed_by_the_gateway),
    Step("examples", "a payment in doubt", in_doubt),
    Step("examples", "GET /payments: 200 none", nothing_found),
    Step("examples", "GET /payments: by reference", found_by_reference),
    Step("examples", "a route that is not there", no_route),
    *refusals(),
]

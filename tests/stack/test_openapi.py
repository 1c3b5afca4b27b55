"""`docs/openapi.yaml` matches the deployment: each has everything that the other has."""

import inspect
import itertools
import json
import re
import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import schemathesis
import yaml
from jsonschema import Draft4Validator, Draft202012Validator
from schemathesis import BaseSchema, Case, GenerationMode, HookContext, Response
from schemathesis.config import HealthCheck
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from schemathesis.hooks import GLOBAL_HOOK_DISPATCHER, HookDispatcher

from client.transport import SigV4
from functions.issue_key.handler import payment_exists
from functions.search.search_payments import PARAMETERS
from tests.aws_facts import facts
from tests.mapping_templates import ended
from tests.stack.deployed import Answer, Api, answer, deployed, function_refusals
from tests.stack.driver import Driver
from tests.stack.signing_proxy import signing_proxy
from tools.deployment.paths import OPENAPI
from tools.deployment.polling import wait_for
from tools.deployment.stack import Stack, new_payment_id
from tools.trials.acceptance.openapi import DOCUMENT, EXAMPLES, OPERATIONS, SCHEMAS, examples, request_example
from tools.trials.acceptance.recorder import Recorder
from tools.trials.acceptance.run import Run, Skipped, Step
from tools.trials.acceptance.steps import examples as steps_of_examples
from tools.trials.acceptance.steps.examples import (
    CARD_EXAMPLES,
    CHALLENGED_EXAMPLE,
    FINAL_EXAMPLES,
    NOT_PROVOKED,
    OPERATION_CASES,
    STEPS,
)

[NO_ROUTE] = examples(DOCUMENT["components"]["responses"]["RouteNotFound"]["content"]["application/json"]).values()

SKIPPED_HERE = {
    "The path has no payment's id.",
    "Another check repeats the examples' operations.",
    "Nobody signs this call with AWS's signature.",
}

EVENTS = ("POST", "/gateway-events/{gateway}")
"""The one call that somebody else signs: test_gateway_events.py sends what a gateway sends."""

each_operation = pytest.mark.parametrize("route", OPERATIONS, ids=" ".join)


@pytest.fixture(scope="module")
def api(stack: Stack) -> Api:
    return deployed(stack)


# --- The document and the deployment, compared


def test_every_route_is_described_and_everything_described_is_a_route(api: Api) -> None:
    assert {route for route in api.methods if route[0] != "ANY"} == set(OPERATIONS)


@each_operation
def test_a_methods_parameters_are_described(api: Api, route: tuple[str, str]) -> None:
    method, operation = api.methods[route], OPERATIONS[route]
    assert method.description["authorizationType"] == ("NONE" if route == EVENTS else "AWS_IAM")
    assert operation.get("security", DOCUMENT["security"]) == ([] if route == EVENTS else [{"sigv4": []}])
    places = {"query": "querystring"}
    described = {f"{places.get(each['in'], each['in'])}.{each['name']}" for each in operation["parameters"]}
    assert method.parameters == described
    optional = {"status": ["wait"], "search": list(PARAMETERS)}.get(method.function or "", [])
    assert [each["name"] for each in operation["parameters"] if not each["required"]] == optional


@each_operation
def test_a_bodys_schema_is_the_deployed_model(api: Api, route: tuple[str, str]) -> None:
    described = OPERATIONS[route].get("requestBody", {}).get("content", {})
    models = api.methods[route].models
    if route == EVENTS:
        assert (models, [content["schema"] for content in described.values()]) == ({}, [{}])
        return
    assert described.keys() == models.keys()
    for content_type, model in models.items():
        left_to_the_template = left_out(rules(api.models[model]), rules(described[content_type]["schema"]))
        assert sorted(left_to_the_template) == sorted(JUDGED_BY_TEMPLATES[route[1]])


IN_THE_CLEAR = "card_data/oneOf/0/"
CARD_RULES = [
    f"{IN_THE_CLEAR}card_number/enum",
    *(f"{IN_THE_CLEAR}expiry_date/{rule}" for rule in ("maxLength", "pattern")),
    *(f"{IN_THE_CLEAR}card_holder/{rule}" for rule in ("maxLength", "minLength")),
]
ORDER_RULES = [
    *(f"required/{field}" for field in ("amount_minor", "currency")),
    *(f"amount_minor/{rule}" for rule in ("maximum", "minimum", "type")),
    *(f"currency/{rule}" for rule in ("maxLength", "pattern", "type")),
    "merchant_reference/maxLength",
    "description/maxLength",
    "metadata/additionalProperties/maxLength",
    "metadata/propertyNames",
]
RETURN_RULES = [f"return_url/{rule}" for rule in ("maxLength", "pattern")]
BY_CARD, BY_TOKEN, BY_MERCHANT = "oneOf/0/", "oneOf/1/", "oneOf/2/"
PAYMENT_RULES = [
    *(f"{BY_CARD}{rule}" for rule in CARD_RULES + ORDER_RULES),
    *(f"{by}{rule}" for by in (BY_CARD, BY_TOKEN) for rule in RETURN_RULES),
    *(f"{by}{rule}" for by in (BY_TOKEN, BY_MERCHANT) for rule in ["token/maxLength", "token/pattern", *ORDER_RULES]),
]
AMOUNT_RULES = [f"amount_minor/oneOf/0/{rule}" for rule in ("maximum", "minimum")]
JUDGED_BY_TEMPLATES: defaultdict[str, list[str]] = defaultdict(
    list,
    {
        "/payments": PAYMENT_RULES,
        "/cards": CARD_RULES,
        "/payments/{payment_id}/refunds": AMOUNT_RULES,
        "/payments/{payment_id}/captures": AMOUNT_RULES,
    },
)
"""The field's rules in the description that the model lacks, because templates answer with the field's name."""


def left_out(model: Any, described: Any, place: str = "") -> Iterator[str]:
    """The description's rules that the model lacks. The model must not have rules that the description lacks."""
    if isinstance(described, dict) and isinstance(model, dict):
        assert model.keys() <= described.keys(), place
        for name, rule in described.items():
            if name not in model:
                yield f"{place}{name}"
            else:
                yield from left_out(model[name], rule, place if name == "properties" else f"{place}{name}/")
    elif isinstance(described, list):
        assert len(model) == len(described), place
        for number, pair in enumerate(zip(model, described, strict=True)):
            yield from left_out(*pair, f"{place}{number}/")
    elif isinstance(described, set):
        assert model <= described, place
        yield from (f"{place}{each}" for each in described - model)
    else:
        assert model == described, place


def test_models_accept_integers_and_null_alike_in_every_draft_of_json_schema(api: Api) -> None:
    documented = facts("request_models")
    payment = json.dumps(request_example("POST", "/payments", "testCard"))
    bodies = [payment.replace("1999", written) for written in ("1999", *documented["integers_to_some_drafts"])]
    bodies.append(json.dumps(json.loads(payment) | dict.fromkeys(("token", "merchant_reference", "capture"))))
    for draft in (Draft4Validator, Draft202012Validator):
        takes = draft(api.models["PaymentRequest"]).is_valid
        assert all(takes(json.loads(body)) for body in bodies)
        takes_amount = draft(api.models["AmountRequest"]).is_valid
        assert all(
            takes_amount({"amount_minor": json.loads(written)}) for written in documented["integers_to_some_drafts"]
        )
        assert takes_amount({"amount_minor": None})
        assert not takes_amount({"amount_minor": 19.99})
    assert not [each for each in documented["unsupported_formats"] if f'"{each}"' in json.dumps(api.models)]


def rules(schema: Any) -> Any:
    """Return a schema without annotations for people, with its sets as sets."""
    if isinstance(schema, list):
        return [rules(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    for_people = ("$schema", "title", "description", "examples")
    terms = {keyword: value for keyword, value in schema.items() if keyword not in for_people}
    if terms.get("multipleOf") == 1:
        # In draft 4 of JSON Schema, which models use, 1999.0 is not an integer; in OpenAPI 3.1 it is.
        terms = {keyword: value for keyword, value in terms.items() if keyword != "multipleOf"} | {"type": "integer"}
    return {
        keyword: {name: rules(each) for name, each in value.items()}
        if keyword == "properties"
        else set(value)
        if keyword in ("enum", "required")
        else rules(value)
        for keyword, value in terms.items()
    }


def answers(route: tuple[str, str]) -> dict[str, list[Any]]:
    """The examples of each described answer, by status."""
    return {
        status: [body for content in response.get("content", {}).values() for body in examples(content).values()]
        for status, response in OPERATIONS[route]["responses"].items()
    }


@each_operation
def test_exactly_the_described_refusals_exist_word_by_word(api: Api, route: tuple[str, str]) -> None:
    method, described = api.methods[route], answers(route)
    refusals: set[Answer] = set()
    for kind, own in api.gateway_responses.items():
        refusals |= own if method.can_answer(kind) else set()
    if method.function:
        refusals |= function_refusals(method.function, route[1])
    if method.function == "issue_key":
        refusals.add(answer(409, payment_exists(described["409"][0]["payment_id"], "/v1/keys")))
    if method.starts_executions:
        [success] = (status for status in described if status < "400")
        ids = started_ids(described[success][0])
        refusals |= {method.rendered(error, *ids)[0] for error in method.errors()}
        refusals |= {method.rendered("InvalidName", ids[0], None)[0]}
        refusals |= {method.rendered(None, *ids, end)[0] for end in BAD_ENDS if success == "201"}
    assert refusals == {answer(status, body) for status in described if status >= "400" for body in described[status]}


BAD_ENDS = (
    ended("CardRejected", "InvalidCardNumber"),
    ended("CardDeclined", json.dumps({"errorMessage": json.dumps({"decline_code": "screened:lookalike_cards"})})),
    ended("KeyUsedBefore"),
    ended("CardNotStored"),
)
"""How an execution that stores a card may end, but for the card's other errors."""


def started_ids(started: dict[str, str]) -> tuple[str, str]:
    """The payment's id and the Idempotency-Key of a request with this answer."""
    return started["payment_id"], started.get("operation_id", started["payment_id"])


@each_operation
def test_a_success_is_described(api: Api, route: tuple[str, str]) -> None:
    method, described = api.methods[route], answers(route)
    (success,) = (status for status in described if status < "400")
    if not method.starts_executions:
        assert success == {"DELETE": "204", "GET": "200", "POST": "200" if route == EVENTS else "201"}[route[0]]
        return
    (started,) = described[success]
    stored = json.dumps({"status": "SUCCEEDED", "output": json.dumps(started)}) if success == "201" else None
    rendered, headers = method.rendered(None, *started_ids(started), stored)
    assert rendered == answer(success, started)
    assert headers == {"Location": started["links"].get("card", started["links"]["self"])}
    assert {*headers, "Cache-Control"} == set(OPERATIONS[route]["responses"][success]["headers"])
    others = {method.rendered(error, *started_ids(started))[0].status for error in method.errors()}
    if success == "201":
        others |= {method.rendered(None, *started_ids(started), end)[0].status for end in BAD_ENDS}
    assert method.headers == {success: {*headers, "Cache-Control"}} | {status: {"Cache-Control"} for status in others}


def test_no_answer_may_be_cached(api: Api) -> None:
    assert api.gateway_caching == {"'no-store'"}
    for method in api.methods.values():
        assert method.caching == (set() if method.function else {"'no-store'"})


def test_an_unknown_route_is_described(api: Api) -> None:
    assert api.gateway_responses["RESOURCE_NOT_FOUND"] == {answer(404, NO_ROUTE)}


def test_both_refuse_the_same_ids_as_card_numbers(api: Api) -> None:
    template = api.methods["POST", "/payments"].request_template
    allowed = re.findall(r"#set\(\$(?:id|uuid_parts) = '(.+)'\)", template)
    assert len(allowed) == 2
    accepts = Draft202012Validator(SCHEMAS["Id"]).is_valid
    for beginning, length, between in itertools.product(range(100), range(11, 22), ("", "-", "_")):
        key = f"-_{between.join(f'{beginning:02}'.ljust(length, '0'))}-_"
        assert accepts(key) == any(re.fullmatch(each, key) for each in allowed), key
    for key in (
        str(uuid.UUID(int=10**30)),
        uuid.UUID(int=10**30).hex.upper(),
        "1" * 32,
        "1" * 33,
        "",
        "x" * 15,
        "x" * 16,
        "x" * 64,
        "x" * 65,
        "a key with spaces",
        "schlüssel-von-uns",
    ):
        assert accepts(key) == any(re.fullmatch(each, key) for each in allowed), key


# --- Random requests


def closed(document: Any) -> Any:
    """The document, with schemas that allow only the fields that they name."""
    if isinstance(document, list):
        return [closed(each) for each in document]
    if not isinstance(document, dict):
        return document
    parts = {name: closed(value) for name, value in document.items()}
    return {"additionalProperties": False, **parts} if document.get("type") == "object" else parts


def description() -> Any:
    """The document as schemathesis accepts it."""
    # schemathesis matches patterns with Rust, whose strings can't contain surrogates.
    halves = r"|(^|[^\ud800-\udbff])[\udc00-\udfff]|[\ud800-\udbff]([^\udc00-\udfff]|$)"
    text = OPENAPI.read_text(encoding="utf-8")
    assert halves in text
    document = yaml.load(text.replace(halves, ""), yaml.CSafeLoader)
    # Otherwise it would generate card numbers, which are refused, and log the payment ids.
    document["components"]["schemas"]["Id"]["pattern"] = "^[A-Za-z0-9_-]{16,64}$"
    return document


def described(stack: Stack) -> BaseSchema:
    """The document's operations, for which schemathesis always generates the same requests."""
    schema = schemathesis.openapi.from_dict(closed(description())).exclude(path=EVENTS[1])
    credentials = stack.session().get_credentials()
    assert credentials
    schema.auth.set_from_requests(SigV4(credentials, stack.region))
    config = schema.config
    config.update(base_url=stack.api_url, suppress_health_check=[HealthCheck.all])
    config.generation.update(max_examples=15, deterministic=True, with_security_parameters=False)
    config.phases.update(phases=["examples", "coverage", "fuzzing"])
    config.phases.examples.extra_data_sources.responses = False
    config.phases.fuzzing.extra_data_sources.responses = False
    config.phases.fuzzing.error_feedback.is_enabled = False
    config.checks.update(excluded_check_names=["unsupported_method"])  # schemathesis expects 405
    config.checks.positive_data_acceptance.expected_statuses = ["2xx", "404", "422"]
    config.checks.negative_data_rejection.expected_statuses = ["400", "404", "415"]
    return schema


@pytest.fixture
def payments(stack: Stack) -> Iterator[Iterator[str]]:
    """Payments to read and to operate on repeatedly. At the end, wait for everything that was started."""
    driver = Driver(stack)
    ids = [driver.pay(capture=capture)[0] for capture in (True, False) * 6]
    assert {driver.ended(payment_id)["status"] for payment_id in ids} == {"captured", "authorized"}
    yield itertools.cycle(ids)
    assert wait_for(lambda: not driver.executions(statusFilter="RUNNING"), 120, pause_seconds=0.5)


@pytest.fixture
def hooks() -> Iterator[HookDispatcher]:
    """What schemathesis calls before and after each request."""
    yield GLOBAL_HOOK_DISPATCHER
    GLOBAL_HOOK_DISPATCHER.unregister_all()


def test_random_requests_are_answered_as_described(
    stack: Stack, payments: Iterator[str], hooks: HookDispatcher
) -> None:
    answered: defaultdict[str, set[str]] = defaultdict(set)
    without_a_route: list[tuple[int, Any]] = []

    @hooks.hook
    def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
        if case.meta and case.meta.generation.mode is GenerationMode.POSITIVE:
            make_real(case, payments)

    @hooks.hook
    def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
        if case.method == case.operation.method.upper():
            answered[case.operation.label].add(str(response.status_code))
        else:
            without_a_route.append((response.status_code, response.json()))

    problems = list(complaints(described(stack)))
    assert not problems, "\n\n".join(problems)
    assert without_a_route
    assert [answer for answer in without_a_route if answer != (404, NO_ROUTE)] == []
    routes = OPERATIONS.keys() - {EVENTS}
    successes = {" ".join(route): {status for status in answers(route) if status < "400"} for route in routes}
    assert {route for route, success in successes.items() if not success & answered[route]} == set()


def test_the_command_schemathesis_finds_nothing_through_a_proxy_that_signs(
    stack: Stack, payments: Iterator[str], tmp_path: Path
) -> None:
    """Run schemathesis from outside for twenty seconds, as anybody could with the document and a proxy."""
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(description()))
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    bounds = ("--max-time", "20", "--max-examples", "20", "--generation-deterministic", "--workers", "2")
    command = (Path(sys.executable).with_name("schemathesis"), "--no-color", "run", document, "--checks", checks)
    with signing_proxy(stack) as url:
        process = subprocess.run((*command, *bounds, "--url", url), cwd=tmp_path, capture_output=True, text=True)  # noqa: S603
    assert process.returncode == 0, process.stdout + process.stderr


def complaints(schema: BaseSchema) -> Iterator[str]:
    """Return what schemathesis reports, and how to repeat the request."""
    for event in from_schema(schema).execute():
        if isinstance(event, NonFatalError | FatalError):
            yield str(event)
        if isinstance(event, ScenarioFinished):
            for check in itertools.chain.from_iterable(event.recorder.checks.values()):
                if check.failure_info:
                    failure, request = check.failure_info.failure, check.failure_info.code_sample
                    yield f"{event.label}: {failure}\n{request}"


def make_real(case: Case[Any], payments: Iterator[str]) -> None:
    """Give a valid request an unused key and an existing payment."""
    if "Idempotency-Key" in case.headers:
        # Without digits, since an id may not have twelve in a row.
        key = case.headers["Idempotency-Key"][:28] + new_payment_id()
        case.headers["Idempotency-Key"] = key.translate(str.maketrans("0123456789", "ghijklmnop"))
    if "payment_id" in case.path_parameters:
        case.path_parameters["payment_id"] = next(payments)
    if "operation_id" in case.path_parameters:
        case.path_parameters["operation_id"] = new_payment_id()
    # No schema says which cursors there are, and how two times must follow each other.
    for name in ("cursor", "from", "to"):
        case.query.pop(name, None)


# --- The examples, as `make acceptance` requests them


@pytest.fixture(scope="module")
def run(stack: Stack, sandbox_events: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    session = boto3.Session(stack.access_key_id, stack.secret_access_key, region_name=stack.region)
    run = Run("local", Recorder(tmp_path_factory.mktemp("answers")), session, stack=stack)
    yield run
    run.close()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_an_example_is_sent_or_provoked_and_matches_its_description(run: Run, step: Step) -> None:
    try:
        step.check(run)
    except Skipped as why:
        if str(why) not in {*NOT_PROVOKED.values(), *SKIPPED_HERE}:
            raise


def test_every_example_of_a_request_is_sent() -> None:
    sent = {("/payments", name) for name in (*FINAL_EXAMPLES, CHALLENGED_EXAMPLE)} | {
        ("/cards", name) for name in CARD_EXAMPLES
    }
    sent |= {(f"/payments/{{payment_id}}/{kind}", name) for _, kind, names, _ in OPERATION_CASES for name in names}
    assert sent == {
        (path, name)
        for (method, path), operation in OPERATIONS.items()
        if "requestBody" in operation and (method, path) != EVENTS
        for name in examples(operation["requestBody"]["content"]["application/json"])
    }


def test_every_example_of_a_payment_is_provoked() -> None:
    source = inspect.getsource(steps_of_examples)
    media_type = OPERATIONS["GET", "/payments/{payment_id}"]["responses"]["200"]["content"]["application/json"]
    named = {name for name, example in EXAMPLES.items() if example in examples(media_type).values()}
    assert {name for name in named if f'"{name}"' not in source} == set()

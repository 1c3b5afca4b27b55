"""The API's mapping templates, assembled as in `terraform/api_gateway.tf`, and hostile requests for them.

`tests/stack/test_mapping_templates.py` compares this with the deployment.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.samples import CARD_DATA, PAN, SUMMARY, TEST_CARDS, UNLISTED_PAN
from tools.deployment.paths import FUNCTIONS, TERRAFORM
from tools.local.emulator import vtl
from tools.trials.events import API_EVENTS, ApiEvent

TEMPLATES = TERRAFORM / "api" / "templates"

KEY = "a-key-of-ours-123"
PAYMENT_ID = "a-payment-of-ours-1"
STATE_MACHINE_ARN = "arn:aws:states:eu-west-1:123456789012:stateMachine:of-ours:live"

OPERATIONS = {"refunds": "refund", "captures": "capture", "voids": "void"}
STARTS = {"payments": "start_payment", "cards": "start_card"} | dict.fromkeys(OPERATIONS, "start_operation")
"""The template that builds an execution's input, by the route's last part."""

READINGS = ("", None)
"""The value of an undefined reference: an empty text, as observed on AWS, or null, as in plain Velocity."""


def starting(route: str, state_machine_arn: str = STATE_MACHINE_ARN) -> str:
    """The template of the request to Step Functions."""
    text = (
        _ids(route)
        + _file("caller")
        + ("" if route in OPERATIONS else _file("card_in_the_clear"))
        + (_file("order") if route == "payments" else "")
        + ("" if route in OPERATIONS else _file("texts") + _file("members"))
        + _file(STARTS[route])
    )
    for name, value in {
        "card_numbers": json.dumps(sorted(TEST_CARDS), separators=(",", ":")),
        "card_number": card_number(),
        "state_machine_arn": state_machine_arn,
        "operation": OPERATIONS.get(route, ""),
    }.items():
        text = text.replace(f"${{{name}}}", value)
    return text


@cache
def card_number() -> str:
    """The regular expression of card numbers that Terraform builds from the brands."""
    alternatives = []
    for brand in json.loads((FUNCTIONS / "shared" / "domain" / "card_brands.json").read_text())["brands"]:
        ranges = [list(map(int, prefixes.split("-"))) for prefixes in brand["begins"]]
        prefixes = "|".join(str(prefix) for each in ranges for prefix in range(each[0], each[-1] + 1))
        lengths = "|".join(f"[0-9]{{{length}}}" for length in brand["lengths"])
        alternatives.append(f"(?={prefixes})({lengths})")
    return "|".join(alternatives)


def answering(route: str, template: str) -> str:
    """The template of the answer: `refused`, or the one of `started`."""
    return _ids(route) + _file(template)


def started(route: str) -> str:
    """The name of the template that answers a request which Step Functions has not refused."""
    return "stored" if route == "cards" else "accepted"


def _ids(route: str) -> str:
    return _file("ids") + _file("operation_ids" if route in OPERATIONS else "payment_ids")


@cache
def _file(name: str) -> str:
    return (TEMPLATES / f"{name}.vtl").read_text()


@dataclass(frozen=True, slots=True)
class Message:
    """A template's input: a request, or Step Functions' answer to one."""

    body: str = ""
    header: dict[str, str] = field(default_factory=lambda: {"Idempotency-Key": KEY})
    path: dict[str, str] = field(default_factory=lambda: {"payment_id": PAYMENT_ID})
    querystring: dict[str, str] = field(default_factory=dict)
    caller_arn: str | None = "arn:aws:sts::123456789012:assumed-role/shop/a-session"
    sent_to: str = "/v1/payments"

    @property
    def context(self) -> dict[str, Any]:
        """`$context` before the template is rendered."""
        identity = {"userArn": self.caller_arn} if self.caller_arn else {}
        return {"responseOverride": {"header": {}}, "identity": identity, "path": self.sent_to}

    def rendered(self, template: str, absent: str | None = "") -> tuple[str, dict[str, Any]]:
        """The emulator's rendering: the text, and `$context.responseOverride`."""
        context = self.context
        payload = vtl.Input(self.body, self.path, self.querystring, self.header)
        return vtl.render(template, payload, context, {}, absent), context["responseOverride"]


def events() -> Iterator[Message]:
    """The bodies of the sample events."""
    for file in sorted(API_EVENTS.glob("*.json")):
        event = ApiEvent.load(file)
        for request in filter(None, (event.given, event.request)):
            yield Message("" if request.body is None else json.dumps(request.body))


ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", " ", 0, -1, 1, 500, 5.0, 5.5, 1e3, 1e7, 1e-7, 1e22, 2**31, 2**63, 10**30, 10**12),
    *("500", "007", '1,\\"operation\\":\\"void\\"', "null", "false", "'", '"', "\\", "\\'", "/", "\n\t\r\b\f\x00\x7f"),
    *("é漢\u2028\u2029", "😀", "$context.apiId", "#set($name = 1)", "#end", "${key}", "\\u0022", "</script>"),
    *([], [500], [[]], {}, {"a": None}, {"card_number": PAN}, [{"b": [1.5e7, "x"]}], {"class": {"name": 1}}),
)

ODD_BODIES: tuple[str, ...] = (
    *("", " ", "null", "true", "500", '"text"', "[]", "{}", "[1]", '[{"card_data": {}}]', '{"": ""}'),
    *("not json", "{", "[1", '{"a":NaN}', "{'a': 1}", '{"a": 1} x', "a=1", "<a/>"),
    '{"amount_minor": 500, "amount_minor": "1,\\"operation\\":\\"void\\""}',
    '{"amount_minor": "x", "amount_minor": 500}',
    f'{{"card_data": "a.b.c.d.e", "card_data": {{"card_number": "{UNLISTED_PAN}"}}}}',
    f'{{"card_data": {{"card_number": "{PAN}", "card_number": "{UNLISTED_PAN}"}}}}',
    f'{{"card_data": {{"card_number": "{UNLISTED_PAN}", "card_number": "{PAN}"}}}}',
    f'{{"card_data": {{"CARD_NUMBER": "{PAN}"}}, "Card_data": 1}}',
    f'{{"\\u0063ard_data": {{"card_numbe\\u0072": "{UNLISTED_PAN}"}}}}',
    '{"card_data": {"card_number": "\\ud800"}}',
    '{"card_data": "\\ud83d\\ude00"}',
)

ODD_HEADERS: tuple[dict[str, str], ...] = (
    *({}, {"Idempotency-Key": ""}, {"Content-Type": "application/json"}, {"X-Idempotency-Key": KEY}),
    *({name: KEY} for name in ("idempotency-key", "IDEMPOTENCY-KEY", "iDEMPOTENCY-kEY")),
    {"host": "x", "idempotency-key": KEY, "x-amz-date": "20261128T000000Z"},
    *(
        {"Idempotency-Key": key}
        for key in (
            *("x" * 15, "x" * 16, "x" * 64, "x" * 65, "missing key", "invalid key", " ", f" {KEY}", f"{KEY}\n"),
            *('","input":"{}","x":"', "$util.escapeJavaScript", "#set($name = 'abcdefgh')", "\\u0041" * 4, "'" * 20),
            *(
                "clé-d-idempotence-1",
                "😀" * 8,
                "４" * 16,
                "4000056655665556",
                "4000_0566-5566-5556",
                "-4000056655665556-",
            ),
            *("c56a4180-65aa-42ec-a945-5fd21dec0538", "1" * 16, "8100000000000000", "2200000000000000000", "4" * 20),
        )
    ),
)

ODD_PATHS: tuple[dict[str, str], ...] = (
    {},
    *(
        {"payment_id": payment_id}
        for payment_id in ("", "x" * 15, '","amount_minor":"1', "%22%2C%22x%22%3A%22................", "x" * 65)
    ),
    {"payment_id": "4000056655665556"},
)


def hostile() -> Iterator[Message]:
    """Requests that none of our clients would send."""
    for value in ODD_VALUES:
        yield Message(json.dumps({"amount_minor": value, "card_data": value}))
        yield Message(json.dumps({"card_data": CARD_DATA | {"card_number": value}}, ensure_ascii=False))
        body = {"amount_minor": 1, "currency": "USD", "card_data": CARD_DATA}
        yield Message(json.dumps(body | {"card_data": CARD_DATA | {"expiry_date": value, "card_holder": value}}))
        for name in ("currency", "token", "merchant_reference", "description"):
            yield Message(json.dumps(body | {name: value}))
        for metadata in (value, {"b": value, "a": "x"}, {value if isinstance(value, str) else "a": "x", "": "y"}):
            yield Message(json.dumps(body | {"metadata": metadata}, ensure_ascii=False))
    yield from map(Message, ODD_BODIES)
    yield from (Message("{}", header) for header in ODD_HEADERS)
    yield from (Message("{}", path=path) for path in ODD_PATHS)
    for header in ({}, {"idempotency-key": "x"}):
        yield Message("{}", header, {}, {"Idempotency-Key": KEY, "payment_id": PAYMENT_ID, "idempotency-key": KEY})


ERRORS = (
    *(
        "ExecutionAlreadyExists",
        "InvalidName",
        "InvalidExecutionInput",
        "ThrottlingException",
        "ExecutionLimitExceeded",
    ),
    *("TooManyRequestsException", "AccessDeniedException", "StateMachineDoesNotExist", "InternalFailure"),
    *(
        "InvalidArn",
        "StateMachineDeleting",
        "KmsAccessDeniedException",
        "ValidationException",
        "SerializationException",
    ),
)
"""The errors of StartExecution, and of any call."""


def ended(error: str, cause: str = "") -> str:
    """StartSyncExecution's answer when the execution ended badly."""
    return json.dumps({"executionArn": "arn", "status": "FAILED", "error": error} | ({"cause": cause} if cause else {}))


def answers() -> Iterator[Message]:
    """The possible answers of Step Functions to all kinds of requests."""
    verdict = json.dumps({"action": "deny", "decline_code": "screened:a_rule", "flags": []})
    stored = {"payment_id": KEY, "status": "stored", "card": SUMMARY.to_dict()}
    bodies = [
        *(json.dumps({"__type": namespace + error, "message": "x"}) for error in ERRORS for namespace in ("", "a.b#")),
        *("", "{}", "[]", "null", '"x"', "<html>", '{"__type": null}', '{"__type": 5}', '{"__type": ["InvalidName"]}'),
        json.dumps({"executionArn": "arn", "startDate": 1.7e9}),
        json.dumps({"executionArn": "arn", "status": "SUCCEEDED", "output": json.dumps(stored)}),
        ended("CardRejected", "InvalidCardNumber"),
        ended("CardDeclined", json.dumps({"errorMessage": verdict, "errorType": "PaymentDenied"})),
        *(ended(error, "x") for error in ("KeyUsedBefore", "CardNotStored", "States.Timeout")),
    ]
    for body in bodies:
        yield Message(body)
    for body in bodies[:4]:
        yield from (Message(body, header) for header in ODD_HEADERS)
        yield from (Message(body, path=path) for path in ODD_PATHS)

"""No card number or holder's name leaks: payments take every path, then everything that was kept is searched.

Each canary card belongs to one scenario. The cards go through the stack while its functions and their libraries log as
much as they can. A sealed card must be nowhere. A published test card may come in the clear; by design it is then in
its execution's input, so in the execution's history and its status-change events, and nowhere else.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import Any

import pytest

from client import seal
from functions.shared.contracts import is_test_card
from tests.stack.driver import PAYMENT, Driver
from tests.stack.sweep import (
    Canary,
    Leak,
    Place,
    RecordedStack,
    deployed,
    every_event_kept,
    leaks,
    lying_gateway,
    new_pan,
    talkative,
    written_by,
)
from tests.stack.test_access import taken_away
from tests.tampering import flipped, sealed_unchecked, with_header, with_segment
from tools.deployment.polling import has_ended, wait_for
from tools.deployment.stack import Stack, new_payment_id
from tools.local.machine import Machine

Key = dict[str, str]
CardData = Callable[[Canary, str, Key], Any]
"""Return the `card_data` to send for this canary, payment id and sealing key."""

Fault = dict[str, Any]

FUNCTIONS = (
    *("tokenize", "screen", "encrypt", "charge", "persist", "compensate", "reserve", "perform", "settle"),
    *("verify", "keep", "resolve", "reconcile", "status", "cards", "doubts", "issue_key"),
)
FAULTS: list[Fault] = [
    {"fault": "timeout_after", "seconds": 2},
    {"fault": "timeout_before", "seconds": 2},
    {"fault": "reset"},
    {"fault": "slow", "seconds": 0.5},
    {"fault": "http_429"},
    {"fault": "http_500"},
    {"fault": "http_502_html"},
]
TIMEOUT_AFTER, _, RESET, _, _, HTTP_500, BAD_GATEWAY = FAULTS


def sealed(canary: Canary, payment_id: str, key: Key) -> Any:
    return seal(canary.card_data, payment_id, key)


def plain(canary: Canary, payment_id: str, key: Key) -> Any:
    return canary.card_data


def sealed_with(change: Callable[[Canary], dict[str, Any]]) -> CardData:
    """Seal card data with additional or replaced fields."""
    return lambda canary, payment_id, key: sealed_unchecked(canary.card_data | change(canary), payment_id, key)


@dataclass(frozen=True)
class Scenario:
    """One payment: how its card is sent, what fails at the gateway, and the final status or refusal.

    With `refused_by_gateway`, the payment's reference was reversed before, so its charge is refused at once.
    """

    name: str
    status: str | int
    pan: str = field(default_factory=new_pan)
    card_data: CardData = sealed
    error: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    refused_by_gateway: bool = False
    lies: dict[str, Any] = field(default_factory=dict)
    """The gateway's untrue answer about the charge."""
    input_only: bool = False
    """No mapping template can see the number. It stays in the execution's input, and must be nowhere else."""
    security_code: str | None = None
    """The card is sealed with it, to a single-use key."""
    path: str = "/payments"
    payment_id: str = field(default_factory=new_payment_id)

    @cached_property
    def canary(self) -> Canary:
        return Canary(self.name, self.pan, security_code=self.security_code)

    def may_be_at(self, leak: Leak) -> bool:
        """By design, a published test card that is sent in the clear is in its execution's input.

        Other tests send the same published numbers in the clear; only this scenario uses its holder's name.
        """
        if self.input_only and leak.place.kind in ("execution", "event"):
            return leak.place.name == self.payment_id
        if leak.place.kind not in ("execution", "event") or not is_test_card(self.pan):
            return False
        own = leak.place.name == self.payment_id
        return own == (self.card_data is plain) or (self.card_data is plain and leak.what == "number")


def with_text(sealed: str, text: str) -> str:
    """Put a text into the sealed card's ciphertext without changing its length."""
    header, key, iv, ciphertext, tag = sealed.split(".")
    return ".".join([header, key, iv, text + ciphertext[len(text) :], tag])


def on(operation: str, fault: Fault, times: int = 1) -> Fault:
    return fault | {"operation": operation, "times": times}


def mistyped(pan: str) -> str:
    return pan[:-1] + str((int(pan[-1]) + 1) % 10)


REJECTED: dict[str, tuple[str, CardData]] = {
    "expired": ("expired_card", sealed_with(lambda card: {"expiry_date": "12/25"})),
    "with a security code": ("sensitive_authentication_data", sealed_with(lambda card: {"cvc": "123"})),
    "tampered": (
        "sealed_card_tampered",
        lambda canary, payment_id, key: with_segment(sealed(canary, payment_id, key), 3, flipped),
    ),
    "under another header": (
        "sealing_not_supported",
        lambda canary, payment_id, key: with_header(sealed(canary, payment_id, key), {"alg": "RSA1_5"}),
    ),
    "by another key": (
        "unknown_sealing_key",
        lambda canary, payment_id, key: sealed(canary, payment_id, key | {"kid": "another"}),
    ),
    "for another payment": (
        "sealed_for_another_payment",
        lambda canary, payment_id, key: sealed(canary, new_payment_id(), key),
    ),
    "an integer inside": ("invalid_sealed_card", sealed_with(lambda card: {"card_number": int(card.pan)})),
    "a field more inside": ("invalid_sealed_card", sealed_with(lambda card: {card.pan: card.pan})),
    "an object inside": ("invalid_sealed_card", sealed_with(lambda card: {"card_holder": {card.pan: card.holder}})),
    "a list inside": ("invalid_sealed_card", sealed_with(lambda card: {"expiry_date": [card.pan]})),
    "too long inside": ("invalid_sealed_card", sealed_with(lambda card: {"card_number": card.pan * 3})),
    "the number as its date": ("invalid_input", sealed_with(lambda card: {"expiry_date": card.pan})),
}

STORE = {"amount_minor": None, "currency": None}
NOTED = [new_pan() for _ in range(5)]
IN_LIES = [new_pan() for _ in range(6)]


def in_script(number: str, zero: str) -> str:
    return "".join(chr(ord(zero) + int(digit)) for digit in number)


DISGUISED = {
    "in Bengali digits": ("description", in_script(NOTED[0], "০")),
    "in mathematical digits": ("merchant_reference", in_script(NOTED[1], "𝟘")),
    "in keycaps": ("description", "".join(f"{digit}\ufe0f\u20e3" for digit in NOTED[2])),
    "with zero-width spaces": ("merchant_reference", "\u200b".join(NOTED[3])),
    "with line separators": ("description", "\u2028".join(in_script(NOTED[4], "٠"))),
}
LIES: list[dict[str, Any]] = [
    {"id": IN_LIES[0]},
    {"id": f"ch_{IN_LIES[1]}"},
    {"reference": f"x{IN_LIES[2]}"},
    {"status": IN_LIES[3]},
    {"decline_code": f"see_{IN_LIES[4]}"},
    {"captured_at": "/".join(IN_LIES[5])},
]

SCENARIOS = [  # the slowest first
    Scenario(
        "in doubt",
        "in_doubt",
        faults=(on("charge", TIMEOUT_AFTER, 99), on("find", HTTP_500, 5), on("reverse", RESET, 99)),
    ),
    Scenario("reversed", "reversed", faults=(on("charge", TIMEOUT_AFTER, 99), on("find", BAD_GATEWAY, 5))),
    *(
        Scenario(f"reverse {fault['fault']}", "reversed", faults=(on("reverse", fault),), refused_by_gateway=True)
        for fault in FAULTS
    ),
    *(Scenario(f"charge {fault['fault']}", "captured", faults=(on("charge", fault),)) for fault in FAULTS),
    *(
        Scenario(f"find {fault['fault']}", "captured", faults=(on("charge", HTTP_500), on("find", fault)))
        for fault in FAULTS
    ),
    Scenario("captured", "captured"),
    Scenario("captured, with its code", "captured", security_code="0841"),
    Scenario("saved, with its code", "captured", security_code="0842", changes={"save_card": True}),
    Scenario("declined, with its code", "declined", "4000000000000002", security_code="0843"),
    Scenario("mistyped, with its code", "rejected", mistyped(new_pan()), security_code="0844"),
    Scenario("reversed, with its code", "reversed", security_code="0845", refused_by_gateway=True),
    Scenario("tried again, with its code", "captured", security_code="0846", faults=(on("charge", HTTP_500),)),
    Scenario("stored, with its code", "stored", security_code="0847", changes=STORE, path="/cards"),
    Scenario(
        "verified, with its code", "stored", security_code="0848", changes=STORE | {"verify": True}, path="/cards"
    ),
    Scenario("captured, 19 digits", "captured", new_pan(length=19)),
    Scenario("captured, 15 digits", "captured", new_pan("37", 15)),
    Scenario(
        "rejected, the number as its holder", "rejected", new_pan(), sealed_with(lambda card: {"card_holder": card.pan})
    ),
    Scenario("authorized", "authorized", changes={"capture": False}),
    Scenario("stored", "stored", changes=STORE, path="/cards"),
    Scenario("not stored, mistyped", 422, mistyped(new_pan()), changes=STORE, path="/cards"),
    Scenario(
        "not stored, the number as its date",
        422,
        card_data=REJECTED["the number as its date"][1],
        changes=STORE,
        path="/cards",
    ),
    Scenario("declined", "declined", "4000000000000002"),
    Scenario("mistyped", "rejected", mistyped(new_pan()), error="invalid_card_number"),
    *(Scenario(name, "rejected", new_pan(), card_data, error) for name, (error, card_data) in REJECTED.items()),
    Scenario("refused, in the clear", 400, card_data=plain),
    *(
        Scenario(f"a number {how} in the {name}", 400, noted, changes={name: text})
        for noted, (how, (name, text)) in zip(NOTED, DISGUISED.items(), strict=True)
    ),
    *(
        Scenario(f"the gateway tells {', '.join(lie)} {n}", "reversed", pan, error="gateway_mismatch", lies=lie)
        for n, (pan, lie) in enumerate(zip(IN_LIES, LIES, strict=True))
    ),
    Scenario("refused, as a segment", 400, card_data=lambda canary, *_: f"{canary.pan}.a.a.a.a"),
    Scenario(
        "refused, in the ciphertext",
        400,
        card_data=lambda canary, payment_id, key: with_text(sealed(canary, payment_id, key), canary.pan),
    ),
    Scenario(
        "in the header",
        "rejected",
        error="sealing_not_supported",
        card_data=lambda canary, payment_id, key: with_header(
            sealed(canary, payment_id, key),
            {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": key["kid"], "payment_id": payment_id, "typ": canary.pan},
        ),
        input_only=True,
    ),
    Scenario("plain captured", "captured", "5555555555554444", plain),
    Scenario("plain declined", "declined", "4000000000009995", plain),
    Scenario("plain stored", "stored", "6011111111111117", plain, changes=STORE, path="/cards"),
    Scenario(
        "plain reversed", "reversed", "4111111111111111", plain, faults=(on("reverse", RESET),), refused_by_gateway=True
    ),
]

DENIED = {
    ("tokenize", "kms:Decrypt"): Scenario("may not open", "rejected", error="key_unusable"),
    ("tokenize", "kms:GenerateMac"): Scenario("may not make a token", "rejected", error="key_unusable"),
    ("encrypt", "kms:Encrypt"): Scenario("may not encrypt", "rejected", error="key_unusable"),
    ("charge", "kms:Decrypt"): Scenario("may not decrypt", "reversed"),
}

PATHS = [
    ("GET", "/payments/{}"),
    ("GET", "/payments/x{}"),
    ("GET", "/payments/order-{}"),
    ("GET", "/cards/{}"),
    ("DELETE", "/cards/tok_{}"),
]
WITHOUT_BACKSTOP = Scenario("without the backstop", "captured", security_code="0849")
IN_PATHS = [Canary(f"in the path of {method} {path}", new_pan()) for method, path in PATHS]
INVOKED = [Canary(f"for an id of {function}", new_pan()) for function in FUNCTIONS]
PLANTED = {kind: Canary(f"planted in {kind}", new_pan()) for kind in ("log group", "table", "queue", "file", "input")}

ALL = [*SCENARIOS, *DENIED.values()]


@dataclass(frozen=True)
class Sweep:
    payments: dict[str, dict[str, Any]]
    faults_met: dict[str, set[str]]
    found: set[Leak]
    deployed_before: Any
    deployed_after: Any

    def kinds_of_places(self, canary: str) -> set[str]:
        return {leak.place.kind for leak in self.found if leak.canary == canary}


@pytest.fixture(scope="module")
def sweep(stack: Stack, machine: Machine) -> Sweep:
    recorded = RecordedStack(**{field.name: getattr(stack, field.name) for field in fields(stack)})
    driver = Driver(recorded)
    [key] = recorded.call("GET", "/keys").json()["keys"]
    run = partial(run_scenario, driver, key)
    before = deployed(stack, FUNCTIONS)
    lies = {scenario.payment_id: scenario.lies for scenario in SCENARIOS if scenario.lies}
    with every_event_kept(stack):
        with lying_gateway(stack.only_sandbox.url, lies) as gateway, talkative(stack, FUNCTIONS, gateway_url=gateway):
            with ThreadPoolExecutor(8) as pool:
                payments = dict(pool.map(run, SCENARIOS))
            for (method, path), canary in zip(PATHS, IN_PATHS, strict=True):
                assert recorded.call(method, path.format(canary.pan)).status_code == 404
            for function, canary in zip(FUNCTIONS, INVOKED, strict=True):
                recorded.answers.append((Place("answer", function), invoked(stack, function, canary.pan)))
            for (function, action), scenario in DENIED.items():
                with taken_away(stack, function, action):
                    payments |= dict([run(scenario)])
        with talkative(stack, FUNCTIONS, backstop=False):
            payments |= dict([run(WITHOUT_BACKSTOP)])
        driver.clear_faults()
        with planted(driver, machine):
            canaries = [scenario.canary for scenario in (*ALL, WITHOUT_BACKSTOP)] + IN_PATHS + INVOKED
            found = leaks([*written_by(stack, machine.home), *recorded.answers], [*canaries, *PLANTED.values()])
    met: dict[str, set[str]] = {}
    for request in stack.sandbox("GET", "/sandbox/requests").json()["requests"]:
        met.setdefault(request["reference"], set()).add(request["fault"])
    return Sweep(payments, met, found, before, deployed(stack, FUNCTIONS))


def invoked(stack: Stack, function: str, text: str) -> str:
    """Return a function's answer if this text replaces every id in its event."""
    event: dict[str, Any] = dict.fromkeys(
        ("payment_id", "operation_id", "token", "run", "started_at", "requested_at", "error"), text
    )
    event |= {
        "request": {"payment_id": text},
        "pathParameters": {"payment_id": text, "token": text},
        "httpMethod": "GET",
    }
    name = stack.function_name(function)
    answer = stack.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    return str(answer["Payload"].read().decode())


def run_scenario(driver: Driver, key: Key, scenario: Scenario) -> tuple[str, dict[str, Any]]:
    """Run the scenario to its end. Return its name and the payment as the API shows it."""
    stack, payment_id = driver.stack, scenario.payment_id
    if scenario.refused_by_gateway:
        stack.sandbox("POST", "/v1/reversals", json={"reference": payment_id}).raise_for_status()
    for fault in scenario.faults:
        driver.set_fault(payment_id, **fault)
    if scenario.security_code:
        key = stack.call("POST", "/keys", headers={"Idempotency-Key": payment_id}).json()
    card_data = scenario.card_data(scenario.canary, payment_id, key)
    body = {
        name: value
        for name, value in (PAYMENT | {"card_data": card_data} | scenario.changes).items()
        if value is not None
    }
    _, answer = driver.post(scenario.path, body, payment_id)
    if isinstance(scenario.status, int):
        return scenario.name, {"status": answer.status_code}
    stack.payment(payment_id)
    execution = wait_for(
        lambda: driver.execution(payment_id), 180, 0.5, until=lambda execution: not execution or has_ended(execution)
    )
    assert not execution or has_ended(execution), f"{scenario.name} does not end"
    payment = stack.payment(payment_id)
    driver.post(scenario.path, body, payment_id)
    if payment["card"] and payment["card"]["token"]:
        stack.call("GET", f"/cards/{payment['card']['token']}")
    return scenario.name, payment


@contextmanager
def planted(driver: Driver, machine: Machine) -> Iterator[None]:
    """Put a canary into each kind of place that is searched."""
    stack, file = driver.stack, machine.home / "planted.log"
    logs, dynamodb, sqs = (stack.client(service) for service in ("logs", "dynamodb", "sqs"))
    with ExitStack() as undo:
        group = {"logGroupName": "/sweep/planted"}
        logs.create_log_group(**group)
        undo.callback(logs.delete_log_group, **group)
        logs.create_log_stream(**group, logStreamName="planted")
        hidden = base64.b64encode(json.dumps(PLANTED["log group"].card_data).encode()).decode()
        event = {"timestamp": time.time_ns() // 10**6, "message": json.dumps({"body": {"Plaintext": hidden}})}
        logs.put_log_events(**group, logStreamName="planted", logEvents=[event])

        place = {"TableName": stack.ledger_table}
        key = {"pk": {"S": "PLANTED"}, "sk": {"S": "PLANTED"}}
        dynamodb.put_item(**place, Item=key | {"card": {"B": PLANTED["table"].pan.encode()}})
        undo.callback(dynamodb.delete_item, **place, Key=key)

        url = sqs.create_queue(QueueName="planted")["QueueUrl"]
        undo.callback(sqs.delete_queue, QueueUrl=url)
        sqs.send_message(QueueUrl=url, MessageBody=PLANTED["queue"].holder)

        file.write_text(PLANTED["file"].pan[::-1])
        undo.callback(file.unlink)

        # The API itself would refuse these. GET shows the reference of a rejected payment.
        driver.ended(driver.start_by_hand({"merchant_reference": PLANTED["input"].pan.encode().hex()}))
        yield


def test_every_payment_ended_as_its_scenario_says(sweep: Sweep) -> None:
    ended = {name: (payment["status"], payment.get("error")) for name, payment in sweep.payments.items()}
    for scenario in (*ALL, WITHOUT_BACKSTOP):
        status, error = ended[scenario.name]
        assert (scenario.name, status) == (scenario.name, scenario.status)
        assert scenario.error in (None, error)


def test_every_fault_was_met(sweep: Sweep) -> None:
    for scenario in SCENARIOS:
        assert {fault["fault"] for fault in scenario.faults} <= sweep.faults_met.get(scenario.payment_id, set())


def test_a_sealed_card_is_nowhere(sweep: Sweep) -> None:
    sealed_ones = {scenario.name: scenario for scenario in ALL if scenario.card_data is not plain}
    found = [leak for leak in sweep.found if leak.canary in sealed_ones]
    assert [leak for leak in found if not sealed_ones[leak.canary].may_be_at(leak)] == []


def test_a_card_number_as_an_id_is_nowhere(sweep: Sweep) -> None:
    names = {canary.name for canary in (*IN_PATHS, *INVOKED)}
    assert [leak for leak in sweep.found if leak.canary in names] == []


def test_a_number_that_no_template_can_see_is_in_its_executions_input(sweep: Sweep) -> None:
    for scenario in SCENARIOS:
        if scenario.input_only:
            assert sweep.kinds_of_places(scenario.name) == {"execution", "event"}, scenario.name


def test_a_card_in_the_clear_is_in_its_executions_input_if_it_is_a_test_card_and_nowhere_else(sweep: Sweep) -> None:
    plain_ones = {scenario.name: scenario for scenario in ALL if scenario.card_data is plain}
    found = [leak for leak in sweep.found if leak.canary in plain_ones]
    assert [leak for leak in found if not plain_ones[leak.canary].may_be_at(leak)] == []
    for name, scenario in plain_ones.items():
        if scenario.path == "/cards":  # which leaves neither a history nor an event, but others may send its number
            assert [leak for leak in sweep.found if (leak.canary, leak.what) == (name, "holder")] == []
        else:
            assert sweep.kinds_of_places(name) == ({"execution", "event"} if is_test_card(scenario.pan) else set())


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_card_is_found(sweep: Sweep, kind: str) -> None:
    where = {"execution", "event", "answer"} if kind == "input" else {kind}
    assert sweep.kinds_of_places(f"planted in {kind}") == where


def test_without_the_backstop_the_security_code_is_logged_and_found(sweep: Sweep) -> None:
    found = {leak.what for leak in sweep.found if leak.canary == WITHOUT_BACKSTOP.name}
    assert found == {"number", "holder", "security code"}


@pytest.mark.parametrize("function", ["tokenize", "encrypt", "charge"])
def test_without_the_backstop_the_libraries_log_the_card_and_it_is_found(
    sweep: Sweep, stack: Stack, function: str
) -> None:
    assert ("log group", stack.log_group_prefix + function) in {
        leak.place for leak in sweep.found if leak.canary == WITHOUT_BACKSTOP.name
    }


def test_the_functions_are_restored_afterwards(sweep: Sweep) -> None:
    assert sweep.deployed_before == sweep.deployed_after

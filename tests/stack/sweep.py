"""Canary cards, everything that the system wrote, and a search for the cards in it."""

import base64
import io
import json
import re
import secrets
import string
import sys
import unicodedata
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import requests

from functions.shared.domain.card_number import passes_luhn
from functions.shared.domain.event import SOURCE
from tests.gateways import changed_gateways
from tests.redeployment import put_into_service
from tools.deployment.stack import Stack

_HOLDER = re.compile("canary[a-z]{12}|[a-z]{12}yranac")
# Four digits alone may be anything, so they must be a whole value or follow a word for the code.
_CODE = re.compile(r"""["'](\d{4})["']|(?:code|cvc|cvv)\W{1,5}(\d{4})(?!\d)""")
# Up to three characters between digits, which covers people's grouping and JSON lists.
_DIGITS = re.compile(r"[0-9](?:[^0-9A-Za-z]{0,3}[0-9]){11,}")
# The depth of nested encodings to search, such as JSON in JSON.
_ESCAPED = re.compile(r"(?:%|\\+x)([0-9A-Fa-f]{2})|\\+u([0-9A-Fa-f]{4})")
_HEX = re.compile("[0-9A-Fa-f]{24,}")
_BASE64 = re.compile("[A-Za-z0-9+/_-]{16,}")
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Canary:
    """A card that only one scenario uses, so that a leak shows its origin."""

    name: str
    pan: str
    holder: str = field(
        default_factory=lambda: "Canary" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(12))
    )

    security_code: str | None = None
    """Four digits that nothing else has as a value."""

    @property
    def card_without_code(self) -> dict[str, str]:
        return {name: value for name, value in self.card_data.items() if name != "security_code"}

    @property
    def card_data(self) -> dict[str, str]:
        code = {"security_code": self.security_code} if self.security_code else {}
        return {"card_number": self.pan, "expiry_date": "12/44", "card_holder": self.holder} | code


def new_pan(prefix: str = "4929", length: int = 16) -> str:
    """Return a number that passes Luhn, generated anew in each run, since no file may contain an unpublished card
    number."""
    number = prefix + "".join(secrets.choice(string.digits) for _ in range(length - 1 - len(prefix)))
    return next(number + digit for digit in string.digits if passes_luhn(number + digit))


# -- The search -----------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where something was written; `kind` is one of `execution`, `event`, `log group`, `table`, `queue`, `answer` …"""

    kind: str
    name: str


class Leak(NamedTuple):
    place: Place
    canary: str
    what: str


def leaks(written: Iterable[tuple[Place, str]], canaries: Collection[Canary]) -> set[Leak]:
    """Return the places that contain a canary's number or holder, forwards or backwards, or its security code, in the
    clear or encoded up to three times."""
    pans = [(canary, form) for canary in canaries for form in (canary.pan, canary.pan[::-1])]
    holders = {form: canary for canary in canaries for form in (canary.holder.lower(), canary.holder.lower()[::-1])}
    codes = {canary.security_code: canary for canary in canaries if canary.security_code}
    found = set()
    for place, text in written:
        for reading in readings(text):
            found |= {Leak(place, codes[code].name, "security code") for code in codes.keys() & codes_in(reading)}
            for run in _DIGITS.findall(reading if reading.isascii() else reading.translate(_as_shown())):
                digits = re.sub("[^0-9]", "", run)
                found |= {Leak(place, canary.name, "number") for canary, pan in pans if pan in digits}
            for holder in _HOLDER.findall(reading.lower()):
                if holder in holders:
                    found.add(Leak(place, holders[holder].name, "holder"))
    return found


def codes_in(text: str) -> set[str]:
    """The values of four digits, each of which may be a security code."""
    return {value or named for value, named in _CODE.findall(text)}


def readings(text: str, depth: int = _DEPTH, done: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the text and its decodings: URL-encoded, escaped, hexadecimal or base64, in any alignment.

    A run of characters is decoded once, however often it is there: a history repeats its input in every state. `done`
    are those that the text around this one had.
    """
    yield text
    if depth:
        hexadecimal, base_64 = (
            dict.fromkeys(run for run in form.findall(text) if form.pattern + run not in done)
            for form in (_HEX, _BASE64)
        )
        decoded = [
            _unescaped(text) if _ESCAPED.search(text) else "",
            *("\n".join(_from_hex(run[start:]) for run in hexadecimal) for start in range(2)),
            *("\n".join(_from_base64(run[start:]) for run in base_64) for start in range(4)),
        ]
        done |= {_HEX.pattern + run for run in hexadecimal} | {_BASE64.pattern + run for run in base_64}
        for reading in filter(None, decoded):
            yield from readings(reading, depth - 1, done)


def _unescaped(text: str) -> str:
    raw = _ESCAPED.sub(lambda escaped: chr(int(escaped[1] or escaped[2], 16)), text)
    return raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # two surrogates make one character


@cache
def _as_shown() -> dict[int, str]:
    """Convert digits of any script to ASCII, and drop invisible characters."""
    every = map(chr, range(128, sys.maxunicode + 1))
    digits = {ord(each): str(unicodedata.digit(each)) for each in every if unicodedata.digit(each, None) is not None}
    unseen = {
        code: "" for code in range(128, sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Cf", "Mn", "Me")
    }
    return digits | unseen


def _from_hex(run: str) -> str:
    return bytes.fromhex(run[: len(run) // 2 * 2]).decode("latin-1")


def _from_base64(run: str) -> str:
    run = run[:-1] if len(run) % 4 == 1 else run
    return base64.urlsafe_b64decode(run.replace("+", "-").replace("/", "_") + "=" * (-len(run) % 4)).decode("latin-1")


# -- What there is to search ----------------------------------------------------------------------------------------

EVENTS_QUEUE = "sweep-events"


def written_by(stack: Stack, home: Path) -> Iterator[tuple[Place, str]]:
    """Yield everything that the stack wrote and still keeps; the logs of its processes are in `home`."""
    yield from _executions(stack)
    yield from _logs(stack)
    yield from _items(stack)
    yield from _messages(stack)
    for file in home.glob("*.log"):
        yield Place("file", file.name), file.read_text(errors="replace")
    for path in ("/sandbox/charges", "/sandbox/requests"):
        yield Place("gateway", path), stack.sandbox("GET", path).text


def _executions(stack: Stack) -> Iterator[tuple[Place, str]]:
    states = stack.client("stepfunctions")
    for machine in states.list_state_machines()["stateMachines"]:
        pages = states.get_paginator("list_executions").paginate(stateMachineArn=machine["stateMachineArn"])
        for execution in (execution for page in pages for execution in page["executions"]):
            arn = execution["executionArn"]
            histories = states.get_paginator("get_execution_history").paginate(executionArn=arn)
            events = [event for history in histories for event in history["events"]]
            yield Place("execution", execution["name"]), _text([states.describe_execution(executionArn=arn), events])


def _logs(stack: Stack) -> Iterator[tuple[Place, str]]:
    logs = stack.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
        messages = [event["message"] for page in pages for event in page["events"]]
        yield Place("log group", group["logGroupName"]), "\n".join(messages)


def _items(stack: Stack) -> Iterator[tuple[Place, str]]:
    dynamodb = stack.client("dynamodb")
    for table in dynamodb.list_tables()["TableNames"]:
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            yield Place("table", table), _text(page["Items"])


def _messages(stack: Stack) -> Iterator[tuple[Place, str]]:
    """Receive and delete each message of each queue."""
    sqs = stack.client("sqs")
    for url in sqs.list_queues().get("QueueUrls", []):
        queue = url.rsplit("/", 1)[1]
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                kind, name = _kind_and_name(json.loads(message["Body"])) if queue == EVENTS_QUEUE else ("queue", queue)
                yield Place(kind, name), _text(message)
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _kind_and_name(event: Mapping[str, Any]) -> tuple[str, str]:
    """Where an event is filed: one of ours under its subject, and a status change under its execution's name."""
    if event["source"] == SOURCE:
        return "event of ours", event["detail"]["subject"]
    return "event", event["detail"].get("name", "")


def _text(value: Any) -> str:
    return json.dumps(value, default=lambda other: other.decode("latin-1") if isinstance(other, bytes) else str(other))


@contextmanager
def every_event_kept(stack: Stack) -> Iterator[None]:
    """Send every event on every bus to a queue as well."""
    sqs, events = stack.client("sqs"), stack.client("events")
    url = sqs.create_queue(QueueName=EVENTS_QUEUE)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    account = stack.state_machine_arn.split(":")[4]
    allowed = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [allowed | {"Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    buses = [bus["Name"] for bus in events.list_event_buses()["EventBuses"]]
    for bus in buses:
        events.put_rule(Name=EVENTS_QUEUE, EventBusName=bus, EventPattern=json.dumps({"account": [account]}))
        events.put_targets(Rule=EVENTS_QUEUE, EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    try:
        yield
    finally:
        for bus in buses:
            events.remove_targets(Rule=EVENTS_QUEUE, EventBusName=bus, Ids=["queue"])
            events.delete_rule(Name=EVENTS_QUEUE, EventBusName=bus)
        sqs.delete_queue(QueueUrl=url)


@dataclass(frozen=True)
class RecordedStack(Stack):
    """A stack that records the API's answers."""

    answers: list[tuple[Place, str]] = field(default_factory=list)

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> requests.Response:
        answer = super().call(method, path, body, headers)
        self.answers.append(
            (Place("answer", f"{method} {path}"), f"{answer.status_code} {answer.headers} {answer.text}")
        )
        return answer


# -- A gateway whose answers can be replaced ---------------------------------------------------------------------------


@contextmanager
def lying_gateway(sandbox_url: str, lies: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Serve the sandbox at another URL, with other answers for charges with these references."""

    def with_lies(value: Any) -> Any:
        if isinstance(value, list):
            return [with_lies(each) for each in value]
        if isinstance(value, dict):
            return {name: with_lies(each) for name, each in value.items()} | lies.get(str(value.get("reference")), {})
        return value

    class Handler(BaseHTTPRequestHandler):
        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                answer = requests.request(
                    self.command, sandbox_url + self.path, data=body, headers=dict(self.headers), timeout=30
                )
            except requests.RequestException:
                return  # like a dropped connection
            content = answer.content
            if answer.headers.get("Content-Type", "").startswith("application/json"):
                content = json.dumps(with_lies(answer.json())).encode()
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _forward  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


# -- Functions that log all they can --------------------------------------------------------------------------------


def deployed(stack: Stack, functions: Collection[str]) -> dict[str, tuple[str, str, dict[str, str]]]:
    """Each function's code hash, handler and environment."""
    client = stack.client("lambda")
    configurations = {}
    for function in functions:
        is_now = client.get_function_configuration(FunctionName=stack.function_name(function))
        configurations[function] = is_now["CodeSha256"], is_now["Handler"], is_now["Environment"]["Variables"]
    return configurations


@contextmanager
def talkative(
    stack: Stack, functions: Collection[str], *, backstop: bool = True, gateway_url: str | None = None
) -> Iterator[None]:
    """The functions with all libraries' loggers turned on and, on request, without the backstop under them.

    They wait only a second for the gateway, or for the one at `gateway_url`. Afterwards their deployed configuration is
    restored.
    """
    client = stack.client("lambda")
    before = {
        stack.function_name(function): configuration for function, configuration in deployed(stack, functions).items()
    }
    packages = {
        name: requests.get(client.get_function(FunctionName=name)["Code"]["Location"], timeout=30).content
        for name in before
    }

    def change(name: str) -> None:
        _, handler, environment = before[name]
        more = {
            "LOG_LEVEL": "DEBUG",
            "TALKATIVE_HANDLER": handler,
            "TALKATIVE_BACKSTOP": "on" if backstop else "off",
        }
        more |= changed_gateways(environment, read_timeout_seconds=1, **({"url": gateway_url} if gateway_url else {}))
        _update(client, name, _with_talkative(packages[name]), "talkative.handler", environment | more)

    def restore(name: str) -> None:
        _, handler, environment = before[name]
        _update(client, name, packages[name], handler, environment)

    with ThreadPoolExecutor(len(before)) as pool:
        try:
            list(pool.map(change, before))
            put_into_service(stack, functions)
            yield
        finally:
            list(pool.map(restore, before))
            put_into_service(stack, functions)


def _with_talkative(package: bytes) -> bytes:
    changed = io.BytesIO(package)
    with zipfile.ZipFile(changed, "a") as archive:
        archive.write(Path(__file__).with_name("talkative.py"), "talkative.py")
    return changed.getvalue()


def _update(client: Any, name: str, package: bytes, handler: str, environment: dict[str, str]) -> None:
    client.update_function_code(FunctionName=name, ZipFile=package)
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    client.update_function_configuration(FunctionName=name, Handler=handler, Environment={"Variables": environment})
    client.get_waiter("function_updated_v2").wait(FunctionName=name)

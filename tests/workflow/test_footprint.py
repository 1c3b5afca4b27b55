"""Compares the cost model's assumptions about a captured payment with payments that run."""

import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import cache
from math import ceil
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils

from client import seal
from functions.shared import runtime
from functions.shared.runtime import factories
from functions.status.handler import handler as status
from tests.mocked_aws import new_id
from tests.samples import CARD_DATA
from tests.workflow.conftest import FACTORIES, Workflow
from tools.estimates import footprint

OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
LOG_EVENT_BYTES = 26  # which CloudWatch Logs adds to the size of each event
TRACE_ID_BYTES = 75  # which Lambda adds to each line

Item = dict[str, Any]


class Requests:
    """The calls by function, and the items written, in order."""

    def __init__(self, workflow: Workflow) -> None:
        self.calls: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.items: list[Item] = []
        self._workflow = workflow

    def remember(self, params: dict[str, Any], model: Any, **_: object) -> None:
        action = f"{model.service_model.endpoint_prefix}:{model.name}"
        self.calls[self._workflow.invocations[-1]][action] += 1
        puts = [params] if action == "dynamodb:PutItem" else [write["Put"] for write in params.get("TransactItems", [])]
        self.items += [put["Item"] for put in puts]

    def forget(self) -> None:
        self.calls.clear()
        self.items.clear()


@pytest.fixture
def requests(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> Iterator[Requests]:
    """Let every client of the functions record its requests."""
    requests, make = Requests(workflow), factories._client.__wrapped__

    @cache
    def client(service: str) -> Any:
        new_client = make(service)
        new_client.meta.events.register("provide-client-params.*.*", requests.remember)
        return new_client

    monkeypatch.setattr(factories, "_client", client)
    for factory in FACTORIES:
        factory.cache_clear()
    yield requests
    for factory in FACTORIES:
        factory.cache_clear()


@pytest.fixture
def pay_sealed(workflow: Workflow) -> Callable[[], str]:
    """Pay with a card that is sealed to the payment's key, and return the payment's id."""

    def pay() -> str:
        payment_id = new_id()
        issued = workflow.issue_key(payment_id)
        card = seal(CARD_DATA, payment_id, issued)
        order = {"merchant_reference": "order-1001", "description": "Two tickets"}
        caller = "arn:aws:sts::123456789012:assumed-role/payments-caller"
        execution = workflow.run(payment_id, card_data=card, save_card=True, caller=caller, **order)
        assert execution.ended_as == "captured"
        return payment_id

    return pay


def assert_written_as_priced(items: list[Item], priced: list[footprint.Write]) -> None:
    assert [item["sk"]["S"] for item in items] == [write.sk for write in priced]
    assert ["account_day" in item for item in items] == [write.account_day is not None for write in priced]
    for item, write in zip(items, priced, strict=True):
        size = footprint.item_bytes(item)
        assert ceil(size / 1024) == ceil(write.size / 1024), write.sk
        assert size == pytest.approx(write.size, rel=0.2), write.sk


def test_a_captured_payment_takes_the_priced_path(workflow: Workflow) -> None:
    execution = workflow.run()
    assert execution.states == [name for name, _ in footprint.happy_path()]
    assert len(execution.history) == footprint.history_events()


def test_each_function_makes_exactly_the_priced_calls(requests: Requests, pay_sealed: Callable[[], str]) -> None:
    pay_sealed()
    assert requests.calls["charge"].pop("secretsmanager:GetSecretValue") == 1
    priced = {function: footprint.CALLS[function] for function in footprint.runs()}
    assert requests.calls == priced
    requests.forget()
    pay_sealed()
    assert requests.calls == priced


def test_a_payments_writes_are_as_priced(requests: Requests, pay_sealed: Callable[[], str]) -> None:
    pay_sealed()
    put = [write for write in footprint.captured_writes() if write.sk and not write.pk.startswith("VELOCITY#")]
    assert_written_as_priced(requests.items, put)


def test_a_poll_makes_exactly_the_priced_calls(
    workflow: Workflow, requests: Requests, monkeypatch: pytest.MonkeyPatch, pay_sealed: Callable[[], str]
) -> None:
    def poll(payment_id: str, counted_as: str) -> str:
        workflow.invocations.append(counted_as)
        return str(json.loads(status({"pathParameters": {"payment_id": payment_id}}, None)["body"])["status"])

    def invoke(parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
        function = parameters["FunctionName"].rpartition(":")[2]
        if function == "charge":
            payment_id = json.loads(parameters["Payload"])["payment_id"]
            assert poll(payment_id, "status") == "processing"
        return workflow.invoke(parameters, **more)

    monkeypatch.setattr(lambda_eval_utils, "_invoke_lambda_function", invoke)
    payment_id = pay_sealed()
    assert poll(payment_id, "status_recorded") == "captured"
    for polled in ("status", "status_recorded"):
        assert requests.calls[polled] == footprint.CALLS[polled]


def test_a_line_of_the_settlement_report_makes_the_priced_calls_and_writes(
    workflow: Workflow, requests: Requests, monkeypatch: pytest.MonkeyPatch, pay_sealed: Callable[[], str]
) -> None:
    today = datetime.now(UTC)
    in_three_days = (today + timedelta(days=3)).strftime("%Y-%m-%dT02:00:00.000Z")

    def reconcile() -> Counter[str]:
        """The requests about the table's payments; all others are per day, or per hundreds of payments."""
        requests.forget()
        with monkeypatch.context() as patch:
            patch.setattr(runtime, "now", lambda: in_three_days)
            workflow.reconcile(today.date().isoformat())
        return Counter({action: requests.calls["reconcile"][action] for action in footprint.CALLS["reconcile"]})

    reconcile()  # payments of other tests
    without = reconcile()
    paid = [pay_sealed() for _ in range(3)]
    assert reconcile() - without == Counter({action: 3 * n for action, n in footprint.CALLS["reconcile"].items()})
    of_the_first = [item for item in requests.items if item["pk"]["S"] == f"PAYMENT#{paid[0]}"]
    assert_written_as_priced(of_the_first, list(footprint.settled_writes()))


def test_functions_log_as_much_as_is_priced(
    workflow: Workflow, requests: Requests, monkeypatch: pytest.MonkeyPatch, pay_sealed: Callable[[], str]
) -> None:
    logged, invoke = dict[str, int](), workflow.invoke

    def invoke_and_read_the_log(**call: Any) -> dict[str, Any]:
        log = io.StringIO()
        with redirect_stdout(log), monkeypatch.context() as patch:
            patch.setattr(runtime.logger.registered_handler, "stream", log)
            answer = invoke(**call)
        lines = log.getvalue().splitlines()
        own = sum("_aws" not in line for line in lines)
        size = sum(len(line.encode()) + LOG_EVENT_BYTES for line in lines) + own * TRACE_ID_BYTES
        logged[workflow.invocations[-1]] = size  # of its last run, if it was repeated
        return answer

    monkeypatch.setattr(lambda_eval_utils, "_invoke_lambda_function", invoke_and_read_the_log)
    pay_sealed()
    for function in footprint.runs():
        assert footprint.LOGGED_BYTES[function] == pytest.approx(logged[function], rel=0.15), function

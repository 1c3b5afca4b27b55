"""Runs the state machine in moto's interpreter, with the real handlers, on a mocked account and the Sparkle sandbox."""

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.credentials import StateCredentials
from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackEndpoint, CallbackOutcomeTimedOut
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.ports import RecordedPayment
from functions.shared.runtime import factories
from tests.balances import balances
from tests.mocked_aws import API_KEY, AUTHORIZATION, EPHEMERAL_TABLE, ROLE_ARN, MockedAws, mocked_aws, new_id
from tests.samples import CARD_DATA, PAN, configured
from tests.sandbox import running_sandbox
from tests.workflow.definition import render

FACTORIES = (
    runtime.card_cipher,
    runtime.token_mac,
    runtime.ledger,
    runtime.books_mac,
    runtime.books,
    runtime.breaks,
    runtime.card_vault,
    runtime.held_cards,
    runtime.customer_waits,
    runtime.ephemeral_cipher,
    runtime.sealing_keys,
    runtime.card_opener,
    runtime.velocity_counter,
    runtime.executions,
    runtime.operation_executions,
    runtime.gateways,
    factories._client,
)
DEADLINE_SECONDS = 30
wait_for_answer = CallbackEndpoint.wait
# moto parses a definition when it is created and before each execution, and a path whenever it is followed.
AmazonStateLanguageParser.parse = cache(AmazonStateLanguageParser.parse)
json_path.parse = cache(json_path.parse)


@dataclass(frozen=True)
class Execution:
    """An execution that has ended; `name` is the payment's or the operation's id."""

    name: str
    status: str
    error: str | None
    cause: str | None
    output: dict[str, Any] | None
    history: list[dict[str, Any]]

    @property
    def states(self) -> list[str]:
        """The states that the execution passed through."""
        entered = (event.get("stateEnteredEventDetails") for event in self.history)
        return [details["name"] for details in entered if details]

    @property
    def card(self) -> CardSummary:
        """The card that it has stored."""
        assert self.output
        return CardSummary.from_dict(self.output["card"])

    @property
    def ended_in(self) -> str:
        return self.states[-1]

    @property
    def ended_as(self) -> str:
        """The payment's status in the output, or the state that failed the execution."""
        return str(self.output["status"]) if self.output and "status" in self.output else self.ended_in


def by(pan: str = PAN, **changes: str) -> dict[str, Any]:
    """A request's card."""
    return {"card_data": CARD_DATA | {"card_number": pan} | changes}


@dataclass
class Workflow:
    """Starts payments and reports their outcomes."""

    aws: MockedAws
    state_machine_arns: dict[str, str]
    sandbox_url: str
    waits: list[float]
    invocations: list[str] = field(default_factory=list)
    lambda_errors: dict[str, list[str]] = field(default_factory=dict)
    """The errors of each function's next invocations, raised after the function has done its work."""
    then: dict[str, Callable[[str], object]] = field(default_factory=dict)
    """What happens right after a function's next invocation, to the payment with this id."""

    def run(self, payment_id: str | None = None, **request: Any) -> Execution:
        """Run a payment to its end: 19.99 USD with an approved card, unless the request says otherwise.

        None removes a field.
        """
        body = {"amount_minor": 1999, "currency": "USD", "card_data": CARD_DATA} | request
        return self._execute(payment_id or new_id(), {name: value for name, value in body.items() if value is not None})

    def issue_key(self, payment_id: str) -> dict[str, Any]:
        """The answer of POST /keys, from the function as API Gateway calls it."""
        event = {"headers": {"Idempotency-Key": payment_id}, "body": None, "requestContext": {"path": "/v1/keys"}}
        call = {"FunctionName": "issue_key", "Payload": json.dumps(event)}
        nobody = StateCredentials(ROLE_ARN)
        answer = lambda_eval_utils._invoke_lambda_function(parameters=call, region="", state_credentials=nobody)
        issued: dict[str, Any] = json.loads(answer["Payload"]["body"])
        return issued

    def reconcile(self, day: str) -> Execution:
        """Run what the schedule starts."""
        return self._execute(new_id(), {"day": day, "cursor": None}, "reconcile")

    def store(self, key: str | None = None, **request: Any) -> Execution:
        """Run what POST /cards starts."""
        self._forget_executions()  # of an EXPRESS state machine, several may have one name
        return self._execute(key or new_id(), {"card_data": CARD_DATA} | request, "store_card")

    def operate(self, payment_id: str, operation: str, operation_id: str | None = None, **more: Any) -> Execution:
        """Run what POST /payments/{payment_id}/refunds and the like start."""
        body = {"operation": operation, "payment_id": payment_id} | more
        return self._execute(operation_id or new_id(), body, "operation")

    def _execute(self, name: str, body: dict[str, Any], machine: str = "payment") -> Execution:
        arn = self.aws.stepfunctions.start_execution(
            stateMachineArn=self.state_machine_arns[machine], name=name, input=json.dumps(body)
        )["executionArn"]
        answer = self.aws.stepfunctions.describe_execution(executionArn=arn)
        assert answer["status"] != "RUNNING", "The execution does not end."
        history = self.aws.stepfunctions.get_execution_history(executionArn=arn)["events"]
        return Execution(
            name,
            answer["status"],
            answer.get("error"),
            answer.get("cause"),
            json.loads(answer["output"]) if "output" in answer else None,
            [dict(event) for event in history],
        )

    def break_next(self, operation: str, fault: str, payment_id: str, *, times: int = 1, seconds: float = 0) -> None:
        body = {"operation": operation, "fault": fault, "reference": payment_id, "times": times, "seconds": seconds}
        requests.post(
            f"{self.sandbox_url}/sandbox/faults", json=body, headers=AUTHORIZATION, timeout=5
        ).raise_for_status()

    def at_the_gateway(self, payment_id: str, move: str, **body: int) -> None:
        """Do what merchants do in their gateway's dashboard, or let the authorization expire."""
        (charge,) = self._of(payment_id, "charges")
        door = "sandbox" if move == "expire" else "v1"
        self._post(f"/{door}/charges/{charge['id']}/{move}", body)

    def end_refunds(self, execution: Execution, end: str) -> None:
        """Let the payment's refunds `succeed` or `fail`."""
        (charge,) = self.charges(execution)
        for refund in charge["refunds"]:
            self._post(f"/sandbox/refunds/{refund['id']}/{end}", {})

    def answer_challenge(self, payment_id: str, outcome: str) -> None:
        """Have the customer `approve` or `fail` the challenge of the payment's charge."""
        (charge,) = self._of(payment_id, "charges")
        self._post(f"/sandbox/charges/{charge['id']}/challenge", {"outcome": outcome})

    def stop(self, payment_id: str) -> None:
        """Stop the payment's execution."""
        arn = self.state_machine_arns["payment"].replace(":stateMachine:", ":execution:")
        self.aws.stepfunctions.stop_execution(executionArn=f"{arn}:{payment_id}")

    def reverse(self, execution: Execution) -> None:
        """Let the gateway reverse the payment's charge without our request."""
        self._post("/v1/reversals", {"reference": execution.name})

    def _post(self, path: str, body: dict[str, Any]) -> None:
        headers = AUTHORIZATION | {"Idempotency-Key": new_id()}
        requests.post(f"{self.sandbox_url}{path}", json=body, headers=headers, timeout=5).raise_for_status()

    def books_are_the_gateways(self, execution: Execution) -> tuple[str, int]:
        """The payment's status and the gateway's amounts. The ledger must agree with both."""
        (charge,) = self.charges(execution)
        recorded, net = self.record_of(execution), charge["captured_minor"] - charge["refunded_minor"]
        totals = balances(recorded.journal)
        assert totals == ({("asset:gateway:sparkle", "USD"): net, ("liability:merchant", "USD"): -net} if net else {})
        assert (recorded.payment.status, recorded.payment.captured_minor) == (
            charge["status"],
            charge["captured_minor"],
        )
        return charge["status"], net

    def forget(self, payment_id: str) -> None:
        """Let the gateway forget the payment, and Step Functions every execution, as both do after a while; and so does
        DynamoDB what the payment had only until it ended."""
        self._forget_executions()
        self.aws.dynamodb.delete_item(TableName=EPHEMERAL_TABLE, Key={"payment_id": {"S": payment_id}})
        requests.post(
            f"{self.sandbox_url}/sandbox/forget", json={"reference": payment_id}, headers=AUTHORIZATION, timeout=5
        ).raise_for_status()

    def _forget_executions(self) -> None:
        region = self.aws.stepfunctions.meta.region_name
        for state_machine in stepfunctions_parser_backends[DEFAULT_ACCOUNT_ID][region].state_machines:
            state_machine.executions.clear()

    def recorded(self, execution: Execution) -> RecordedPayment | None:
        return runtime.ledger().find(execution.name)

    def record_of(self, execution: Execution) -> RecordedPayment:
        recorded = self.recorded(execution)
        assert recorded is not None
        return recorded

    def charges(self, execution: Execution) -> list[dict[str, Any]]:
        """The gateway's charges for this payment."""
        return self._of(execution.name, "charges")

    def gateway_calls(self, execution: Execution) -> list[dict[str, Any]]:
        """The gateway's request log for this payment."""
        return self._of(execution.name, "requests")

    def _of(self, payment_id: str, kind: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.sandbox_url}/sandbox/{kind}", headers=AUTHORIZATION, timeout=5).json()
        return [item for item in answer[kind] if item["reference"] == payment_id]

    def invoke(self, parameters: dict[str, Any], region: str, state_credentials: object) -> dict[str, Any]:
        """Lambda's Invoke, in this process: an exception's class name is its error type."""
        function = parameters["FunctionName"].rpartition(":")[2]
        handler = importlib.import_module(f"functions.{function}.handler").handler
        self.invocations.append(function)
        try:
            payload = handler(json.loads(parameters["Payload"]), None)
        except Exception as error:
            return _failed(type(error).__name__, str(error))
        if function in self.then:
            self.then.pop(function)(json.loads(parameters["Payload"])["payment_id"])
        if self.lambda_errors.get(function):
            return _failed(self.lambda_errors[function].pop(0), "")
        return {"StatusCode": 200, "Payload": json.loads(json.dumps(payload))}


def answered_or_too_late(endpoint: CallbackEndpoint, timeout: float | None = None) -> Any:
    """The answer to a state that waits for one. Who answers, or stops the execution, does it right after the state's
    call (`Workflow.then`); for everybody else the time is over at once."""
    if endpoint.get_outcome() is None and not endpoint._notify_event.is_set():
        return CallbackOutcomeTimedOut(endpoint.callback_id)
    return wait_for_answer(endpoint, timeout)


def execute_to_the_end(worker: ExecutionWorker) -> None:
    """Run an execution while its start waits, so that nobody has to ask whether it has ended."""
    thread = Thread(target=worker._execution_logic, daemon=True)
    thread.start()
    thread.join(DEADLINE_SECONDS)


def _failed(error: str, message: str) -> dict[str, Any]:
    return {
        "StatusCode": 200,
        "FunctionError": "Unhandled",
        "Payload": {"errorType": error, "errorMessage": message},
    }


@pytest.fixture(scope="module")
def aws() -> Iterator[MockedAws]:
    with mocked_aws() as account:
        yield account


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with running_sandbox(API_KEY) as url:
        yield url


@pytest.fixture(scope="module")
def state_machine_arns(aws: MockedAws) -> dict[str, str]:
    create = aws.stepfunctions.create_state_machine
    return {
        machine: create(name=machine, definition=render(machine), roleArn=ROLE_ARN)["stateMachineArn"]
        for machine in ("payment", "store_card", "operation", "reconcile")
    }


@pytest.fixture(scope="module")
def warm_runtime(aws: MockedAws, sandbox_url: str, state_machine_arns: dict[str, str]) -> Iterator[None]:
    """The functions' environment. Their adapters are created once, as in a function that stays warm."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws.environment().items():
            patch.setenv(name, value)
        patch.setenv("GATEWAYS", configured(sandbox_url))
        patch.setenv("STATE_MACHINE_ARN", state_machine_arns["payment"])
        patch.setenv("OPERATION_STATE_MACHINE_ARN", state_machine_arns["operation"])
        for factory in FACTORIES:
            factory.cache_clear()
        yield
        for factory in FACTORIES:
            factory.cache_clear()


@pytest.fixture
def workflow(
    aws: MockedAws,
    sandbox_url: str,
    state_machine_arns: dict[str, str],
    warm_runtime: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Workflow:
    waits: list[float] = []
    workflow = Workflow(aws, state_machine_arns, sandbox_url, waits)
    monkeypatch.setattr(lambda_eval_utils, "_invoke_lambda_function", workflow.invoke)
    monkeypatch.setattr(ExecutionWorker, "start", execute_to_the_end)
    monkeypatch.setattr(CallbackEndpoint, "wait", answered_or_too_late)
    monkeypatch.setattr(retrier_decl, "time", SimpleNamespace(sleep=waits.append))
    return workflow


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, Exception], None]:
    """From now on, make one method of one of the runtime's adapters raise an error."""

    def fail(port: str, method: str, error: Exception) -> None:
        adapter = getattr(runtime, port)()

        def raise_error(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(adapter, method, raise_error)

    return fail

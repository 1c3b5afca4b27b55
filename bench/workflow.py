"""Measures payments through the state machine, and compares them with state machines of simpler functions."""

import io
import json
import re
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from threading import local
from typing import Any

import requests

from bench.measure import Chart, Count, Curve, Row, Samples, Section, Target, interleaved
from client import CardData, PaymentsClient
from client.transport import SigV4
from tools.deployment.polling import has_ended, wait_for
from tools.deployment.stack import Stack, new_payment_id
from tools.estimates import footprint

WHY_CALLED = {
    "states StartExecution": "API Gateway starts the payment itself, without a function",
    "lambda Invoke": "a function a state: each may do less than one for all of them could",
    "kms Decrypt": "Tokenize and Encrypt each open the sealed card with the payment's own key, so that no state has it"
    " open; Charge decrypts it",
    "kms GenerateMac": "fingerprint and token are keyed hashes whose key is in no memory",
    "kms Encrypt": "the tables hold the card as ciphertext, and no state holds it",
    "dynamodb UpdateItem": "the payment is counted by card, reference, BIN, caller and what is shown of the card; its "
    "card is held, and erased with its key",
    "dynamodb GetItem": "Tokenize and Encrypt each read the payment's own key, Charge and Persist the held card",
    "dynamodb Query": "the card's velocity of the last day is looked at after that, never too little",
    "dynamodb BatchGetItem": "Screen looks at what came by the reference, the BIN and the rest in the hour before; "
    "Charge asks the books whether they know the payment, before it asks the gateway",
    "dynamodb TransactWriteItems": "the payment, its entry, the entry's postings and the card: all or nothing",
    "gateway charge": "the money",
}


def needed_calls() -> Counter[str]:
    """Return the minimum number of calls for a captured payment with a sealed card and warm functions, as in the cost
    model.

    It leaves out the gateway's secret, which each process reads every five minutes and not per payment.
    """
    functions = footprint.functions()
    needed = Counter({"states StartExecution": 1, "lambda Invoke": len(functions), "gateway charge": 1})
    for function in functions:
        for call, times in footprint.CALLS[function].items():
            needed[call.replace(":", " ")] += times
    return needed


_FUNCTION = re.compile(r"(arn:[\w-]+:lambda:[\w-]+:\d+:function:)([\w-]+)-(\w+)(:\d+)?")
_POLL_SECONDS = 0.01
_TIMEOUT_SECONDS = 300
# CloudTrail's name of API Gateway, when it calls an action itself.
_API_GATEWAY = "BackplaneAssumeRoleSession"


@dataclass(frozen=True)
class Workflow:
    """Runs a state machine of a stack, or its alias `live`. Safe to share between threads."""

    stack: Stack
    arn: str

    @cached_property
    def _states(self) -> Any:
        # Enough connections for all threads.
        from botocore.config import Config

        config = Config(max_pool_connections=100, retries={"total_max_attempts": 5, "mode": "standard"})
        return self.stack.session().client("stepfunctions", endpoint_url=self.stack.aws_endpoint_url, config=config)

    def start(self, request: dict[str, Any], payment_id: str) -> str:
        answer = self._states.start_execution(stateMachineArn=self.arn, name=payment_id, input=json.dumps(request))
        return str(answer["executionArn"])

    def run(self, request: dict[str, Any], payment_id: str, expected_seconds: float = 0.0) -> float:
        """Run an execution to its end, and return its duration in seconds by the service's own timestamps.

        Nothing polls the execution until most of the expected time has passed, since polling slows down what is
        measured.
        """
        arn = self.start(request, payment_id)
        time.sleep(0.8 * expected_seconds)
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while (execution := self.stack.describe_execution(arn))["status"] == "RUNNING":
            if time.monotonic() > deadline:
                raise RuntimeError(f"{arn} does not end")
            time.sleep(max(_POLL_SECONDS, 0.1 * expected_seconds))
        if execution["status"] != "SUCCEEDED":
            why = ", ".join(tasks_failed(self.events(payment_id)))
            raise RuntimeError(f"{arn} ended as {execution['status']}: {execution.get('error')} ({why})")
        return float((execution["stopDate"] - execution["startDate"]).total_seconds())

    def events(self, payment_id: str) -> list[dict[str, Any]]:
        machine = self.arn.removesuffix(":live")
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{payment_id}"
        pages = self._states.get_paginator("get_execution_history").paginate(executionArn=arn)
        return [event for page in pages for event in page["events"]]


@dataclass(frozen=True)
class PaymentRequests:
    """Makes payment requests, each with a new id and a card sealed for it."""

    stack: Stack

    @cached_property
    def _client(self) -> PaymentsClient:
        return self.stack.payments_client()

    def new(self) -> tuple[dict[str, Any], str]:
        payment_id = new_payment_id()
        card = CardData("3530111333300000", "12/30", "John Doe", "737")
        # The same input as the API's request template makes from a request.
        request = {"amount_minor": 1999, "currency": "USD", "merchant_reference": payment_id}
        request["caller"] = "arn:aws:sts::123456789012:assumed-role/payments-caller"
        return request | {"card_data": self._client.seal(card, payment_id), "save_card": True}, payment_id


def states_entered(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]


def tasks_failed(events: Sequence[dict[str, Any]]) -> Counter[str]:
    """Count the tasks' errors with their messages, whether or not a retry succeeded later."""
    details = (event.get("taskFailedEventDetails") or event.get("lambdaFunctionFailedEventDetails") for event in events)
    return Counter(f"{detail['error']} {_message(detail.get('cause', ''))}" for detail in details if detail)


def _message(cause: str) -> str:
    """Return the message of the exception that Lambda serialized as JSON; else the cause as it is."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause


def no_op_workflow(product: Workflow) -> Workflow:
    """Deploy the product's definition with functions that at once return the answers of the product's functions."""
    request, payment_id = PaymentRequests(product.stack).new()
    product.run(request, payment_id)
    answers = task_answers(product.events(payment_id))

    def package(function: str, states: Sequence[str]) -> dict[str, str]:
        answer = next((answers[state] for state in states if state in answers), None)
        return {"answer.py": f"ANSWER = {answer!r}\n\n\ndef handler(event, context):\n    return ANSWER\n"}

    return _deploy_copy(product, "nothing", "answer.handler", package)


def bare_workflow(product: Workflow, tasks: Mapping[str, Path]) -> Workflow:
    """Deploy the product's definition with functions that only make the product's calls to AWS and the gateway. They
    have the roles and the layer of the product's functions.
    """

    def package(function: str, states: Sequence[str]) -> dict[str, str]:
        task = tasks.get(function)
        if task is None:
            return {"bare.py": "def handler(event, context): ..."}
        recorded = json.loads(task.read_text())
        # Each function reads its secret every five minutes, not per payment.
        recorded["calls"] = [call for call in recorded["calls"] if call[1] != "GetSecretValue"]
        payment_id = recorded["event"]["payment_id"]
        # Each payment stores a card of its own: a card that is stored already would cancel the payment's transaction.
        token = (recorded["event"].get("card") or {}).get("token") or payment_id
        # What KMS decrypts is bound to the recorded payment.
        of_kms = {n: call for n, call in enumerate(recorded["calls"]) if call[0] == "kms"}
        calls = json.loads(json.dumps(recorded).replace(payment_id, "{payment_id}").replace(token, "tok_{payment_id}"))
        calls["calls"] = [of_kms.get(n, call) for n, call in enumerate(calls["calls"])]
        return {"bare.py": Path(__file__).with_name("bare.py").read_text(), "calls.json": json.dumps(calls)}

    return _deploy_copy(product, "bare", "bare.handler", package, same_roles_and_layers=True)


def expect_recorded(stack: Stack, payment_id: str) -> None:
    """Raises RuntimeError if the ledger lacks the payment: then the bare calls are too few to compare with."""
    if (status := stack.payment(payment_id).get("status")) != "captured":
        raise RuntimeError(f"The bare calls have not recorded payment {payment_id} as captured, but as {status}.")


def _deploy_copy(
    product: Workflow,
    name: str,
    handler: str,
    package: Callable[[str, Sequence[str]], dict[str, str]],
    same_roles_and_layers: bool = False,
) -> Workflow:
    """Deploy a copy of the product's state machine with other functions. `package` returns the files for a function and
    the states that call it."""
    stack = product.stack
    states, functions = stack.client("stepfunctions"), stack.client("lambda")
    product_machine = states.describe_state_machine(stateMachineArn=stack.state_machine_arn)
    role = _role(stack, f"bench-{name}")
    created: list[str] = []
    definitions: dict[str, Any] = json.loads(product_machine["definition"])["States"]
    callers: dict[tuple[str, str], list[str]] = {}
    for state, definition in definitions.items():
        if reference := _FUNCTION.search(json.dumps(definition)):
            callers.setdefault((reference[2], reference[3]), []).append(state)
    for (prefix, function), states_that_call in callers.items():
        created.append(f"bench-{name}-{function}")
        deployed = functions.get_function_configuration(FunctionName=f"{prefix}-{function}")
        layers: dict[str, Any] = {}
        if same_roles_and_layers:
            layers = {"Layers": [layer["Arn"] for layer in deployed["Layers"]]}
        functions.create_function(
            FunctionName=created[-1],
            Role=deployed["Role"] if same_roles_and_layers else role,
            Runtime=deployed["Runtime"],
            Handler=handler,
            Code={"ZipFile": _zipped(package(function, states_that_call))},
            Timeout=deployed["Timeout"],
            MemorySize=deployed["MemorySize"],
            **layers,
        )
    for function in created:
        functions.get_waiter("function_active_v2").wait(FunctionName=function)
    definition = _FUNCTION.sub(lambda match: f"{match[1]}bench-{name}-{match[3]}", product_machine["definition"])
    copy = states.create_state_machine(name=f"bench-{name}", definition=definition, roleArn=role)
    return Workflow(stack, copy["stateMachineArn"])


def _role(stack: Stack, name: str) -> str:
    """Create a role for the functions and the state machine."""
    iam = stack.client("iam")
    services = ["lambda.amazonaws.com", "states.amazonaws.com"]
    trust = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
    allow_invoke = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}

    def policy(statement: Any) -> str:
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    iam.put_role_policy(RoleName=name, PolicyName="invoke", PolicyDocument=policy(allow_invoke))
    return str(role["Role"]["Arn"])


def _zipped(files: dict[str, str]) -> bytes:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return package.getvalue()


def task_answers(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer of each state's function."""
    state, answers = "", {}
    for event in events:
        if "stateEnteredEventDetails" in event:
            state = event["stateEnteredEventDetails"]["name"]
        details = event.get("taskSucceededEventDetails") or event.get("lambdaFunctionSucceededEventDetails")
        if details:
            answers[state] = json.loads(details["output"])
    return answers


# -- Counts


def counted_calls(product: Workflow, payments: int) -> Section:
    """Make payments through the API, one after the other, and count the calls of API Gateway and of their functions."""
    stack, payment_requests = product.stack, PaymentRequests(product.stack)
    callers = [_API_GATEWAY, *map(stack.function_name, footprint.functions())]
    counts_by_payment: list[Counter[str]] = []
    entered: list[list[str]] = []
    _pay(stack, *payment_requests.new())  # warms the functions up, and lets them read the gateway's secret
    with _recorded_calls(stack):
        for _ in range(payments):
            request, payment_id = payment_requests.new()
            started_at = time.time()
            _pay(stack, request, payment_id)
            events = product.events(payment_id)
            calls = _calls_since(stack, started_at, callers)
            calls["lambda Invoke"] += len(task_answers(events)) + tasks_failed(events).total()
            calls["gateway charge"] += _gateway_calls(stack, payment_id)
            counts_by_payment.append(calls)
            entered.append(states_entered(events))
    # All payments should make the same calls. If some differ, show the highest count of each call.
    call_names = {name for calls in counts_by_payment for name in calls}
    highest = Counter({name: max(calls[name] for calls in counts_by_payment) for name in call_names})
    needed, happy_path = needed_calls(), [name for name, _ in footprint.happy_path()]
    names = sorted(needed | highest, key=[*WHY_CALLED, *highest].index)
    counts = [Count(name, highest[name], needed[name], WHY_CALLED.get(name, "nothing needs it")) for name in names]
    total = Count("all", highest.total(), needed.total(), "the calls above")
    longest = max(entered, key=len)
    states = Count("states entered", len(longest), len(happy_path), " → ".join(longest))
    other_paths = Count("payments that went another way", sum(path != happy_path for path in entered), 0)
    return Section(
        "AWS calls and transitions per captured payment",
        "what the design needs at least",
        counts=[*counts, total, states, other_paths],
        notes=(
            f"Counted on the running stack, over {payments} payments with sealed cards, warm. A payment with a test "
            "card in the clear needs two kms Decrypt and two dynamodb GetItem less. What AWS's services call for "
            "themselves (data keys, log delivery) is theirs.",
        ),
    )


def _pay(stack: Stack, request: dict[str, Any], payment_id: str) -> None:
    _post(stack, request, payment_id)
    arn = stack.execution_arn(payment_id)
    wait_for(lambda: stack.describe_execution(arn), _TIMEOUT_SECONDS, until=has_ended)


def _post(stack: Stack, request: dict[str, Any], payment_id: str) -> None:
    body = {name: value for name, value in request.items() if name != "caller"}  # the API adds it
    answer = stack.call("POST", "/payments", body, {"Idempotency-Key": payment_id})
    if answer.status_code != requests.codes.accepted:
        raise RuntimeError(f"POST /payments was answered {answer.status_code} {answer.text}")


@contextmanager
def _recorded_calls(stack: Stack) -> Iterator[None]:
    """Let the emulator record its calls as CloudTrail does."""
    stack.client("cloudtrail").lookup_events(MaxResults=1)  # imports the module, which must exist to be configured
    _switch_recording(stack, on=True)
    try:
        yield
    finally:
        _switch_recording(stack, on=False)


def _switch_recording(stack: Stack, *, on: bool) -> None:
    setting = {"cloudtrail._recording_enabled": str(on).lower()}
    credentials = stack.session().get_credentials()
    assert credentials
    url, signature = f"{stack.aws_endpoint_url}/_ministack/config", SigV4(credentials, stack.region)
    requests.post(url, json=setting, auth=signature, timeout=10).raise_for_status()


def _calls_since(stack: Stack, started_at: float, callers: Iterable[str]) -> Counter[str]:
    """Count these callers' calls by service and action."""
    trail = stack.client("cloudtrail")
    by_caller = [[{"AttributeKey": "Username", "AttributeValue": caller}] for caller in callers]
    return Counter(
        f"{event['EventSource'].removesuffix('.amazonaws.com')} {event['EventName']}"
        for named in by_caller
        for event in trail.lookup_events(LookupAttributes=named, StartTime=started_at)["Events"]
    )


def _gateway_calls(stack: Stack, payment_id: str) -> int:
    log = stack.sandbox("GET", "/sandbox/requests").json()["requests"]
    return sum(request["reference"] == payment_id for request in log)


# -- Times


def end_to_end(product: Workflow, no_op: Workflow, bare_calls: Workflow, rounds: int) -> Section:
    payment_requests = PaymentRequests(product.stack)

    def duration_ms(workflow: Workflow) -> Callable[[], float]:
        return lambda: 1000 * workflow.run(*payment_requests.new())

    request, payment_id = payment_requests.new()
    bare_calls.run(request, payment_id)
    expect_recorded(product.stack, payment_id)
    measured, floor, calls = interleaved(
        rounds, duration_ms(product), duration_ms(no_op), duration_ms(bare_calls), warm_up=3
    )
    p99 = [Samples((samples.percentile(99),)) for samples in (measured, floor, calls)]
    return Section(
        "End to end, one payment at a time",
        "the same state machine with functions that do nothing, on the same emulator",
        [
            Row("p50", "ms", measured, floor, Target("ratio", 1.5)),
            Row("p99", "ms", p99[0], p99[1]),
            Row("p50, against functions that make the bare calls", "ms", measured, calls, Target("ratio", 1.5)),
            Row("p99, against functions that make the bare calls", "ms", p99[0], p99[2]),
        ],
        notes=("From the execution's start to its end, as Step Functions has them. The gateway answers at once.",),
    )


def answered(stack: Stack, rounds: int) -> Section:
    """Measure the time from POST to the answer with the payment's final status, by a waiting request and by polling."""
    gateway_seconds = 0.4
    payment_requests, describe_calls = PaymentRequests(stack), {"waiting": list[float](), "polling": list[float]()}

    def ends_within(payment_id: str, wait_seconds: int) -> bool:
        """Return whether the payment has ended."""
        return bool(stack.payment(payment_id, wait_seconds).get("status", "processing") != "processing")

    def wait(payment_id: str) -> None:
        while not ends_within(payment_id, 20):
            pass

    def poll(payment_id: str) -> None:
        pause = 0.1
        while not ends_within(payment_id, 0):
            time.sleep(pause)
            pause = min(1.5 * pause, 2.0)

    def pay(method: str, follow: Callable[[str], None]) -> Callable[[], float]:
        def measure() -> float:
            request, payment_id = payment_requests.new()
            fault = {"operation": "charge", "fault": "slow", "seconds": gateway_seconds, "reference": payment_id}
            stack.sandbox("POST", "/sandbox/faults", json=fault).raise_for_status()
            started_at, started = time.time(), time.perf_counter()
            _post(stack, request, payment_id)
            follow(payment_id)
            duration_ms = 1000 * (time.perf_counter() - started)
            calls = _calls_since(stack, started_at, [stack.function_name("status")])
            describe_calls[method].append(calls["states DescribeExecution"])
            return duration_ms

        return measure

    with _recorded_calls(stack):
        waited, polled = interleaved(rounds, pay("waiting", wait), pay("polling", poll), warm_up=2)
    calls = [Samples(tuple(describe_calls[method][2:])) for method in ("waiting", "polling")]
    return Section(
        "From POST to the answer that says how the payment ended",
        "polling as the client did before: again after 0.1 s, 0.15 s and so on, up to 2 s",
        [
            Row("p50, GET with wait=20", "ms", waited, polled, Target("ratio", 1.1)),
            Row("p99, GET with wait=20", "ms", Samples((waited.percentile(99),)), Samples((polled.percentile(99),))),
            Row("DescribeExecution a payment", "calls", calls[0], calls[1], Target("value", 1.0)),
        ],
        notes=(
            f"The gateway answers after {gateway_seconds} s. One payment at a time, with a sealed card. There is no "
            "network in between: what a poll's way to AWS and back takes is not in it.",
        ),
    )


def throughput(
    product: Workflow, no_op: Workflow, bare_calls: Workflow, payments: dict[int, int], repeats: int
) -> Section:
    """Measure the throughput. `payments` maps the number of concurrent payments to the total number."""
    payment_requests = PaymentRequests(product.stack)
    rows: list[Row] = []
    medians_by_workflow: dict[str, list[float]] = {
        "the payment workflow": [],
        "the same states,\nfunctions that do nothing": [],
        "the same states,\nfunctions that make the\nbare calls to AWS and\nto the gateway": [],
    }
    batch: list[tuple[dict[str, Any], str]] = []

    def rate(workflow: Workflow, concurrency: int) -> Callable[[], float]:
        def measure() -> float:
            batch[:] = [payment_requests.new() for _ in range(payments[concurrency])]
            return _payments_per_second(workflow, batch, concurrency)

        return measure

    for concurrency in payments:
        # The warm-up round starts the functions' processes: as many as concurrent calls need.
        rates = interleaved(repeats, *(rate(each, concurrency) for each in (no_op, bare_calls, product)), warm_up=1)
        floor, calls, measured = rates
        for medians, samples in zip(medians_by_workflow.values(), (measured, floor, calls), strict=True):
            medians.append(samples.median)
        target = Target("ratio", 0.6, at_least=True)
        rows.append(Row(f"{concurrency} at once", "payments/s", measured, floor, target))
        rows.append(Row(f"{concurrency} at once, against the bare calls", "payments/s", measured, calls, target))
    failed = sum((tasks_failed(product.events(payment_id)) for _, payment_id in batch), Counter[str]())
    conflicts = sum(count for error, count in failed.items() if "Conflict" in error)
    last = f"of the last {len(batch)} payments, {max(payments)} at once"
    curves = [Curve(name, list(payments), y) for name, y in medians_by_workflow.items()]
    return Section(
        "Throughput",
        "the same state machine with functions that do nothing, on the same emulator",
        rows,
        [Count(f"conflicts {last}", conflicts, 0, "no two payments write the same item in a transaction")],
        notes=(
            f"Of the tasks {last}, {failed.total()} had to be tried again{': ' * bool(failed)}{', '.join(failed)}.",
            "Payments made, divided by the seconds until the last was over: "
            + ", ".join(f"{count} payments for {concurrency} at once" for concurrency, count in payments.items())
            + ".",
        ),
        charts=[
            Chart(
                "throughput",
                "How many payments end in a second, on the local stack",
                "payments under way at once",
                "payments that end in a second",
                curves,
                log_x=True,
            ),
        ],
    )


def _payments_per_second(workflow: Workflow, batch: Sequence[tuple[dict[str, Any], str]], concurrency: int) -> float:
    expected = local()

    def run(payment: tuple[dict[str, Any], str]) -> None:
        expected.seconds = workflow.run(*payment, expected_seconds=getattr(expected, "seconds", 0.0))

    started = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(run, batch))
    return len(batch) / (time.perf_counter() - started)


def drift(product: Workflow, no_op: Workflow, payments: int) -> Section:
    """Measure whether the last of many payments take longer than the first."""
    payment_requests = PaymentRequests(product.stack)
    tenth, concurrency = payments // 10, 8
    workflows = {"payments": product, "do nothing": no_op}
    tenths: dict[str, list[Samples]] = {name: [] for name in workflows}
    for workflow in workflows.values():  # starts the processes before the first tenth
        _durations_ms(workflow, [payment_requests.new() for _ in range(4 * concurrency)], concurrency)
    for _ in range(10):
        for name, workflow in workflows.items():
            batch = [payment_requests.new() for _ in range(tenth)]
            tenths[name].append(Samples(tuple(_durations_ms(workflow, batch, concurrency))))
    rows = [
        Row(f"{name}: p50 of the last tenth, against the first", "ms", parts[-1], parts[0], target)
        for (name, parts), target in zip(tenths.items(), (Target("ratio", 1.1), None), strict=True)
    ]
    x = [(n + 0.5) * tenth for n in range(10)]
    curves = [Curve(name, x, [part.median for part in parts]) for name, parts in tenths.items()]
    return Section(
        f"{payments:,} payments",
        "the first tenth",
        rows,
        notes=(
            f"{concurrency} at a time; as many that do nothing, a tenth of these after each tenth of those: what grows "
            "there is the emulator, which keeps every execution.",
        ),
        charts=[
            Chart(
                "latency",
                f"Whether a payment takes longer after {payments:,} others",
                "payments made before",
                "median time of a payment, ms",
                curves,
            )
        ],
    )


def _durations_ms(workflow: Workflow, batch: Sequence[tuple[dict[str, Any], str]], concurrency: int) -> list[float]:
    expected: list[float] = [0.0]

    def run(payment: tuple[dict[str, Any], str]) -> float:
        seconds = workflow.run(*payment, expected_seconds=median(expected[-20:]))
        expected.append(seconds)
        return 1000 * seconds

    with ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(run, batch))

"""The stack of the fault matrix, and a bench that injects faults into a payment or an operation, starts it, and
observes its end."""

import io
import json
import re
import socket
import subprocess
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import requests

from client import seal
from functions.shared.adapters.table.items import unmarshal
from functions.shared.domain.operation import OperationType
from functions.shared.domain.payment import Status
from functions.shared.domain.shapes import is_id
from tests.gateways import changed_gateways
from tests.redeployment import put_into_service
from tests.samples import CHALLENGED_PAN, SECURITY_CODE
from tests.stack.driver import CARD_DATA, Driver
from tools.deployment.paths import BUILD
from tools.deployment.polling import has_ended, wait_for
from tools.deployment.stack import Stack, new_payment_id
from tools.local.machine import Machine

HOME = BUILD / "fault-stack"
ORDERS = HOME / "orders"
FUNCTIONS = (
    *("Tokenize", "Screen", "Encrypt", "Charge", "AwaitCustomer", "Confirm", "Persist", "Compensate"),
    *("Verify", "Keep"),
    *("Reserve", "Perform", "Settle"),
    "Resolve",
)
# Shorter than in a deployment, since many of these timeouts expire here.
FUNCTION_TIMEOUT_SECONDS = 8
GATEWAY_TIMEOUT_SECONDS = 1
# State machines wait and back off a hundredth of their time: a doubt is looked into after 3 seconds, then after 36.
WAIT_SCALE = "0.01"
PATIENCE_SECONDS = 180
LOOKS_AT_ONCE = 4
TRIES = 3
ALWAYS = 1000

# An operation's id is its payment's id plus this suffix, so that each can be derived from the other.
OPERATION = "-operation"
# The body of each operation's request, on a payment of 19.99 in a suitable status.
REQUESTS: dict[OperationType, dict[str, int]] = {"refund": {"amount_minor": 500}, "capture": {}, "void": {}}
ENDS = {"OperationSucceeded": "succeeded", "OperationRejected": "rejected", "OperationPending": "pending"}
# What happens in the gateway's dashboard: the path to call, and the body.
DASHBOARD_CALLS: dict[str, tuple[str, dict[str, int]]] = {
    "refunded": ("/v1/charges/{}/refunds", {}),
    "captured": ("/v1/charges/{}/capture", {"amount_minor": 600}),
    "voided": ("/v1/charges/{}/void", {}),
    "expired": ("/sandbox/charges/{}/expire", {}),
}


Operation = OperationType | Literal["store"]
"""What a case is about, other than a payment: an operation on one, or a card that is stored without any."""

DASHBOARD = "dashboard"
CUSTOMER = "customer"
RULES = "rules"
STORED_BEFORE = "stored before"
DENIED_CURRENCY = "KPW"
"""A payment in it is denied by one of the rules."""


class MetNothing(AssertionError):
    """The fault never struck, so the case proves nothing."""


class Order(NamedTuple):
    """A fault to inject into a state's function or into a call of the gateway (`gateway charge`), or a move in its
    `dashboard` that happens at once; or that the `rules` deny the payment; or that the card is `stored before`; or what
    the `customer` does whom the issuer asks: `approves`, `leaves`, `can't be asked`, or `has approved`, after which
    the faults begin."""

    where: str
    fault: str
    times: str = "always"


class Outcome(NamedTuple):
    """The outcome of a payment or an operation: its status during the fault, its status afterwards, and the gateway's
    charges."""

    status: str
    settled: str
    charges: tuple[str, ...]

    def __str__(self) -> str:
        way = self.settled if self.settled == self.status else f"{self.status} → {self.settled}"
        if self.settled == "declined" and self.charges:
            return f"{way}, not authenticated"
        return way if self.charges or self.settled != "reversed" else f"{way}, never charged"


@contextmanager
def running() -> Iterator[Stack]:
    """Run the stack with `microburst` between its functions and the emulator, and with the injector in the
    functions."""
    emulator_port, proxy_port = _free_port(), _free_port()
    environment = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy_port}", "SFN_WAIT_SCALE": WAIT_SCALE}
    machine = Machine(
        home=HOME,
        stack_file=HOME / "stack.json",
        ports={"emulator": emulator_port},
        usual_ports=False,
        emulator_environment=environment,
    )
    machine.down()
    ORDERS.mkdir(parents=True, exist_ok=True)
    for file in ORDERS.iterdir():
        file.unlink()
    rules = Path(__file__).with_name("aws.yml")
    arguments = ["--port", str(proxy_port), "--upstream", f"http://127.0.0.1:{emulator_port}", "--config", str(rules)]
    with (HOME / "microburst.log").open("w") as log:
        proxy = subprocess.Popen([sys.executable, "-m", "tests.faults.proxy", *arguments], stdout=log, stderr=log)  # noqa: S603
    try:
        stack = machine.up(print)
        with ThreadPoolExecutor(len(FUNCTIONS)) as pool:
            list(pool.map(lambda state: _inject(stack, state), FUNCTIONS))
        put_into_service(stack, [function_of(state) for state in FUNCTIONS])
        _warm_up(stack, environment["AWS_ENDPOINT_URL"])
        yield stack
    finally:
        machine.down()
        proxy.terminate()
        proxy.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _inject(stack: Stack, state: str) -> None:
    client, name = stack.client("lambda"), stack.function_name(function_of(state))
    deployed = client.get_function(FunctionName=name)
    package = io.BytesIO(requests.get(deployed["Code"]["Location"], timeout=30).content)
    with zipfile.ZipFile(package, "a") as archive:
        archive.write(Path(__file__).with_name("injector.py"), "injector.py")
    client.update_function_code(FunctionName=name, ZipFile=package.getvalue())
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    configuration = deployed["Configuration"]
    variables = configuration["Environment"]["Variables"] | {
        "INJECTED_HANDLER": configuration["Handler"],
        "INJECTED_STATE": state,
        "INJECTED_ORDERS": str(ORDERS),
    }
    timeouts = dict.fromkeys(("connect_timeout_seconds", "read_timeout_seconds"), GATEWAY_TIMEOUT_SECONDS)
    variables |= changed_gateways(variables, **timeouts)
    client.update_function_configuration(
        FunctionName=name,
        Handler="injector.handler",
        Timeout=FUNCTION_TIMEOUT_SECONDS,
        Environment={"Variables": variables},
    )
    client.get_waiter("function_updated_v2").wait(FunctionName=name)


def _warm_up(stack: Stack, proxy_url: str) -> None:
    """Do once what is slow the first time: the proxy loads each service's model, which outlasts the functions'
    timeouts, and the status function creates its clients, which on a busy machine takes longer than a doubt lasts."""
    session = stack.session()
    session.client("kms", endpoint_url=proxy_url).list_keys()
    session.client("dynamodb", endpoint_url=proxy_url).list_tables()
    session.client("secretsmanager", endpoint_url=proxy_url).list_secrets()
    session.client("stepfunctions", endpoint_url=proxy_url).list_state_machines()
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
        list(pool.map(stack.payment, [new_payment_id() for _ in range(3 * LOOKS_AT_ONCE)]))


class Bench:
    """Runs many payments at once, each with its own faults. Thread-safe."""

    def __init__(self, stack: Stack) -> None:
        self._driver = Driver(stack)
        self._stack = stack
        self.seen: defaultdict[str, list[Status]] = defaultdict(list)
        """The statuses that the ledger showed for each payment, in order."""

    # All threads share one client, which is thread-safe; creating one takes longer than a case's own calls.
    @cached_property
    def _states(self) -> Any:
        return self._stack.client("stepfunctions")

    @cached_property
    def _table(self) -> Any:
        return self._stack.client("dynamodb")

    def outcome(
        self, orders: Sequence[Order], resolving: bool = False, operation: Operation | None = None
    ) -> tuple[str, Outcome]:
        """Make a payment, perform an operation on one, or store a card, with these faults. Return the payment's id, or
        the key by which the card was stored, and the outcome.

        The last fault must strike, and end before the doubt can be resolved; with `resolving`, it strikes only while
        the doubt is resolved. On a busy machine a payment may end before the fault strikes: a function timed out, or
        the payment that was to be refunded was reversed. The case is then repeated with another payment.
        """
        for _ in range(TRIES - 1):
            with suppress(MetNothing):
                return self._outcome(orders, resolving, operation)
        return self._outcome(orders, resolving, operation)

    def _outcome(self, orders: Sequence[Order], resolving: bool, operation: Operation | None) -> tuple[str, Outcome]:
        if operation == "store":
            return self._stored(orders)
        payment_id, last = payment_to_operate_on(), orders[-1]
        name = f"{payment_id}{OPERATION}" if operation else payment_id
        if operation:
            self._driver.pay(payment_id, capture=operation == "refund")
            self.wait_for_end(payment_id)
        customer = next((order.fault for order in orders if order.where == CUSTOMER), "")
        if customer != "has approved":
            self.order_all(name, orders)
        if operation:
            self.ask_for(payment_id, operation)
        elif customer:
            self.start(
                payment_id,
                CHALLENGED_PAN,
                **({} if customer == "can't be asked" else {"return_url": "http://127.0.0.1/"}),
            )
            if "approve" in customer:
                self._approve(payment_id)
        else:
            is_denied = any(order.where == RULES for order in orders)
            self.start(payment_id, **({"currency": DENIED_CURRENCY} if is_denied else {}))
        if customer == "has approved":
            self.order_all(name, orders)
        self.wait_for_end(name)
        status = self._end(name) if operation else self.status(payment_id)
        if resolving:
            self.wait_until_struck(name, last)
        if not self.struck(name, last):
            raise MetNothing(f"{last}: {name} ended as {status}")
        self.cancel(name)
        settled = self.settled(name) if status in ("in_doubt", "pending") else status
        if last.fault == "stopped_during":
            status = settled  # either may have been first
        charges = tuple(charge["status"] for charge in self._driver.charges(payment_id))
        return payment_id, Outcome(status, settled, charges)

    def _stored(self, orders: Sequence[Order]) -> tuple[str, Outcome]:
        """Store a card, and ask again after the fault unless the first answer says that it is stored. If a card must be
        recalled, it was stored before."""
        key, last = payment_to_operate_on(), orders[-1]
        body = {"card_data": self._sealed(key), "verify": True}
        for order in orders:
            if order.where == STORED_BEFORE:
                assert self._store(key, body) == "stored"
            else:
                self.order(key, order)
        status = self._store(key, body)
        if not self.struck(key, last):
            raise MetNothing(f"{last}: {key} ended as {status}")
        self.cancel(key)
        return key, Outcome(status, status if status == "stored" else self._store(key, body), ())

    def _store(self, key: str, body: Any) -> str:
        _, answer = self._driver.post("/cards", body, key)
        return "stored" if answer.status_code == requests.codes.created else "not stored"

    def _sealed(self, key: str, card_number: str = CARD_DATA["card_number"]) -> str:
        issued = self._stack.call("POST", "/keys", headers={"Idempotency-Key": key})
        assert issued.status_code == requests.codes.created, issued.text
        return seal(CARD_DATA | {"card_number": card_number, "security_code": SECURITY_CODE}, key, issued.json())

    def _approve(self, payment_id: str) -> None:
        """Be a customer who approves as soon as the payment waits. If it ends before, there is nothing to approve."""
        answer = wait_for(
            lambda: self._stack.call("GET", f"/payments/{payment_id}").json(),
            PATIENCE_SECONDS,
            0.25,
            until=lambda payment: payment.get("status", "processing") != "processing",
        )
        if answer["status"] == "action_required":
            path = f"/sandbox/charges/{answer['charge_id']}/challenge"
            self._stack.sandbox("POST", path, json={"outcome": "approve"}).raise_for_status()

    def order_all(self, name: str, orders: Sequence[Order]) -> None:
        for order in orders:
            self.order(name, order)

    def order(self, name: str, order: Order) -> None:
        """Inject the fault. Here and below, the name is the id of a payment or an operation."""
        where, fault, times = order
        if where.startswith("gateway "):
            count = 1 if times == "once" else ALWAYS
            seconds = {"late": 15, "slow": 2 * GATEWAY_TIMEOUT_SECONDS}.get(fault, 3 * GATEWAY_TIMEOUT_SECONDS)
            operation = where.removeprefix("gateway ")
            self._driver.set_fault(payment_of(name), operation, fault, times=count, seconds=seconds)
        elif where == DASHBOARD:
            self._move(payment_of(name), fault)
            (ORDERS / f"{name}.struck").write_text(f"{where} {fault}")
        elif where not in (RULES, CUSTOMER):
            (ORDERS / f"{name}.{where}").write_text(f"{times} {fault}")

    def _move(self, payment_id: str, move: str) -> None:
        [charge] = self._driver.charges(payment_id)
        path, body = DASHBOARD_CALLS[move]
        headers = {"Idempotency-Key": f"{payment_id}-by-hand"}
        self._stack.sandbox("POST", path.format(charge["id"]), json=body, headers=headers).raise_for_status()

    def cancel(self, name: str) -> None:
        """End all faults, and let the gateway complete what is pending."""
        for charge in self._driver.charges(payment_of(name)):
            for refund in charge["refunds"]:
                if refund["status"] == "pending":
                    self._stack.sandbox("POST", f"/sandbox/refunds/{refund['id']}/succeed").raise_for_status()
        for state in (*FUNCTIONS, "Look"):
            (ORDERS / f"{name}.{state}").unlink(missing_ok=True)
        self._stack.sandbox("DELETE", "/sandbox/faults", params={"reference": payment_of(name)}).raise_for_status()

    def start(self, payment_id: str, card_number: str = CARD_DATA["card_number"], **changes: str) -> None:
        _, answer = self._driver.pay(payment_id, card_data=self._sealed(payment_id, card_number), **changes)
        assert answer.status_code == 202, answer.text

    def ask_for(self, payment_id: str, operation: OperationType) -> str:
        """Start an operation on the payment, and return its id."""
        name, path = f"{payment_id}{OPERATION}", f"/payments/{payment_id}/{operation}s"
        _, answer = self._driver.post(path, REQUESTS[operation], name)
        assert answer.status_code == 202, answer.text
        return name

    def wait_for_end(self, name: str) -> None:
        """Wait until the execution has ended. If a function waits for the execution to be stopped, stop it and wait for
        the function."""
        arn, hold_file = self._execution_arn(name), ORDERS / f"{name}.held"

        def ended() -> bool:
            if has_ended(self._states.describe_execution(executionArn=arn)):
                return True
            if hold_file.exists():
                self._states.stop_execution(executionArn=arn, error="Stopped", cause="By hand.")
                hold_file.unlink()
            self._recorded(payment_of(name))
            return False

        assert wait_for(ended, PATIENCE_SECONDS, 0.25), f"{name} still runs"
        goes_on = any("stopped_during" in note for note in self._notes(name))
        if goes_on:
            finished = wait_for(lambda: "and finished" in self._notes(name), PATIENCE_SECONDS)
            assert finished, f"{name}'s function does not finish"

    def _execution_arn(self, name: str) -> str:
        return self._stack.execution_arn(name, "operation" if name.endswith(OPERATION) else "payment")

    def status(self, payment_id: str) -> str:
        """The status as the API shows it. On a busy machine the status function may time out or be unavailable."""
        self._recorded(payment_id)
        answer = wait_for(
            lambda: self._stack.call("GET", f"/payments/{payment_id}"),
            PATIENCE_SECONDS,
            until=lambda answer: answer.status_code < requests.codes.server_error,
        )
        assert answer.status_code == requests.codes.ok, answer.text
        return str(answer.json()["status"])

    def _end(self, name: str) -> str:
        """The operation's outcome according to its execution; any other end means in doubt."""
        ended = self._states.describe_execution(executionArn=self._execution_arn(name))
        state = "OperationSucceeded" if ended["status"] == "SUCCEEDED" else ended.get("error", "")
        return ENDS.get(state, "in_doubt")

    def settled(self, name: str) -> str:
        """The status once the doubt is resolved."""
        open_still = (None, "processing", "in_doubt")
        recorded = wait_for(
            lambda: self._status_of(name), PATIENCE_SECONDS, 0.5, until=lambda recorded: recorded not in open_still
        )
        assert recorded not in open_still, f"{name} is still {recorded}"
        return str(recorded)

    def _status_of(self, name: str) -> str | None:
        record = self._recorded(payment_of(name))
        if not name.endswith(OPERATION):
            return record.get("status")
        return next((each["status"] for each in record["operations"] if each["operation_id"] == name), None)

    def _recorded(self, payment_id: str) -> dict[str, Any]:
        """The payment's record, if it exists."""
        key = {"pk": {"S": f"PAYMENT#{payment_id}"}, "sk": {"S": "PAYMENT"}}
        item = self._table.get_item(TableName=self._stack.ledger_table, Key=key, ConsistentRead=True).get("Item")
        record = unmarshal(item or {})
        if record:
            self.seen[payment_id].append(record["status"])
        return record

    def input(self, name: str, state: str) -> Any:
        """The latest input of the state's function."""
        return json.loads((ORDERS / f"{name}.{state}.input").read_text())

    def struck(self, name: str, order: Order) -> int:
        """Return how often the fault struck. A fault that never strikes proves nothing."""
        if order.where.startswith("gateway "):
            log = self._stack.sandbox("GET", "/sandbox/requests").json()["requests"]
            met = [request["fault"] for request in log if request["reference"] == payment_of(name)]
            return met.count(order.fault)
        return self._notes(name).count(f"{order.where} {order.fault}")

    def wait_until_struck(self, name: str, order: Order) -> None:
        """Wait until the fault has struck; if it stays, until it has not struck for a while."""
        before = wait_for(lambda: self.struck(name, order), PATIENCE_SECONDS, 0.5)
        assert before, f"{order} meets nothing"
        while order.times == "always":
            time.sleep(3 + (FUNCTION_TIMEOUT_SECONDS if "timeout" in order.fault else 0))
            if (now := self.struck(name, order)) == before:
                break
            before = now

    def _notes(self, name: str) -> list[str]:
        try:
            return (ORDERS / f"{name}.struck").read_text().splitlines()
        except FileNotFoundError:
            return []


def payment_to_operate_on() -> str:
    """A payment's id to which an operation's suffix can be added. It can't be a UUID, since an id may not have 12
    digits in a row."""
    return next(each for each in iter(new_payment_id, "") if is_id(f"{each}{OPERATION}"))


def function_of(state: str) -> str:
    """`await_customer` of `AwaitCustomer`."""
    return re.sub(r"\B[A-Z]", r"_\g<0>", state).lower()


def payment_of(name: str) -> str:
    """The id of the payment that this name belongs to."""
    return name.removesuffix(OPERATION)

"""The stack of the fault matrix, and what can be done on it: order faults for a payment, start it, see how it ends."""

import io
import json
import socket
import subprocess
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import requests

from cli.paths import BUILD
from cli.stack import Stack, new_payment_id
from functions.shared.domain.payment import NEXT_STATUSES, Status
from local.machine import Machine
from tests.redeployment import put_into_service
from tests.stack.driver import Driver

HOME = BUILD / "fault-stack"
ORDERS = HOME / "orders"
FUNCTIONS = ("Tokenize", "Encrypt", "Charge", "Persist", "Compensate", "Resolve")
# Shorter than as deployed, as many of them run out here.
FUNCTION_TIMEOUT_SECONDS = 8
GATEWAY_TIMEOUT_SECONDS = 1
# State machines wait and back off a hundredth of their time: a doubt is looked into after 3 seconds, then after 36.
WAIT_SCALE = "0.01"
PATIENCE_SECONDS = 180
LOOKS_AT_ONCE = 4
ALWAYS = 1000

OVER = {status for status, following in NEXT_STATUSES.items() if not following}


class Order(NamedTuple):
    """A fault to come: in a state's function, or at an operation of the gateway (`gateway charge`)."""

    where: str
    fault: str
    times: str = "always"


class Outcome(NamedTuple):
    """What became of a payment: its status while the fault was there, once it was gone, and the gateway's charges."""

    status: str
    settled: str
    charges: tuple[str, ...]

    def __str__(self) -> str:
        way = self.settled if self.settled == self.status else f"{self.status} → {self.settled}"
        return way if self.charges or self.settled != "reversed" else f"{way}, never charged"


@contextmanager
def running(say: Any = print) -> Iterator[Stack]:
    """The stack with `microburst` between its functions and the emulator, and the injector in the functions."""
    emulator_port, proxy_port = _free_port(), _free_port()
    environment = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy_port}", "SFN_WAIT_SCALE": WAIT_SCALE}
    machine = Machine(
        home=HOME,
        stack_file=HOME / "stack.json",
        emulator_port=emulator_port,
        sparkle_port=0,
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
        stack = machine.up(say)
        with ThreadPoolExecutor(len(FUNCTIONS)) as pool:
            list(pool.map(lambda state: _inject(stack, state), FUNCTIONS))
        put_into_service(stack, [state.lower() for state in FUNCTIONS])
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
    client, name = stack.client("lambda"), stack.log_group_prefix.rsplit("/", 1)[1] + state.lower()
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
        "GATEWAY_CONNECT_TIMEOUT_SECONDS": str(GATEWAY_TIMEOUT_SECONDS),
        "GATEWAY_READ_TIMEOUT_SECONDS": str(GATEWAY_TIMEOUT_SECONDS),
    }
    client.update_function_configuration(
        FunctionName=name,
        Handler="injector.handler",
        Timeout=FUNCTION_TIMEOUT_SECONDS,
        Environment={"Variables": variables},
    )
    client.get_waiter("function_updated_v2").wait(FunctionName=name)


def _warm_up(stack: Stack, proxy_url: str) -> None:
    """What is slow at first: the proxy reads a service's model, for longer than the functions wait, and a function that
    shows payments makes its clients, on a busy machine for longer than a doubt lasts."""
    session = stack.session()
    session.client("kms", endpoint_url=proxy_url).list_keys()
    session.client("dynamodb", endpoint_url=proxy_url).list_tables()
    session.client("secretsmanager", endpoint_url=proxy_url).list_secrets()
    session.client("stepfunctions", endpoint_url=proxy_url).list_state_machines()
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
        list(pool.map(stack.payment, [new_payment_id() for _ in range(3 * LOOKS_AT_ONCE)]))


class Bench:
    """Many payments at once, each with faults of its own. Safe to share between threads."""

    def __init__(self, stack: Stack) -> None:
        self._driver = Driver(stack)
        self._stack = stack
        self.seen: defaultdict[str, list[Status]] = defaultdict(list)
        """The statuses that the ledger was seen to have of each payment, in order."""

    # One client for all threads: they are made for it, and making one takes longer than a case's own calls.
    @cached_property
    def _states(self) -> Any:
        return self._stack.client("stepfunctions")

    @cached_property
    def _table(self) -> Any:
        return self._stack.client("dynamodb")

    def outcome(self, orders: Sequence[Order], resolving: bool = False) -> tuple[str, Outcome]:
        """Pay with these faults; the payment's id, and what became of it.

        The last one must strike, and be gone before a doubt can be cleared: `resolving` says that it strikes only then.
        """
        payment_id, last = new_payment_id(), orders[-1]
        for order in orders:
            self.order(payment_id, order)
        self.start(payment_id)
        self.wait_for_end(payment_id)
        status = self.status(payment_id)
        if resolving:
            self.wait_until_struck(payment_id, last)
        assert self.struck(payment_id, last), f"{last} met nothing"
        self.cancel(payment_id)
        settled = self.settled(payment_id) if status == "in_doubt" else status
        if last.fault == "stopped_during":
            status = settled  # which of the two was first is chance
        charges = tuple(charge["status"] for charge in self._driver.charges(payment_id))
        return payment_id, Outcome(status, settled, charges)

    def order(self, payment_id: str, order: Order) -> None:
        where, fault, times = order
        if where.startswith("gateway "):
            count = 1 if times == "once" else ALWAYS
            seconds = {"late": 15, "slow": 2 * GATEWAY_TIMEOUT_SECONDS}.get(fault, 3 * GATEWAY_TIMEOUT_SECONDS)
            operation = where.removeprefix("gateway ")
            self._driver.set_fault(payment_id, operation, fault, times=count, seconds=seconds)
        else:
            (ORDERS / f"{payment_id}.{where}").write_text(f"{times} {fault}")

    def cancel(self, payment_id: str) -> None:
        """Nothing goes wrong any more."""
        for state in (*FUNCTIONS, "Look"):
            (ORDERS / f"{payment_id}.{state}").unlink(missing_ok=True)
        faults = f"{self._stack.sparkle_url}/sandbox/faults"
        requests.delete(faults, params={"reference": payment_id}, timeout=10).raise_for_status()

    def start(self, payment_id: str) -> None:
        _, answer = self._driver.pay(payment_id)
        assert answer.status_code == 202, answer.text

    def wait_for_end(self, payment_id: str) -> None:
        """Until the execution is over; a function that waits to be stopped in is stopped in, and waited for."""
        arn, held = self._stack.execution_arn(payment_id), ORDERS / f"{payment_id}.held"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._states.describe_execution(executionArn=arn)["status"] == "RUNNING":
            assert time.monotonic() < deadline, f"{payment_id} still runs"
            if held.exists():
                self._states.stop_execution(executionArn=arn, error="Stopped", cause="By hand.")
                held.unlink()
            self._recorded(payment_id)
            time.sleep(0.25)
        goes_on = any("stopped_during" in note for note in self._notes(payment_id))
        while goes_on and "and finished" not in self._notes(payment_id):
            assert time.monotonic() < deadline, f"{payment_id}'s function does not finish"
            time.sleep(0.05)

    def status(self, payment_id: str) -> str:
        """The status as the API shows it; on a busy machine its function may run out of time, or be unavailable."""
        self._recorded(payment_id)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (answer := self._stack.call("GET", f"/payments/{payment_id}")).status_code != requests.codes.ok:
            assert answer.status_code >= requests.codes.server_error, answer.text
            assert time.monotonic() < deadline, answer.text
        return str(answer.json()["status"])

    def settled(self, payment_id: str) -> str:
        """The status once there is no doubt any more."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (recorded := self._recorded(payment_id)) not in OVER:
            assert time.monotonic() < deadline, f"{payment_id} is still {recorded}"
            time.sleep(0.5)
        return str(recorded)

    def _recorded(self, payment_id: str) -> Status | None:
        key = {"pk": {"S": f"PAYMENT#{payment_id}"}, "sk": {"S": "PAYMENT"}}
        item = self._table.get_item(TableName=self._stack.ledger_table, Key=key, ConsistentRead=True).get("Item")
        status: Status | None = item["status"]["S"] if item else None
        if status:
            self.seen[payment_id].append(status)
        return status

    def input(self, payment_id: str, state: str) -> Any:
        """What the state gave to its function last."""
        return json.loads((ORDERS / f"{payment_id}.{state}.input").read_text())

    def struck(self, payment_id: str, order: Order) -> int:
        """How often the fault met something: one that never does proves nothing."""
        if order.where.startswith("gateway "):
            log = requests.get(f"{self._stack.sparkle_url}/sandbox/requests", timeout=10).json()["requests"]
            met = [request["fault"] for request in log if request["reference"] == payment_id]
            return met.count(order.fault)
        return self._notes(payment_id).count(f"{order.where} {order.fault}")

    def wait_until_struck(self, payment_id: str, order: Order) -> None:
        """Until the fault has met what it can for now: if it stays, until nothing met it for a while."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (before := self.struck(payment_id, order)):
            assert time.monotonic() < deadline, f"{order} meets nothing"
            time.sleep(0.5)
        while order.times == "always":
            time.sleep(3 + (FUNCTION_TIMEOUT_SECONDS if "timeout" in order.fault else 0))
            if (now := self.struck(payment_id, order)) == before:
                break
            before = now

    def _notes(self, payment_id: str) -> list[str]:
        try:
            return (ORDERS / f"{payment_id}.struck").read_text().splitlines()
        except FileNotFoundError:
            return []

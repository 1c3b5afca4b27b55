"""The matrix in simulated time: each case runs in a simulated world whose only failure is the case's fault.

The handlers, state machines and adapters are the product's own. The injector, the network's rules and the sandbox's
faults are implemented again here, under their names in `cases.py`.
"""

import json
from collections.abc import Callable, MutableSequence, Sequence
from random import Random
from typing import Any, NamedTuple, TypeVar

import requests
from botocore.exceptions import ClientError

from functions.shared.domain.errors import KeyServiceUnavailable, KeyUnusable, SecretUnavailable
from tests.faults.bench import (
    ALWAYS,
    CUSTOMER,
    DASHBOARD,
    DENIED_CURRENCY,
    ENDS,
    REQUESTS,
    RULES,
    STORED_BEFORE,
    MetNothing,
    Order,
    Outcome,
)
from tests.faults.cases import Case
from tests.samples import CARD_DATA, CHALLENGED_PAN, RETURN_URL
from tests.simulation.gateway import HttpAnswer
from tests.simulation.lambdas import Functions, Reply
from tests.simulation.network import Lost, Network
from tests.simulation.table import Item, Key, TransactionCanceled
from tests.simulation.world import DAY, DAYS_UNTIL_ALL_MUST_BE_CLEAR, HOUR, MINUTE, World, payment_of, play
from tools.local.sandbox.performing import ALTERED_RESULTS, REFUND_STATUSES
from tools.local.sparkle.charges import Charge

T = TypeVar("T")
PAYMENT_ID = "simulated-payment"
READ_TIMEOUT_SECONDS = 8
ANSWERED_AFTER_SECONDS = 10
LATE_SECONDS = 25 * MINUTE
"""When a late request arrives: every caller has given up, and the first attempts to resolve the doubt are over."""
FAULTY_LOOKS_SECONDS = 2 * HOUR
"""How long a fault stays that strikes while a doubt is resolved: for several attempts."""

GATEWAY_OPERATIONS = {
    "POST /v1/charges": "charge",
    "GET /v1/charges": "find",
    "GET /v1/charges/{id}": "find",
    "POST /v1/reversals": "reverse",
    "POST /v1/charges/{id}/cancel_authentication": "cancel_authentication",
    "POST /v1/charges/{id}/capture": "capture",
    "POST /v1/charges/{id}/void": "void",
    "POST /v1/charges/{id}/refunds": "refund",
    "POST /v1/verifications": "verify",
}
KEY_ERRORS = {
    "kms_denied": KeyUnusable,
    "kms_disabled": KeyUnusable,
    "kms_throttled": KeyServiceUnavailable,
    "kms_reset": KeyServiceUnavailable,
    "kms_lost_reply": KeyServiceUnavailable,
}
TABLE_ERRORS = {
    "ledger_throttled": "ProvisionedThroughputExceededException",
    "ledger_failing": "InternalServerError",
}
CANCELLED = {"ledger_transaction_conflict": "TransactionConflict", "ledger_condition_failed": "ConditionalCheckFailed"}
INSTEAD = {
    "http_429": HttpAnswer(429, '{"error": {"code": "rate_limited"}}'),
    "http_500": HttpAnswer(500, '{"error": {"code": "internal_server_error"}}'),
    "http_502_html": HttpAnswer(502, "<html><body><h1>502 Bad Gateway</h1></body></html>"),
}

GARBAGE = HttpAnswer(200, "It works!\n")
UNDER_WAY = HttpAnswer(409, '{"error": {"code": "request_in_progress"}}')


class NoLuck(Random):
    """Neither good nor bad luck: the first of several choices, and a little less than the middle of a range."""

    def random(self) -> float:
        return 0.4

    def choice(self, seq: Any) -> Any:
        return seq[0]

    def sample(self, population: Any, k: int, *, counts: Any = None) -> list[Any]:
        return list(population)[-k:]


class Orders:
    """The pending faults, each for a state or a call of the gateway, and those that have struck."""

    def __init__(self) -> None:
        self.struck: list[tuple[str, str]] = []
        self._waiting: dict[str, MutableSequence[Order]] = {}

    def place(self, orders: Sequence[Order]) -> None:
        for order in orders:
            self._waiting.setdefault(order.where, []).extend([order] * (1 if order.times == "once" else ALWAYS))

    def take(self, where: str) -> str:
        """Return the fault that strikes there, or an empty string."""
        if waiting := self._waiting.get(where):
            order = waiting.pop(0)
            self.struck.append((where, order.fault))
            return order.fault
        return ""

    def cancel(self) -> None:
        self._waiting.clear()


class FaultyFunctions(Functions):
    """Functions that fail where an order says so, like those with `injector.py`."""

    orders: Orders
    stop: Callable[[], None]
    """Stop the case's execution."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.in_force: dict[Any, str] = {}
        """The fault that strikes the AWS calls of each task of the clock."""
        self._at_aws: dict[str, str] = {}

    def invoke(self, function: str, payload: str, timeout_seconds: float, answered: Callable[[Reply], None]) -> None:
        event = json.loads(payload)
        fault = self.orders.take("Look" if event.get("ask_gateway") is False else _state_of(function))

        def run(on_reply: Callable[[Reply], None] = answered) -> None:
            self.run(function, payload, timeout_seconds, on_reply)

        def stop(*_: Any) -> None:
            self._clock.after(0, self.stop)

        dies = Reply(error="Runtime.ExitError")
        is_out_of_time = Reply(error="Sandbox.Timedout")
        match fault:
            case "throttled":
                answered(Reply(error="Lambda.TooManyRequestsException"))
            case "crash_before":
                answered(dies)
            case "crash_after":
                run(lambda reply: answered(dies))
            case "timeout_before":
                self._clock.after(timeout_seconds, lambda: answered(is_out_of_time))
            case "timeout_after":
                run(lambda reply: self._clock.after(timeout_seconds, lambda: answered(is_out_of_time)))
            case "twice":
                run()
                run()
            case "poison":
                payload = json.dumps({"payment_id": event.get("operation_id") or event["payment_id"], "poison": True})
                run()
            case "stopped_before":
                stop()
            case "stopped_during":
                stop()
                self._clock.after(1, run)
            case "stopped_after":
                run(stop)
            case _:
                self._at_aws[payload] = fault
                run()

    def _call(self, function: str, payload: str) -> Reply:
        task = self._clock.current()
        self.in_force[task] = self._at_aws.pop(payload, "")
        try:
            return super()._call(function, payload)
        finally:
            del self.in_force[task]


def _state_of(function: str) -> str:
    """`AwaitCustomer` of `await_customer`."""
    return function.title().replace("_", "")


class FaultyNetwork(Network):
    """A network with the rules of `aws.yml`, and with the sandbox's faults at the gateway."""

    orders: Orders
    functions: FaultyFunctions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._late: set[str] = set()
        """The operations that the gateway still works on; it says so when they are requested again."""

    def ask(self, service: str, operation: str, deed: Callable[[], T], timeout_seconds: float) -> T:
        fault = self.functions.in_force.get(self.clock.current(), "")
        match service:
            case "sparkle":
                return self._ask_gateway(self.orders.take(f"gateway {GATEWAY_OPERATIONS[operation]}"), operation, deed)
            case "kms" if fault in KEY_ERRORS:
                raise KEY_ERRORS[fault](f"KMS: {fault}")
            case "secretsmanager" if fault.startswith("secret_"):
                raise SecretUnavailable(fault)
            case "dynamodb" if fault in TABLE_ERRORS:
                raise ClientError({"Error": {"Code": TABLE_ERRORS[fault]}}, operation)
            case "dynamodb" if fault == "ledger_reset":
                raise Lost
            case "dynamodb" if fault in CANCELLED and operation == "TransactWriteItems":
                error: Any = {"Error": {"Code": "TransactionCanceledException"}}
                raise TransactionCanceled(error | {"CancellationReasons": [{"Code": CANCELLED[fault]}]}, operation)
            case "dynamodb" if fault == "ledger_lost_reply" and operation == "TransactWriteItems":
                deed()
                raise Lost
        return super().ask(service, operation, deed, timeout_seconds)

    def _ask_gateway(self, fault: str, operation: str, deed: Callable[[], T]) -> T:
        match fault:
            case "http_429" | "http_500" | "http_502_html":
                return INSTEAD[fault]  # type: ignore[return-value]
            case "reset":
                raise requests.ConnectionError
            case "late":
                self._late.add(operation)
                self.clock.after(LATE_SECONDS, lambda: self._arrive(operation, deed))
            case "timeout_after" | "slow":
                deed()
            case "garbage":
                deed()
                return GARBAGE  # type: ignore[return-value]
        if not fault and operation in self._late:
            return UNDER_WAY  # type: ignore[return-value]
        if not fault or fault in ALTERED_RESULTS:
            return super().ask("sparkle", operation, deed, READ_TIMEOUT_SECONDS)
        self.clock.sleep(READ_TIMEOUT_SECONDS)
        raise requests.ReadTimeout

    def _arrive(self, operation: str, deed: Callable[[], object]) -> None:
        self._late.discard(operation)
        deed()


class Observed(NamedTuple):
    """A case's outcome, and the rules of the simulation that it broke."""

    outcome: Outcome
    broken: list[str]


class Arranged(World):
    """A world with one payment, the case's operation on it if it has one, and the case's fault."""

    functions: FaultyFunctions
    _network: FaultyNetwork

    def __init__(self, case: Case) -> None:
        super().__init__(0, NoLuck(), FaultyNetwork, FaultyFunctions)
        self.case = case
        # An invalid operation may be rejected without a trace in the record.
        kind = "nonsense" if (case.place, case.fault) == ("Reserve", "poison") else case.operation
        self.name = f"{PAYMENT_ID}_{kind}-0" if case.operation not in (None, "store") else PAYMENT_ID
        self.orders = Orders()
        self.status = ""
        """The status once the execution has ended: a payment's from the API, an operation's from its execution."""
        self.settled = ""
        self._customer = next((order.fault for order in case.orders if order.where == CUSTOMER), "")
        self.functions.orders = self._network.orders = self.orders
        self.functions.stop = lambda: self.executions[self.name].stop("ABORTED")
        self._network.functions = self.functions

    def live(self) -> None:
        if self.case.operation == "store":
            self._store()
            return
        if self.case.fault == "partial_approval":
            self.partially_approved.add(PAYMENT_ID)
        if self.case.fault in REFUND_STATUSES:
            for session in self._sessions:
                session.refund_statuses = (REFUND_STATUSES[self.case.fault],)
        payment = {
            "amount_minor": 1999,
            "currency": DENIED_CURRENCY if any(order.where == RULES for order in self.case.orders) else "USD",
            "capture": self.case.operation in (None, "refund"),
            "save_card": False,
            "merchant_reference": "order-1001",
            "caller": "arn:aws:iam::123456789012:user/shop",
            "card_data": CARD_DATA,
        }
        if self._customer:
            payment["card_data"] = CARD_DATA | {"card_number": CHALLENGED_PAN}
            payment |= {"return_url": RETURN_URL} if self._customer != "can't be asked" else {}
        if self.case.operation is None and self._customer != "has approved":
            self.orders.place(self.case.orders)
        self._expect("payment", PAYMENT_ID, payment, self._seal(PAYMENT_ID, payment, 0))
        if not self.clock.run(DAYS_UNTIL_ALL_MUST_BE_CLEAR):
            self._break("I4: something still goes on after weeks")
        self._look()
        self._repeat()
        (body,) = self._get_payments().values()
        operations = {each["operation_id"]: each["status"] for each in body.get("operations", [])}
        self.settled = operations.get(self.name, "rejected") if self.case.operation else body["status"]
        self.clock.stop()

    def _store(self) -> None:
        """Store a card, and ask again after the fault unless it is stored."""
        request = {"card_data": CARD_DATA, "caller": "arn:aws:iam::123456789012:user/shop", "verify": True}
        sent = self._seal(PAYMENT_ID, request, 0)
        self.clock.run(sent / DAY)
        for order in self.case.orders:
            if order.where == STORED_BEFORE:
                self._ask_to_store(request)
            else:
                self.orders.place([order])
        self.status = self.settled = self._ask_to_store(request)
        self.orders.cancel()
        if self.status != "stored":
            self.settled = self._ask_to_store(request)
        self.clock.run(DAYS_UNTIL_ALL_MUST_BE_CLEAR)
        self._look()
        self.clock.stop()

    def _ask_to_store(self, request: dict[str, Any]) -> str:
        self._expect("store_card", PAYMENT_ID, request, 0)
        self.clock.run(MINUTE / DAY)
        return "stored" if self.executions[PAYMENT_ID].status == "SUCCEEDED" else "not stored"

    def _ended(self, execution: Any) -> None:
        super()._ended(execution)
        if self.case.operation == "store":
            return
        if self.case.operation and execution.name == PAYMENT_ID and execution.machine == "payment":
            self.orders.place(self.case.orders)
            if self.orders.take(DASHBOARD):
                self._move(self.case.fault)
            request = {"operation": self.case.operation, "payment_id": PAYMENT_ID, **REQUESTS[self.case.operation]}
            self._expect("operation", self.name, request, MINUTE)
        elif execution.name == self.name and execution.machine != "resolve":
            self.clock.after(FAULTY_LOOKS_SECONDS if self.case.is_resolving else 0, self.orders.cancel)
            if self.case.operation:
                end = "OperationSucceeded" if execution.status == "SUCCEEDED" else execution.error or ""
                self.status = ENDS.get(end, "in_doubt")
                return
            payload = json.dumps({"httpMethod": "GET", "pathParameters": {"payment_id": PAYMENT_ID}})
            self.functions.run("status", payload, MINUTE, self._first_shown)

    def _challenge(self, charge: Charge) -> None:
        """Only once the payment waits, somebody knows where to send the customer."""

    def _watch(self, key: Key, before: Item | None, after: Item) -> None:
        super()._watch(key, before, after)
        if "customer_wait" in after and "approve" in self._customer:
            self.clock.after(ANSWERED_AFTER_SECONDS, self._approve)

    def _approve(self) -> None:
        book = self.book_of(PAYMENT_ID)
        charge = book.find(PAYMENT_ID)
        assert charge
        self._answer(book, charge.id, passed=True)
        if self._customer == "has approved":
            self.orders.place(self.case.orders)

    def _move(self, status: str) -> None:
        book = self.book_of(PAYMENT_ID)
        charge = book.find(PAYMENT_ID)
        assert charge
        match status:
            case "refunded":
                book.refund(charge.id)
            case "captured":
                book.capture(charge.id, 600)
            case "voided":
                book.void(charge.id)
            case "expired":
                book.expire(charge.id)

    def _first_shown(self, reply: Reply) -> None:
        self.status = json.loads(reply.answer["body"])["status"]

    def _failed_unexpectedly(self, what: str) -> None:
        if "poison" not in {fault for _, fault in self.orders.struck}:
            super()._failed_unexpectedly(what)


def observe(case: Case) -> Observed:
    """Simulate the case. Raises MetNothing."""
    world = Arranged(case)
    run = play(world)
    last = case.orders[-1]
    if (last.where, last.fault) not in world.orders.struck:
        raise MetNothing(f"{last}: it ended as {world.status}")
    settled = world.settled if world.status in ("in_doubt", "pending", "not stored") else world.status
    status = settled if last.fault == "stopped_during" else world.status  # either may have been first
    charges = tuple(
        charge.status for charge in world.book_of(world.name).all() if charge.reference == payment_of(world.name)
    )
    return Observed(Outcome(status, settled, charges), [broken.what for broken in run.broken])

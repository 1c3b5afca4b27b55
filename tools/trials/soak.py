"""The soak: sends many concurrent payments through the REST API, with many kinds of cards and faults, then audits them.

Refunds, captures and voids follow some of the payments. The seed alone determines what is sent, except for the ids,
which are new each time.
"""

import os
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from client import CardData, PaymentsClient, PaymentsError
from functions.shared.contracts import load
from tools.books.findings import Evidence
from tools.deployment.polling import wait_for
from tools.deployment.stack import UNDER_WAY, Stack, StackError, new_payment_id
from tools.local.processes import processes
from tools.output import counted, progress, status_line, table
from tools.trials.audit import Audit, audit
from tools.trials.audit import show as show_audit
from tools.trials.replay import answer_bank, clear_faults, set_fault

FAULTS = (
    *("timeout_before", "timeout_after", "reset", "slow", "late", "garbage"),
    *("http_429", "http_500", "http_502_html"),
)
_STATUSES_AFTER = {"refund": {"partially_refunded", "refunded"}, "capture": {"captured"}, "void": {"voided"}}
CURRENCIES = ("USD", "EUR", "GBP", "JPY", "KWD")
RETURN_URL = "http://localhost:8080/"
"""Where a customer comes back to. Nobody does: the soak answers without a browser."""

STALLED_SECONDS = 600
# The resolve state machine asks the gateway after five minutes. If that fails, it waits an hour.
RESOLVED_WITHIN_SECONDS = 400
_MAX_SHOWN = 20
# Between two looks at what runs: the pause grows while nothing ends and nothing is sent.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 0.5


@dataclass(frozen=True, slots=True)
class Operation:
    """A refund, capture or void to send. Without an amount, it covers everything that is left."""

    type: str
    amount_minor: int | None = None
    operation_id: str = field(default_factory=new_payment_id)

    @property
    def body(self) -> dict[str, Any]:
        return {} if self.amount_minor is None else {"amount_minor": self.amount_minor}


@dataclass(frozen=True, slots=True)
class PlannedPayment:
    """A payment to send or a card to store, and its expected final status if no fault occurs.

    `customer` is what the customer does if the bank asks. If `repeat` is set, the idempotency key is used a second
    time, with the same or another body. The operations are sent in quick succession after the payment has ended; only
    one of them can succeed. The faults affect the operations or, if there are none, the payment itself.
    """

    path: str
    body: dict[str, Any]
    status: str
    sealed: bool = False
    faults: tuple[dict[str, Any], ...] = ()
    repeat: str | None = None
    customer: str | None = None
    operations: tuple[Operation, ...] = ()
    payment_id: str = field(default_factory=new_payment_id)

    @property
    def names(self) -> set[str]:
        """The names of its executions."""
        return {self.payment_id, *(operation.operation_id for operation in self.operations)}

    def allows(self, status: str, operations: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the card, the operations or the faults explain this final status."""
        counts = Counter(operation["status"] for operation in operations)
        if not self.operations:
            return status == self.status or (bool(self.faults) and status in ("reversed", "in_doubt"))
        if self.faults and counts["in_doubt"] == 1:
            return status == self.status and counts["succeeded"] == 0
        succeeded = next((operation["type"] for operation in operations if operation["status"] == "succeeded"), "")
        return (
            counts == Counter(succeeded=1, rejected=len(self.operations) - 1) and status in _STATUSES_AFTER[succeeded]
        )


def plan(count: int, seed: int) -> Iterator[PlannedPayment]:
    """Yield the payments of a soak. About one in 20 meets a fault; of the successful ones, one in 5 has operations."""
    rng = random.Random(seed)  # noqa: S311 # nosec B311
    cards: dict[str, dict[str, str]] = load("test_cards")
    approved = [number for number, card in cards.items() if card["outcome"] == "approved"]
    declined = [number for number, card in cards.items() if card["outcome"] == "declined"]
    challenged = [number for number, card in cards.items() if card["outcome"] == "challenged"]

    def chance(probability: float) -> bool:
        return rng.random() < probability

    for _ in range(count):
        is_approved, stored, expired, authorized = chance(0.85), chance(0.05), chance(0.02), chance(0.1)
        sealed, has_fault, repeat = chance(0.2), chance(0.05), rng.choice(("same", "other")) if chance(0.02) else None
        has_operations, customer = chance(0.2), rng.choice(("approve", "fail")) if chance(0.05) else None
        number = rng.choice(challenged if customer else approved if is_approved else declined)
        if customer:
            is_approved = customer == "approve" and "decline_code" not in cards[number]
        card = {
            "card_number": number,
            "expiry_date": "01/20" if expired else "12/30",
            "card_holder": "John Doe",
        }
        if stored:
            yield PlannedPayment("/cards", {"card_data": card}, "stored", sealed, repeat=repeat)
            continue
        amount_minor, currency = round(10 ** rng.uniform(0, 7.99)), rng.choice(CURRENCIES)
        body = {
            "card_data": card,
            "amount_minor": _payable(amount_minor, currency),
            "currency": currency,
            "capture": not authorized,
        } | ({"return_url": RETURN_URL} if customer else {})
        success_status = "authorized" if authorized else "captured"
        status = "rejected" if expired else success_status if is_approved else "declined"
        operations = tuple(_operations(rng, body)) if has_operations and status == success_status else ()
        calls = (operations[0].type, "find") if operations else ("charge", "find", "reverse")
        faults = tuple(_faults(rng, calls)) if has_fault and not expired else ()
        yield PlannedPayment("/payments", body, status, sealed, faults, repeat, customer, operations)


def _payable(amount_minor: int, currency: str) -> int:
    """The amount, or the next larger one that every gateway takes: Stripe takes no thousandth of a dinar."""
    return -(-amount_minor // 10) * 10 if currency == "KWD" else amount_minor


def _operations(rng: random.Random, body: dict[str, Any]) -> Iterator[Operation]:
    """Yield one or two operations, each possible alone but not both: each refund or capture is for more than half."""
    types, count = ("refund",) if body["capture"] else ("capture", "void"), rng.choice((1, 1, 2))
    for _ in range(count):
        type, partial_amount = rng.choice(types), rng.randint(body["amount_minor"] // 2 + 1, body["amount_minor"])
        partial_amount = _payable(partial_amount, body["currency"])
        # A second operation without an amount would cover the rest and therefore succeed.
        is_full = type == "void" or (count == 1 and rng.random() < 0.5)
        yield Operation(type, None if is_full else partial_amount)


def _faults(rng: random.Random, calls: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a fault for the first of these calls, and with a chance of one half for each of the recovery calls."""
    for operation in calls:
        if operation == calls[0] or rng.random() < 0.5:
            fault = {"operation": operation, "fault": rng.choice(FAULTS), "times": rng.choice((1, 1, 2, 3, 6))}
            # After a short wait, the gateway closes the connection; a long wait ends with our own timeout.
            waits = fault["fault"] in ("timeout_before", "timeout_after", "slow", "late")
            yield fault | ({"seconds": rng.choice((0.2, 30))} if waits else {})


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in MiB. `functions` is that of the emulator's child processes, `workers` is their number, and
    `sandboxes` is that of all gateways' sandboxes."""

    emulator: float
    functions: float
    sandboxes: float
    soak: float
    workers: int

    @classmethod
    def now(cls, stack: Stack) -> "Memory":
        running = list(processes())
        sizes = {each.pid: each.resident_mib for each in running}

        def serving(module: str, url: str | None) -> int | None:
            begin = f"-m {module} --port {urlsplit(url or '').port} "
            return next((each.pid for each in running if begin in f"{each.arguments} "), None)

        emulator = serving("tools.local.emulator", stack.aws_endpoint_url)
        sandboxes = [serving(f"tools.local.{name}", sandbox.url) for name, sandbox in stack.sandboxes.items()]
        workers = [each.pid for each in running if each.parent == emulator]
        return cls(
            emulator=sizes.get(emulator or 0, 0),
            functions=sum(sizes[pid] for pid in workers),
            sandboxes=sum(sizes.get(sandbox or 0, 0) for sandbox in sandboxes),
            soak=sizes[os.getpid()],
            workers=len(workers),
        )


@dataclass(slots=True)
class Soak:
    """What a soak has done so far.

    `answers` has the API's last answer about each ended payment, `problems` the wrong answers, and `memory` the memory
    use by the number of ended payments.
    """

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    memory: dict[int, Memory] = field(default_factory=dict)
    seconds: float = 0.0
    interrupted: bool = False


def soak(stack: Stack, *, count: int, seed: int, concurrency: int, console: Console) -> bool:
    """Send the payments, wait until they end, audit them and print the results. Return whether all went as expected.

    After Ctrl-C, only the payments that have ended are audited, and KeyboardInterrupt is raised at the end. Raises
    StackError, for example if the stack has no sandbox.
    """
    if not stack.has_only_sandboxes:
        raise StackError("A soak needs a sandbox for each gateway, and this stack has another gateway.")
    planned = {payment.payment_id: payment for payment in plan(count, seed)}
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]:.1f}/s"))
    with progress(console, *columns, transient=False) as bar:
        state = _send_all(stack, planned, concurrency, bar)
    if state.interrupted:
        ended = {payment_id: planned[payment_id] for payment_id in state.answers}
        console.print(f"[yellow]Interrupted:[/yellow] {len(ended):,} of {counted(count, 'payment')} had ended.")
        planned = ended
    with status_line(console, "Removing the faults") as say:
        clear_faults(stack)
        _wait_for_doubts(stack, state, say)
        say(f"Reading {counted(len(planned), 'payment')} in API, ledger and gateway")
        audited = audit(stack, [payment_id for payment_id, each in planned.items() if each.path == "/payments"])
    state.problems += disagreements(planned, state.answers, audited)
    _show(planned, state, audited, console)
    if state.interrupted:
        raise KeyboardInterrupt
    return not state.problems and not audited.findings


def disagreements(
    planned: Mapping[str, PlannedPayment], answers: Mapping[str, Mapping[str, Any]], audited: Audit
) -> Iterator[str]:
    """Describe payments that differ between the API and the ledger, or that ended in an unplanned way."""
    for payment_id, payment in planned.items():
        if payment.path == "/cards":  # which leaves nothing in the ledger
            if (shown_status := answers[payment_id]["status"]) != payment.status:
                yield f"{payment_id} is {shown_status} and not {payment.status}"
            continue
        evidence = audited.evidence[payment_id]
        status, operations = evidence.status, evidence.operations()
        ended = _status_text(status, operations)
        if payment_id in answers:
            api_text = _status_text(answers[payment_id]["status"], answers[payment_id]["operations"])
            if api_text != ended:
                yield f"{payment_id} is {api_text} over the API, and {ended} in the ledger"
        if not payment.allows(status, operations):
            faults = [f"{fault['times']} × {fault['fault']} on {fault['operation']}" for fault in payment.faults]
            yield f"{payment_id} is {ended} and not {payment.status}, with {', '.join(faults) or 'no fault'}"


def _status_text(status: str, operations: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join([status, *(f"{operation['type']} {operation['status']}" for operation in operations)])


def _send_all(stack: Stack, planned: Mapping[str, PlannedPayment], concurrency: int, bar: Progress) -> Soak:
    """Send all payments and follow each to its end, with at most `concurrency` undisturbed ones at a time.

    Payments with faults do not count towards this limit: they can take minutes and would hold up the others.
    """
    state, unsent, running_payments = Soak(), deque(planned.values()), dict[str, PlannedPayment]()
    operated, answered = set[str](), set[str]()
    client = stack.payments_client()
    task = bar.add_task("", total=len(planned), rate=0.0)
    state.memory[0] = Memory.now(stack)
    started = last_progress = time.monotonic()
    with_faults, pause = 0, _FIRST_PAUSE_SECONDS
    with _until_interrupted(state), ThreadPoolExecutor(concurrency) as pool:
        while (unsent or running_payments) and time.monotonic() < last_progress + STALLED_SECONDS:
            running = _running(stack)
            _answer_banks(stack, running_payments, answered, pool)
            ended = [payment_id for payment_id, each in running_payments.items() if running.isdisjoint(each.names)]
            for payment in pool.map(stack.payment, ended):
                if payment.get("status", "processing") in UNDER_WAY:
                    continue
                last_progress, pause = time.monotonic(), _FIRST_PAUSE_SECONDS
                sent = running_payments[payment["payment_id"]]
                if sent.operations and sent.payment_id not in operated:
                    operated.add(sent.payment_id)
                    state.problems += _operate(stack, sent)
                elif _have_ended(payment["operations"], sent.operations):
                    state.answers[sent.payment_id] = payment
                    del running_payments[sent.payment_id]
            free = concurrency - sum(not payment.faults for payment in running_payments.values())
            batch = [unsent.popleft() for _ in range(min(free, len(unsent)))]
            for sent, problem in zip(batch, pool.map(lambda each: _send(stack, client, each), batch), strict=True):
                with_faults += bool(sent.faults)
                if problem is None:
                    running_payments[sent.payment_id] = sent
                else:
                    state.problems.append(problem)
            completed, state.seconds = len(state.answers), time.monotonic() - started
            if len(state.memory) == 1 and completed >= len(planned) // 10:
                state.memory[completed] = Memory.now(stack)
            statuses = _counts(payment["status"] for payment in state.answers.values())
            description = f"{statuses}, {with_faults:,} with faults"
            bar.update(task, completed=completed, rate=completed / state.seconds, description=description)
            if batch:
                pause = _FIRST_PAUSE_SECONDS
            else:
                time.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
    state.memory[len(state.answers) if state.interrupted else len(planned)] = Memory.now(stack)
    return state


def _answer_banks(
    stack: Stack, payments: Mapping[str, PlannedPayment], answered: set[str], pool: ThreadPoolExecutor
) -> None:
    """Answer for each customer whom a bank asks, once."""
    expected = [each.payment_id for each in payments.values() if each.customer and each.payment_id not in answered]
    for payment in pool.map(stack.payment, expected):
        if next_action := payment.get("next_action"):
            answer_bank(next_action["url"], str(payments[payment["payment_id"]].customer))
            answered.add(payment["payment_id"])


def _have_ended(operations: Sequence[dict[str, Any]], planned: Sequence[Operation]) -> bool:
    """Whether all operations are on record and have ended. A new operation may not even be listed as running yet."""
    return len(operations) >= len(planned) and all(operation["status"] != "processing" for operation in operations)


def _running(stack: Stack) -> set[str]:
    """The names of the running executions of payments and operations."""
    pages = stack.client("stepfunctions").get_paginator("list_executions")
    arns = (stack.state_machine_arn, stack.machine_arn("operation"))
    found = [page for arn in arns for page in pages.paginate(stateMachineArn=arn, statusFilter="RUNNING")]
    return {execution["name"] for page in found for execution in page["executions"]}


def _send(stack: Stack, client: PaymentsClient, payment: PlannedPayment) -> str | None:
    """Arm the payment's faults and post it, twice if that is planned. Return what was wrong with an answer, or None."""
    if not payment.operations:
        _arm_faults(stack, payment)
    body = payment.body
    headers = {"Idempotency-Key": payment.payment_id}
    try:
        if payment.sealed:
            body = body | {"card_data": client.seal(CardData(**body["card_data"]), payment.payment_id)}
        answer = stack.call("POST", payment.path, body, headers)
        accepted = 201 if payment.path == "/cards" else 202
        if answer.status_code != accepted:
            return f"{payment.payment_id}: POST {payment.path} was answered {answer.status_code} {answer.text}"
        if payment.repeat:
            other = {"card_data": {**payment.body["card_data"], "card_holder": "Jane Doe"}}
            again = stack.call("POST", payment.path, body | (other if payment.repeat == "other" else {}), headers)
            exists = again.status_code == 409 and again.json().get("payment_id") == payment.payment_id
            same = payment.repeat == "same" and again.status_code == accepted and again.json() == answer.json()
            if not (exists or same):
                return f"{payment.payment_id}: the key used again was answered {again.status_code} {again.text}"
    except (StackError, PaymentsError) as error:
        return f"{payment.payment_id}: {error}"
    return None


def _operate(stack: Stack, payment: PlannedPayment) -> Iterator[str]:
    """Arm the faults for the payment's operations, post the operations, and yield what was wrong with the answers."""
    _arm_faults(stack, payment)
    for operation in payment.operations:
        path, headers = f"/payments/{payment.payment_id}/{operation.type}s", {"Idempotency-Key": operation.operation_id}
        try:
            answer = stack.call("POST", path, operation.body, headers)
        except StackError as error:
            yield f"{operation.operation_id}: {error}"
            continue
        if answer.status_code != 202 or answer.json()["operation_id"] != operation.operation_id:
            yield f"{operation.operation_id}: POST {path} was answered {answer.status_code} {answer.text}"


def _arm_faults(stack: Stack, payment: PlannedPayment) -> None:
    for fault in payment.faults:
        set_fault(stack, fault | {"reference": payment.payment_id})


@contextmanager
def _until_interrupted(state: Soak) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        state.interrupted = True


def _wait_for_doubts(stack: Stack, state: Soak, say: Callable[[str], object]) -> None:
    """Wait until no payment or operation is in doubt any more, at most RESOLVED_WITHIN_SECONDS."""
    deadline = time.monotonic() + RESOLVED_WITHIN_SECONDS

    def doubts() -> list[dict[str, Any]]:
        ids = [payment_id for payment_id, payment in state.answers.items() if _in_doubt(payment)]
        state.answers |= {payment_id: stack.payment(payment_id) for payment_id in ids}
        doubtful = [state.answers[payment_id] for payment_id in ids if _in_doubt(state.answers[payment_id])]
        if doubtful:
            remaining = f"waiting until that is resolved, at most {deadline - time.monotonic():.0f} s more"
            say(f"{counted(len(doubtful), 'payment')} in doubt: {remaining}")
        return doubtful

    wait_for(doubts, RESOLVED_WITHIN_SECONDS, pause_seconds=1, until=lambda doubtful: not doubtful)


def _in_doubt(payment: Mapping[str, Any]) -> bool:
    return "in_doubt" in {payment["status"], *(operation["status"] for operation in payment["operations"])}


def _show(planned: Mapping[str, PlannedPayment], state: Soak, audited: Audit, console: Console) -> None:
    console.print(_latencies(planned, audited))
    console.print(_memories(state.memory))
    for problem in state.problems[:_MAX_SHOWN]:
        console.print(f"[red]✗[/red] {problem}", highlight=False)
    if len(state.problems) > _MAX_SHOWN:
        console.print(f"… and {len(state.problems) - _MAX_SHOWN:,} more.", highlight=False)
    with_faults = sum(bool(payment.faults) for payment in planned.values())
    rate = len(planned) / state.seconds if state.seconds else 0.0
    console.print(
        f"{counted(len(planned), 'payment')} in {state.seconds:,.0f} s, {rate:.1f}/s; {with_faults:,} met faults; "
        f"{len(state.problems):,} were answered or ended amiss",
        highlight=False,
    )
    show_audit(audited, console)


def _latencies(planned: Mapping[str, PlannedPayment], audited: Audit) -> Table:
    grid = table("From the start to the end", ("",), ("payments", "p50", "p99", "longest"))
    for name, with_faults in (("undisturbed", False), ("with faults", True)):
        ids = [payment_id for payment_id in audited.evidence if bool(planned[payment_id].faults) is with_faults]
        seconds = sorted(filter(None, (_seconds(audited.evidence[payment_id]) for payment_id in ids)))
        if seconds:
            percentiles = [seconds[min(int(len(seconds) * share), len(seconds) - 1)] for share in (0.5, 0.99, 1)]
            grid.add_row(name, f"{len(seconds):,}", *(f"{each:.2f} s" for each in percentiles))
    return grid


def _seconds(evidence: Evidence) -> float | None:
    """The time from the execution's start to the payment's end, without operations; None if it has not ended."""
    execution = evidence.execution
    if execution is None or "stopDate" not in execution or not evidence.is_settled:
        return None
    end: datetime = execution["stopDate"]
    if evidence.record and not evidence.operations():
        end = max(end, datetime.fromisoformat(evidence.record["updated_at"]))
    return float((end - execution["startDate"]).total_seconds())


def _memories(memory: Mapping[int, Memory]) -> Table:
    grid = table("Memory", ("MiB after",), ("emulator", "functions (processes)", "sandboxes", "soak"))
    for ended, now in memory.items():
        functions = f"{now.functions:,.0f} ({now.workers})"
        grid.add_row(f"{ended:,}", f"{now.emulator:,.0f}", functions, f"{now.sandboxes:,.1f}", f"{now.soak:,.1f}")
    if len(memory) > 1:
        (*_, (before, middle), (after, end)) = memory.items()
        thousands = (after - before) / 1000
        growth = [
            (getattr(end, name) - getattr(middle, name)) / thousands
            for name in ("emulator", "functions", "sandboxes", "soak")
        ]
        grid.add_row("per 1,000 more", *(f"{each:+,.2f}" for each in growth))
    return grid


def _counts(statuses: Iterable[str]) -> str:
    return " · ".join(f"{count:,} {status}" for status, count in Counter(statuses).most_common())

"""Replays sample events against a running stack."""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import requests
from rich.console import Console
from rich.markup import escape
from rich.progress import SpinnerColumn, TextColumn
from rich.table import Table

from tools.deployment.stack import HTTP_TIMEOUT_SECONDS, UNDER_WAY, Stack, StackError, new_payment_id
from tools.output import counted, progress, table
from tools.trials.events import ApiEvent, Request, outcome

FOLLOW_TIMEOUT_SECONDS = 120

Item = TypeVar("Item")
Result = TypeVar("Result")


class Results(list[Result]):
    """The available results; incomplete if `interrupted`."""

    interrupted = False


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result of one event.

    `body` is the payment in its final state, or the API's answer if there was no payment to follow. `problem` explains
    why neither is known.
    """

    event: ApiEvent
    payment_id: str | None = None
    http_status: int | None = None
    body: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    problem: str | None = None

    @property
    def as_expected(self) -> bool:
        return not self.differences

    @property
    def happened(self) -> str:
        """A short description of the result."""
        return "unknown" if self.http_status is None else outcome(self.http_status, self.body)

    @property
    def differences(self) -> list[str]:
        """The differences between the result and the expectation."""
        if self.problem:
            return [self.problem]
        if self.http_status != self.event.http_status:
            return [f"the HTTP status is {self.http_status}, not {self.event.http_status}"]
        expected = {"error": self.event.error} if self.event.error else self.event.payment
        return list(_differences(self.body, expected))

    @property
    def summary(self) -> str:
        """The result, followed by one line for each difference."""
        return "\n  ".join([self.happened, *self.differences])


def _differences(actual: Any, expected: Any, name: str = "") -> Iterator[str]:
    """Compare the expected fields of objects and all items of lists. A message only has to contain the expected one."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for field_name, value in expected.items():
            yield from _differences(actual.get(field_name), value, f"{name}.{field_name}" if name else field_name)
    elif isinstance(expected, list) and isinstance(actual, list) and len(actual) == len(expected):
        for number, (item, value) in enumerate(zip(actual, expected, strict=True)):
            yield from _differences(item, value, f"{name}[{number}]")
    elif isinstance(expected, str) and isinstance(actual, str) and expected.endswith("."):
        if expected not in actual:
            yield f"{name} is {actual!r}, without {expected!r}"
    elif actual != expected:
        yield f"{name} is {json.dumps(actual)}, not {json.dumps(expected)}"


def replay(stack: Stack, event: ApiEvent) -> ReplayResult:
    """Send the event under a new idempotency key, and follow its payment or operation to the end.

    If an answer gets lost, the result has a `problem`. No exception is raised, because it would abort a long run.
    """
    key, payment_id = new_payment_id(), None
    started = time.perf_counter()
    try:
        given = _given(stack, event.given) if event.given else {}
        payment_id = given["payment_id"] if event.acts_on_given_payment else key
        if event.fault:
            set_fault(stack, event.fault | {"reference": payment_id})
        started = time.perf_counter()
        http_status, body = _send(stack, event.request.substitute(given), key)
        if event.customer and body.get("next_action"):
            answer_bank(body["next_action"]["url"], event.customer)
            body = stack.follow(key, timeout_seconds=FOLLOW_TIMEOUT_SECONDS, pending=UNDER_WAY)
    except (StackError, requests.RequestException) as error:
        return ReplayResult(event, payment_id, seconds=time.perf_counter() - started, problem=str(error))
    seconds = time.perf_counter() - started
    return ReplayResult(event, payment_id if http_status in (201, 202) else None, http_status, body, seconds)


def _given(stack: Stack, request: Request) -> dict[str, str]:
    """Send the request in an event's `given`, and return the values of `${payment_id}` and `${token}`.

    Raises StackError if the resulting payment has no card.
    """
    key = new_payment_id()
    http_status, payment = _send(stack, request, key)
    if not payment.get("card"):
        raise StackError(f"The event's given request failed: {outcome(http_status, payment)}")
    return {"payment_id": key, "token": payment["card"]["token"]}


def _send(stack: Stack, request: Request, key: str) -> tuple[int, dict[str, Any]]:
    """Send a request. Return the HTTP status, and the final payment if one was accepted, else the answer's body."""
    answer = stack.call(request.method, request.path, request.body, {"Idempotency-Key": key})
    body = _json(answer)
    if answer.status_code == 202:
        ids = (body["payment_id"], body.get("operation_id"))
        body = stack.follow(*ids, timeout_seconds=FOLLOW_TIMEOUT_SECONDS)
    return answer.status_code, body


def replay_all(
    stack: Stack, events: Sequence[ApiEvent], console: Console, *, repeat: int = 1, concurrency: int = 1
) -> Results[ReplayResult]:
    """Replay all events `repeat` times, at most `concurrency` at once, and print a table of the results.

    Events that need the sandbox are skipped if the stack has none.
    """
    runnable = [event for event in events if stack.has_only_sandboxes or not event.needs_sandbox]
    for event in events:
        if event not in runnable:
            console.print(f"{event.name} is skipped: it needs sandboxes, and this stack has another gateway.")
    started = time.perf_counter()
    replays = with_progress(
        # Those that wait, for a gateway's timeout or a customer, come first: the others run meanwhile.
        sorted(runnable * repeat, key=lambda event: not event.needs_sandbox),
        lambda event: replay(stack, event),
        lambda event: f"{event.name}: {event.description}",
        concurrency=concurrency,
        console=console,
    )
    seconds = time.perf_counter() - started
    place = {event.file: number for number, event in enumerate(runnable)}
    replays.sort(key=lambda replayed: place[replayed.event.file])
    console.print(_table(replays) if repeat == 1 else _table_of_repeated(replays))
    if repeat > 1:
        throughput = f"{counted(len(replays), 'replay')} in {seconds:.1f} s, {len(replays) / seconds:.1f}/s"
        console.print(throughput, highlight=False)
    if replays.interrupted:
        total = counted(len(runnable) * repeat, "replay")
        console.print(f"[yellow]Interrupted:[/yellow] these are {len(replays)} of {total}.")
    if unexpected := sum(not replayed.as_expected for replayed in replays):
        console.print(f"[red]{unexpected} of {counted(len(replays), 'replay')} did not go as expected.[/red]")
    return replays


def with_progress(
    items: Sequence[Item],
    run: Callable[[Item], Result],
    describe: Callable[[Item], str],
    *,
    concurrency: int,
    console: Console,
) -> Results[Result]:
    """Call `run` for each item, at most `concurrency` at once, with a progress bar. Results keep the items' order.

    After Ctrl-C no more items are started, and the running ones are awaited. A second Ctrl-C abandons these as well.
    """
    columns = (SpinnerColumn(), TextColumn("{task.completed}/{task.total}"))
    results = Results[Result]()
    with progress(console, *columns) as bar, ThreadPoolExecutor(concurrency) as pool:
        task = bar.add_task("", total=len(items))

        def run_one(item: Item) -> Result:
            bar.update(task, description=describe(item))
            result = run(item)
            bar.update(task, advance=1)
            return result

        futures = [pool.submit(run_one, item) for item in items]
        try:
            wait(futures)
        except KeyboardInterrupt:
            results.interrupted = True
            pool.shutdown(wait=False, cancel_futures=True)
            bar.update(task, description="Interrupted: waiting for running replays")
        results.extend(each.result() for each in futures if not each.cancelled())
    return results


def _table(replays: Sequence[ReplayResult]) -> Table:
    grid = table("Sample events", ("event", "expected", "happened", "payment"), ("took",))
    for replayed in replays:
        mark = "[green]✓[/green] " if replayed.as_expected else "[red]✗[/red] "
        grid.add_row(
            replayed.event.name,
            replayed.event.expected,
            mark + escape(replayed.summary),
            replayed.payment_id or "–",
            f"{replayed.seconds:.2f} s",
        )
    return grid


def _table_of_repeated(replays: Sequence[ReplayResult]) -> Table:
    """Create a table with a row for each event, and one payment id for each kind of unexpected result."""
    grid = table("Sample events", ("event", "expected", "as expected", "otherwise"), ("median", "longest"))
    by_event: dict[Path, list[ReplayResult]] = {}
    for replayed in replays:
        by_event.setdefault(replayed.event.file, []).append(replayed)
    for repeated in by_event.values():
        event, seconds = repeated[0].event, [replayed.seconds for replayed in repeated]
        unexpected: dict[str, list[ReplayResult]] = {}
        for replayed in repeated:
            if not replayed.as_expected:
                unexpected.setdefault(replayed.summary, []).append(replayed)
        as_expected = sum(replayed.as_expected for replayed in repeated)
        grid.add_row(
            event.name,
            event.expected,
            f"[{'green' if as_expected == len(repeated) else 'red'}]{as_expected}[/] of {len(repeated)}",
            escape("\n".join(f"{len(same)} × {how}\n  {same[0].payment_id or ''}" for how, same in unexpected.items())),
            f"{statistics.median(seconds):.2f} s",
            f"{max(seconds):.2f} s",
        )
    return grid


def set_fault(stack: Stack, fault: dict[str, Any]) -> None:
    """Arm a fault at each sandbox, whichever will take the payment. Raises StackError if one rejects it."""
    for sandbox in stack.sandboxes.values():
        answer = sandbox.call("POST", "/sandbox/faults", json=fault)
        if not answer.ok:
            raise StackError(f"The sandbox refused the fault {json.dumps(fault)}: {answer.text}")


def answer_bank(url: str, customer: str) -> None:
    """Answer for the customer on the page on which a sandbox's bank asks: `approve` or `fail`. Raises StackError."""
    # The answer leads back to the shop, which may not be there.
    answer = requests.post(f"{url}/{customer}", timeout=HTTP_TIMEOUT_SECONDS, allow_redirects=False)
    if not answer.ok:
        raise StackError(f"The bank's page answered {answer.status_code} to {customer}.")


def clear_faults(stack: Stack) -> None:
    """Remove all faults from all sandboxes."""
    for sandbox in stack.sandboxes.values():
        sandbox.call("DELETE", "/sandbox/faults").raise_for_status()


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json() if answer.content else {}
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"error": {"code": "not JSON"}}

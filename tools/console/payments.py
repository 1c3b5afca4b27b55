"""Reads a stack's payments: a page of the newest, or everything about one.

The ledger's index by_day holds every payment that the ledger knows, however old. ListExecutions adds the few that it
doesn't know: running ones, and those rejected in the last 90 days. A page reads a limited number of payments, so its
cost doesn't grow with their total number.
"""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from operator import itemgetter
from typing import Any, get_args

from functions.shared.adapters.executions import StepFunctionsExecutions
from functions.shared.domain.dispute import Dispute, held_minor
from functions.shared.domain.errors import error_code
from functions.shared.domain.payment import Status
from functions.shared.domain.times import iso
from functions.shared.ports import Execution, Position
from tools.books.money import decimal
from tools.books.reading import Item
from tools.books.statements import no_entries_text
from tools.console.definition import Definition
from tools.console.history import CustomerWait, History, parsed, read
from tools.console.masking import masked
from tools.console.records import Entry, LedgerItems, PaymentEvent
from tools.deployment.stack import Stack, StackError

PAGE_SIZE = 50
"""The maximum number of payments on a page."""

MAX_EXAMINED = 500
"""The maximum number of payments that are read, searched and counted for a page."""

MAX_DOUBTS_SHOWN = 200

_DAYS = 14  # the range of days that is read for a page
_MAX_IDS_EXAMINED = 20_000
_THREADS = 8
_EVENTS_PER_PAGE = 1000
_EVENTS_OF_A_STATE = 50  # more than a state has, with all its attempts
_MAX_CACHED_EXECUTIONS = 2000
_DOUBT_COUNT_TTL_SECONDS = 15
_MAX_RESOLUTIONS = 40
_ID = re.compile("[A-Za-z0-9_-]{16,80}")
_ID_PREFIX = re.compile("[A-Za-z0-9_-]{4,80}")

RECORDED: tuple[Status, ...] = get_args(Status)
"""The statuses of payments in the ledger."""

STATUSES = ("processing", "action_required", "rejected", *RECORDED)


@dataclass(frozen=True, slots=True)
class Summary:
    """A payment in one line. Fields that are unknown or do not apply are None."""

    payment_id: str
    status: str
    amount_minor: int | None
    currency: str | None
    brand: str | None
    last4: str | None
    token: str | None
    fingerprint: str | None
    merchant_reference: str | None
    gateway: str | None
    reason: str | None
    started_at: datetime
    captured_minor: int = 0
    refunded_minor: int = 0
    disputed_minor: int = 0
    wait: CustomerWait | None = None

    @property
    def net_minor(self) -> int:
        return self.captured_minor - self.refunded_minor - self.disputed_minor

    @property
    def position(self) -> Position:
        return Position(iso(self.started_at), self.payment_id)

    @classmethod
    def of(
        cls,
        payment_id: str,
        record: Item | None,
        unrecorded: Execution | None,
        listed: Mapping[str, Any] | None,
        wait: CustomerWait | None = None,
    ) -> "Summary":
        """Summarize the ledger's record or, if the ledger has none, the execution, as GET /payments/{payment_id} does.

        `listed` is the execution's entry from ListExecutions or DescribeExecution, if available. `wait` is its wait for
        the customer, if it is in one.
        """
        listed = listed or {}
        if record:
            status, error = record["status"], record.get("error")
            if status == "in_doubt" and listed.get("status") == "RUNNING":
                status, error = "processing", None
            card, reason = record.get("card", {}), record.get("decline_code")
            amount, currency, reference = map(record.get, ("amount_minor", "currency", "merchant_reference"))
            started_at = record["created_at"]
        else:
            assert unrecorded
            under_way = "action_required" if wait else "processing"
            status = under_way if unrecorded.running else "rejected" if unrecorded.was_rejected else "in_doubt"
            error = unrecorded.cause if unrecorded.error == "PaymentRejected" else unrecorded.error
            card, reason = {"brand": wait.brand, "last4": wait.last4} if wait else {}, None
            requested = unrecorded.payment
            amount, currency = requested and requested.amount_minor, requested and requested.currency
            reference, started_at = masked(unrecorded.request.get("merchant_reference")), unrecorded.started_at
        return cls(
            payment_id,
            status,
            amount,
            currency,
            card.get("brand"),
            card.get("last4"),
            card.get("token"),
            card.get("fingerprint"),
            reference,
            (record or {}).get("gateway"),
            reason or (error_code(error) if error else None),
            datetime.fromisoformat(started_at),
            captured_minor=(record or {}).get("captured_minor") or 0,
            refunded_minor=(record or {}).get("refunded_minor") or 0,
            disputed_minor=held_minor(Dispute(**each) for each in (record or {}).get("disputes", ())),
            wait=wait,
        )

    def matches(self, search: "Search") -> bool:
        text, payment_id = search.text.lower(), self.payment_id.lower()
        reference = (self.merchant_reference or "").lower()
        amount = None if self.amount_minor is None else decimal(self.amount_minor, self.currency or "")
        return (
            search.status in ("", self.status)
            and search.reference in ("", self.merchant_reference)
            and search.currency in ("", self.currency)
            and search.gateway in ("", self.gateway)
            and (search.least is None or (amount is not None and amount >= search.least))
            and (search.most is None or (amount is not None and amount <= search.most))
            and (payment_id.startswith(text) or text in reference or text in (self.last4, self.token, self.fingerprint))
        )


@dataclass(frozen=True, slots=True)
class Search:
    """Search criteria: status, first and last day (UTC), amounts, currency, reference, gateway and `text`. Empty fields
    match everything.

    `gateway` is its name, which is known of a payment in the ledger. `reference` is the whole merchant reference.
    `text` matches the start of a payment id, a part of the merchant reference, or the card's token, fingerprint or last
    four digits.
    """

    status: str = ""
    text: str = ""
    first: date | None = None
    last: date | None = None
    least: Decimal | None = None
    most: Decimal | None = None
    currency: str = ""
    reference: str = ""
    gateway: str = ""

    def __bool__(self) -> bool:
        return self != Search()


@dataclass(frozen=True, slots=True)
class Money:
    """The sums of some payments in one currency, in its minor unit."""

    currency: str
    captured_minor: int
    refunded_minor: int
    disputed_minor: int

    @property
    def net_minor(self) -> int:
        return self.captured_minor - self.refunded_minor - self.disputed_minor


@dataclass(frozen=True, slots=True)
class Page:
    """Some payments, newest first. There may be more before `older` and after `newer`.

    Only the newest page has `counts` and `money`. `counts` has the number of payments by status, and ignores the status
    searched for; `money` has the sums of the matching payments. Both cover the payments since `back_to`, or all if it
    is None.
    """

    payments: list[Summary]
    older: Position | None = None
    newer: Position | None = None
    back_to: str | None = None
    counts: Counter[str] | None = None
    money: Sequence[Money] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """The execution that resolves a doubt: how often it has asked the gateway, and when it last did and next will."""

    arn: str
    attempts: int
    last_attempt: datetime | None
    next_attempt: datetime | None


@dataclass(frozen=True, slots=True)
class Machine:
    """A state machine and its latest executions, in the form of ListExecutions."""

    name: str
    executions: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class PaymentDetails:
    """Everything known about one execution and the payment that it belongs to.

    `execution` has the fields of DescribeExecution, masked and with input and output parsed. Step Functions deletes
    executions after 90 days; then only the ledger's record, entries and events are left. An execution of any state
    machine other than the payments' has none of these.
    """

    name: str
    summary: Summary | None
    execution: Mapping[str, Any] | None
    definition: Definition | None
    history: History | None
    record: Item | None
    entries: list[Entry]
    events: Sequence[PaymentEvent] = ()
    resolution: Resolution | None = None

    @property
    def doubts(self) -> list[str]:
        """The ids of whatever is in doubt: the payment itself, operations on it, or both."""
        operations = (self.record or {}).get("operations") or []
        ids = [each["operation_id"] for each in operations if each["status"] == "in_doubt"]
        return [self.name, *ids] if self.summary and self.summary.status == "in_doubt" else ids

    @property
    def no_entries_text(self) -> str:
        """Why there are no entries, of a payment that has a record."""
        record = self.record or {}
        return no_entries_text(record["status"], [each["status"] for each in record.get("operations") or ()])

    @property
    def is_running(self) -> bool:
        return self.execution is not None and self.execution["status"] == "RUNNING"


class Payments:
    """A stack's payments. All methods are thread-safe."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ledger = LedgerItems(stack)
        self._states = stack.client("stepfunctions")
        self._ended: dict[str, Execution] = {}
        self._definitions: dict[str, Definition] = {}
        self._doubts = (0.0, 0)

    @property
    def name(self) -> str:
        """The prefix of the deployment's resource names: the state machine's name without `-payment`."""
        return self.stack.state_machine_arn.rpartition(":")[2].removesuffix("-payment")

    def operation_arn(self, operation_id: str) -> str:
        """The ARN of the execution of a refund, capture or void, which run in a separate state machine."""
        return self.stack.execution_arn(operation_id, "operation")

    def page(self, search: Search, before: Position | None = None, after: Position | None = None) -> Page:
        """Return a page of the matching payments: the newest, or those before or directly after a position."""
        if _ID.fullmatch(search.text) and (with_id := self.summaries([search.text])):
            return Page([each for each in with_id if each.matches(search)])
        first, last = self._days(search, before, after)
        executions = list(self._executions_listed(first, last))
        if search.text and not before and not after:
            of_reference = self.ledger.with_reference(search.text, search.first, search.last)
            if 0 < len(positions := list(islice(of_reference, PAGE_SIZE + 1))) <= PAGE_SIZE:
                summaries = self._summaries(positions, {each["name"]: each for each in executions}, newest_first=True)
                others = [each for each in summaries if each.matches(replace(search, status=""))]
                matching = [each for each in others if each.matches(search)]
                return Page(matching, counts=Counter(each.status for each in others), money=_money(matching))
        positions, complete = self._positions(search, first, last, before, after)
        end = positions[-1] if positions else Position(f"{first}T", "")
        newer_than, older_than = (after, None if complete else end) if after else (None if complete else end, before)
        in_range = {
            each["name"]: each
            for each in executions
            if (not newer_than or _position_of(each) > newer_than)
            and (not older_than or _position_of(each) < older_than)
        }
        summaries = self._summaries(positions, in_range, newest_first=after is None)
        matching = [each for each in summaries if each.matches(search)]
        on_page = matching[:PAGE_SIZE]
        if after:
            is_last = complete and last >= self._last_day(search)
            if on_page and (len(on_page) == PAGE_SIZE or not is_last):
                on_page.reverse()
                return Page(on_page, on_page[-1].position, on_page[0].position)
            # Continue the search in newer payments. If they do not fill a page, show the newest page instead.
            examined_to = Position(f"{last}T99", "") if complete else positions[-1]
            return self.page(search) if is_last else self.page(search, after=examined_to)
        older = on_page[-1].position if len(matching) > PAGE_SIZE else None if complete else end
        if before:
            return Page(on_page, older, on_page[0].position if on_page else Position(before.created_at, ""))
        back_to = None if complete else end.created_at
        if not search.status:
            return Page(on_page, older, None, back_to, Counter(each.status for each in matching), _money(matching))
        of_all = self.page(replace(search, status=""))
        back_to = max(filter(None, (back_to, of_all.back_to)), default=None)
        summed = [each for each in matching if back_to is None or each.position.created_at >= back_to]
        return Page(on_page, older, None, back_to, of_all.counts, _money(summed))

    def newest(self, search: Search, limit: int) -> list[Summary]:
        """Return at most `limit` matching payments, newest first, reading as many pages as necessary."""
        page = self.page(search)
        payments = page.payments
        while page.older and len(payments) < limit:
            page = self.page(search, before=page.older)
            payments += page.payments
        return payments[:limit]

    def _last_day(self, search: Search) -> date:
        return search.last or datetime.now(UTC).date()

    def _days(self, search: Search, before: Position | None, after: Position | None) -> tuple[date, date]:
        """The first and last day to read for this page, within the days of the search."""
        first = max(search.first or date.min, self.ledger.first_day)
        last = self._last_day(search)
        if before:
            last = min(last, date.fromisoformat(before.created_at[:10]))
        if after:
            first = max(first, date.fromisoformat(after.created_at[:10]))
            return first, min(last, first + timedelta(_DAYS))
        return max(first, last - timedelta(_DAYS)), last

    def _positions(
        self, search: Search, first: date, last: date, before: Position | None, after: Position | None
    ) -> tuple[list[Position], bool]:
        """Return the ledger's payments to examine, and whether those days are read fully and no earlier day is left."""

        is_first = after is not None or first <= max(search.first or date.min, self.ledger.first_day)
        recorded = next((status for status in RECORDED if status == search.status), None)
        if search.status and not recorded:
            return [], is_first
        if search.reference:
            of_reference = self.ledger.with_reference(search.reference, search.first, search.last, before)
            positions = list(islice(of_reference, MAX_EXAMINED))
            return positions, len(positions) < MAX_EXAMINED

        def started() -> Iterator[Position]:
            return self.ledger.started(recorded, first, last, before=before, after=after)

        if _ID_PREFIX.fullmatch(search.text):
            text = search.text.lower()
            ids = (each for each in islice(started(), _MAX_IDS_EXAMINED) if each.payment_id.lower().startswith(text))
            if matching_ids := list(islice(ids, PAGE_SIZE + 1)):
                return matching_ids, is_first
        positions = list(islice(started(), MAX_EXAMINED))
        return positions, is_first and len(positions) < MAX_EXAMINED

    def _executions_listed(self, first: date, last: date) -> Iterator[Mapping[str, Any]]:
        """List the executions of these days that may be missing from the ledger, for now or for good."""
        for status in (None, "RUNNING", "FAILED", "TIMED_OUT", "ABORTED"):
            arguments: dict[str, Any] = (
                {"statusFilter": status, "maxResults": 1000} if status else {"maxResults": PAGE_SIZE}
            )
            answer = self._states.list_executions(stateMachineArn=self.stack.state_machine_arn, **arguments)
            listed = ((each, _position_of(each).created_at) for each in answer["executions"])
            yield from (each for each, at in listed if str(first) <= at < f"{last}T99")

    def summaries(self, payment_ids: Sequence[str]) -> list[Summary]:
        """Summarize these payments in this order, without those that are unknown."""
        records = self.ledger.records(payment_ids)
        unrecorded = self._executions([each for each in payment_ids if each not in records])
        known = [each for each in payment_ids if each in records or each in unrecorded]
        waits = self._waits(unrecorded)
        return [Summary.of(each, records.get(each), unrecorded.get(each), None, waits.get(each)) for each in known]

    def doubt_count(self) -> int:
        """The number of payments in doubt, at most MAX_DOUBTS_SHOWN. It may be some seconds old."""
        at, count = self._doubts
        if time.monotonic() - at > _DOUBT_COUNT_TTL_SECONDS or not at:
            count = len(self.ledger.doubts(MAX_DOUBTS_SHOWN))
            self._doubts = time.monotonic(), count
        return count

    def other_machines(self) -> list[Machine]:
        """List the deployment's other state machines with their latest executions."""
        pages = self._states.get_paginator("list_state_machines").paginate()
        others = [
            machine
            for page in pages
            for machine in page["stateMachines"]
            if machine["name"].startswith(f"{self.name}-")
            and machine["stateMachineArn"] != self.stack.state_machine_arn
        ]
        return [
            Machine(
                other["name"],
                self._states.list_executions(stateMachineArn=other["stateMachineArn"], maxResults=PAGE_SIZE)[
                    "executions"
                ],
            )
            for other in sorted(others, key=lambda each: each["name"])
        ]

    def details(self, name: str) -> PaymentDetails:
        """Look up a payment by its id or an execution by its ARN. Raises StackError if there is no such thing."""
        arn = name if name.startswith("arn:") else self.stack.execution_arn(name)
        execution = self._describe(arn)
        payment_id = arn.removeprefix(self.stack.execution_arn(""))
        record, entries, events, unrecorded = None, list[Entry](), list[PaymentEvent](), None
        if payment_id != arn:
            name = payment_id
            record, entries, events = self.ledger.payment(payment_id)
            unrecorded = None if record else self._executions([payment_id]).get(payment_id)
        history = self._history(arn, execution) if execution else None
        wait = history.customer_wait if history else None
        summary = Summary.of(name, record, unrecorded, execution, wait) if record or unrecorded else None
        if not execution:
            if not record:
                raise StackError(f"This stack has no payment and no execution {name}.")
            return PaymentDetails(name, summary, None, None, None, record, entries, events)
        facts = {key: execution.get(key) for key in ("executionArn", "status", "startDate", "stopDate")}
        contents = {key: parsed(execution.get(key)) for key in ("input", "output", "error", "cause")}
        details = PaymentDetails(
            name, summary, facts | masked(contents), self._definition(arn), history, record, entries, events
        )
        return (
            replace(details, resolution=self._find_resolution(details.doubts, execution)) if details.doubts else details
        )

    def _history(self, arn: str, execution: Mapping[str, Any]) -> History:
        pages = self._states.get_paginator("get_execution_history").paginate(
            executionArn=arn, PaginationConfig={"PageSize": _EVENTS_PER_PAGE}
        )
        return read((event for page in pages for event in page["events"]), execution)

    def _waits(self, executions: Mapping[str, Execution]) -> dict[str, CustomerWait]:
        """The waits for customers among these executions, by their latest events."""

        def wait(name: str) -> CustomerWait | None:
            answer = self._states.get_execution_history(
                executionArn=self.stack.execution_arn(name), reverseOrder=True, maxResults=_EVENTS_OF_A_STATE
            )
            started_at = datetime.fromisoformat(executions[name].started_at)
            latest = sorted(answer["events"], key=itemgetter("id"))
            return read(latest, {"status": "RUNNING", "startDate": started_at}).customer_wait

        running = [name for name, each in executions.items() if each.running]
        with ThreadPoolExecutor(_THREADS) as threads:
            return {name: each for name, each in zip(running, threads.map(wait, running), strict=True) if each}

    def _find_resolution(self, doubts: Sequence[str], execution: Mapping[str, Any]) -> Resolution | None:
        """Find the execution that resolves one of these doubts.

        A doubt holds no reference to it, so the executions that started closest to the doubt are tried first.
        """
        arn = self.stack.machine_arn("resolve")
        doubt_began = execution.get("stopDate") or execution["startDate"]
        pages = self._states.get_paginator("list_executions").paginate(
            stateMachineArn=arn, statusFilter="RUNNING", PaginationConfig={"MaxItems": 10_000}
        )
        listed = sorted(
            (each for page in pages for each in page["executions"]),
            key=lambda each: abs(each["startDate"] - doubt_began),
        )
        with ThreadPoolExecutor(_THREADS) as threads:
            described = threads.map(self._describe, [each["executionArn"] for each in listed[:_MAX_RESOLUTIONS]])
            for each in described:
                request = parsed(each["input"]) if each else {}
                if each and {request.get("payment_id"), request.get("operation_id")} & set(doubts):
                    return self._resolution(each)
        return None

    def _resolution(self, execution: Mapping[str, Any]) -> Resolution:
        arn = execution["executionArn"]
        pages = self._states.get_paginator("get_execution_history").paginate(executionArn=arn)
        visits = read((event for page in pages for event in page["events"]), execution).visits
        lookups = [visit for visit in visits if visit.state == "Resolve"]
        waits = self._definition(arn).states[visits[-1].state].seconds if visits else None
        return Resolution(
            arn,
            len(lookups),
            lookups[-1].entered_at if lookups else None,
            visits[-1].entered_at + timedelta(seconds=waits) if waits else None,
        )

    def operations(self, details: PaymentDetails) -> dict[str, History]:
        """Return the histories of a payment's refunds, captures and voids, as far as Step Functions still has them."""
        histories = {}
        for operation in (details.record or {}).get("operations", []):
            with suppress(StackError):
                if history := self.details(self.operation_arn(operation["operation_id"])).history:
                    histories[f"{operation['type'].capitalize()} {operation['operation_id']}"] = history
        return histories

    def _describe(self, arn: str) -> Mapping[str, Any] | None:
        try:
            execution: Mapping[str, Any] = self._states.describe_execution(executionArn=arn)
        except (self._states.exceptions.ExecutionDoesNotExist, self._states.exceptions.InvalidArn):
            return None
        return execution

    def _definition(self, execution_arn: str) -> Definition:
        """The definition that the execution runs, which may not be the currently deployed version."""
        answer = self._states.describe_state_machine_for_execution(executionArn=execution_arn)
        asl = answer["definition"]
        if asl not in self._definitions:
            self._definitions[asl] = Definition.from_asl(asl)
        return self._definitions[asl]

    def _summaries(
        self, positions: Iterable[Position], executions: Mapping[str, Mapping[str, Any]], newest_first: bool
    ) -> list[Summary]:
        """Summarize the payments at these positions and those of the executions."""
        records = self.ledger.records({each.payment_id for each in positions} | set(executions))
        newest = sorted(
            (name for name in executions if name not in records), key=lambda name: _position_of(executions[name])
        )
        unrecorded = self._executions(newest[-PAGE_SIZE:])
        waits = self._waits(unrecorded)
        summaries = [
            Summary.of(name, records.get(name), unrecorded.get(name), executions.get(name), waits.get(name))
            for name in records.keys() | unrecorded.keys()
        ]
        return sorted(summaries, key=lambda each: each.position, reverse=newest_first)

    def _executions(self, payment_ids: Sequence[str]) -> dict[str, Execution]:
        """Fetch the executions of payments that the ledger does not know. Ended executions are cached."""
        adapter = StepFunctionsExecutions(self._states, self.stack.state_machine_arn)
        unknown = [each for each in payment_ids if each not in self._ended]
        with ThreadPoolExecutor(_THREADS) as threads:
            looked_up = dict(zip(unknown, threads.map(adapter.find, unknown), strict=True))
        found = {each: self._ended[each] for each in payment_ids if each in self._ended}
        found |= {name: execution for name, execution in looked_up.items() if execution}
        if len(self._ended) > _MAX_CACHED_EXECUTIONS:
            self._ended.clear()
        self._ended |= {name: execution for name, execution in found.items() if not execution.running}
        return found


def _position_of(execution: Mapping[str, Any]) -> Position:
    return Position(iso(execution["startDate"]), execution["name"])


def _money(payments: Iterable[Summary]) -> list[Money]:
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in payments:
        if each.currency and each.captured_minor:
            sums[each.currency][0] += each.captured_minor
            sums[each.currency][1] += each.refunded_minor
            sums[each.currency][2] += each.disputed_minor
    return [Money(currency, *amounts) for currency, amounts in sorted(sums.items())]

"""Payments as a stack knows them: a page of the newest, and all that there is to see of one.

There is no index of all payments by time. ListExecutions has them, newest first, as each is an execution of its own
name; the ledger adds its record of each. So the cost of a page grows with the page, not with the payments there are.
"""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cli.stack import Stack, StackError
from console.definition import Definition
from console.history import History, parsed, read
from console.ledger import Entry, Item, LedgerItems
from console.masking import masked
from functions.shared.adapters.executions import StepFunctionsExecutions
from functions.shared.domain.errors import error_code
from functions.shared.ports import Execution

PAGE = 50
"""So many executions are listed at once. A search looks at some more pages until it has found that many payments."""

_SEARCHED_PAGES = 10
_AT_A_TIME = 8
_EVENTS = 1000
_REMEMBERED = 2000
_ID = re.compile("[A-Za-z0-9_-]{16,80}")

STATUSES = (
    *("processing", "captured", "authorized", "declined", "rejected", "reversed", "in_doubt", "stored"),
    *("voided", "refunded", "partially_refunded"),
)


@dataclass(frozen=True, slots=True)
class Summary:
    """A payment in one line. What is not known, or doesn't apply, is None."""

    payment_id: str
    status: str
    amount_minor: int | None
    currency: str | None
    brand: str | None
    last4: str | None
    token: str | None
    fingerprint: str | None
    merchant_reference: str | None
    reason: str | None
    started_at: datetime
    stopped_at: datetime | None

    @classmethod
    def of(
        cls, payment_id: str, record: Item | None, unrecorded: Execution | None, listed: Mapping[str, Any] | None
    ) -> "Summary":
        """From the ledger's record, or the execution that it doesn't know, as GET /payments/{payment_id} has it.

        `listed` is the execution as ListExecutions has it, if it is at hand.
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
            status = "processing" if unrecorded.running else "rejected" if unrecorded.was_rejected else "in_doubt"
            error = unrecorded.cause if unrecorded.error == "PaymentRejected" else unrecorded.error
            card, reason = {}, None
            amount, currency = unrecorded.payment.amount_minor, unrecorded.payment.currency
            reference, started_at = masked(unrecorded.payment.merchant_reference), unrecorded.started_at
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
            reason or (error_code(error) if error else None),
            listed.get("startDate") or datetime.fromisoformat(started_at),
            listed.get("stopDate"),
        )

    def matches(self, search: "Search") -> bool:
        text = search.text.lower()
        reference = (self.merchant_reference or "").lower()
        return (not search.status or self.status == search.status) and (
            not text or text in reference or text in (self.last4, self.token, self.fingerprint, self.payment_id.lower())
        )


@dataclass(frozen=True, slots=True)
class Search:
    """Which payments: of a status, and by id, reference, or the card's token, fingerprint or last four
    digits. All, where empty."""

    status: str = ""
    text: str = ""

    def __bool__(self) -> bool:
        return bool(self.status or self.text)


@dataclass(frozen=True, slots=True)
class Page:
    """Some payments, newest first. `next_token` goes on from here, `searched` is how many were looked at."""

    payments: list[Summary]
    next_token: str | None
    searched: int
    back_to: datetime | None


@dataclass(frozen=True, slots=True)
class Machine:
    """A state machine, and its latest executions as ListExecutions has them."""

    name: str
    executions: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Look:
    """All there is to see of one execution, and of the payment that it belongs to.

    `execution` is as DescribeExecution has it, masked, with input and output read. Step Functions forgets executions
    after 90 days; then only the ledger's record and entries are left. An execution of another state machine than the
    payments' has neither of those.
    """

    name: str
    summary: Summary | None
    execution: Mapping[str, Any] | None
    definition: Definition | None
    history: History | None
    record: Item | None
    entries: list[Entry]

    @property
    def is_running(self) -> bool:
        return self.execution is not None and self.execution["status"] == "RUNNING"


class Payments:
    """A stack's payments. All methods may be called by several threads at once."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ledger = LedgerItems(stack)
        self._states = stack.client("stepfunctions")
        self._ended: dict[str, Execution] = {}
        self._definitions: dict[str, Definition] = {}

    @property
    def name(self) -> str:
        """What the deployment's things are called: the state machine's name without what it is for."""
        return self.stack.state_machine_arn.rpartition(":")[2].removesuffix("-payment")

    def operation_arn(self, operation_id: str) -> str:
        """The execution of a refund, a capture or a void: of a state machine of its own."""
        return self.stack.execution_arn(operation_id, "operation")

    def page(self, search: Search, token: str | None = None) -> Page:
        """The newest payments, or those that are searched for, from a token on."""
        found: list[Summary] = []
        searched, back_to = 0, None
        if not token and _ID.fullmatch(search.text) and (one := self.summaries([search.text])):
            return Page([each for each in one if each.matches(search)], None, 1, None)
        for _ in range(_SEARCHED_PAGES):
            arguments = {"nextToken": token} if token else {}
            answer = self._states.list_executions(
                stateMachineArn=self.stack.state_machine_arn, maxResults=PAGE, **arguments
            )
            executions, token = answer["executions"], answer.get("nextToken")
            found += [each for each in self._summaries(executions) if each.matches(search)]
            searched += len(executions)
            back_to = executions[-1]["startDate"] if executions else back_to
            if len(found) >= PAGE or not token or not search:
                break
        return Page(found, token, searched, back_to)

    def summaries(self, payment_ids: Sequence[str]) -> list[Summary]:
        """These payments, in this order; those that nobody knows are left out."""
        records = self.ledger.records(payment_ids)
        unrecorded = self._executions([each for each in payment_ids if each not in records])
        known = [each for each in payment_ids if each in records or each in unrecorded]
        return [Summary.of(each, records.get(each), unrecorded.get(each), None) for each in known]

    def other_machines(self) -> list[Machine]:
        """The deployment's other state machines, with their latest executions."""
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
                self._states.list_executions(stateMachineArn=other["stateMachineArn"], maxResults=PAGE)["executions"],
            )
            for other in sorted(others, key=lambda each: each["name"])
        ]

    def look(self, name: str) -> Look:
        """Everything about one payment, or one execution by its ARN. Raises StackError if the stack knows neither."""
        arn = name if name.startswith("arn:") else self.stack.execution_arn(name)
        execution = self._describe(arn)
        payment_id = arn.removeprefix(self.stack.execution_arn(""))
        record, entries, summary = None, list[Entry](), None
        if payment_id != arn:
            name = payment_id
            record, entries = self.ledger.payment(payment_id)
            unrecorded = None if record else self._executions([payment_id]).get(payment_id)
            if record or unrecorded:
                summary = Summary.of(payment_id, record, unrecorded, execution)
        if not execution:
            if not record:
                raise StackError(f"This stack knows no payment and no execution {name}.")
            return Look(name, summary, None, None, None, record, entries)
        pages = self._states.get_paginator("get_execution_history").paginate(
            executionArn=arn, PaginationConfig={"PageSize": _EVENTS}
        )
        history = read((event for page in pages for event in page["events"]), execution)
        shown = {key: execution.get(key) for key in ("executionArn", "status", "startDate", "stopDate")}
        details = {key: parsed(execution.get(key)) for key in ("input", "output", "error", "cause")}
        return Look(name, summary, shown | masked(details), self._definition(arn), history, record, entries)

    def operations(self, look: Look) -> dict[str, History]:
        """The ways of a payment's refunds, captures and voids, as far as Step Functions remembers them."""
        ways = {}
        for operation in (look.record or {}).get("operations", []):
            with suppress(StackError):
                if history := self.look(self.operation_arn(operation["operation_id"])).history:
                    ways[f"{operation['type'].capitalize()} {operation['operation_id']}"] = history
        return ways

    def _describe(self, arn: str) -> Mapping[str, Any] | None:
        try:
            execution: Mapping[str, Any] = self._states.describe_execution(executionArn=arn)
        except (self._states.exceptions.ExecutionDoesNotExist, self._states.exceptions.InvalidArn):
            return None
        return execution

    def _definition(self, execution_arn: str) -> Definition:
        """What the execution runs, which may be another version than is deployed now."""
        answer = self._states.describe_state_machine_for_execution(executionArn=execution_arn)
        asl = answer["definition"]
        if asl not in self._definitions:
            self._definitions[asl] = Definition.from_asl(asl)
        return self._definitions[asl]

    def _summaries(self, executions: Sequence[Mapping[str, Any]]) -> list[Summary]:
        records = self.ledger.records(execution["name"] for execution in executions)
        unrecorded = self._executions([each["name"] for each in executions if each["name"] not in records])
        return [
            Summary.of(name, records.get(name), unrecorded.get(name), execution)
            for execution in executions
            if (name := execution["name"]) in records or name in unrecorded
        ]

    def _executions(self, payment_ids: Sequence[str]) -> dict[str, Execution]:
        """The executions of payments that the ledger doesn't know. One that is over is asked for once."""
        adapter = StepFunctionsExecutions(self._states, self.stack.state_machine_arn)
        unknown = [each for each in payment_ids if each not in self._ended]
        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            asked = dict(zip(unknown, threads.map(adapter.find, unknown), strict=True))
        found = {each: self._ended[each] for each in payment_ids if each in self._ended}
        found |= {name: execution for name, execution in asked.items() if execution}
        if len(self._ended) > _REMEMBERED:
            self._ended.clear()
        self._ended |= {name: execution for name, execution in found.items() if not execution.running}
        return found

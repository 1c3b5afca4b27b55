"""Compare three sides of one day: the gateways' settlement reports, the ledger, and the executions.

The comparison proceeds in steps, so that it can handle a day of any size: each step processes a part of one side and
returns the start of the next step. A step may be repeated.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from itertools import chain

from functions.shared.domain.adoption import ADOPTABLE_STATUSES, adopted_id
from functions.shared.domain.charge import REDACTED, Refund
from functions.shared.domain.errors import (
    GatewayMismatch,
    GatewayOutcomeUnknown,
    GatewayRefused,
    InvalidInput,
    PaymentError,
    SettlementUnreadable,
)
from functions.shared.domain.ledger import (
    JournalEntry,
    asset_gateway,
    chart_of_accounts,
    entries_in_effect,
    settlement_entry,
    turnover,
)
from functions.shared.domain.payment import Payment
from functions.shared.domain.settlement import (
    Break,
    BreakType,
    SettlementLine,
    SettlementPage,
    compare,
    entry_of,
    settled_as,
    settlement_source,
)
from functions.shared.ports import (
    AccountPosting,
    Books,
    Breaks,
    DayTotals,
    Executions,
    ExecutionSummary,
    Gateways,
    Ledger,
    PaymentGateway,
    RecordedPayment,
)
from functions.shared.use_cases.adopt_charge import record_movements

LINES_PER_READ = 10_000
# About a minute's work of the five minutes that a step has. A step is seven of an execution's at most 25,000 events.
LINES_PER_STEP = 2_000
SHARDS_PER_STEP = 16

UNREADABLE = (GatewayMismatch, GatewayOutcomeUnknown, GatewayRefused)

Count = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cursor:
    """The start of a step: a side and its page, or None for the first page. The steps before the side `executions` are
    repeated for each gateway that has a report. The `gateway` is None on the first step and from `executions` on."""

    side: str
    page: str | None = None
    gateway: str | None = None


FIRST_STEP = Cursor("report")


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One run for one day (UTC, YYYY-MM-DD). `count` is called with the metrics that must raise an alarm."""

    day: str
    run: str
    now: str
    gateways: Gateways
    ledger: Ledger
    books: Books
    breaks: Breaks
    executions: Executions
    count: Count

    def step(self, cursor: Cursor) -> Cursor | None:
        """Carry out a step, and return the start of the next step, or None after the last.

        Raises InvalidInput for a day that has not begun, SettlementUnreadable, and the errors of the ports.
        """
        if self.day > self.now[:10]:
            raise InvalidInput("The day has not begun.")
        steps_of_gateway = {
            "report": self._check_report,
            "gateway": self._compare_lines,
            "ledger": self._compare_entries,
        }
        steps = {"executions": self._compare_executions, "open": self._adopt_open, "close": self._close}
        if cursor == FIRST_STEP:
            cursor = self._first_step_of(next(self._reporting(), None))
        if cursor.side in steps:
            return steps[cursor.side](cursor.page)
        assert cursor.gateway
        return steps_of_gateway[cursor.side](self.gateways.named(cursor.gateway), cursor.page)

    def _reporting(self) -> Iterator[str]:
        """The names of the gateways that have a report."""
        return (name for name in self.gateways.names if self.gateways.named(name).abilities.settlement_report)

    def _first_step_of(self, gateway: str | None) -> Cursor:
        return Cursor("report", gateway=gateway) if gateway else Cursor("executions")

    def found(self) -> list[Break]:
        """The breaks that the run has found so far."""
        return self.breaks.found_in_run(self.day, self.run)

    # -- The report as a whole: no line of a truncated report counts

    def _check_report(self, gateway: PaymentGateway, page: str | None) -> Cursor:
        keys, totals = Counter[str](), Counter[tuple[str, int]]()
        lines: dict[str, SettlementLine] = {}
        for part in self._pages(gateway):
            for line in part.lines:
                keys[line.key] += 1
                lines[line.key] = line
                totals[line.currency, 0] += line.amount_minor
                totals[line.currency, 1] += line.fee_minor
        if part.line_count not in (None, keys.total()):
            raise SettlementUnreadable(f"The settlement report has {keys.total()} of its {part.line_count} lines.")
        if part.totals is not None:
            report_totals = {(currency, n): sums[n] for currency, sums in part.totals.items() for n in (0, 1)}
            if +totals != +Counter(report_totals) or -totals != -Counter(report_totals):
                raise SettlementUnreadable("The settlement report's lines don't sum up to its totals.")
        for key, line in lines.items():
            if keys[key] > 1:
                self._break(line, "duplicate", "one line", f"{keys[key]} of {line}")
        return Cursor("gateway", gateway=gateway.name)

    def _pages(self, gateway: PaymentGateway) -> Iterator[SettlementPage]:
        page: str | None = None
        while True:
            part = gateway.settlement(self.day, page, LINES_PER_READ)
            yield part
            page = part.next_page
            if page is None:
                return

    # -- The gateway's side: every line must match the ledger, and is then posted as settled

    def _compare_lines(self, gateway: PaymentGateway, page: str | None) -> Cursor:
        part = gateway.settlement(self.day, page, LINES_PER_STEP)
        duplicates = {found.item for found in self.found() if found.type == "duplicate"}
        for line in part.lines:
            if line.key not in duplicates:
                self._compare_line(line, gateway.name)
        if part.next_page:
            return Cursor("gateway", part.next_page, gateway.name)
        return Cursor("ledger", "0", gateway.name)

    def _compare_line(self, line: SettlementLine, gateway: str) -> None:
        if REDACTED in astuple(line) or line.reference is None or not line.is_known:
            self._break(line, "missing_in_ledger", "a line as documented", f"{line} at {gateway}")
            return
        record = self.ledger.find(line.reference)
        if record is None:
            execution = self.executions.find(line.reference)
            if execution is None or not execution.running:
                self._break(line, "missing_in_ledger", "a payment", f"{line} at {gateway}")
            return
        broken = compare(line, record.payment, record.entries, self.day)
        if broken:
            record = self._adopt(record)
            broken = compare(line, record.payment, record.entries, self.day)
        if broken:
            self.breaks.record(broken, self.run, self.now)
        elif line.settled > datetime.fromisoformat(self.now):
            # The lines of a day that is not over are not final yet.
            if _utc_day(line.settled) != self.day:
                self._break(line, "status_differs", f"settled by {self.now}", f"{line}, settled at {line.settled_at}")
        elif line.paid and settled_as(line, record.entries) is None:
            self._settle(line, gateway, record)

    def _settle(self, line: SettlementLine, gateway: str, record: RecordedPayment) -> None:
        """Post the line's settlement and, for a failed refund, the return of its money."""
        payment, entries = record.payment.next_version(self.now), list[JournalEntry]()
        if line.type == "refund_failed":
            refund = entry_of(line, payment, record.entries)
            operation = payment.operation((refund and refund.entry.source) or "")
            if operation and operation.status == "succeeded" and refund:
                payment = record.payment.fail_refund(operation, self.now)
                entries.append(refund.entry.reverse(refund.number, "refund_failed"))
                self.count("RefundFailed")
        source = settlement_source(line, self.day)
        entries.append(settlement_entry(gateway, line.amount_minor, line.fee_minor, line.currency, source))
        updated, posted = payment.post(*entries)
        self.ledger.record(updated, posted, previous=record.payment)

    # -- The ledger's side: every movement of the day must be in a report

    def _compare_entries(self, gateway: PaymentGateway, page: str | None) -> Cursor:
        first_shard = int(page or 0)
        shards = range(first_shard, min(first_shard + SHARDS_PER_STEP, self.books.shards))
        lines = {
            (line.reference, line.type, name)
            for line in chain.from_iterable(part.lines for part in self._pages(gateway))
            for name in (line.refund_reference, adopted_id("refund", line.line_id), line.line_id)
        }
        for posted in self.books.postings(asset_gateway(gateway.name), self.day, shards):
            line = {
                "capture": (posted.payment_id, "charge", None),
                "refund": (posted.payment_id, "refund", posted.source),
                "dispute": (posted.payment_id, "dispute", posted.source),
                "dispute_won": (posted.payment_id, "dispute_reversal", posted.source),
            }.get(posted.kind)
            if line and line not in lines:
                self._check_entry(posted, gateway)
        if shards.stop < self.books.shards:
            return Cursor("ledger", str(shards.stop), gateway.name)
        return self._first_step_of(next((name for name in self._reporting() if name > gateway.name), None))

    def _check_entry(self, posted: AccountPosting, gateway: PaymentGateway) -> None:
        """Record a break for an entry without a line, unless it was undone or was made on another day; or one for its
        charge if that can't be read.

        A dispute that was won has two lines.
        """
        record = self.ledger.find(posted.payment_id)
        is_disputed = posted.kind in ("dispute", "dispute_won")
        if record is None or not (
            is_disputed or posted.number in {entry.number for entry in entries_in_effect(record.entries)}
        ):
            return
        charge_id = posted.source if posted.source in record.payment.other_charges else record.payment.charge_id
        try:
            charge = gateway.find(charge_id) if charge_id else None
        except UNREADABLE as error:
            self._charge_differs(record.payment, charge_id, _final_answer(error))
            return
        moved_at, found = (charge.captured_at, f"a charge that is {charge.status}") if charge else (None, "no charge")
        if posted.kind == "refund":
            refunds = {name: refund for refund in (charge.refunds if charge else ()) for name in _operation_ids(refund)}
            refund = refunds.get(posted.source)
            moved_at, found = (refund.created_at, f"refund {refund.refund_id}") if refund else (None, "no refund")
        if is_disputed:
            disputes = {dispute.dispute_id: dispute for dispute in (charge.disputes if charge else ())}
            dispute = disputes.get(posted.source or "")
            moved_at, found = (None, "no dispute") if dispute is None else (dispute.opened_at, f"one {dispute.status}")
            if dispute and posted.kind == "dispute_won":
                moved_at = dispute.ended_at
        if moved_at in (None, REDACTED) or _utc_day(datetime.fromisoformat(moved_at)) == self.day:
            amount = f"{posted.posting.amount_minor} {posted.posting.currency}"
            expected = f"a line for the {posted.kind} of {amount}"
            self._record("missing_at_gateway", posted.payment_id, f"entry {posted.number}", expected, found)

    # -- The executions' side: every payment of an ended execution must be recorded or rejected

    def _compare_executions(self, page: str | None) -> Cursor:
        executions, next_page = self.executions.page(page)
        ended = [
            execution
            for execution in executions
            if execution.started_at[:10] == self.day and execution.status != "RUNNING"
        ]
        statuses = self.ledger.statuses([execution.name for execution in ended])
        for execution in ended:
            self._compare_execution(execution, statuses.get(execution.name))
        # Lists are newest first: ended executions come in the order of their ends.
        is_past_day = any((execution.stopped_at or execution.started_at)[:10] < self.day for execution in executions)
        return Cursor("executions", next_page) if next_page and not is_past_day else Cursor("open")

    def _compare_execution(self, execution: ExecutionSummary, status: str | None) -> None:
        if execution.status == "SUCCEEDED" and status in ("reversed", "in_doubt"):
            self._record("status_differs", execution.name, "execution", "a success, as its execution", status)
        elif status is None:
            found = self.executions.find(execution.name)
            if execution.status == "SUCCEEDED" or not (found and (found.was_rejected or found.running)):
                failure = found.error if found and found.error else execution.status
                self._record("missing_in_ledger", execution.name, "execution", "a payment", f"execution {failure}")

    # -- Movements that the gateway ends by itself: authorizations that expire, pending refunds

    def _adopt_open(self, page: str | None) -> Cursor:
        payment_ids, next_page = self.ledger.awaiting_gateway(page)
        for payment_id in payment_ids:
            if record := self.ledger.find(payment_id):
                self._adopt(record)
        return Cursor("open", next_page) if next_page else Cursor("close")

    def _adopt(self, record: RecordedPayment) -> RecordedPayment:
        """Adopt the charge's movements and return the record. A charge that can't be read or adopted is recorded as a
        break."""
        payment = record.payment
        if payment.status not in ADOPTABLE_STATUSES:
            return record
        found = "no charge"
        try:
            charge = self.gateways.of(payment).find(payment.charge_id) if payment.charge_id else None
            if charge:
                return record_movements(record, charge, ledger=self.ledger, now=self.now)
        except UNREADABLE as error:
            found = _final_answer(error)
        self._charge_differs(payment, payment.charge_id, found)
        return record

    # -- The end of the run

    def _close(self, page: str | None) -> None:
        self.breaks.resolve_not_found(self.day, self.run, self.now)
        if self.day < self.now[:10]:
            self.books.close(self.day, self._totals(), self.now)

    def _totals(self) -> DayTotals:
        accounts = chart_of_accounts(self.gateways.names)
        return turnover(posted.posting for account in accounts for posted in self.books.postings(account, self.day))

    def _break(self, line: SettlementLine, type: BreakType, expected: str, found: str) -> None:
        self._record(type, line.reference or "", line.key, expected, found)

    def _charge_differs(self, payment: Payment, charge_id: str | None, found: str) -> None:
        expected = f"charge {charge_id} of {payment.amount_minor} {payment.currency}"
        self._record("status_differs", payment.payment_id, "charge", expected, found)

    def _record(self, type: BreakType, payment_id: str, item: str, expected: str, found: str) -> None:
        self.breaks.record(Break(self.day, type, payment_id, item, expected, found), self.run, self.now)


def _final_answer(error: PaymentError) -> str:
    """What the gateway said of a charge that can't be read, if it will say the same tomorrow: a person has to look at
    the charge, and all others go on. Otherwise the gateway may be down, and the error is raised again, so that the step
    is repeated."""
    if isinstance(error, GatewayOutcomeUnknown) and not error.shown:
        raise error
    return str(error)


def _operation_ids(refund: Refund) -> tuple[str | None, str]:
    """The ids of operations under which a refund may be recorded."""
    return refund.reference, adopted_id("refund", refund.refund_id)


def _utc_day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()

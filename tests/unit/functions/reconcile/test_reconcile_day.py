"""Compares a day with the gateway's report: what agrees, what is settled, and what breaks."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from functions.reconcile import reconcile_day
from functions.reconcile.reconcile_day import FIRST_STEP, Cursor, Reconciliation
from functions.shared.adapters.table.books import DynamoDbBooks
from functions.shared.domain.charge import REDACTED, Charge
from functions.shared.domain.errors import (
    GatewayMismatch,
    GatewayOutcomeUnknown,
    GatewayRefused,
    InvalidInput,
    PaymentError,
    SettlementUnreadable,
)
from functions.shared.domain.ledger import capture_entry, refund_entry
from functions.shared.domain.payment import Payment
from functions.shared.domain.settlement import Break, SettlementLine, SettlementPage
from functions.shared.ports import Execution
from functions.shared.use_cases.adopt_charge import adopt_charge
from tests.balances import balances
from tests.fakes import FakeBooks, FakeBreaks, FakeExecutions, FakeGateway, FakeLedger, only
from tests.samples import ABLE, LATER, NOW, REQUEST, STARTED_AT, card, operation_request, order, payment

DAY = "2026-11-23"
NEXT_MORNING = "2026-11-24T02:00:00.000Z"
SETTLED_AT = f"{DAY}T23:59:59.999Z"
GATEWAY, BANK, FEES = ("asset:gateway:sparkle", "USD"), ("asset:bank", "USD"), ("expense:fees", "USD")
ENDED = Execution(False, None, None, REQUEST.to_dict(), STARTED_AT, LATER)


@dataclass
class World:
    """A gateway, a ledger and executions that agree, until a test changes something."""

    gateway: FakeGateway = field(default_factory=FakeGateway)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    breaks: FakeBreaks = field(default_factory=FakeBreaks)
    executions: FakeExecutions = field(default_factory=FakeExecutions)
    counted: list[str] = field(default_factory=list)
    others: tuple[FakeGateway, ...] = ()
    runs: int = 0

    def __post_init__(self) -> None:
        self.books = FakeBooks(self.ledger)
        self.report = self.gateway.reports.setdefault(DAY, [])

    def paid(self, payment_id: str = "pay-1", amount_minor: int = 1999) -> Payment:
        """A captured payment in the ledger, at the gateway, and in its report."""
        charge = self.gateway.charge(order(payment_id, amount_minor=amount_minor), card(), f"{payment_id}-charge")
        captured = payment(
            payment_id, amount_minor=amount_minor, captured_minor=amount_minor, charge_id=charge.charge_id
        )
        recorded, entries = captured.post(capture_entry("sparkle", amount_minor, "USD"))
        self.ledger.record(recorded, entries)
        self.executions.executions[payment_id] = ENDED
        self.report.append(charge_line(charge))
        return recorded

    def refunded(self, payment_id: str = "pay-1", amount_minor: int = 500, operation_id: str = "op-1") -> None:
        """A refund of it in all sources."""
        recorded = self.ledger.records[payment_id].payment
        reserved = recorded.reserve(operation_request(recorded, "refund", amount_minor, operation_id), LATER)
        self.ledger.record(reserved)
        settled = reserved.settle(reserved.operations[-1], LATER)
        self.ledger.record(*settled.post(refund_entry("sparkle", amount_minor, "USD", operation_id)))
        charge_id = recorded.charge_id or ""
        refunded = self.gateway.refund(charge_id, amount_minor, "USD", operation_id, operation_id)
        assert isinstance(refunded, Charge)
        line = charge_line(self.gateway.charges[payment_id])
        self.report.append(
            replace(
                line,
                type="refund",
                line_id=refunded.refunds[-1].refund_id,
                refund_reference=operation_id,
                amount_minor=-amount_minor,
                fee_minor=0,
            )
        )

    def reconcile(self, now: str = NEXT_MORNING) -> list[Break]:
        """Run to the end, and return the breaks."""
        self.runs += 1
        run = Reconciliation(
            day=DAY,
            run=f"run-{self.runs}",
            now=now,
            gateways=only(self.gateway, *self.others),
            ledger=self.ledger,
            books=self.books,
            breaks=self.breaks,
            executions=self.executions,
            count=self.counted.append,
        )
        cursor: Cursor | None = FIRST_STEP
        while cursor:
            cursor = run.step(cursor)
        return run.found()

    def types(self, now: str = NEXT_MORNING) -> list[tuple[str, str]]:
        return [(each.type, each.payment_id) for each in self.reconcile(now)]

    def spoil(self, n: int = 0, **changes: Any) -> None:
        """Change a line of the report."""
        self.report[n] = replace(self.report[n], **changes)


def charge_line(charge: Charge) -> SettlementLine:
    return SettlementLine(
        line_id=charge.charge_id,
        type="charge",
        charge_id=charge.charge_id,
        reference=charge.reference,
        refund_reference=None,
        amount_minor=charge.captured_minor,
        fee_minor=58,
        currency=charge.currency,
        settled_at=SETTLED_AT,
    )


@pytest.fixture
def world() -> World:
    return World()


def totals(world: World) -> dict[tuple[str, str], int]:
    return balances(entry for recorded in world.ledger.records.values() for entry in recorded.journal)


class TestADayThatAgrees:
    def test_nothing_breaks_and_what_was_paid_out_is_in_the_bank_less_its_fee(self, world: World) -> None:
        world.paid("pay-1")
        world.paid("pay-2", 1000)
        assert world.reconcile() == []
        owed = {("liability:merchant", "USD"): -2999}
        assert totals(world) == owed | {BANK: 2999 - 116, FEES: 116}
        assert [entry.kind for entry in world.ledger.records["pay-2"].journal] == ["capture", "settlement"]

    def test_again_it_settles_nothing_twice(self, world: World) -> None:
        world.paid()
        world.refunded()
        world.reconcile()
        before = dict(world.ledger.records)
        assert world.reconcile() == []
        assert world.ledger.records == before

    def test_a_refund_is_taken_from_the_payout(self, world: World) -> None:
        world.paid()
        world.refunded(amount_minor=500)
        assert world.reconcile() == []
        assert totals(world) == {BANK: 1999 - 500 - 58, FEES: 58, ("liability:merchant", "USD"): -1499}

    def test_a_day_with_nothing_is_reconciled(self, world: World) -> None:
        assert world.reconcile() == []
        assert world.books.closed == {DAY: {}}

    def test_a_day_that_is_over_is_closed_with_its_totals(self, world: World) -> None:
        world.paid()
        world.refunded(amount_minor=500)
        world.reconcile()
        assert world.books.closed[DAY] == {
            "asset:gateway:sparkle": {"USD": (1999, 500)},
            "liability:merchant": {"USD": (500, 1999)},
        }

    def test_a_day_that_is_not_over_is_compared_and_neither_settled_nor_closed(self, world: World) -> None:
        world.paid()
        before = dict(world.ledger.records)
        assert world.reconcile(now=LATER) == []
        assert (world.ledger.records, world.books.closed) == (before, {})

    def test_a_day_that_has_not_begun_is_refused(self, world: World) -> None:
        with pytest.raises(InvalidInput):
            world.reconcile(now="2026-11-22T23:59:59.999Z")

    def test_a_capture_of_another_day_is_in_another_report(self, world: World) -> None:
        world.paid()
        world.report.clear()
        charge = world.gateway.charges["pay-1"]
        world.gateway.charges["pay-1"] = replace(charge, captured_at="2026-11-22T23:59:59.999Z")
        assert world.reconcile() == []

    def test_a_payment_that_was_captured_and_reversed_the_same_day_is_in_no_report(self, world: World) -> None:
        world.paid()
        world.report.clear()
        recorded = world.ledger.records["pay-1"].payment
        reversed_ = replace(recorded, status="reversed", captured_minor=0, version=2)
        world.ledger.record(*reversed_.post(capture_entry("sparkle", 1999, "USD").reverse(1)))
        world.executions.executions["pay-1"] = replace(ENDED, error="PaymentReversed")
        world.gateway.reverse(order("pay-1"))
        assert world.reconcile() == []

    def test_a_charge_that_was_reversed_after_it_had_settled_is_there_and_back(self, world: World) -> None:
        world.paid()
        recorded = world.ledger.records["pay-1"].payment
        reversed_ = replace(recorded, status="reversed", captured_minor=0, version=2)
        world.ledger.record(*reversed_.post(capture_entry("sparkle", 1999, "USD").reverse(1)))
        world.executions.executions["pay-1"] = replace(ENDED, error="PaymentReversed")
        world.report.append(replace(world.report[0], type="refund", line_id="re_1", amount_minor=-1999, fee_minor=0))
        assert world.reconcile() == []
        assert totals(world) == {BANK: -58, FEES: 58}

    def test_a_payment_whose_execution_still_runs_is_not_missed(self, world: World) -> None:
        charge = world.gateway.charge(order("pay-2"), card(), "pay-2-charge")
        world.report.append(charge_line(charge))
        world.executions.executions["pay-2"] = replace(ENDED, running=True)
        assert world.reconcile(now=LATER) == []

    def test_a_payment_that_was_rejected_is_not_missed(self, world: World) -> None:
        world.executions.executions["pay-2"] = replace(ENDED, error="PaymentRejected")
        assert world.reconcile() == []

    def test_reports_and_lists_longer_than_a_page_are_read_to_their_end(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reconcile_day, "LINES_PER_READ", 2)
        monkeypatch.setattr(reconcile_day, "LINES_PER_STEP", 2)
        monkeypatch.setattr(reconcile_day, "SHARDS_PER_STEP", 1)
        world.executions.page_size = 2
        for n in range(5):
            world.paid(f"pay-{n * '0'}{n}")
        world.spoil(4, amount_minor=1)
        assert world.types() == [("amount_differs", "pay-00004")]
        assert sum(len(recorded.journal) for recorded in world.ledger.records.values()) == 5 + 4

    def test_a_day_of_two_million_payments_fits_into_one_executions_history(self) -> None:
        payments, executions_in_a_page, events_of_a_step = 2_000_000, 1000, 7
        of_the_two_hours_since = payments * 2 // 24
        steps = (
            payments // reconcile_day.LINES_PER_STEP
            + DynamoDbBooks.shards // reconcile_day.SHARDS_PER_STEP
            + (payments + of_the_two_hours_since) // executions_in_a_page
            + len(["report", "open", "close"])
        )
        assert steps * events_of_a_step < 25_000


class TestBreaks:
    def test_a_charge_that_the_ledger_does_not_know_is_missing_there(self, world: World) -> None:
        world.report.append(charge_line(world.gateway.charge(order("pay-2"), card(), "pay-2-charge")))
        assert world.types() == [("missing_in_ledger", "pay-2")]

    def test_an_execution_that_succeeded_without_a_record_is_missing_in_the_ledger(self, world: World) -> None:
        world.executions.executions["pay-2"] = ENDED
        assert world.types() == [("missing_in_ledger", "pay-2")]

    @pytest.mark.parametrize("error", ["States.Timeout", "PaymentInDoubt"])
    def test_an_execution_that_ended_otherwise_without_a_record_is_missing_in_the_ledger(
        self, world: World, error: str
    ) -> None:
        world.executions.executions["pay-2"] = replace(ENDED, error=error)
        (broken,) = world.reconcile()
        assert (broken.type, broken.item, broken.found) == ("missing_in_ledger", "execution", f"execution {error}")

    def test_a_capture_without_a_line_is_missing_at_the_gateway(self, world: World) -> None:
        world.paid()
        world.report.clear()
        (broken,) = world.reconcile()
        assert (broken.type, broken.item, broken.expected) == (
            "missing_at_gateway",
            "entry 1",
            "a line for the capture of 1999 USD",
        )

    def test_a_refund_without_a_line_is_missing_at_the_gateway(self, world: World) -> None:
        world.paid()
        world.refunded()
        world.report.pop()
        assert world.types() == [("missing_at_gateway", "pay-1")]

    def test_a_payment_that_the_gateway_does_not_know_is_missing_there(self, world: World) -> None:
        world.paid()
        world.report.clear()
        world.gateway.charges.clear()
        (broken,) = world.reconcile()
        assert (broken.type, broken.found) == ("missing_at_gateway", "no charge")

    @pytest.mark.parametrize(
        "change", [{"amount_minor": 2000}, {"amount_minor": -1999}, {"currency": "EUR"}, {"amount_minor": 0}], ids=str
    )
    def test_another_amount_or_currency_differs(self, world: World, change: dict[str, Any]) -> None:
        world.paid()
        world.spoil(**change)
        (broken,) = world.reconcile()
        assert (broken.type, broken.expected) == ("amount_differs", "1999 USD, as in the ledger")

    def test_a_refund_of_another_amount_differs(self, world: World) -> None:
        world.paid()
        world.refunded(amount_minor=500)
        world.spoil(1, amount_minor=-600)
        assert world.types() == [("amount_differs", "pay-1")]

    @pytest.mark.parametrize("status", ["declined", "voided", "in_doubt", "reversed"])
    def test_a_charge_that_settles_what_the_ledger_has_not_captured_differs_by_status(
        self, world: World, status: Any
    ) -> None:
        charge = world.gateway.charge(order(), card(), "pay-1-charge")
        world.ledger.record(payment(status=status, charge_id=charge.charge_id))
        world.report.append(charge_line(charge))
        (broken,) = world.reconcile()
        assert (broken.type, broken.found) == ("status_differs", status)

    def test_a_refund_that_nobody_asked_for_differs_by_status(self, world: World) -> None:
        world.paid()
        world.report.append(
            replace(world.report[0], type="refund", line_id="re_1", refund_reference="by-hand", amount_minor=-1)
        )
        assert world.types() == [("status_differs", "pay-1")]

    def test_a_success_that_the_ledger_has_reversed_differs_by_status(self, world: World) -> None:
        world.ledger.record(payment(status="reversed"))
        world.executions.executions["pay-1"] = ENDED
        assert world.types() == [("status_differs", "pay-1")]

    def test_the_same_line_twice_is_a_duplicate_and_neither_is_settled(self, world: World) -> None:
        world.paid()
        world.report.append(world.report[0])
        (broken,) = world.reconcile()
        assert (broken.type, broken.expected) == ("duplicate", "one line")
        assert len(world.ledger.records["pay-1"].journal) == 1

    def test_a_refund_that_failed_is_another_line_than_the_refund_that_is_there_twice(self, world: World) -> None:
        world.paid()
        world.refunded()
        refund = world.report[-1]
        world.report += [refund, replace(refund, type="refund_failed", amount_minor=500)]
        (broken,) = world.reconcile()
        assert (broken.type, broken.item) == ("duplicate", f"refund:{refund.line_id}")
        assert [entry.kind for entry in world.ledger.records["pay-1"].journal] == [
            "capture",
            "refund",
            "settlement",
            "refund_failed",
            "settlement",
        ]
        assert world.counted == ["RefundFailed"]

    @pytest.mark.parametrize("type", ["chargeback", "fee", "adjustment"])
    @pytest.mark.parametrize("reference", ["pay-1", None])
    def test_a_line_of_an_unknown_type_is_a_break_and_all_others_are_settled(
        self, world: World, type: str, reference: str | None
    ) -> None:
        world.paid("pay-1")
        world.paid("pay-2")
        changes = {"type": type, "line_id": "cb_1", "reference": reference, "amount_minor": -1999}
        world.report.insert(1, replace(world.report[0], **changes))  # type: ignore[arg-type]
        (broken,) = world.reconcile()
        assert (broken.type, broken.payment_id, broken.item) == ("missing_in_ledger", reference or "", f"{type}:cb_1")
        assert broken.found == f"{type} cb_1 of -1999 USD at sparkle"
        assert [len(recorded.journal) for recorded in world.ledger.records.values()] == [2, 2]

    @pytest.mark.parametrize(
        ("settled_at", "is_over"),
        [
            ("2026-11-24T02:00:00.000Z", True),
            ("2026-11-24T02:00:00.001Z", False),
            ("2026-11-24T03:30:00+01:30", True),
            ("2026-11-24T01:30:00-02:00", False),
            ("2027-11-23T23:59:59.999Z", False),
        ],
    )
    def test_what_settles_in_the_future_is_a_break_wherever_its_clock_is(
        self, world: World, settled_at: str, is_over: bool
    ) -> None:
        world.paid()
        world.spoil(settled_at=settled_at)
        assert world.types() == ([] if is_over else [("status_differs", "pay-1")])
        assert len(world.ledger.records["pay-1"].journal) == (2 if is_over else 1)

    @pytest.mark.parametrize("settled_at", [SETTLED_AT, f"{DAY}T22:59:59-01:00"])
    def test_while_the_day_runs_its_lines_are_not_final_yet(self, world: World, settled_at: str) -> None:
        world.paid()
        world.spoil(settled_at=settled_at)
        assert world.reconcile(now=LATER) == []
        assert len(world.ledger.records["pay-1"].journal) == 1

    def test_a_line_that_settles_after_its_own_day_is_a_break_while_that_day_runs_too(self, world: World) -> None:
        world.paid()
        world.spoil(settled_at="2026-11-24T00:00:00Z")
        assert world.types(now=LATER) == [("status_differs", "pay-1")]

    def test_a_second_charge_that_was_undone_is_settled_like_its_own(self, world: World) -> None:
        paid = world.paid()
        capture = capture_entry("sparkle", 1999, "USD", "ch_2")
        undoing = world.ledger.records["pay-1"].payment.undo_other_charge("ch_2", "refund", LATER)
        world.ledger.record(*undoing.post(capture))
        back = world.ledger.records["pay-1"].payment
        world.ledger.record(*back.settle(back.operations[0], LATER).post(refund_entry("sparkle", 1999, "USD", "ch_2")))
        second_line = replace(world.report[0], line_id="ch_2", charge_id="ch_2")
        world.report += [
            second_line,
            replace(
                second_line, type="refund", line_id="re_2", refund_reference="ch_2", amount_minor=-1999, fee_minor=0
            ),
        ]
        assert world.reconcile() == []
        settled = [entry.source for entry in world.ledger.records["pay-1"].journal if entry.kind == "settlement"]
        assert settled == [f"charge:{paid.charge_id}@{DAY}", f"charge:ch_2@{DAY}", f"refund:re_2@{DAY}"]

    def test_a_line_that_was_on_another_days_report_is_a_duplicate(self, world: World) -> None:
        world.paid()
        world.reconcile()
        recorded = world.ledger.records["pay-1"]
        moved = recorded.entries[1].entry.source or ""
        world.gateway.reports["2026-11-24"] = [world.report[0]]
        late = Reconciliation(
            "2026-11-24",
            "late",
            "2026-11-25T02:00:00.000Z",
            only(world.gateway),
            world.ledger,
            world.books,
            world.breaks,
            world.executions,
            world.counted.append,
        )
        late.step(Cursor("gateway", gateway="sparkle"))
        assert [(each.type, each.expected) for each in late.found()] == [("duplicate", "once, as on 2026-11-23")]
        assert moved.endswith("@2026-11-23")

    def test_a_second_charge_for_a_payment_is_a_duplicate(self, world: World) -> None:
        world.paid()
        world.report.append(replace(world.report[0], line_id="ch_2", charge_id="ch_2"))
        assert world.types() == [("duplicate", "pay-1")]
        assert len(world.ledger.records["pay-1"].journal) == 2

    def test_what_breaks_moves_nothing_and_what_agrees_is_settled(self, world: World) -> None:
        world.paid("pay-1")
        world.paid("pay-2")
        world.spoil(1, amount_minor=1)
        assert Counter(world.types()) == {("amount_differs", "pay-2"): 1}
        kinds = {payment_id: len(recorded.journal) for payment_id, recorded in world.ledger.records.items()}
        assert kinds == {"pay-1": 2, "pay-2": 1}

    def test_a_break_that_is_not_found_again_is_resolved(self, world: World) -> None:
        world.paid()
        world.spoil(amount_minor=1)
        (broken,) = world.reconcile()
        world.spoil(amount_minor=1999)
        assert world.reconcile() == []
        assert world.breaks.resolved == {broken}


class TestAFailedRefund:
    def fail(self, world: World) -> None:
        world.paid()
        world.refunded(amount_minor=500)
        world.report.append(replace(world.report[1], type="refund_failed", amount_minor=500))

    def test_its_money_is_back_by_a_new_entry_and_an_alarm_is_raised(self, world: World) -> None:
        self.fail(world)
        assert world.reconcile() == []
        recorded = world.ledger.records["pay-1"]
        assert (recorded.payment.status, recorded.payment.refunded_minor) == ("captured", 0)
        (operation,) = recorded.payment.operations
        assert (operation.status, operation.error) == ("rejected", "refund_failed")
        assert totals(world) == {BANK: 1999 - 58, FEES: 58, ("liability:merchant", "USD"): -1999}
        assert world.counted == ["RefundFailed"]

    def test_again_it_comes_back_once(self, world: World) -> None:
        self.fail(world)
        world.reconcile()
        before = dict(world.ledger.records)
        assert world.reconcile() == []
        assert (world.ledger.records, world.counted) == (before, ["RefundFailed"])


class TestAReportThatCannotBeBelieved:
    @pytest.fixture(autouse=True)
    def two_payments(self, world: World) -> None:
        world.paid("pay-1")
        world.paid("pay-2")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"lines": ()}, "has 0 of its 2 lines"),
            ({"line_count": 3}, "has 2 of its 3 lines"),
            ({"totals": {"USD": (1, 116)}}, "don't sum up"),
            ({"totals": {"USD": (3998, 0)}}, "don't sum up"),
            ({"totals": {}}, "don't sum up"),
            ({"totals": {"USD": (3998, 116), "EUR": (1, 0)}}, "don't sum up"),
        ],
    )
    def test_the_books_do_not_move(
        self, world: World, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
    ) -> None:
        report = world.gateway.settlement(DAY, None, 100)

        def settlement(day: str, page: str | None, limit: int) -> SettlementPage:
            return replace(report, **change)

        monkeypatch.setattr(world.gateway, "settlement", settlement)
        before = dict(world.ledger.records)
        with pytest.raises(SettlementUnreadable, match=message):
            world.reconcile()
        assert (world.ledger.records, world.breaks.found, world.books.closed) == (before, {}, {})

    def test_a_gateway_that_does_not_answer_is_asked_again(self, world: World) -> None:
        world.gateway.faults.arm("settlements", GatewayOutcomeUnknown("No answer."))
        with pytest.raises(GatewayOutcomeUnknown):
            world.reconcile()
        assert world.reconcile() == []


def test_the_sample_times_are_on_the_day() -> None:
    assert {NOW[:10], LATER[:10], STARTED_AT[:10]} == {DAY}


@pytest.mark.parametrize("name", ["line_id", "charge_id", "reference", "refund_reference", "settled_at"])
def test_a_line_with_a_text_that_is_none_is_a_break_and_settles_nothing(world: World, name: str) -> None:
    world.paid()
    world.spoil(**{name: REDACTED})
    breaks = world.reconcile()
    assert [each.expected for each in breaks if each.type == "missing_in_ledger"] == ["a line as documented"]
    assert [entry.entry.kind for entry in world.ledger.records["pay-1"].entries] == ["capture"]


def test_a_refund_whose_time_is_none_is_missing_at_the_gateway(world: World) -> None:
    world.paid()
    world.refunded()
    del world.report[1]
    (refund,) = world.gateway.charges["pay-1"].refunds
    world.gateway.show("pay-1", refunds=(replace(refund, created_at=REDACTED),))
    assert world.types() == [("missing_at_gateway", "pay-1")]


class TestWhatNobodyAskedUsFor:
    """Movements that the gateway made itself are adopted, and then settled like all others."""

    def refund_line(self, world: World, amount_minor: int) -> None:
        """A refund in the gateway's dashboard, which is in the report."""
        refund = world.gateway.show_refund("pay-1", amount_minor).refunds[-1]
        line = replace(
            world.report[0], type="refund", line_id=refund.refund_id, amount_minor=-amount_minor, fee_minor=0
        )
        world.report.append(line)

    def test_a_refund_is_adopted_and_settled(self, world: World) -> None:
        world.paid()
        self.refund_line(world, 500)
        self.refund_line(world, 500)
        assert world.reconcile() == []
        recorded = world.ledger.records["pay-1"].payment
        assert (recorded.status, recorded.refunded_minor) == ("partially_refunded", 1000)
        assert totals(world) == {BANK: 1999 - 1000 - 58, FEES: 58, ("liability:merchant", "USD"): -999}
        before = dict(world.ledger.records)
        assert world.reconcile() == []
        assert world.ledger.records == before

    def test_one_that_fails_later_is_back(self, world: World) -> None:
        world.paid()
        self.refund_line(world, 500)
        world.report.append(replace(world.report[1], type="refund_failed", amount_minor=500))
        assert world.reconcile() == []
        assert world.ledger.records["pay-1"].payment.refunded_minor == 0
        assert world.counted == ["RefundFailed"]

    def test_an_adopted_refund_without_a_line_is_missing_at_the_gateway(self, world: World) -> None:
        world.paid()
        self.refund_line(world, 500)
        world.reconcile()
        world.report.pop()
        assert world.types(now=NEXT_MORNING) == []  # it is adopted on the next day
        entry = world.ledger.records["pay-1"].entries[1]
        assert entry.posted_at == NEXT_MORNING

    def test_a_capture_is_adopted_and_settled(self, world: World) -> None:
        charge = world.gateway.charge(order(), card(), "pay-1-charge")
        world.ledger.record(payment(status="authorized", charge_id=charge.charge_id))
        world.report.append(charge_line(charge))
        assert world.reconcile() == []
        assert totals(world) == {BANK: 1999 - 58, FEES: 58, ("liability:merchant", "USD"): -1999}

    @pytest.mark.parametrize(
        ("changes", "ended"),
        [
            ({"status": "voided", "void_reason": "expired"}, ("voided", "expired")),
            ({"status": "voided"}, ("voided", None)),
            ({"status": "captured", "captured_minor": 600}, ("captured", None)),
            ({}, ("authorized", None)),
        ],
    )
    def test_authorizations_are_looked_at_every_day(
        self, world: World, changes: dict[str, Any], ended: tuple[str, str | None]
    ) -> None:
        for n in range(3):
            charge = world.gateway.authorize(order(f"pay-{n}"), card(), f"pay-{n}-charge")
            world.ledger.record(payment(f"pay-{n}", status="authorized", charge_id=charge.charge_id))
            world.gateway.show(f"pay-{n}", **changes)
        assert world.reconcile() == []
        recorded = [world.ledger.records[f"pay-{n}"].payment for n in range(3)]
        assert [(each.status, each.error) for each in recorded] == [ended] * 3

    def test_refunds_that_are_pending_are_looked_at_until_they_have_ended(self, world: World) -> None:
        world.paid()
        refund = world.gateway.show_refund("pay-1", 500, "pending").refunds[-1]
        recorded = world.ledger.records["pay-1"]
        adopted = adopt_charge(recorded, gateways=only(world.gateway), ledger=world.ledger, now=LATER)
        assert adopted.payment.refunded_minor == 0
        world.gateway.show_refund("pay-1", 500, "succeeded", refund_id=refund.refund_id)
        world.reconcile()
        assert world.ledger.records["pay-1"].payment.refunded_minor == 500

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda gateway: gateway.charges.clear(), "no charge"),
            (lambda gateway: gateway.show("pay-1", amount_minor=1), "The gateway shows another charge"),
        ],
    )
    def test_what_can_not_be_adopted_is_a_break(
        self, world: World, spoil: Callable[[FakeGateway], Any], message: str
    ) -> None:
        charge = world.gateway.authorize(order(), card(), "pay-1-charge")
        world.ledger.record(payment(status="authorized", charge_id=charge.charge_id))
        spoil(world.gateway)
        (broken,) = world.reconcile()
        assert (broken.type, broken.item) == ("status_differs", "charge")
        assert broken.found.startswith(message)


class TestAChargeThatCannotBeRead:
    """It is a break, and all others are settled and the day is closed."""

    @pytest.fixture(
        params=[
            GatewayMismatch("Not as it was."),
            GatewayRefused("Refused: 403."),
            GatewayOutcomeUnknown("Not as documented.", shown=True),
        ],
        ids=repr,
    )
    def error(self, request: pytest.FixtureRequest) -> PaymentError:
        error: PaymentError = request.param
        return error

    def reconcile(self, world: World, error: PaymentError) -> set[tuple[str, str, str]]:
        """The breaks, after the first look at a charge has failed with the error."""
        world.gateway.faults.arm("find", error)
        return {(each.type, each.item, each.found) for each in world.reconcile()}

    def test_of_a_line_that_the_books_do_not_have(self, world: World, error: PaymentError) -> None:
        world.paid("pay-1")
        world.report.append(replace(world.report[0], type="dispute", line_id="dp_1", amount_minor=-700))
        world.paid("pay-2")
        assert self.reconcile(world, error) == {
            ("status_differs", "charge", str(error)),
            ("status_differs", "dispute:dp_1", "captured"),
        }
        assert [len(recorded.journal) for recorded in world.ledger.records.values()] == [2, 2]
        assert DAY in world.books.closed

    def test_of_an_entry_that_has_no_line(self, world: World, error: PaymentError) -> None:
        world.paid("pay-1")
        world.paid("pay-2")
        del world.report[0]
        assert self.reconcile(world, error) == {("status_differs", "charge", str(error))}
        assert [len(recorded.journal) for recorded in world.ledger.records.values()] == [1, 2]
        assert DAY in world.books.closed

    def test_of_a_payment_that_the_gateway_may_move(self, world: World, error: PaymentError) -> None:
        for payment_id in ("pay-1", "pay-2"):
            charge = world.gateway.authorize(order(payment_id), card(), f"{payment_id}-charge")
            world.ledger.record(payment(payment_id, status="authorized", charge_id=charge.charge_id))
            world.gateway.show(payment_id, status="voided")
        assert self.reconcile(world, error) == {("status_differs", "charge", str(error))}
        assert sorted(recorded.payment.status for recorded in world.ledger.records.values()) == ["authorized", "voided"]
        assert DAY in world.books.closed

    def test_without_an_answer_nothing_is_said_of_it_until_there_is_one(self, world: World) -> None:
        world.paid()
        world.report.clear()
        with pytest.raises(GatewayOutcomeUnknown):
            self.reconcile(world, GatewayOutcomeUnknown("No answer."))
        assert (world.breaks.found, world.books.closed) == ({}, {})
        assert world.types() == [("missing_at_gateway", "pay-1")]


class TestDisputes:
    """What a dispute moves is adopted, compared with its lines, and settled with its fee."""

    def disputed(self, world: World, won: bool | None = None) -> None:
        """A payment that was disputed on the day; perhaps the bank has decided that since. The report has all of it."""
        world.paid()
        self.dispute(world)
        if won is not None:
            self.dispute(world, won=won)

    def dispute(self, world: World, won: bool | None = None) -> None:
        dispute = world.gateway.dispute("pay-1", 700, won=won).disputes[-1]
        line = replace(world.report[0], line_id=dispute.dispute_id, fee_minor=0)
        if won is None:
            world.report.append(replace(line, type="dispute", amount_minor=-700, fee_minor=1500))
        elif won:
            world.report.append(replace(line, type="dispute_reversal", amount_minor=700))

    def adopt(self, world: World) -> None:
        adopt_charge(world.ledger.records["pay-1"], gateways=only(world.gateway), ledger=world.ledger, now=LATER)

    @pytest.mark.parametrize("is_adopted", [True, False])
    @pytest.mark.parametrize(("won", "held", "earned"), [(None, 700, -1999), (True, 0, -1999), (False, 0, 700 - 1999)])
    def test_one_is_adopted_and_settled(
        self, world: World, is_adopted: bool, won: bool | None, held: int, earned: int
    ) -> None:
        self.disputed(world, won)
        if is_adopted:
            self.adopt(world)
        assert world.reconcile() == []
        bank = 1999 - 58 - 1500 - (700 if won is not True else 0)
        sums = {
            BANK: bank,
            FEES: 58 + 1500,
            ("asset:disputed:sparkle", "USD"): held,
            ("liability:merchant", "USD"): earned,
        }
        assert totals(world) == {account: amount for account, amount in sums.items() if amount}
        before = dict(world.ledger.records)
        assert world.reconcile() == []
        assert world.ledger.records == before

    def test_one_that_is_open_is_looked_at_every_day_until_it_has_ended(self, world: World) -> None:
        self.disputed(world)
        world.reconcile()
        self.dispute(world, won=False)
        world.report.clear()  # a lost dispute has no line
        world.reconcile()
        assert [each.status for each in world.ledger.records["pay-1"].payment.disputes] == ["lost"]

    @pytest.mark.parametrize(
        ("n", "changes"), [(1, {"amount_minor": -699}), (2, {"amount_minor": 699}), (2, {"currency": "EUR"})]
    )
    def test_a_line_of_another_amount_differs_and_is_not_settled(
        self, world: World, n: int, changes: dict[str, Any]
    ) -> None:
        self.disputed(world, won=True)
        world.spoil(n, **changes)
        assert world.types() == [("amount_differs", "pay-1")]
        assert sum(posted.kind == "settlement" for posted in world.ledger.records["pay-1"].journal) == 2

    @pytest.mark.parametrize("type", ["dispute", "dispute_reversal"])
    def test_a_line_of_a_dispute_that_the_charge_does_not_show_differs_by_status(self, world: World, type: str) -> None:
        world.paid()
        world.report.append(replace(world.report[0], type=type, line_id="dp_1", amount_minor=-700))
        assert world.types() == [("status_differs", "pay-1")]

    @pytest.mark.parametrize(("n", "kind"), [(1, "dispute"), (2, "dispute_won")])
    def test_an_entry_without_a_line_is_missing_at_the_gateway(self, world: World, n: int, kind: str) -> None:
        self.disputed(world, won=True)
        dispute = world.gateway.charges["pay-1"].disputes[0]
        world.gateway.show("pay-1", disputes=(replace(dispute, ended_at=NOW),))
        self.adopt(world)
        del world.report[n]
        (broken,) = world.reconcile()
        assert (broken.type, broken.item, broken.found) == ("missing_at_gateway", f"entry {n + 1}", "one won")
        assert broken.expected == f"a line for the {kind} of 700 USD"

    def test_one_that_moved_on_another_day_is_in_another_report(self, world: World) -> None:
        self.disputed(world, won=True)
        dispute = world.gateway.charges["pay-1"].disputes[0]
        earlier = replace(dispute, opened_at="2026-11-20T09:00:00.000Z", ended_at="2026-11-22T09:00:00.000Z")
        world.gateway.show("pay-1", disputes=(earlier,))
        self.adopt(world)
        del world.report[1:]
        assert world.reconcile() == []

    def test_of_a_payment_that_was_reversed_it_is_for_a_person(self, world: World) -> None:
        self.disputed(world)
        recorded = world.ledger.records["pay-1"].payment
        reversed_ = replace(recorded, status="reversed", captured_minor=0, version=2)
        world.ledger.record(*reversed_.post(capture_entry("sparkle", 1999, "USD").reverse(1)))
        world.executions.executions["pay-1"] = replace(ENDED, error="PaymentReversed")
        assert ("status_differs", "pay-1") in world.types()


class TestSeveralGateways:
    def test_each_report_is_compared_with_the_payments_of_its_gateway(self, world: World) -> None:
        world.paid("pay-1")
        twinkle = FakeGateway("twinkle")
        world.others = (twinkle,)
        charge = twinkle.charge(order("pay-2"), card(), "pay-2-charge")
        world.ledger.record(
            *payment("pay-2", gateway="twinkle", charge_id=charge.charge_id).post(capture_entry("twinkle", 1999, "USD"))
        )
        twinkle.reports[DAY] = [charge_line(charge)]
        assert world.reconcile() == []
        settled = world.ledger.records["pay-2"].journal[-1]
        assert (settled.kind, settled.postings[-1].account) == ("settlement", "asset:gateway:twinkle")
        assert {"asset:gateway:sparkle", "asset:gateway:twinkle"} <= world.books.closed_days(DAY, DAY)[DAY].keys()

    def test_what_a_gateway_does_not_report_is_missing_though_the_other_reports_all_it_has(self, world: World) -> None:
        world.paid("pay-1")
        twinkle = FakeGateway("twinkle")
        world.others = (twinkle,)
        charge = twinkle.charge(order("pay-2"), card(), "pay-2-charge")
        world.ledger.record(
            *payment("pay-2", gateway="twinkle", charge_id=charge.charge_id).post(capture_entry("twinkle", 1999, "USD"))
        )
        assert world.types() == [("missing_at_gateway", "pay-2")]

    def test_a_gateway_without_a_report_is_left_out(self, world: World) -> None:
        world.paid("pay-1")
        world.others = (FakeGateway("twinkle", replace(ABLE, settlement_report=False)),)
        assert world.reconcile() == []

    def test_without_any_report_the_executions_are_compared_all_the_same(self, world: World) -> None:
        world.gateway.abilities = replace(ABLE, settlement_report=False)
        world.executions.executions["pay-3"] = Execution(False, None, None, REQUEST.to_dict(), STARTED_AT, LATER)
        assert world.types() == [("missing_in_ledger", "pay-3")]

    def test_a_movement_that_is_not_paid_out_yet_is_compared_and_not_posted(self, world: World) -> None:
        world.paid()
        world.spoil(paid=False)
        assert world.reconcile() == []
        assert [entry.kind for entry in world.ledger.records["pay-1"].journal] == ["capture"]
        world.report.append(replace(world.report[0], paid=True))
        assert world.reconcile() == []
        assert [entry.kind for entry in world.ledger.records["pay-1"].journal] == ["capture", "settlement"]

    def test_a_report_without_totals_is_compared_line_by_line(self, world: World, monkeypatch: Any) -> None:
        world.paid()
        original = world.gateway.settlement

        def settlement(*arguments: Any) -> SettlementPage:
            return replace(original(*arguments), line_count=None, totals=None)

        monkeypatch.setattr(world.gateway, "settlement", settlement)
        assert world.reconcile() == []
        assert [entry.kind for entry in world.ledger.records["pay-1"].journal] == ["capture", "settlement"]

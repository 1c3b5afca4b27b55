from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from functions.doubts import look_after
from functions.doubts.look_after import CheckResult, look_after_unattended
from functions.shared.domain.errors import ExecutionsUnavailable
from functions.shared.domain.times import iso
from functions.shared.ports import Execution, ExecutionSummary
from tests.fakes import FakeAttendance, FakeExecutions, FakeStateMachine

NOON = datetime.fromisoformat("2026-11-23T12:00:00.000+00:00")


def ago(**before: float) -> str:
    """The time this long before noon."""
    return iso(NOON - timedelta(**before))


def ended(at: str, error: str | None = "States.Runtime", started_at: str | None = None) -> Execution:
    """An execution that ended then, and by default took no time."""
    return Execution(False, error, None, {}, started_at or at, at)


class Account:
    """The two state machines, resolve, and the record of attended executions."""

    def __init__(self) -> None:
        self.payments = FakeExecutions()
        self.operations = FakeExecutions()
        self.attendance = FakeAttendance()
        self.resolve = FakeStateMachine()

    def check(self, now: str = ago()) -> CheckResult:
        machines = {"payment": self.payments, "operation": self.operations}
        return look_after_unattended(machines, attendance=self.attendance, resolve=self.resolve, now=now)

    def resolved(self) -> list[str | None]:
        """The payments for which resolve was started, in order."""
        return [request["payment_id"] for request in self.resolve.started.values()]


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.mark.parametrize("error", ["PaymentInDoubt", "States.Timeout", "Stopped"])
def test_whatever_ended_badly_is_looked_after_under_a_name_that_is_always_the_same(
    account: Account, error: str
) -> None:
    for executions in (account.payments, account.operations):
        executions.executions["a-key-for-two-things"] = ended(ago(minutes=3), error)
    assert account.check().started == 2
    assert account.resolve.started == {
        "payment-a-key-for-two-things": {"payment_id": "a-key-for-two-things", "operation_id": None},
        "operation-a-key-for-two-things": {"payment_id": None, "operation_id": "a-key-for-two-things"},
    }
    assert account.check().started == 0
    assert len(account.resolve.started) == 2


@pytest.mark.parametrize(
    ("execution", "started"),
    [
        (ended(ago(minutes=2)), 1),
        (ended(ago(minutes=1, seconds=59)), 0),  # its event may still arrive
        (ended(ago(minutes=3), error=None), 0),
        (replace(ended(ago(minutes=3)), running=True, stopped_at=None), 0),
    ],
    ids=["two minutes ago", "just now", "succeeded", "running"],
)
def test_what_ended_well_or_just_now_or_not_at_all_is_left_alone(
    account: Account, execution: Execution, started: int
) -> None:
    account.payments.executions["payment-number-1"] = execution
    assert account.check().started == started


def test_what_somebody_looks_after_is_left_alone(account: Account) -> None:
    for name in ("payment-number-1", "payment-number-2"):
        account.payments.executions[name] = ended(ago(minutes=3))
    account.attendance.attend("payment", "payment-number-1", ago())
    assert account.check().started == 1
    assert account.resolved() == ["payment-number-2"]


def test_the_next_run_finds_what_ended_two_minutes_before_it_whenever_it_began(account: Account) -> None:
    account.check(ago(minutes=5))
    account.payments.executions["payment-that-was-long"] = ended(ago(minutes=2), started_at=ago(hours=1, minutes=2))
    account.payments.executions["payment-that-was-short"] = ended(ago(minutes=7, seconds=-1))
    account.check()
    assert account.resolved() == ["payment-that-was-short", "payment-that-was-long"]


def test_what_a_list_shows_late_is_found_all_the_same(account: Account) -> None:
    account.check(ago(minutes=5))
    account.payments.executions["payment-number-1"] = ended(ago(minutes=20))
    account.check()
    assert account.resolved() == ["payment-number-1"]


@pytest.mark.parametrize(("outage", "started"), [({"hours": 1}, 1), ({"days": 6}, 1), ({"days": 8}, 0)])
def test_after_an_outage_of_its_own_it_goes_on_where_it_was_but_not_further_back_than_a_week(
    account: Account, outage: dict[str, float], started: int
) -> None:
    account.check(ago(**outage))
    missed = (NOON - timedelta(**outage) + timedelta(minutes=1)).isoformat()
    account.payments.executions["payment-number-1"] = ended(missed)
    account.payments.executions |= {f"payment-number-{n}": ended(ago(minutes=n)) for n in range(3, 9)}
    account.payments.page_size = 2
    assert account.check().started == 6 + started


def test_a_run_that_failed_has_checked_nothing(account: Account) -> None:
    account.check(ago(hours=1))
    account.payments.executions["payment-number-1"] = ended(ago(minutes=40))
    account.operations.error = ExecutionsUnavailable("Step Functions: ThrottlingException")
    with pytest.raises(ExecutionsUnavailable):
        account.check(ago(minutes=30))
    account.operations.error = None
    account.check()
    assert account.resolved() == ["payment-number-1"]


class InOrderOf(FakeExecutions):
    """List in another than the documented order, and count the pages that were read."""

    def __init__(self, key: Callable[[Execution], str], **executions: Execution) -> None:
        super().__init__(**executions)
        self.key = key
        self.read: list[str | None] = []

    def page(self, token: str | None, status: str | None = None) -> tuple[list[ExecutionSummary], str | None]:
        if status != "FAILED":
            return [], None
        self.read.append(token)
        newest_first = sorted(self.executions.items(), key=lambda item: self.key(item[1]), reverse=True)
        start = int(token or 0)
        name, execution = newest_first[start]
        more = str(start + 1) if start + 1 < len(newest_first) else None
        return [ExecutionSummary(name, "FAILED", execution.started_at, execution.stopped_at)], more


@pytest.mark.parametrize("key", [lambda each: each.started_at, lambda each: each.stopped_at], ids=["starts", "ends"])
def test_in_whichever_order_a_list_comes_all_are_found_and_it_is_not_read_to_its_end(
    account: Account, key: Callable[[Execution], str]
) -> None:
    recent = {f"payment-short-no-{n}": ended(ago(minutes=n)) for n in range(3, 9)}
    recent |= {"payment-that-was-long": ended(ago(minutes=4), started_at=ago(hours=1))}
    old = {f"payment-old-no-{n}": ended(ago(hours=n)) for n in range(2, 50)}
    account.payments = InOrderOf(key, **recent, **old)
    account.check(ago(minutes=5))
    account.payments.read.clear()
    account.resolve.started.clear()
    account.check()
    assert set(account.resolved()) == set(recent)
    assert len(account.payments.read) <= len(recent) + 1


def test_what_is_too_much_for_one_run_is_left_to_the_next_the_longest_over_first(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_after, "MAX_STARTS", 2)
    account.payments.executions |= {f"payment-number-{n}": ended(ago(minutes=n)) for n in range(3, 8)}
    assert account.check() == CheckResult(2, ago(minutes=5))
    assert account.resolved() == ["payment-number-7", "payment-number-6"]
    for name in ("payment-number-7", "payment-number-6"):
        account.attendance.attend("payment", name, ago())
    # However late the next run is.
    later = (NOON + timedelta(hours=5)).isoformat()
    assert account.check(later).started == 2
    assert account.resolved() == ["payment-number-7", "payment-number-6", "payment-number-5", "payment-number-4"]


def test_a_list_that_is_too_long_for_one_run_is_not_taken_for_checked(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.check(ago(hours=1))
    monkeypatch.setattr(look_after, "MAX_PAGES", 2)
    account.payments.page_size = 2
    account.payments.executions |= {f"payment-number-{n}": ended(ago(minutes=n)) for n in range(3, 8)}
    assert account.check() == CheckResult(4, ago(hours=1, minutes=2))
    assert account.resolved() == ["payment-number-6", "payment-number-5", "payment-number-4", "payment-number-3"]
    monkeypatch.undo()
    assert account.check() == CheckResult(1, ago(minutes=2))


@pytest.mark.parametrize("name", ["by hand", "4242424242424242", "x" * 80])
def test_what_was_started_by_hand_under_a_name_that_is_no_id_is_left_alone(account: Account, name: str) -> None:
    """It can be no payment's id, and it could be a card number."""
    account.payments.executions[name] = ended(ago(minutes=3), "PaymentRejected")
    assert account.check().started == 0
    assert account.resolve.started == {}

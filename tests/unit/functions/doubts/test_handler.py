from datetime import datetime, timedelta

import pytest

from functions.doubts.handler import handler
from functions.shared import runtime
from functions.shared.domain.errors import ExecutionsUnavailable, LedgerUnavailable
from functions.shared.ports import Execution
from tests.fakes import LEDGER_DOWN
from tests.samples import LATER, NOW, payment
from tests.unit.functions.conftest import Output, World

PAYMENT, OPERATION = "payment-number-1", "operation-number-1"
ENDED = Execution(False, "States.Timeout", None, {"amount_minor": 1999}, NOW, LATER)
CHECKED = "2026-11-23T09:05:00.000Z"


@pytest.fixture(autouse=True)
def two_minutes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    later = datetime.fromisoformat(LATER) + timedelta(minutes=2)
    monkeypatch.setattr(runtime, "now", later.isoformat)


def test_payments_in_doubt_are_counted_with_the_age_of_the_oldest(world: World, output: Output) -> None:
    world.ledger.record(payment("pay-1", "in_doubt", updated_at=LATER))
    world.ledger.record(payment("pay-2", "in_doubt"))
    world.ledger.record(payment("pay-3"))
    counted = handler({}, None)
    assert (counted["count"], counted["oldest_since"]) == (2, NOW)
    metrics = output.metrics()
    assert (metrics["PaymentsInDoubt"], metrics["OldestDoubtSeconds"]) == ([2.0], [419.0])


def test_that_none_is_in_doubt_is_reported_too(world: World, output: Output) -> None:
    assert handler({}, None) == {"count": 0, "oldest_since": None, "unattended": 0, "checked_until": CHECKED}
    assert output.metrics() == {
        "PaymentsInDoubt": [0.0],
        "OldestDoubtSeconds": [0.0],
        "UnattendedExecutions": [0.0],
    }


def test_a_ledger_that_is_down_is_no_count_of_none(world: World, output: Output) -> None:
    world.ledger.faults.arm("doubts", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        handler({}, None)
    assert output.metrics() == {}


def test_executions_that_nobody_looks_after_are_counted_and_looked_after(world: World, output: Output) -> None:
    world.executions.executions[PAYMENT] = ENDED
    world.operation_executions.executions[OPERATION] = ENDED
    assert handler({}, None)["unattended"] == 2
    assert list(world.resolve_machine.started.values()) == [
        {"payment_id": None, "operation_id": OPERATION},
        {"payment_id": PAYMENT, "operation_id": None},
    ]
    assert output.metrics()["UnattendedExecutions"] == [2.0]


def test_doubts_are_counted_even_where_step_functions_does_not_answer(world: World, output: Output) -> None:
    world.executions.error = ExecutionsUnavailable("Step Functions: ThrottlingException")
    with pytest.raises(ExecutionsUnavailable):
        handler({}, None)
    assert output.metrics() == {"PaymentsInDoubt": [0.0], "OldestDoubtSeconds": [0.0]}

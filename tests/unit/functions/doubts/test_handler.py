from datetime import datetime, timedelta

import pytest

from functions.doubts.handler import handler
from functions.shared import runtime
from functions.shared.domain.errors import LedgerUnavailable
from tests.fakes import LEDGER_DOWN
from tests.samples import LATER, NOW, payment
from tests.unit.functions.conftest import Output, World


@pytest.fixture(autouse=True)
def two_minutes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    later = datetime.fromisoformat(LATER) + timedelta(minutes=2)
    monkeypatch.setattr(runtime, "now", later.isoformat)


def test_payments_in_doubt_are_counted_with_the_age_of_the_oldest(world: World, output: Output) -> None:
    world.ledger.record(payment("pay-1", "in_doubt", updated_at=LATER))
    world.ledger.record(payment("pay-2", "in_doubt"))
    world.ledger.record(payment("pay-3"))
    assert handler({}, None) == {"count": 2, "oldest_since": NOW}
    assert output.metrics() == {"PaymentsInDoubt": [2.0], "OldestDoubtSeconds": [419.0]}


def test_that_none_is_in_doubt_is_told_too(world: World, output: Output) -> None:
    assert handler({}, None) == {"count": 0, "oldest_since": None}
    assert output.metrics() == {"PaymentsInDoubt": [0.0], "OldestDoubtSeconds": [0.0]}


def test_a_ledger_that_is_down_is_no_count_of_none(world: World, output: Output) -> None:
    world.ledger.faults.arm("doubts", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        handler({}, None)
    assert output.metrics() == {}

import pytest

from tests.unit.tools.console.histories import CAUGHT, RETRIED, EventRow, at, history
from tools.console.timeline import rows


def test_a_retried_call_has_two_bars_and_the_pause_between_them() -> None:
    charge, outcome, done = rows(history(RETRIED), at(60))
    assert [(bar.kind, bar.seconds) for bar in charge.bars] == [("failed", 2), ("retry", 3), ("attempt", 1)]
    assert [bar.start for bar in charge.bars] == pytest.approx([0, 2 / 6, 5 / 6])
    assert [bar.length for bar in charge.bars] == pytest.approx([2 / 6, 3 / 6, 1 / 6])
    assert (charge.after_seconds, charge.seconds) == (0, 6)
    assert [bar.kind for row in (outcome, done) for bar in row.bars] == ["step", "step"]


def test_a_wait_is_one_bar_that_grows_until_it_is_over() -> None:
    event_rows: list[EventRow] = [(0, "ExecutionStarted"), (10, "WaitStateEntered", {"name": "Wait"})]
    (row,) = rows(history(event_rows, "RUNNING"), at(40))
    assert [(bar.kind, bar.start, bar.length, bar.seconds) for bar in row.bars] == [("wait", 0.25, 0.75, 30)]


def test_a_call_under_way_grows_and_after_a_failed_one_it_is_a_pause_that_does() -> None:
    (running,) = rows(history(RETRIED[:4], "RUNNING"), at(1))
    assert [(bar.kind, bar.seconds) for bar in running.bars] == [("attempt", 1)]
    (paused,) = rows(history(RETRIED[:5], "RUNNING"), at(4))
    assert [(bar.kind, bar.seconds) for bar in paused.bars] == [("failed", 2), ("retry", 2)]


def test_nothing_reaches_beyond_the_end_of_an_execution_that_was_stopped() -> None:
    stopped = history(RETRIED[:8], "ABORTED", stopDate=at(3))
    bars = [bar for row in rows(stopped, at(60)) for bar in row.bars]
    assert max(bar.start + bar.length for bar in bars) == pytest.approx(1)
    assert min(bar.length for bar in bars) >= 0


def test_an_execution_that_took_no_time_has_bars_all_the_same() -> None:
    event_rows: list[EventRow] = [
        (0, "ExecutionStarted"),
        (0, "PassStateEntered", {"name": "Pass"}),
        (0, "PassStateExited", {"name": "Pass"}),
    ]
    assert [(bar.start, bar.length) for row in rows(history(event_rows), at(9)) for bar in row.bars] == [(0, 0)]


def test_rows_follow_the_visits() -> None:
    assert [row.visit.state for row in rows(history(CAUGHT, "FAILED"), at(9))] == ["Charge", "Compensate", "Reversed"]

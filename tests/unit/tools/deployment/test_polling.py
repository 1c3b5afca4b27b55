from itertools import count

from tools.deployment.polling import wait_for


def test_it_looks_until_what_is_seen_is_as_wanted() -> None:
    looks = count()
    assert wait_for(lambda: next(looks), 10, pause_seconds=0.001, until=lambda number: number == 3) == 3


def test_when_the_time_is_over_it_returns_what_was_seen_last() -> None:
    looks = iter([None, ""])
    assert wait_for(lambda: next(looks), 0.01, pause_seconds=0.02) == ""


def test_it_looks_once_even_without_time() -> None:
    assert wait_for(lambda: 7, 0) == 7

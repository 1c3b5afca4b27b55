"""Waiting for what happens elsewhere, by looking again and again."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.05


def wait_for(
    read: Callable[[], T],
    within_seconds: float,
    pause_seconds: float = 0.1,
    until: Callable[[T], object] = bool,
) -> T:
    """Look until `until` accepts what is seen, or the time is over. Returns what was seen last.

    The pauses between the looks grow to `pause_seconds`.
    """
    deadline, pause = time.monotonic() + within_seconds, min(_FIRST_PAUSE_SECONDS, pause_seconds)
    while not until(value := read()) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 1.5, pause_seconds)
    return value


def has_ended(execution: Mapping[str, object]) -> bool:
    """Whether an execution, as DescribeExecution answers, has ended."""
    return execution["status"] != "RUNNING"

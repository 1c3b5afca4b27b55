"""Waiting for what happens elsewhere, by looking again and again."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Seen = TypeVar("Seen")

_FIRST_PAUSE_SECONDS = 0.05


def wait_for(
    look: Callable[[], Seen],
    within_seconds: float,
    pause_seconds: float = 0.1,
    until: Callable[[Seen], object] = bool,
) -> Seen:
    """Look until `until` accepts what is seen, or the time is over. Returns what was seen last.

    The pauses between the looks grow to `pause_seconds`.
    """
    deadline, pause = time.monotonic() + within_seconds, min(_FIRST_PAUSE_SECONDS, pause_seconds)
    while not until(seen := look()) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 1.5, pause_seconds)
    return seen


def has_ended(execution: Mapping[str, object]) -> bool:
    """Whether an execution, as DescribeExecution answers, has ended."""
    return execution["status"] != "RUNNING"

"""The time, and waiting for it to pass."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from functions.shared.domain.errors import LedgerConflict
from functions.shared.domain.times import now as now  # the runtime exports it

Result = TypeVar("Result")

_random = random.SystemRandom()


def sleep(seconds: float) -> None:
    time.sleep(seconds)


CONFLICT_PAUSES_SECONDS = (0.02, 0.04, 0.08, 0.16, 0.32)


def retry_conflicts(call: Callable[[], Result]) -> Result:
    """Call the function, and after a short pause call it again whenever it raises LedgerConflict.

    A Retry in the state machine waits for at least a second, so concurrent operations would wait for many seconds.
    Raises LedgerConflict after the last attempt.
    """
    for pause in CONFLICT_PAUSES_SECONDS:
        with suppress(LedgerConflict):
            return call()
        sleep(pause * _random.uniform(0.5, 1.5))
    return call()

"""The switchboard, which decides which of the next requests go wrong, and how."""

import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field

_DEFAULT_SECONDS = {"timeout_before": 30.0, "timeout_after": 30.0, "slow": 2.0, "late": 10.0}


@dataclass(slots=True)
class Fault:
    """A fault for the next `times` requests of one operation; with a `reference`, only for requests about it."""

    operation: str
    fault: str
    times: int = 1
    reference: str | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.seconds is None:
            self.seconds = _DEFAULT_SECONDS.get(self.fault)


@dataclass(slots=True)
class Switchboard:
    """Faults in the order in which they were added. Those for the request's reference come before those for any."""

    _faults: defaultdict[tuple[str, str | None], deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> None:
        """Arm a fault, to apply after those already armed."""
        with self._lock:
            self._faults[fault.operation, fault.reference].append(fault)

    def clear(self, reference: str | None = None) -> None:
        """Disarm the faults for one reference, or all of them. Requests that are already delayed stay delayed."""
        with self._lock:
            for key in list(self._faults):
                if reference in (None, key[1]):
                    del self._faults[key]

    def take(self, operation: str, reference: str) -> Fault | None:
        """Use up one of the fault's times for this request, and return the fault; or None if there is no fault."""
        with self._lock:
            for key in ((operation, reference), (operation, None)):
                if armed := self._faults.get(key):
                    fault = armed[0]
                    fault.times -= 1
                    if fault.times == 0:
                        armed.popleft()
                    if not armed:
                        del self._faults[key]
                    return fault
        return None

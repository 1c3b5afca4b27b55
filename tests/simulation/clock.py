"""Time that passes as fast as it is asked to: actions in a heap, and greenlets that sleep in it.

Only one greenlet runs at a time and only a sleep lets go, so a run is the same whenever its seed is the same.
"""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet


class Task:
    """Something that takes time: it runs in a greenlet, may sleep, and may be killed, after which it never runs on."""

    def __init__(self, clock: "Clock", work: Callable[[], None]) -> None:
        self.running = True
        self._clock = clock
        self._work = work
        self._greenlet = greenlet(self._run, parent=clock.hub)
        clock.after(0, self.resume)

    def resume(self) -> None:
        if self.running:
            self._greenlet.switch()

    def kill(self) -> None:
        if self.running:
            self.running = False
            self._greenlet.parent = getcurrent()  # where an ended greenlet goes on
            self._greenlet.throw()

    def _run(self) -> None:
        self._clock.tasks[self._greenlet] = self
        try:
            self._work()
        finally:
            self.running = False
            del self._clock.tasks[self._greenlet]


class Clock:
    """The time as seconds since 1970. To be made in the greenlet that calls `run`."""

    def __init__(self, now: datetime) -> None:
        self.seconds = now.timestamp()
        self.hub = getcurrent()
        self.subject = ""
        """Whose doing this is: it passes from an action to all that it leads to."""
        self.tasks: dict[Any, Task] = {}
        self._heap: list[tuple[float, int, str, Callable[[], None]]] = []
        self._order = count()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def iso(self) -> str:
        """The time in UTC as ISO 8601 with milliseconds, as the product writes it."""
        return self.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.seconds + seconds, next(self._order), self.subject, action))

    def start(self, work: Callable[[], None]) -> Task:
        return Task(self, work)

    def sleep(self, seconds: float) -> None:
        """Let time pass for the task that calls this."""
        self.after(seconds, self.current().resume)
        self.pause()

    def pause(self) -> None:
        """Let the task that calls this wait until somebody resumes it."""
        self.hub.switch()

    def current(self) -> Task:
        return self.tasks[getcurrent()]

    def stop(self) -> None:
        """Kill whatever still sleeps."""
        for task in list(self.tasks.values()):
            task.kill()

    def run(self, days: float) -> bool:
        """Let so many days pass. Whether nothing is left to do after them."""
        end = self.seconds + days * 86_400
        while self._heap and self._heap[0][0] <= end:
            self.seconds, _, self.subject, action = heapq.heappop(self._heap)
            action()
        self.seconds = end
        return not self._heap

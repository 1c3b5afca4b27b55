"""Simulated time: a heap of actions, and greenlets that sleep in it.

Only one greenlet runs at a time, and only a sleep yields, so the same seed always gives the same run.
"""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet


class Task:
    """A task in a greenlet. It may sleep, and may be killed, after which it never continues."""

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
            self._greenlet.parent = getcurrent()  # the greenlet that continues after this one ends
            self._greenlet.throw()

    def _run(self) -> None:
        self._clock.tasks[self._greenlet] = self
        try:
            self._work()
        finally:
            self.running = False
            del self._clock.tasks[self._greenlet]


class Clock:
    """The time in seconds since 1970. Create it in the greenlet that calls `run`."""

    def __init__(self, now: datetime) -> None:
        self.seconds = now.timestamp()
        self.hub = getcurrent()
        self.subject = ""
        """The payment or operation that the current action is about. It passes to all actions that this one causes."""
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
        """Let the calling task sleep."""
        self.after(seconds, self.current().resume)
        self.pause()

    def pause(self) -> None:
        """Let the calling task wait until somebody resumes it."""
        self.hub.switch()

    def current(self) -> Task:
        return self.tasks[getcurrent()]

    def stop(self) -> None:
        """Kill all tasks that still sleep."""
        for task in list(self.tasks.values()):
            task.kill()

    def run(self, days: float) -> bool:
        """Run for this many days. Returns whether nothing remains to be done."""
        end = self.seconds + days * 86_400
        while self._heap and self._heap[0][0] <= end:
            self.seconds, _, self.subject, action = heapq.heappop(self._heap)
            action()
        self.seconds = end
        return not self._heap

"""What can happen to a request between two parties, and what the caller learns of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeVar

from tests.simulation.clock import Clock

T = TypeVar("T")
Fate = Literal["fine", "request_lost", "answer_lost", "late", "twice", "refused"]
FATES: tuple[Fate, ...] = ("request_lost", "answer_lost", "late", "twice", "refused")


class Unknown(BaseException):
    """The request is unknown to the model, which needs to be extended. No handler can catch this."""


class Lost(Exception):
    """No answer came. The request may have taken effect, may take effect later, or never."""


class Refused(Exception):
    """The server refused the request before doing anything."""


@dataclass(frozen=True)
class Outage:
    """From `start` to `end`, every request to one service, or to one of its operations, meets this fate."""

    service: str
    operation: str | None
    fate: Fate
    start: float
    end: float


@dataclass
class Weather:
    """How bad the luck is: the probability of each fate until `calm_at`, and the outages. Afterwards nothing fails."""

    calm_at: float
    likely: dict[Fate, float]
    crash: float = 0
    """The probability that a function crashes."""
    outages: list[Outage] = field(default_factory=list)
    where: str | None = None
    """The only service whose requests can fail; None for all services."""

    def outage(self, service: str, operation: str, at: float) -> Outage | None:
        for outage in self.outages:
            if outage.service == service and outage.operation in (None, operation) and outage.start <= at < outage.end:
                return outage
        return None

    def calm_since(self, at: float) -> bool:
        """Whether nothing fails from this time on."""
        return self.calm_at <= at and all(outage.end <= at for outage in self.outages)

    def fate(self, service: str, operation: str, at: float, random: Random) -> Fate:
        if outage := self.outage(service, operation, at):
            return outage.fate
        dice = random.random()
        if at < self.calm_at and self.where in (None, service):
            for fate, likelihood in self.likely.items():
                dice -= likelihood
                if dice < 0:
                    return fate
        return "fine"


@dataclass
class Network:
    """Carries requests to services, as the weather permits. A task of the clock must call it."""

    clock: Clock
    random: Random
    weather: Weather
    tell: Callable[[str], None]

    def ask(self, service: str, operation: str, deed: Callable[[], T], timeout_seconds: float) -> T:
        """Return the deed's answer. The deed must not take time. Raises Lost, Refused."""
        fate = self.fate(service, operation)
        if fate in ("late", "twice"):

            def arrive() -> None:
                self.tell(f"{service}: {operation}: arrives")
                deed()

            self.clock.after(self.delay(service, operation), arrive)
        self.clock.sleep(self.latency())
        match fate:
            case "refused":
                raise Refused
            case "request_lost" | "late":
                self.clock.sleep(timeout_seconds)
                raise Lost
            case "answer_lost":
                deed()
                self.clock.sleep(timeout_seconds)
                raise Lost
        answer = deed()
        self.clock.sleep(self.latency())
        return answer

    def latency(self) -> float:
        return self.random.uniform(0.002, 0.1)

    def fate(self, service: str, operation: str) -> Fate:
        """The fate of a request that is sent now."""
        fate = self.weather.fate(service, operation, self.clock.seconds, self.random)
        if fate != "fine":
            self.tell(f"{service}: {operation}: {fate}")
        return fate

    def delay(self, service: str, operation: str) -> float:
        """How late a late request arrives: from a moment to a day, each order of magnitude equally likely.

        A request that an outage delays arrives after the outage.
        """
        if outage := self.weather.outage(service, operation, self.clock.seconds):
            return outage.end - self.clock.seconds + self.latency()
        return float(10 ** self.random.uniform(-2, 4.9))

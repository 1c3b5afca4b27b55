"""The routes below `/sandbox` that every sandbox has: health, clock, events, requests, faults, and forgotten keys."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Protocol

from flask import Flask, request

from tools.local.events import Endpoint, EventSender
from tools.local.sandbox.faults import Fault, Switchboard
from tools.local.sandbox.idempotency import IdempotencyKeys

Body = dict[str, Any]
NO_CONTENT = "", 204


class Books(Protocol):
    """What a gateway has recorded. `offset` shifts its clock, and `forget` makes it forget what only old age would."""

    offset: timedelta

    def now(self) -> str | int: ...

    def forget(self, reference: str, /) -> None: ...


def add_sandbox_routes(
    app: Flask,
    read: Callable[[str], Body],
    *,
    books: Books,
    keys: IdempotencyKeys,
    switchboard: Switchboard,
    events: EventSender,
    requests: Sequence[Body],
) -> None:
    """Add the routes. `read` returns the request's body, checked against the schema of this name in docs/sparkle.yaml
    as far as the gateway has the same; `requests` is the log.
    """

    @app.get("/sandbox/health")
    def health() -> Body:
        return {"status": "ok"}

    @app.post("/sandbox/forget")
    def forget() -> tuple[str, int]:
        reference = read("ByReference")["reference"]
        books.forget(reference)
        keys.forget(reference)
        return NO_CONTENT

    @app.post("/sandbox/clock")
    def shift_clock() -> Body:
        books.offset = timedelta(seconds=read("ClockShift")["offset_seconds"])
        return {"now": books.now()}

    @app.delete("/sandbox/clock")
    def restore_clock() -> Body:
        books.offset = timedelta()
        return {"now": books.now()}

    @app.get("/sandbox/events")
    def where_events_go() -> Body:
        return {"endpoint": events.endpoint and asdict(events.endpoint)}

    @app.post("/sandbox/events")
    def send_events() -> tuple[str, int]:
        events.send_to(Endpoint(**read("EventEndpoint")))
        return NO_CONTENT

    @app.delete("/sandbox/events")
    def send_no_events() -> tuple[str, int]:
        events.send_to(None)
        return NO_CONTENT

    @app.get("/sandbox/requests")
    def all_requests() -> Body:
        return {"requests": list(requests)}

    @app.post("/sandbox/faults")
    def add_fault() -> tuple[Body, int]:
        fault = Fault(**read("Fault"))
        armed = asdict(fault)
        switchboard.add(fault)
        return armed, 201

    @app.delete("/sandbox/faults")
    def clear_faults() -> tuple[str, int]:
        switchboard.clear(request.args.get("reference"))
        return NO_CONTENT

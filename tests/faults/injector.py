"""The deployed function with a fault before or after it. tests/faults puts this file into each function's package.

A case writes its order to INJECTED_ORDERS as `<name>.<state>`, where the name is the id of the payment or operation:
`once` or `always`, and the fault's name. The injector records each fault in `<name>.struck`, and the state's latest
input in `<name>.<state>.input`.
"""

import importlib
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from functions.shared import runtime

ORDERS = Path(os.environ["INJECTED_ORDERS"])
HOLD_SECONDS = 20

_module, _name = os.environ["INJECTED_HANDLER"].rsplit(".", 1)
deployed = getattr(importlib.import_module(_module), _name)

Event = dict[str, Any]

Throttled = type("Lambda.TooManyRequestsException", (Exception,), {})
"""The error by whose name Step Functions recognizes an invocation that Lambda throttles."""


_WAYS: dict[str, Callable[[Event, object], Any]] = {}


def way(function: Callable[[Event, object], Any]) -> Callable[[Event, object], Any]:
    """A fault, which orders name by its function's name."""
    _WAYS[function.__name__] = function
    return function


def handler(event: Event, context: object) -> Any:
    name, state = _subject(event), _state(event)
    (ORDERS / f"{name}.{state}.input").write_text(json.dumps(event))
    fault = _order(name, state)
    os.environ["_X_AMZN_TRACE_ID"] = f"Root=1-0-0;Fault={fault};"
    if fault.startswith("secret_"):
        runtime.gateways.cache_clear()  # as in a new environment, which has not read the secret yet
    return _WAYS.get(fault, deployed)(event, context)


def _subject(event: Event) -> str:
    return str(event.get("operation_id") or event["payment_id"])


def _state(event: Event) -> str:
    # Two states share one function.
    return "Look" if event.get("ask_gateway") is False else os.environ["INJECTED_STATE"]


def _order(name: str, state: str) -> str:
    order = ORDERS / f"{name}.{state}"
    try:
        times, fault = order.read_text().split()
    except FileNotFoundError:
        return ""
    if times == "once":
        order.unlink()
    _note(name, f"{state} {fault}")
    return fault


def _note(name: str, what: str) -> None:
    with (ORDERS / f"{name}.struck").open("a") as struck:
        struck.write(f"{what}\n")


@way
def crash_before(event: Event, context: object) -> NoReturn:
    os._exit(1)


@way
def crash_after(event: Event, context: object) -> NoReturn:
    deployed(event, context)
    os._exit(1)


@way
def timeout_before(event: Event, context: object) -> None:
    time.sleep(HOLD_SECONDS)


@way
def timeout_after(event: Event, context: object) -> None:
    deployed(event, context)
    time.sleep(HOLD_SECONDS)


@way
def throttled(event: Event, context: object) -> NoReturn:
    raise Throttled("Rate Exceeded.")


@way
def poison(event: Event, context: object) -> Any:
    return deployed({"payment_id": _subject(event), "poison": True}, context)


@way
def twice(event: Event, context: object) -> Any:
    with ThreadPoolExecutor(2) as pool:
        answer, _ = pool.submit(deployed, event, context), pool.submit(deployed, event, context)
    return answer.result()


@way
def stopped_before(event: Event, context: object) -> None:
    _hold(_subject(event))


@way
def stopped_during(event: Event, context: object) -> None:
    _hold(_subject(event))
    try:
        deployed(event, context)
    finally:
        _note(_subject(event), "and finished")


@way
def stopped_after(event: Event, context: object) -> None:
    deployed(event, context)
    _hold(_subject(event))


def _hold(name: str) -> None:
    """Wait until the execution has been stopped. Whoever stops it removes the file."""
    hold_file = ORDERS / f"{name}.held"
    hold_file.touch()
    deadline = time.monotonic() + HOLD_SECONDS
    while hold_file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)

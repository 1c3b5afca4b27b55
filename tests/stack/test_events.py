"""Every sample event, replayed as by `make demo`, and every function's own sample event."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tools.console.records import LedgerItems
from tools.deployment.stack import Stack
from tools.trials.audit import audit
from tools.trials.events import API_EVENTS, FUNCTION_EVENTS, ApiEvent
from tools.trials.invoke import Invocations
from tools.trials.replay import ReplayResult, replay

AT_ONCE = 4

EXPECTED: dict[str, dict[str, object]] = {
    "tokenize": {"amount_minor": 1999, "currency": "USD"},
    "screen": {"action": "allow", "rule": None},
    "encrypt": {},
    "charge": {"outcome": "captured", "gateway": "sparkle"},
    "await_customer": {},
    "confirm": {"outcome": "declined", "decline_code": "authentication_expired"},
    "resume": {"failed": 0},
    "persist": {"status": "captured"},
    "compensate": {"status": "reversed"},
    "verify": {},
    "issue_key": {"statusCode": 201},
    "keep": {"status": "stored"},
    "reserve": {"status": "processing", "type": "refund", "amount_minor": 500},
    "perform": {"reason": None},
    "settle": {"status": "succeeded"},
    "resolve": {"status": "captured"},
    "reconcile": {"done": False, "cursor": {"side": "gateway", "page": None, "gateway": "sparkle"}},
    "search": {"statusCode": 200},
    "status": {"statusCode": 200},
    "cards": {"statusCode": 200},
    "doubts": {},
    "receive_event": {"statusCode": 400},  # its signature is nobody's
    "follow_event": {"batchItemFailures": []},
    "publish": {},
    "deliver": {"batchItemFailures": []},  # of nothing: which queues there are is the deployment's
    "anchor": {"day": (datetime.now(UTC) - timedelta(days=1)).date().isoformat()},
}


@pytest.fixture(scope="module")
def replays(request: pytest.FixtureRequest, stack: Stack, sandbox_events: None) -> dict[Path, ReplayResult]:
    """What became of each selected sample event. They run at once, since most of them wait."""
    functions = [item for item in request.session.items if isinstance(item, pytest.Function)]
    files: list[Any] = [item.callspec.params["file"] for item in functions if "replays" in item.fixturenames]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(files, pool.map(lambda file: replay(stack, ApiEvent.load(file)), files), strict=True))


@pytest.mark.parametrize("file", sorted(API_EVENTS.glob("*.json")), ids=lambda file: file.stem)
def test_a_sample_event_ends_as_it_says(replays: dict[Path, ReplayResult], file: Path) -> None:
    replayed = replays[file]
    assert replayed.as_expected, f"expected {replayed.event.expected}, but {replayed.summary}: {replayed.body}"


@pytest.mark.parametrize("file", sorted(FUNCTION_EVENTS.glob("*.json")), ids=lambda file: file.stem)
def test_a_function_answers_its_sample_event(stack: Stack, file: Path) -> None:
    answer = Invocations(stack).invoke(file.stem, file)
    assert "errorType" not in answer, answer
    assert EXPECTED[file.stem].items() <= (answer | answer.get("payment", {})).items()


def test_a_single_invocation_leaves_no_unrecorded_money(stack: Stack) -> None:
    def charged() -> set[str]:
        return {charge["reference"] for charge in stack.sandbox("GET", "/sandbox/charges").json()["charges"]}

    before = charged()
    for file in sorted(FUNCTION_EVENTS.glob("*.json")):
        payment_id = Invocations(stack).invoke_with_next(file.stem, file).get("persist", {}).get("payment_id")
        assert payment_id is None or audit(stack, [payment_id]).findings == []
    new = charged() - before
    assert new
    assert new - set(LedgerItems(stack).records(new)) == set()


def test_a_function_names_the_error_in_input_that_breaks_its_schema(stack: Stack, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"payment_id": "by-hand", "request": {"amount_minor": 1, "currency": "USD"}}')
    answer = Invocations(stack).invoke("tokenize", event)
    assert (answer["errorType"], answer["errorMessage"]) == ("InvalidInput", "Missing card data.")

"""Reports of replayed events for other programs: JUnit XML for continuous integration, and JSON (events/README.md)."""

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement  # nosec B405

from tools.trials.replay import ReplayResult
from tools.trials.replay_executions import ReplayedExecution, outcome_text


def write_junit(replays: Sequence[ReplayResult], file: Path) -> None:
    """Write a test case for each replay. An unexpected result is a failure, which contains what the API returned."""
    failures = sum(not replayed.as_expected for replayed in replays)
    seconds = sum(replayed.seconds for replayed in replays)
    counts = {"tests": str(len(replays)), "failures": str(failures), "time": f"{seconds:.3f}"}
    suite = Element("testsuite", {"name": "replay", **counts})
    for replayed in replays:
        case = SubElement(
            suite, "testcase", classname="replay", name=replayed.event.name, time=f"{replayed.seconds:.3f}"
        )
        if not replayed.as_expected:
            message = f"expected {replayed.event.expected}, but {replayed.happened}: {', '.join(replayed.differences)}"
            SubElement(case, "failure", message=message).text = json.dumps(replayed.body, indent=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)


def report(replays: Sequence[ReplayResult]) -> dict[str, object]:
    """Build the JSON report, with an object for each replay that contains everything the API returned."""
    return {
        "as_expected": all(replayed.as_expected for replayed in replays),
        "replays": [
            {
                "event": replayed.event.name,
                "expected": replayed.event.expected,
                "happened": replayed.happened,
                "as_expected": replayed.as_expected,
                "differences": replayed.differences,
                "payment_id": replayed.payment_id,
                "http_status": replayed.http_status,
                "body": replayed.body,
                "seconds": round(replayed.seconds, 3),
            }
            for replayed in replays
        ],
    }


def report_of_executions(replays: Sequence[ReplayedExecution]) -> dict[str, object]:
    """Build the JSON report of past executions, with an object for each that says how it ended then and now."""
    return {
        "replays": [
            {
                "execution": replayed.past["name"],
                "started_at": replayed.past["startDate"],
                "ended_then": outcome_text(replayed.past),
                "card_now": replayed.card,
                "payment_id": replayed.replay and replayed.replay["name"],
                "ended_now": replayed.replay and outcome_text(replayed.replay),
                "has_ended": replayed.has_ended,
            }
            for replayed in replays
        ],
    }


def write_json(replays: Sequence[ReplayResult], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report(replays), indent=2, ensure_ascii=False) + "\n")

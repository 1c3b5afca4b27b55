"""Runs a day's reconciliation, step by step through the three sides."""

from datetime import UTC, datetime

import requests

from functions.shared import runtime
from tests.mocked_aws import AUTHORIZATION, new_id
from tests.samples import card, order
from tests.workflow.conftest import Workflow


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def test_a_day_of_payments_and_refunds_agrees(workflow: Workflow) -> None:
    paid = workflow.run()
    workflow.operate(paid.name, "refund", amount_minor=500)
    execution = workflow.reconcile(today())
    assert execution.status == "SUCCEEDED"
    assert set(execution.states) <= {"Compare", "Compared", "DayReconciled", "BreaksFound"}
    assert execution.states.count("Compare") >= 8  # report, lines, four parts of the ledger, executions, close
    breaks = runtime.breaks().found_in_run(today(), execution.name)
    assert paid.name not in {each.payment_id for each in breaks}


def test_a_charge_that_the_ledger_never_saw_is_a_break(workflow: Workflow) -> None:
    payment_id = new_id()
    runtime.gateways().named("sparkle").charge(order(payment_id), card(), f"{payment_id}-charge")
    execution = workflow.reconcile(today())
    assert execution.ended_in == "BreaksFound"
    breaks = runtime.breaks().found_in_run(today(), execution.name)
    assert ("missing_in_ledger", payment_id) in {(each.type, each.payment_id) for each in breaks}


def test_a_truncated_report_is_rejected(workflow: Workflow) -> None:
    url = f"{workflow.sandbox_url}/sandbox/settlements/2026-11-01"
    requests.put(
        url, data=b'{"date": "2026-11-01", "lines": [{"id', headers=AUTHORIZATION, timeout=5
    ).raise_for_status()
    execution = workflow.reconcile("2026-11-01")
    assert (execution.ended_in, execution.error) == ("ReportUnreadable", "ReportUnreadable")
    assert "The settlement report of 2026-11-01 is cut off" in (execution.cause or "")


def test_a_gateway_that_does_not_answer_at_first_is_called_again(workflow: Workflow) -> None:
    workflow.break_next("settlements", "http_500", "2026-11-02", times=3)
    assert workflow.reconcile("2026-11-02").ended_in == "DayReconciled"
    assert workflow.waits

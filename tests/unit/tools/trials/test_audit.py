"""The audit's comparisons: consistent payments, and one example of each finding."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from functions.shared.adapters.table.ledger import entry_items
from functions.shared.domain.adoption import adopted_id
from functions.shared.domain.ledger import (
    GENESIS_HASH,
    JournalEntry,
    PostedEntry,
    capture_entry,
    dispute_entry,
    dispute_lost_entry,
    in_doubt_entry,
    refund_entry,
    refund_in_doubt_entry,
    settlement_entry,
)
from tools.books.findings import Evidence, Finding, Kind, findings
from tools.cli.__main__ import app
from tools.deployment.stack import Stack
from tools.output import ExitCode
from tools.trials.audit import Audit, show

GATEWAY, MERCHANT = "asset:gateway:sparkle", "liability:merchant"


def posting(account: str, direction: str, amount_minor: int = 1999, currency: str = "USD") -> dict[str, Any]:
    return {"account": account, "direction": direction, "amount_minor": amount_minor, "currency": currency}


CAPTURE = capture_entry("sparkle", 1999, "USD")
IN_DOUBT = in_doubt_entry(1999, "USD")
REFUND = refund_entry("sparkle", 500, "USD", "op-1")
SETTLEMENT = settlement_entry("sparkle", 1999, 58, "USD", "charge:ch_1@2026-11-23")


def operation(type: str, amount_minor: int | None, status: str = "succeeded", number: int = 1) -> dict[str, Any]:
    return {"operation_id": f"op-{number}", "type": type, "amount_minor": amount_minor, "status": status}


def payment(
    status: str,
    *entries: JournalEntry,
    charged: str | None,
    execution: str = "SUCCEEDED",
    version: int = 1,
    captured: int | None = None,
    refunded: int = 0,
    operations: tuple[dict[str, Any], ...] = (),
    in_index: bool | None = None,
    by_gateway: bool = False,
) -> Evidence:
    """A payment of 19.99 USD on which all three sources agree. `charged` is its charge's status at the gateway.

    Operations that the gateway made itself (`by_gateway`) have no executions.
    """
    if captured is None:
        captured = 1999 if status in ("captured", "partially_refunded", "refunded") else 0
    record = {
        "status": status,
        "amount_minor": 1999,
        "currency": "USD",
        "captured_minor": captured,
        "refunded_minor": refunded,
        "charge_id": "ch_1",
        "version": version,
        "entry_count": len(entries),
        "journal_hash": GENESIS_HASH,
        "operations": operations,
    }
    items = {"PAYMENT": record}
    for number, entry in enumerate(entries, start=1):
        items |= posted(number, entry, record["journal_hash"])
        record["journal_hash"] = items[f"ENTRY#{number:04}"]["hash"]
    evidence = Evidence("p-1", {"status": execution}, dict(items), in_index=status == "in_doubt")
    if in_index is not None:
        evidence.in_index = in_index
    if charged:
        evidence.charges.append(charge(charged, captured, refunded))
    for each in () if by_gateway else operations:
        ending = {"succeeded": "SUCCEEDED", "processing": "RUNNING"}.get(each["status"], "FAILED")
        evidence.operation_executions[each["operation_id"]] = {"status": ending}
    return evidence


def posted(number: int, entry: JournalEntry, previous_hash: Any) -> dict[str, dict[str, Any]]:
    """The items of an entry. Every second entry belongs to a later version."""
    posted_at = f"2026-11-23T12:0{(number - 1) // 2}:00Z"
    chained = PostedEntry.after(previous_hash, entry, payment_id="p-1", number=number, posted_at=posted_at)
    return {item["sk"]: item for item in entry_items(chained)}


def ended(status: str, request: str = '{"amount_minor": 1999}', **more: str) -> Evidence:
    """A payment without a record in the ledger."""
    return Evidence("p-1", {"status": status, "input": request, **more})


def refund_shown(status: str = "succeeded", reference: str | None = "op-1", amount_minor: int = 500) -> dict[str, Any]:
    return {"id": "re_1", "refund_reference": reference, "status": status, "amount_minor": amount_minor}


def charge(status: str, captured_minor: int, refunded_minor: int = 0) -> dict[str, Any]:
    """The charge, with our operation's refund if anything was refunded."""
    return {
        "refunds": [refund_shown(amount_minor=refunded_minor)] if refunded_minor else [],
        "void_reason": None,
        "id": "ch_1",
        "status": status,
        "amount_minor": 1999,
        "currency": "USD",
        "captured_minor": captured_minor,
        "refunded_minor": refunded_minor,
        "disputed_minor": 0,
        "disputes": [],
    }


def captured() -> Evidence:
    return payment("captured", CAPTURE, charged="captured")


def reversed_() -> Evidence:
    return payment("reversed", CAPTURE, CAPTURE.reverse(1), charged="voided", execution="FAILED")


def in_doubt() -> Evidence:
    return payment("in_doubt", IN_DOUBT, charged="captured", execution="FAILED")


def refunded() -> Evidence:
    operations = (operation("refund", 500), operation("refund", 2000, "rejected", 2))
    return payment(
        "partially_refunded",
        CAPTURE,
        REFUND,
        charged="partially_refunded",
        refunded=500,
        version=4,
        operations=operations,
    )


def refunding() -> Evidence:
    reserved = (operation("refund", 500, "processing"),)
    return payment("captured", CAPTURE, charged="captured", version=2, operations=reserved)


def refund_in_doubt() -> Evidence:
    """A refund in doubt, which the gateway has in fact carried out."""
    doubt = refund_in_doubt_entry(500, "USD", "op-1")
    doubtful = (operation("refund", 500, "in_doubt"),)
    evidence = payment("captured", CAPTURE, doubt, charged="captured", version=3, operations=doubtful, in_index=True)
    evidence.charges[0] = charge("partially_refunded", 1999, 500)
    return evidence


THEIR_REFUND = operation("refund", 500) | {"operation_id": adopted_id("refund", "re_1"), "source": "gateway"}
THEIR_VOID = operation("void", 1999) | {"operation_id": adopted_id("void", "ch_1"), "source": "gateway"}


def adopted() -> Evidence:
    """Somebody refunded at the gateway, and the books have adopted it."""
    entry = refund_entry("sparkle", 500, "USD", THEIR_REFUND["operation_id"])
    evidence = payment(
        "partially_refunded",
        CAPTURE,
        entry,
        charged="partially_refunded",
        refunded=500,
        version=2,
        operations=(THEIR_REFUND,),
        by_gateway=True,
    )
    evidence.charges[0] = {**evidence.charges[0], "refunds": [refund_shown(reference=None)]}
    return evidence


def pending() -> Evidence:
    """A refund of ours that is pending at the gateway; its execution has ended."""
    reserved = operation("refund", 500, "processing") | {"pending": True}
    evidence = payment("captured", CAPTURE, charged="captured", version=3, operations=(reserved,))
    evidence.charges[0] = {**evidence.charges[0], "refunds": [refund_shown("pending")]}
    evidence.operation_executions["op-1"] = {"status": "FAILED", "error": "OperationPending"}
    return evidence


def charged_again() -> Evidence:
    """A second charge was made, and fully refunded."""
    entries = CAPTURE, capture_entry("sparkle", 1999, "USD", "ch_2"), refund_entry("sparkle", 1999, "USD", "ch_2")
    undone = operation("refund", 1999) | {"operation_id": "ch_2", "charge_id": "ch_2"}
    evidence = payment("captured", *entries, charged="captured", version=3, operations=(undone,))
    evidence.charges.insert(0, charge("refunded", 1999, 1999) | {"id": "ch_2"})
    return evidence


def captured_later(amount_minor: int = 1500) -> Evidence:
    capture = capture_entry("sparkle", amount_minor, "USD", "op-1")
    operations = (operation("capture", amount_minor),)
    return payment("captured", capture, charged="captured", captured=amount_minor, version=3, operations=operations)


def settled() -> Evidence:
    return payment("captured", CAPTURE, SETTLEMENT, charged="captured", version=2)


def disputed(status: str) -> Evidence:
    """A part of the payment is disputed; the gateway's fee is none of the charge's amounts."""
    opened, lost = dispute_entry("sparkle", 700, "USD", "dp_1"), dispute_lost_entry("sparkle", 700, "USD", "dp_1")
    ends = {"open": (), "lost": (lost,), "won": (opened.reverse(2, "dispute_won"),)}[status]
    evidence = payment("captured", CAPTURE, opened, *ends, charged="captured", version=2)
    dispute: dict[str, Any] = {"status": status, "amount_minor": 700}
    evidence.items["PAYMENT"] = {**evidence.items["PAYMENT"], "disputes": [dispute | {"dispute_id": "dp_1"}]}
    at_gateway = {"disputes": [dispute | {"id": "dp_1"}], "disputed_minor": 700 * (status != "won")}
    evidence.charges[0] = {**evidence.charges[0], **at_gateway}
    return evidence


def payment_findings(evidence: Evidence) -> list[Finding]:
    """The findings about the payment itself."""
    return [finding for finding in findings({"p-1": evidence}, with_gateway=True) if finding.payment_id]


@pytest.mark.parametrize(
    "evidence",
    [
        captured(),
        reversed_(),
        in_doubt(),
        payment("in_doubt", charged=None, execution="ABORTED"),
        payment("reversed", IN_DOUBT, IN_DOUBT.reverse(1), charged=None, execution="FAILED", version=2),
        payment("authorized", charged="authorized"),
        payment("declined", charged="declined"),
        payment("declined", charged=None),
        payment("stored", charged=None),
        Evidence("p-1", {"status": "RUNNING"}, charges=[charge("captured", 1999)]),
        ended("FAILED", error="PaymentRejected"),
        ended("ABORTED", '{"operation": "store"}'),
        ended("ABORTED", "{}"),
        ended("ABORTED", "[]"),
        refunded(),
        refunding(),
        refund_in_doubt(),
        captured_later(),
        captured_later(1999),
        charged_again(),
        settled(),
        payment("voided", charged="voided", version=3, operations=(operation("void", 1999),)),
        payment("authorized", charged="voided", version=2, operations=(operation("void", 1999, "processing"),)),
        adopted(),
        pending(),
        *map(disputed, ("open", "won", "lost")),
        payment(
            "voided",
            CAPTURE,
            CAPTURE.reverse(1),
            charged="voided",
            version=2,
            operations=(THEIR_VOID,),
            by_gateway=True,
        ),
        payment(
            "captured",
            CAPTURE,
            REFUND,
            SETTLEMENT,
            REFUND.reverse(2, "refund_failed", "re_1"),
            charged="captured",
            version=5,
            operations=(operation("refund", 500, "rejected"),),
        ),
    ],
    ids=lambda evidence: evidence.status,
)
def test_a_payment_that_all_sources_agree_on_has_no_finding(evidence: Evidence) -> None:
    assert list(findings({"p-1": evidence}, with_gateway=True)) == []


def broken(make: Callable[[], Evidence], change: Callable[[Evidence], object]) -> Evidence:
    evidence = make()
    change(evidence)
    return evidence


def set_entry(number: int, **changes: Any) -> Callable[[Evidence], object]:
    key = f"ENTRY#{number:04}"
    return lambda evidence: evidence.items.update({key: {**evidence.items[key], **changes}})


def set_record(**changes: Any) -> Callable[[Evidence], object]:
    return lambda evidence: evidence.items.update(PAYMENT={**(evidence.record or {}), **changes})


def set_operation(number: int, **execution: str) -> Callable[[Evidence], object]:
    return lambda evidence: evidence.operation_executions.update({f"op-{number}": execution})


def set_charge(**changes: Any) -> Callable[[Evidence], object]:
    return lambda evidence: evidence.charges.__setitem__(0, {**evidence.charges[0], **changes})


def undo_again(evidence: Evidence) -> None:
    """Add a second reversal of the same capture, with its postings."""
    evidence.items |= posted(3, CAPTURE.reverse(1), evidence.items["ENTRY#0002"]["hash"])
    set_record(entry_count=3, journal_hash=evidence.items["ENTRY#0003"]["hash"])(evidence)


@pytest.mark.parametrize(
    ("kind", "evidence"),
    [
        (
            Kind.JOURNAL,
            broken(captured, set_entry(1, postings=[posting(GATEWAY, "debit"), posting(MERCHANT, "credit", 1998)])),
        ),
        (Kind.JOURNAL, broken(captured, lambda evidence: evidence.items.pop("POSTING#0001#2"))),
        (
            Kind.JOURNAL,
            broken(captured, lambda evidence: evidence.items.update({"POSTING#0001#1": posting(GATEWAY, "debit", 1)})),
        ),
        (Kind.CHARGED_TWICE, broken(captured, lambda evidence: evidence.charges.append(charge("captured", 1999)))),
        (Kind.CHARGED_TWICE, broken(in_doubt, lambda evidence: evidence.charges.append(charge("authorized", 0)))),
        (Kind.MONEY, broken(captured, lambda evidence: evidence.charges.clear())),
        (Kind.MONEY, broken(captured, set_charge(captured_minor=1998))),
        (Kind.MONEY, broken(captured, set_charge(currency="EUR"))),
        (Kind.MONEY, broken(reversed_, set_charge(captured_minor=1999))),
        (Kind.CHARGE, broken(captured, set_charge(id="ch_2"))),
        (Kind.CHARGE, payment("reversed", charged="authorized", execution="FAILED")),
        (Kind.NOT_ADOPTED, payment("authorized", charged="voided")),
        (Kind.NOT_ADOPTED, broken(lambda: payment("authorized", charged="captured"), set_charge(captured_minor=600))),
        (Kind.NOT_ADOPTED, broken(captured, set_charge(refunds=[refund_shown(reference=None)], refunded_minor=500))),
        (Kind.NOT_ADOPTED, broken(captured, set_charge(refunds=[refund_shown("pending", None)]))),
        (Kind.NOT_ADOPTED, broken(captured, set_charge(status="voided", captured_minor=0))),
        (Kind.NOT_ADOPTED, broken(refunded, set_charge(refunds=[refund_shown("failed")], refunded_minor=0))),
        (Kind.NOT_ADOPTED, broken(adopted, set_record(operations=[]))),
        (Kind.NOT_ADOPTED, broken(pending, set_charge(refunds=[refund_shown()], refunded_minor=500))),
        (Kind.NOT_ADOPTED, broken(lambda: disputed("open"), set_record(disputes=[]))),
        (
            Kind.NOT_ADOPTED,
            broken(
                lambda: disputed("open"),
                set_charge(disputes=[{"id": "dp_1", "status": "lost", "amount_minor": 700}]),
            ),
        ),
        (Kind.MONEY, broken(lambda: disputed("won"), set_charge(disputed_minor=700))),
        (
            Kind.RECORD,
            broken(
                lambda: disputed("open"),
                set_record(disputes=[{"dispute_id": "dp_1", "status": "open", "amount_minor": 600}]),
            ),
        ),
        (Kind.CHARGE, payment("stored", charged="declined")),
        (
            Kind.CHARGE,
            broken(
                lambda: ended("FAILED", error="PaymentRejected"),
                lambda evidence: evidence.charges.append(charge("authorized", 0)),
            ),
        ),
        (Kind.INDEX, broken(in_doubt, lambda evidence: setattr(evidence, "in_index", False))),
        (Kind.INDEX, broken(captured, lambda evidence: setattr(evidence, "in_index", True))),
        (Kind.LOST, Evidence("p-1")),
        (Kind.LOST, ended("SUCCEEDED")),
        (Kind.LOST, ended("ABORTED")),
        (Kind.LOST, ended("FAILED", error="PaymentInDoubt")),
        (Kind.LOST, Evidence("p-1", charges=[charge("captured", 1999)])),
        (Kind.OUTCOME, payment("reversed", charged="voided")),
        (Kind.OUTCOME, payment("in_doubt", IN_DOUBT, charged="captured")),
        (Kind.RECORD, broken(captured, set_record(captured_minor=1998))),
        (Kind.RECORD, broken(captured, set_record(status="authorized"))),
        (Kind.JOURNAL, broken(captured, set_record(entry_count=2))),
        (Kind.RECORD, broken(captured, lambda evidence: evidence.items.pop("ENTRY#0001"))),
        (Kind.RECORD, broken(captured, lambda evidence: evidence.items.pop("PAYMENT"))),
        (Kind.RECORD, payment("reversed", IN_DOUBT, CAPTURE, CAPTURE.reverse(2), charged=None, execution="FAILED")),
        (Kind.RECORD, payment("reversed", IN_DOUBT, charged=None, execution="FAILED")),
        (Kind.RECORD, payment("in_doubt", CAPTURE, charged="captured", execution="FAILED")),
        (Kind.REVERSED_TWICE, broken(reversed_, undo_again)),
        (Kind.REVERSED_TWICE, broken(captured, set_charge(refunded_minor=2000))),
        (Kind.REVERSED_TWICE, broken(captured, set_charge(captured_minor=2000))),
        (Kind.REVERSED_TWICE, payment("reversed", CAPTURE, IN_DOUBT.reverse(1), charged=None, execution="FAILED")),
        (Kind.JOURNAL, broken(captured, set_entry(1, posted_at="2026-11-24T12:00:00Z"))),
        (Kind.JOURNAL, broken(refunded, set_entry(2, source="op-2"))),
        (Kind.JOURNAL, broken(refunded, set_record(journal_hash=GENESIS_HASH))),
        (Kind.JOURNAL, broken(refunded, lambda evidence: evidence.items.pop("ENTRY#0001"))),
        (Kind.SETTLED_TWICE, payment("captured", CAPTURE, SETTLEMENT, SETTLEMENT, charged="captured", version=2)),
        (Kind.MONEY, broken(refunded, set_charge(refunded_minor=0))),
        (Kind.MONEY, broken(settled, set_charge(captured_minor=0))),
        (Kind.CHARGE, broken(refunded, set_charge(status="captured"))),
        (Kind.CHARGE, payment("voided", charged="authorized", operations=(operation("void", 1999),))),
        (Kind.INDEX, broken(refund_in_doubt, lambda evidence: setattr(evidence, "in_index", False))),
        (Kind.LEFT_OPEN, broken(refunding, set_operation(1, status="ABORTED"))),
        (Kind.LOST, broken(captured, set_operation(1, status="ABORTED"))),
        (Kind.LOST, broken(captured, set_operation(1, status="FAILED", error="OperationInDoubt"))),
        (Kind.OUTCOME, broken(refund_in_doubt, set_operation(1, status="SUCCEEDED"))),
        (Kind.RECORD, broken(refunded, set_record(refunded_minor=400))),
        (Kind.RECORD, broken(refunded, set_record(status="refunded"))),
        (Kind.RECORD, broken(refunded, set_record(operations=[operation("refund", 400)]))),
        (Kind.RECORD, broken(refunded, set_record(operations=[operation("refund", 500, "rejected")]))),
        (Kind.RECORD, broken(refund_in_doubt, set_record(operations=[operation("refund", 400, "in_doubt")]))),
        (Kind.RECORD, broken(captured_later, set_record(captured_minor=1999))),
        (Kind.RECORD, broken(captured_later, set_record(operations=[]))),
    ],
)
def test_what_is_wrong_is_found(kind: Kind, evidence: Evidence) -> None:
    assert kind in {finding.kind for finding in payment_findings(evidence)}


def test_an_operation_that_runs_or_was_rejected_before_it_was_recorded_is_not_missed() -> None:
    for execution in ({"status": "RUNNING"}, {"status": "FAILED", "error": "OperationRejected"}):
        assert payment_findings(broken(captured, set_operation(1, **execution))) == []


def test_every_kind_has_a_broken_example() -> None:
    [examples] = [mark for mark in test_what_is_wrong_is_found.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {kind for kind, _ in examples.args[1]} == set(Kind)


def test_a_finding_says_what_was_expected_and_what_was_found() -> None:
    assert payment_findings(broken(captured, set_charge(captured_minor=1998))) == [
        Finding("p-1", Kind.MONEY, "gateway 19.98 USD", "ledger 19.99 USD")
    ]


def test_payments_whose_differences_cancel_out_are_found_all_the_same() -> None:
    more = broken(captured, set_charge(captured_minor=2000, amount_minor=2000))
    less = broken(captured, set_charge(captured_minor=1998, amount_minor=1998))
    more.payment_id, less.payment_id = "more", "less"
    all_findings = list(findings({"more": more, "less": less}, with_gateway=True))
    assert {(finding.payment_id, finding.kind) for finding in all_findings} >= {
        ("more", Kind.MONEY),
        ("less", Kind.MONEY),
    }
    assert not [finding for finding in all_findings if finding.payment_id is None]


def test_the_totals_are_compared_by_currency() -> None:
    assert Finding(None, Kind.MONEY, "gateway 0", "ledger 19.99 USD") in findings(
        {"p-1": payment("captured", CAPTURE, charged=None)}, with_gateway=True
    )


def test_a_payment_that_waits_for_its_customer_is_no_finding_and_a_charge_that_waits_after_its_end_is_one() -> None:
    waiting = Evidence("p-1", {"status": "RUNNING"}, charges=[charge("action_required", 0)])
    assert (waiting.status, list(findings({"p-1": waiting}, True))) == ("action_required", [])
    ended = payment("declined", charged="action_required")
    assert [each.kind for each in findings({"p-1": ended}, True)] == [Kind.CHARGE]


def test_a_charge_at_another_gateway_than_the_recorded_one_is_found() -> None:
    evidence = captured()
    evidence.items["PAYMENT"] = {**evidence.items["PAYMENT"], "gateway": "sparkle"}
    evidence.charges[:] = [{**evidence.charges[0], "gateway": "sparkle"}]
    assert list(findings({"p-1": evidence}, with_gateway=True)) == []
    evidence.charges[:] = [{**evidence.charges[0], "gateway": "another"}]
    [finding] = findings({"p-1": evidence}, with_gateway=True)
    assert (finding.kind, finding.expected, finding.found) == (Kind.CHARGE, "charges at sparkle", "at another")


def test_without_a_sandbox_the_ledger_is_checked_alone() -> None:
    assert list(findings({"p-1": payment("captured", CAPTURE, charged=None)}, with_gateway=False)) == []
    assert list(findings({"p-1": payment("captured", charged=None)}, with_gateway=False))


def test_the_report_counts_the_payments_and_says_what_is_wrong() -> None:
    console = Console(file=(output := StringIO()), width=160)
    evidence = {"p-1": captured(), "p-2": ended("ABORTED"), "p-3": refunded()}
    show(Audit(evidence, list(findings(evidence, with_gateway=True))), console)
    assert "1 captured · 1 lost · 1 partially_refunded" in output.getvalue()
    assert "1 refund succeeded · 1 refund rejected" in output.getvalue()
    assert "none; execution ABORTED" in output.getvalue()
    assert "1 finding in 3 payments" in output.getvalue()


@pytest.mark.parametrize("is_known", [True, False])
def test_a_payment_that_no_source_knows_is_not_there_rather_than_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    Stack("http://127.0.0.1:1", "us-east-1", "arn", "ledger", "/aws/", None, "key", "secret").save(tmp_path / "s.json")
    evidence = captured() if is_known else Evidence("p-1")
    monkeypatch.setattr("tools.cli.trials.audit_payments", lambda stack, payments: Audit({"p-1": evidence}, []))
    result = CliRunner().invoke(app, ["audit", "p-1", "--json", "--stack", str(tmp_path / "s.json")])
    if is_known:
        assert (result.exit_code, json.loads(result.stdout)) == (0, {"payments": 1, "findings": []})
    else:
        assert (result.exit_code, result.stdout) == (ExitCode.FAILED, "")
        assert "This stack has no payment p-1." in result.stderr

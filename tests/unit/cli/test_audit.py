"""The audit's comparisons: payments that agree, and one broken example for each thing that can be wrong."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from cli.audit import Audit, Evidence, Finding, Kind, findings, show

GATEWAY, MERCHANT, SUSPENSE = "asset:gateway:sparkle", "liability:merchant", "suspense:in_doubt"


def posting(account: str, direction: str, amount_minor: int = 1999, currency: str = "USD") -> dict[str, Any]:
    return {"account": account, "direction": direction, "amount_minor": amount_minor, "currency": currency}


def entry(kind: str, debit: str, credit: str, posted_at: str = "2026-11-23T12:00:00Z") -> dict[str, Any]:
    return {"kind": kind, "posted_at": posted_at, "postings": [posting(debit, "debit"), posting(credit, "credit")]}


CAPTURE = entry("capture", GATEWAY, MERCHANT)
REVERSAL = entry("reversal", MERCHANT, GATEWAY)
IN_DOUBT = entry("in_doubt", SUSPENSE, MERCHANT)
CLEARED = entry("reversal", MERCHANT, SUSPENSE, posted_at="2026-11-23T12:05:00Z")


def payment(
    status: str, *entries: dict[str, Any], charged: str | None, execution: str = "SUCCEEDED", version: int = 1
) -> Evidence:
    """A payment of 19.99 USD that all three sources agree on. `charged` is its charge's status at the gateway."""
    captured = 1999 if status == "captured" else 0
    record = {
        "status": status,
        "amount_minor": 1999,
        "currency": "USD",
        "captured_minor": captured,
        "refunded_minor": 0,
        "charge_id": "ch_1",
        "version": version,
        "entry_count": len(entries),
    }
    items = {"PAYMENT": record}
    for number, each in enumerate(entries, start=1):
        items[f"ENTRY#{number:04}"] = each
        for n, line in enumerate(each["postings"], start=1):
            items[f"POSTING#{number:04}#{n}"] = line
    evidence = Evidence("p-1", {"status": execution}, dict(items), in_index=status == "in_doubt")
    if charged:
        evidence.charges.append(charge(charged, captured))
    return evidence


def ended(status: str, request: str = '{"amount_minor": 1999}', **more: str) -> Evidence:
    """A payment that the ledger has no record of."""
    return Evidence("p-1", {"status": status, "input": request, **more})


def charge(status: str, captured_minor: int) -> dict[str, Any]:
    return {
        "id": "ch_1",
        "status": status,
        "amount_minor": 1999,
        "currency": "USD",
        "captured_minor": captured_minor,
        "refunded_minor": 0,
    }


def captured() -> Evidence:
    return payment("captured", CAPTURE, charged="captured")


def reversed_() -> Evidence:
    return payment("reversed", CAPTURE, REVERSAL, charged="voided", execution="FAILED")


def in_doubt() -> Evidence:
    return payment("in_doubt", IN_DOUBT, charged="captured", execution="FAILED")


def found(evidence: Evidence) -> list[Finding]:
    """What is wrong with the payment itself."""
    return [finding for finding in findings({"p-1": evidence}, with_gateway=True) if finding.payment_id]


@pytest.mark.parametrize(
    "evidence",
    [
        captured(),
        reversed_(),
        in_doubt(),
        payment("in_doubt", charged=None, execution="ABORTED"),
        payment("reversed", IN_DOUBT, CLEARED, charged=None, execution="FAILED", version=2),
        payment("authorized", charged="authorized"),
        payment("declined", charged="declined"),
        payment("declined", charged=None),
        payment("stored", charged=None),
        Evidence("p-1", {"status": "RUNNING"}, charges=[charge("captured", 1999)]),
        ended("FAILED", error="PaymentRejected"),
        ended("ABORTED", '{"operation": "store"}'),
        ended("ABORTED", "{}"),
        ended("ABORTED", "[]"),
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


def set_charge(**changes: Any) -> Callable[[Evidence], object]:
    return lambda evidence: evidence.charges.__setitem__(0, {**evidence.charges[0], **changes})


def undo_again(evidence: Evidence) -> None:
    """A second reversal of the same capture, its postings and all."""
    evidence.items |= {"ENTRY#0003": REVERSAL, "PAYMENT": {**(evidence.record or {}), "entry_count": 3}}
    evidence.items |= {f"POSTING#0003#{n}": line for n, line in enumerate(REVERSAL["postings"], start=1)}


@pytest.mark.parametrize(
    ("kind", "evidence"),
    [
        (
            Kind.UNBALANCED,
            broken(captured, set_entry(1, postings=[posting(GATEWAY, "debit"), posting(MERCHANT, "credit", 1998)])),
        ),
        (Kind.UNBALANCED, broken(captured, lambda evidence: evidence.items.pop("POSTING#0001#2"))),
        (
            Kind.UNBALANCED,
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
        (Kind.CHARGE, payment("authorized", charged="voided")),
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
        (Kind.RECORD, broken(captured, set_record(entry_count=2))),
        (Kind.RECORD, broken(captured, lambda evidence: evidence.items.pop("ENTRY#0001"))),
        (Kind.RECORD, broken(captured, lambda evidence: evidence.items.pop("PAYMENT"))),
        (Kind.RECORD, payment("reversed", IN_DOUBT, CLEARED, charged=None, execution="FAILED", version=1)),
        (Kind.RECORD, payment("reversed", IN_DOUBT, charged=None, execution="FAILED")),
        (Kind.RECORD, payment("in_doubt", CAPTURE, charged="captured", execution="FAILED")),
        (Kind.REVERSED_TWICE, broken(reversed_, undo_again)),
        (Kind.REVERSED_TWICE, broken(captured, set_charge(refunded_minor=2000))),
        (Kind.REVERSED_TWICE, broken(captured, set_charge(captured_minor=2000))),
    ],
)
def test_what_is_wrong_is_found(kind: Kind, evidence: Evidence) -> None:
    assert kind in {finding.kind for finding in found(evidence)}


def test_every_kind_has_a_broken_example() -> None:
    [examples] = [mark for mark in test_what_is_wrong_is_found.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {kind for kind, _ in examples.args[1]} == set(Kind)


def test_a_finding_says_what_was_expected_and_what_was_found() -> None:
    assert found(broken(captured, set_charge(captured_minor=1998))) == [
        Finding("p-1", Kind.MONEY, "gateway 1,998 USD", "ledger 1,999 USD")
    ]


def test_payments_whose_differences_cancel_out_are_found_all_the_same() -> None:
    more = broken(captured, set_charge(captured_minor=2000, amount_minor=2000))
    less = broken(captured, set_charge(captured_minor=1998, amount_minor=1998))
    more.payment_id, less.payment_id = "more", "less"
    found = list(findings({"more": more, "less": less}, with_gateway=True))
    assert {(finding.payment_id, finding.kind) for finding in found} >= {("more", Kind.MONEY), ("less", Kind.MONEY)}
    assert not [finding for finding in found if finding.payment_id is None]


def test_the_totals_are_compared_by_currency() -> None:
    assert Finding(None, Kind.MONEY, "gateway 0", "ledger 1,999 USD") in findings(
        {"p-1": payment("captured", CAPTURE, charged=None)}, with_gateway=True
    )


def test_without_a_sandbox_the_ledger_is_checked_alone() -> None:
    assert list(findings({"p-1": payment("captured", CAPTURE, charged=None)}, with_gateway=False)) == []
    assert list(findings({"p-1": payment("captured", charged=None)}, with_gateway=False))


def test_the_report_counts_the_payments_and_says_what_is_wrong() -> None:
    console = Console(file=(output := StringIO()), width=160)
    evidence = {"p-1": captured(), "p-2": ended("ABORTED")}
    show(Audit(evidence, list(findings(evidence, with_gateway=True))), console)
    assert "1 captured · 1 lost" in output.getvalue()
    assert "none; execution ABORTED" in output.getvalue()
    assert "1 findings in 2 payments" in output.getvalue()

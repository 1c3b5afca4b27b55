from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from types import SimpleNamespace

import pytest
import yaml
from rich.console import Console
from rich.progress import Progress

from tools.books.findings import Evidence
from tools.deployment.paths import ROOT
from tools.deployment.stack import Gateway, Stack
from tools.local.sandbox.performing import ALTERED_RESULTS
from tools.trials import soak
from tools.trials.audit import Audit
from tools.trials.soak import CURRENCIES, FAULTS, Operation, PlannedPayment, disagreements, plan

PAID = PlannedPayment("/payments", {}, "captured", payment_id="p-1")
FAULT = {"operation": "charge", "fault": "reset", "times": 6}
DISTURBED = replace(PAID, faults=(FAULT,))
AUTHORIZED = replace(PAID, status="authorized", operations=(Operation("capture"), Operation("void")))


def without_ids(planned: list[PlannedPayment]) -> list[PlannedPayment]:
    return [
        replace(payment, payment_id="", operations=tuple(replace(each, operation_id="") for each in payment.operations))
        for payment in planned
    ]


def test_the_same_seed_gives_the_same_payments_under_new_ids() -> None:
    first, second, other = (list(plan(200, seed)) for seed in (7, 7, 8))
    assert without_ids(first) == without_ids(second) != without_ids(other)
    assert len({payment.payment_id for payment in first + second}) == 400


def test_a_soak_has_payments_of_every_sort() -> None:
    planned = list(plan(5000, 1))
    payments = [payment for payment in planned if payment.path == "/payments"]
    assert {payment.status for payment in planned} == {"captured", "authorized", "declined", "stored", "rejected"}
    assert len({payment.body["card_data"]["card_number"] for payment in payments}) == 16
    assert {payment.customer for payment in payments} == {None, "approve", "fail"}
    assert all(("return_url" in payment.body) is bool(payment.customer) for payment in payments)
    assert {payment.body["currency"] for payment in payments} == set(CURRENCIES)
    assert {payment.repeat for payment in planned} == {None, "same", "other"}
    assert {payment.sealed for payment in planned} == {True, False}
    assert all(1 <= payment.body["amount_minor"] <= 99_999_999 for payment in payments)
    operations = Counter(tuple(each.type for each in payment.operations) for payment in payments)
    assert set(operations) == {
        (),
        ("refund",),
        ("refund", "refund"),
        *((kind,) for kind in ("capture", "void")),
        *((one, other) for one in ("capture", "void") for other in ("capture", "void")),
    }


def test_of_the_operations_on_a_payment_there_is_room_for_one() -> None:
    for payment in plan(5000, 1):
        amounts = [operation.amount_minor for operation in payment.operations if operation.amount_minor]
        most = payment.body.get("amount_minor", 0)
        assert all(amount <= most < 2 * amount for amount in amounts)


def test_one_in_twenty_meets_faults_of_every_kind() -> None:
    faults = [payment.faults for payment in plan(5000, 2) if payment.faults]
    assert 0.03 < len(faults) / 5000 < 0.07
    charges = {(fault["operation"], fault["fault"]) for each in faults for fault in each}
    assert charges >= {(operation, fault) for operation in ("charge", "find", "reverse") for fault in FAULTS}
    assert {operation for operation, _ in charges} == {"charge", "find", "reverse", "refund", "capture", "void"}


def test_the_faults_are_all_by_which_the_sandbox_does_not_answer_or_does_nothing() -> None:
    schemas = yaml.load((ROOT / "docs" / "sparkle.yaml").read_text(), yaml.CSafeLoader)["components"]["schemas"]
    assert sorted((*FAULTS, *ALTERED_RESULTS)) == sorted(schemas["FaultName"]["enum"])


@pytest.mark.parametrize(
    ("payment", "api_status", "status", "problem"),
    [
        (PAID, "captured", "captured", None),
        (DISTURBED, "captured", "captured", None),
        (DISTURBED, "reversed", "reversed", None),
        (PAID, "captured", "reversed", "p-1 is captured over the API, and reversed in the ledger"),
        (PAID, "reversed", "reversed", "p-1 is reversed and not captured, with no fault"),
        (DISTURBED, "declined", "declined", "p-1 is declined and not captured, with 6 × reset on charge"),
        (DISTURBED, "in_doubt", "in_doubt", None),
        (PAID, "in_doubt", "in_doubt", "p-1 is in_doubt and not captured, with no fault"),
    ],
)
def test_a_payment_must_end_as_its_card_or_its_faults_explain(
    payment: PlannedPayment, api_status: str, status: str, problem: str | None
) -> None:
    evidence = Evidence("p-1", items={"PAYMENT": {"status": status}})
    problems = list(
        disagreements({"p-1": payment}, {"p-1": {"status": api_status, "operations": []}}, Audit({"p-1": evidence}, []))
    )
    assert (problem in problems) if problem else not problems


@pytest.mark.parametrize(
    ("status", "capture", "void", "faults", "is_explained"),
    [
        ("captured", "succeeded", "rejected", (), True),
        ("voided", "rejected", "succeeded", (), True),
        ("captured", "rejected", "succeeded", (), False),
        ("authorized", "rejected", "rejected", (), False),
        ("captured", "succeeded", "succeeded", (), False),
        ("authorized", "in_doubt", "rejected", (), False),
        ("authorized", "in_doubt", "rejected", (FAULT,), True),
        ("captured", "in_doubt", "rejected", (FAULT,), False),
    ],
)
def test_of_two_operations_on_one_payment_one_must_have_succeeded(
    status: str, capture: str, void: str, faults: tuple[dict[str, object], ...], is_explained: bool
) -> None:
    ended = [{"type": "capture", "status": capture}, {"type": "void", "status": void}]
    assert replace(AUTHORIZED, faults=faults).allows(status, ended) is is_explained


def test_ctrl_c_audits_what_had_ended_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    audited: list[list[str]] = []

    def send_all(stack: Stack, planned: Mapping[str, PlannedPayment], concurrency: int, bar: Progress) -> soak.Soak:
        ended = list(planned)[:2]
        answers = {each: {"payment_id": each, "status": planned[each].status, "operations": []} for each in ended}
        return soak.Soak(answers=answers, interrupted=True)

    def audit(stack: Stack, planned: Mapping[str, PlannedPayment]) -> Audit:
        audited.append(list(planned))
        return Audit({each: Evidence(each) for each in planned}, [])

    monkeypatch.setattr(soak, "_send_all", send_all)
    monkeypatch.setattr(soak, "audit", audit)
    monkeypatch.setattr(Gateway, "call", lambda *arguments: SimpleNamespace(raise_for_status=lambda: None))
    out = StringIO()
    stack = Stack(
        "http://127.0.0.1:1",
        "us-east-1",
        "arn",
        "ledger",
        "/aws/",
        gateways={"sparkle": Gateway("http://127.0.0.1:2", sandbox=True)},
    )
    with pytest.raises(KeyboardInterrupt):
        soak.soak(stack, count=10, seed=1, concurrency=1, console=Console(file=out, width=200))
    assert len(audited[0]) == 2
    assert "Interrupted: 2 of 10 payments had ended." in out.getvalue()

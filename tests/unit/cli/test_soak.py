from collections import Counter
from dataclasses import replace

import pytest
import yaml

from cli.audit import Audit, Evidence
from cli.paths import ROOT
from cli.soak import CURRENCIES, FAULTS, Planned, disagreements, plan

PAID = Planned("/payments", {}, "captured", payment_id="p-1")
DISTURBED = replace(PAID, faults=({"operation": "charge", "fault": "reset", "times": 6},))


def without_ids(planned: list[Planned]) -> list[Planned]:
    return [replace(payment, payment_id="") for payment in planned]


def test_the_same_seed_gives_the_same_payments_under_new_ids() -> None:
    first, second, other = (list(plan(200, seed)) for seed in (7, 7, 8))
    assert without_ids(first) == without_ids(second) != without_ids(other)
    assert len({payment.payment_id for payment in first + second}) == 400


def test_a_soak_has_payments_of_every_sort() -> None:
    planned = list(plan(5000, 1))
    payments = [payment for payment in planned if payment.path == "/payments"]
    assert {payment.status for payment in planned} == {"captured", "authorized", "declined", "stored", "rejected"}
    assert len({payment.body["card_data"]["card_number"] for payment in payments}) == 13
    assert {payment.body["currency"] for payment in payments} == set(CURRENCIES)
    assert {payment.repeat for payment in planned} == {None, "same", "other"}
    assert {payment.sealed for payment in planned} == {True, False}
    assert all(1 <= payment.body["amount_minor"] <= 99_999_999 for payment in payments)


def test_one_in_twenty_meets_faults_of_every_kind() -> None:
    faults = [payment.faults for payment in plan(5000, 1) if payment.faults]
    assert 0.03 < len(faults) / 5000 < 0.07
    kinds = Counter((fault["operation"], fault["fault"]) for each in faults for fault in each)
    assert set(kinds) == {(operation, fault) for operation in ("charge", "find", "reverse") for fault in FAULTS}


def test_the_faults_are_all_that_the_sandbox_has() -> None:
    schemas = yaml.safe_load((ROOT / "docs" / "sparkle.yaml").read_text())["components"]["schemas"]
    assert sorted(FAULTS) == sorted(schemas["FaultName"]["enum"])


@pytest.mark.parametrize(
    ("payment", "shown", "status", "problem"),
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
    payment: Planned, shown: str, status: str, problem: str | None
) -> None:
    evidence = Evidence("p-1", items={"PAYMENT": {"status": status}})
    found = list(disagreements({"p-1": payment}, {"p-1": shown}, Audit({"p-1": evidence}, [])))
    assert (problem in found) if problem else not found

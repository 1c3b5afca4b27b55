import json
from dataclasses import replace

import pytest

from cli.stack import StackError
from console import payments as module
from console.history import Outcome
from console.payments import Payments, Search, Summary
from functions.shared.domain.ledger import capture_entry
from tests.samples import PAN, TOKEN, payment
from tests.unit.console.conftest import Bench


@pytest.fixture
def known(bench: Bench) -> Payments:
    return bench.payments


def statuses(found: list[Summary]) -> dict[str, str]:
    return {each.payment_id: each.status for each in found}


def test_a_payment_is_as_the_ledger_has_it_or_else_as_its_execution_ended(bench: Bench, known: Payments) -> None:
    captured, rejected, lost, running = (
        bench.run(),
        bench.run(end="rejected"),
        bench.run(end="failed"),
        bench.run(end="running"),
    )
    bench.record(payment(captured), capture_entry("sparkle", 1999, "USD"))
    page = known.page(Search())
    assert statuses(page.payments) == {
        captured: "captured",
        rejected: "rejected",
        lost: "in_doubt",
        running: "processing",
    }
    by_id = {each.payment_id: each for each in page.payments}
    assert (by_id[captured].brand, by_id[captured].last4, by_id[captured].token) == ("visa", "4242", TOKEN)
    assert by_id[captured].merchant_reference == "order-1001"
    assert by_id[captured].stopped_at is not None
    assert (by_id[rejected].reason, by_id[rejected].amount_minor) == ("expired_card", 1999)
    assert (by_id[lost].reason, by_id[running].reason) == ("states_runtime", None)
    assert by_id[running].stopped_at is None


def test_a_doubt_that_is_still_being_compensated_is_processing(bench: Bench, known: Payments) -> None:
    payment_id = bench.run(end="running")
    bench.record(payment(payment_id, "in_doubt", error="GatewayOutcomeUnknown"))
    assert statuses(known.page(Search()).payments) == {payment_id: "processing"}


def test_pages_follow_each_other_without_gap(bench: Bench, known: Payments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    ids = {bench.run(end="rejected") for _ in range(5)}
    first = known.page(Search())
    second = known.page(Search(), first.next_token)
    third = known.page(Search(), second.next_token)
    assert [len(page.payments) for page in (first, second, third)] == [2, 2, 1]
    assert third.next_token is None
    assert {each.payment_id for page in (first, second, third) for each in page.payments} == ids


def test_a_search_looks_at_some_pages_and_says_how_far_it_got(
    bench: Bench, known: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 1)
    monkeypatch.setattr(module, "_SEARCHED_PAGES", 2)
    for _ in range(3):
        bench.run(end="rejected")
    page = known.page(Search(status="captured"))
    assert (page.payments, page.searched) == ([], 2)
    assert page.next_token is not None


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (Search(), ["pay-a", "pay-b"]),
        (Search(status="captured"), ["pay-a"]),
        (Search(text="4242"), ["pay-a"]),
        (Search(text=TOKEN), ["pay-a"]),
        (Search(text="ORDER-10"), ["pay-a", "pay-b"]),
        (Search(text="order-1002"), ["pay-b"]),
        (Search(status="captured", text="order-1002"), []),
        (Search(text="pay-b"), ["pay-b"]),
        (Search(text="pay"), []),
    ],
)
def test_payments_are_found_by_status_id_reference_and_card(search: Search, found: list[str]) -> None:
    one = Summary.of(
        "pay-a",
        {
            "status": "captured",
            "card": {"last4": "4242", "token": TOKEN},
            "created_at": "2026-11-23T09:00:00.000Z",
            "merchant_reference": "order-1001",
        },
        None,
        None,
    )
    other = replace(
        one,
        payment_id="pay-b",
        status="declined",
        last4="9995",
        token="tok_b",
        fingerprint="fp_b",
        merchant_reference="order-1002",
    )
    assert [each.payment_id for each in (one, other) if each.matches(search)] == found


def test_an_id_is_found_at_once_however_old_its_payment_is(bench: Bench, known: Payments) -> None:
    payment_id = "pay-0123456789abcdef"
    bench.record(payment(payment_id))
    assert statuses(known.page(Search(text=payment_id)).payments) == {payment_id: "captured"}
    assert known.page(Search("declined", payment_id)).payments == []


def test_a_look_has_definition_history_record_and_entries(bench: Bench, known: Payments) -> None:
    payment_id = bench.run(card_data={"card_number": PAN})
    bench.record(payment(payment_id), capture_entry("sparkle", 1999, "USD"))
    look = known.look(payment_id)
    assert look.definition is not None
    assert look.history is not None
    assert set(look.definition.states) > set(look.history.outcomes())
    assert look.history.outcomes() == {"HowToEnd": Outcome.SUCCEEDED, "Done": Outcome.SUCCEEDED}
    assert [entry.kind for entry in look.entries] == ["capture"]
    assert look.summary is not None
    assert look.summary.status == "captured"
    assert PAN not in str(look)


def test_a_payment_whose_execution_is_forgotten_has_its_record_still(bench: Bench, known: Payments) -> None:
    bench.record(payment("pay-1"))
    look = known.look("pay-1")
    assert (look.execution, look.history, look.is_running) == (None, None, False)
    assert look.summary is not None
    assert look.summary.status == "captured"


def test_an_execution_of_another_state_machine_is_looked_at_by_its_arn(bench: Bench, known: Payments) -> None:
    created = bench.aws.stepfunctions.create_state_machine(
        name="payments-test-resolve",
        definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
        roleArn="arn:aws:iam::123456789012:role/state-machine",
    )
    arn = bench.aws.stepfunctions.start_execution(stateMachineArn=created["stateMachineArn"], name="one")[
        "executionArn"
    ]
    look = known.look(arn)
    assert (look.name, look.summary, look.record) == (arn, None, None)
    (machine,) = known.other_machines()
    assert (machine.name, [each["name"] for each in machine.executions]) == ("payments-test-resolve", ["one"])


@pytest.mark.parametrize("name", ["pay-unknown", "arn:aws:states:eu-west-1:123456789012:execution:no:such"])
def test_what_nobody_knows_is_said_so(known: Payments, name: str) -> None:
    with pytest.raises(StackError, match=f"no payment and no execution {name}"):
        known.look(name)

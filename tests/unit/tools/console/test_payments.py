import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain

import pytest

from functions.shared.domain.ledger import capture_entry
from functions.shared.domain.payment import Status
from tests.samples import PAN, TOKEN, payment
from tests.unit.tools.console.conftest import Bench
from tests.unit.tools.console.histories import ACTION, outcomes
from tools.console import payments as module
from tools.console.history import Outcome
from tools.console.payments import Money, Payments, Search, Summary
from tools.deployment.polling import wait_for
from tools.deployment.stack import StackError


@pytest.fixture
def payments(bench: Bench) -> Payments:
    return bench.payments


def statuses(summaries: list[Summary]) -> dict[str, str]:
    return {each.payment_id: each.status for each in summaries}


def test_a_payment_is_as_the_ledger_has_it_or_else_as_its_execution_ended(bench: Bench, payments: Payments) -> None:
    captured, rejected, lost, running = (
        bench.run(),
        bench.run(end="rejected"),
        bench.run(end="failed"),
        bench.run(end="running"),
    )
    bench.record(payment(captured), capture_entry("sparkle", 1999, "USD"))
    page = payments.page(Search())
    assert statuses(page.payments) == {
        captured: "captured",
        rejected: "rejected",
        lost: "in_doubt",
        running: "processing",
    }
    by_id = {each.payment_id: each for each in page.payments}
    assert (by_id[captured].brand, by_id[captured].last4, by_id[captured].token) == ("visa", "4242", TOKEN)
    assert by_id[captured].merchant_reference == "order-1001"
    assert (by_id[captured].captured_minor, by_id[captured].net_minor) == (1999, 1999)
    assert (by_id[rejected].reason, by_id[rejected].amount_minor) == ("expired_card", 1999)
    assert (by_id[lost].reason, by_id[running].reason) == ("states_runtime", None)
    assert page.counts == {"captured": 1, "rejected": 1, "in_doubt": 1, "processing": 1}
    assert page.money == [Money("USD", 1999, 0, 0)]


def test_a_payment_whose_bank_asks_the_customer_is_shown_with_card_and_time(bench: Bench, payments: Payments) -> None:
    challenged = bench.run(end="asked", action=ACTION, card={"brand": "visa", "last4": "3155"})
    running = bench.run(end="running")
    by_id = wait_for(
        lambda: {each.payment_id: each for each in payments.page(Search()).payments},
        10,
        until=lambda summaries: summaries[challenged].status == "action_required",
    )
    assert (by_id[challenged].status, by_id[running].status) == ("action_required", "processing")
    assert (by_id[challenged].brand, by_id[challenged].last4) == ("visa", "3155")
    assert statuses(payments.page(Search(status="action_required")).payments) == {challenged: "action_required"}
    assert statuses(payments.summaries([challenged, running])) == {challenged: "action_required", running: "processing"}
    summary = payments.details(challenged).summary
    assert summary
    assert summary.wait
    assert (summary.status, summary.wait.gateway, summary.wait.charge_id) == ("action_required", "sparkle", "ch_1")
    assert summary.wait.since >= summary.started_at


def test_a_doubt_that_is_still_being_compensated_is_processing(bench: Bench, payments: Payments) -> None:
    payment_id = bench.run(end="running")
    bench.record(payment(payment_id, "in_doubt", error="GatewayOutcomeUnknown"))
    assert statuses(payments.page(Search()).payments) == {payment_id: "processing"}


def recorded(bench: Bench, *ids: str, status: Status = "captured", day: str | None = None) -> None:
    """Payments in the ledger, newest first."""
    start = datetime.fromisoformat(f"{day}T12:00:00Z") if day else datetime.now(UTC)
    for number, payment_id in enumerate(ids):
        at = f"{start - timedelta(milliseconds=number):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        bench.record(payment(payment_id, status, created_at=at, updated_at=at))


def test_pages_follow_each_other_without_gap_forth_and_back(
    bench: Bench, payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    executions = {bench.run(end="rejected") for _ in range(2)}
    recorded(bench, "pay-a", "pay-b", "pay-c")
    pages = [payments.page(Search())]
    while pages[-1].older:
        pages.append(payments.page(Search(), before=pages[-1].older))
    ids = [[each.payment_id for each in page.payments] for page in pages]
    assert [len(each) for each in ids] == [2, 2, 1]
    assert sorted(chain.from_iterable(ids)) == sorted([*executions, "pay-a", "pay-b", "pay-c"])
    assert pages[0].newer is None
    back = payments.page(Search(), after=pages[2].newer)
    assert [each.payment_id for each in back.payments] == ids[1]
    assert payments.page(Search(), after=back.newer).payments == pages[0].payments


def test_a_page_of_which_there_is_too_little_newer_is_the_newest(
    bench: Bench, payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    recorded(bench, "pay-a", "pay-b", "pay-c")
    place = payments.page(Search()).payments[1].position
    newest = payments.page(Search(), after=place)
    assert [each.payment_id for each in newest.payments] == ["pay-a", "pay-b"]
    assert newest.newer is None


def test_a_search_looks_at_some_payments_and_says_how_far_it_got(
    bench: Bench, payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EXAMINED", 2)
    recorded(bench, "pay-a", "pay-b", "pay-c")
    everything = payments.page(Search())
    assert everything.older
    assert (everything.counts, everything.back_to) == ({"captured": 2}, everything.older.created_at)
    page = payments.page(Search(status="declined"))
    assert (page.payments, page.older) == ([], None)
    assert (page.counts, page.back_to) == (everything.counts, everything.back_to)


def test_a_rare_status_and_a_reference_are_found_behind_any_number_of_others(
    bench: Bench, payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EXAMINED", 2)
    vars(payments.ledger)["first_day"] = date(2026, 11, 20)
    at = "2026-11-20T09:00:00.000Z"
    bench.record(payment("pay-rare", "voided", created_at=at, merchant_reference="order-7"))
    recorded(bench, "pay-a", "pay-b", "pay-c")
    for search in (Search(status="voided"), Search(text="order-7"), Search(reference="order-7")):
        page = payments.page(search)
        assert ([each.payment_id for each in page.payments], page.older) == (["pay-rare"], None)
    assert payments.page(Search(text="order-7", status="captured")).payments == []
    assert payments.page(Search(text="order-7", status="captured")).counts == {"voided": 1}


def test_a_payment_of_long_ago_is_listed_though_its_execution_is_forgotten(bench: Bench, payments: Payments) -> None:
    recorded(bench, "pay-old", status="declined", day="2026-01-31")
    vars(payments.ledger)["first_day"] = date(2026, 1, 1)
    day = date(2026, 1, 31)
    assert statuses(payments.page(Search(first=day, last=day)).payments) == {"pay-old": "declined"}
    assert payments.page(Search(first=date(2026, 2, 1), last=date(2026, 2, 3))).payments == []


def test_days_without_payments_are_passed_some_at_a_time(
    bench: Bench, payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DAYS", 2)
    recorded(bench, "pay-old", day="2026-01-02")
    vars(payments.ledger)["first_day"] = date(2026, 1, 1)
    search, pages = Search(last=date(2026, 1, 6)), 1
    page = payments.page(search)
    while page.older and not page.payments:
        page, pages = payments.page(search, before=page.older), pages + 1
    assert statuses(page.payments) == {"pay-old": "captured"}
    assert pages == 2
    recorded(bench, "pay-new", day="2026-01-06")
    newer = payments.page(search, after=page.newer)
    assert statuses(newer.payments) == {"pay-new": "captured"}


def test_the_beginning_of_an_id_finds_it_among_more_than_are_looked_at(
    bench: Bench, payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EXAMINED", 1)
    recorded(bench, "order-a", "order-b", "0f8fad5b-d9cb", "0f8fad5b-aaaa")
    page = payments.page(Search(text="0F8FAD5B-d"))
    assert [each.payment_id for each in page.payments] == ["0f8fad5b-d9cb"]


def test_doubts_are_counted_once_in_a_while(bench: Bench, payments: Payments) -> None:
    recorded(bench, "pay-a", status="in_doubt")
    assert payments.doubt_count() == 1
    recorded(bench, "pay-b", status="in_doubt")
    assert payments.doubt_count() == 1


def test_a_doubt_has_the_execution_that_looks_after_it(bench: Bench, payments: Payments) -> None:
    payment_id = bench.run(end="failed")
    assert payments.details(payment_id).resolution is None
    for subject in ("another", payment_id):
        execution_input = json.dumps({"payment_id": subject, "operation_id": None})
        bench.aws.stepfunctions.start_execution(
            stateMachineArn=bench.stack.machine_arn("resolve"), name=f"look-{subject}", input=execution_input
        )
    resolution = wait_for(
        lambda: payments.details(payment_id).resolution, 10, until=lambda each: each and each.next_attempt
    )
    assert resolution
    assert resolution.attempts == 1
    assert resolution.last_attempt is not None
    assert resolution.next_attempt
    assert resolution.next_attempt - resolution.last_attempt >= timedelta(seconds=3600)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (Search(), ["pay-a", "pay-b"]),
        (Search(status="captured"), ["pay-a"]),
        (Search(text="4242"), ["pay-a"]),
        (Search(text=TOKEN), ["pay-a"]),
        (Search(text="ORDER-10"), ["pay-a", "pay-b"]),
        (Search(text="order-1002"), ["pay-b"]),
        (Search(status="captured", text="order-1002"), []),
        (Search(text="pay-b"), ["pay-b"]),
        (Search(text="pay"), ["pay-a", "pay-b"]),
        (Search(text="ay-a"), []),
        (Search(least=Decimal("19.99"), most=Decimal("19.99")), ["pay-a"]),
        (Search(least=Decimal(20)), ["pay-b"]),
        (Search(most=Decimal(19)), []),
        (Search(currency="JPY"), ["pay-b"]),
        (Search(gateway="stripe"), ["pay-a"]),
    ],
)
def test_payments_are_found_by_status_id_reference_and_card(search: Search, expected: list[str]) -> None:
    summary = Summary.of(
        "pay-a",
        {
            "status": "captured",
            "amount_minor": 1999,
            "currency": "USD",
            "card": {"last4": "4242", "token": TOKEN},
            "created_at": "2026-11-23T09:00:00.000Z",
            "merchant_reference": "order-1001",
            "gateway": "stripe",
        },
        None,
        None,
    )
    other = replace(
        summary,
        gateway="sparkle",
        payment_id="pay-b",
        amount_minor=1999,
        currency="JPY",
        status="declined",
        last4="9995",
        token="tok_b",
        fingerprint="fp_b",
        merchant_reference="order-1002",
    )
    assert [each.payment_id for each in (summary, other) if each.matches(search)] == expected


def test_an_id_is_found_at_once_however_old_its_payment_is(bench: Bench, payments: Payments) -> None:
    payment_id = "pay-0123456789abcdef"
    bench.record(payment(payment_id))
    assert statuses(payments.page(Search(text=payment_id)).payments) == {payment_id: "captured"}
    assert payments.page(Search("declined", payment_id)).payments == []


def test_a_look_has_definition_history_record_and_entries(bench: Bench, payments: Payments) -> None:
    payment_id = bench.run(card_data={"card_number": PAN})
    bench.record(payment(payment_id), capture_entry("sparkle", 1999, "USD"))
    details = payments.details(payment_id)
    assert details.definition is not None
    assert details.history is not None
    assert set(details.definition.states) > set(outcomes(details.history))
    assert outcomes(details.history) == {"HowToEnd": Outcome.SUCCEEDED, "Done": Outcome.SUCCEEDED}
    assert [entry.kind for entry in details.entries] == ["capture"]
    assert details.summary is not None
    assert details.summary.status == "captured"
    assert PAN not in str(details)


def test_a_payment_whose_execution_is_forgotten_has_its_record_still(bench: Bench, payments: Payments) -> None:
    bench.record(payment("pay-1"))
    details = payments.details("pay-1")
    assert (details.execution, details.history, details.is_running) == (None, None, False)
    assert details.summary is not None
    assert details.summary.status == "captured"


def test_an_execution_of_another_state_machine_is_looked_at_by_its_arn(bench: Bench, payments: Payments) -> None:
    resolve = bench.stack.machine_arn("resolve")
    arn = bench.aws.stepfunctions.start_execution(stateMachineArn=resolve, name="one")["executionArn"]
    details = payments.details(arn)
    assert (details.name, details.summary, details.record) == (arn, None, None)
    (machine,) = payments.other_machines()
    assert (machine.name, [each["name"] for each in machine.executions]) == ("payments-test-resolve", ["one"])


@pytest.mark.parametrize("name", ["pay-unknown", "arn:aws:states:eu-west-1:123456789012:execution:no:such"])
def test_what_nobody_knows_is_said_so(payments: Payments, name: str) -> None:
    with pytest.raises(StackError, match=f"no payment and no execution {name}"):
        payments.details(name)

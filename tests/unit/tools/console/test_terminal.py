import re
from dataclasses import replace
from io import StringIO

from rich.console import Console

from tests.unit.tools.console.histories import CAUGHT, CHALLENGED, RETRIED, history
from tests.unit.tools.console.test_pages import details
from tools.console.history import History
from tools.console.payments import PaymentDetails
from tools.console.records import PaymentEvent
from tools.console.terminal import show


def printed(payment_details: PaymentDetails, width: int = 140, operations: dict[str, History] | None = None) -> str:
    file = StringIO()
    show(payment_details, operations or {}, Console(file=file, width=width))
    return file.getvalue()


def row(text: str, state: str) -> str:
    return next(line for line in text.splitlines() if f"│ {state} " in line)


def test_the_way_is_drawn_over_time_with_retries_and_errors() -> None:
    text = printed(details(history(RETRIED), "SUCCEEDED"))
    bar = row(text, "Charge").split("│")[3].strip()
    assert re.fullmatch("━{15}·{21}━{8}", bar)  # two seconds, three, and one
    assert "GatewayOutcomeUnknown, then succeeded" in row(text, "Charge")
    assert row(text, "Done").startswith("│ ✓")


def test_what_gave_up_and_what_failed_is_marked() -> None:
    text = printed(details(history(CAUGHT, "FAILED")))
    assert row(text, "Charge").startswith("│ !")
    assert "States.Timeout, caught" in row(text, "Charge")
    assert row(text, "Reversed").startswith("│ ✕")


def test_entries_are_listed_with_debit_and_credit() -> None:
    lines = [line for line in printed(details(history(CAUGHT))).splitlines() if "suspense:in_doubt" in line]
    debit, credit = (line.split("│") for line in lines)
    assert (debit[1].strip(), debit[4].strip(), debit[5].strip()) == ("1 in_doubt", "19.99 USD", "")
    assert (credit[1].strip(), credit[4].strip(), credit[5].strip()) == ("2 reversal of 1", "", "19.99 USD")


def test_its_events_are_listed() -> None:
    events = [PaymentEvent(1, "payment.captured", "2026-11-23T09:00:01.500Z")]
    lines = printed(details(history(CAUGHT), events=events)).splitlines()
    (row,) = (line for line in lines if "payment.captured" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["1", "payment.captured", "2026-11-23 09:00:01.500"]
    assert "Events" not in printed(details(history(CAUGHT)))


def test_it_says_how_the_payment_is_doing() -> None:
    first_line = printed(details(history(CAUGHT))).splitlines()[0]
    assert first_line == "pay-1  reversed  states_timeout  19.99 USD  visa •••• 4242  order-1001  sparkle"


def test_a_payment_that_waits_for_the_customer_says_since_when_until_when_and_where() -> None:
    read = history(CHALLENGED, "RUNNING")
    challenged = details(read, "RUNNING", entries=[], record=None)
    assert challenged.summary
    waiting = replace(
        challenged, summary=replace(challenged.summary, status="action_required", wait=read.customer_wait)
    )
    assert (
        "waiting for the customer since 2026-11-23 09:00:01, until 2026-11-23 09:15:02 UTC: charge ch_1 at sparkle"
        in printed(waiting).splitlines()
    )
    assert row(printed(waiting), "AwaitCustomer").startswith("│ …")


def test_a_payment_that_runs_and_one_that_moved_no_money_are_shown_too() -> None:
    assert "so far" in printed(details(history(RETRIED[:4], "RUNNING"), "RUNNING"))
    assert "It has no entries: no money has moved." in printed(details(history(CAUGHT), entries=[]))
    assert "The ledger has no record of this payment." in printed(details(history(CAUGHT), entries=[], record=None))


def test_a_narrow_terminal_has_shorter_bars() -> None:
    bar = row(printed(details(history(RETRIED)), width=80), "Charge").split("│")[3].strip()
    assert re.fullmatch("━+·+━+", bar)
    assert len(bar) == 12


def test_it_says_who_asked_for_the_payment_and_for_what_was_done_to_it() -> None:
    refund = {"operation_id": "op-1", "type": "refund", "amount_minor": 500, "status": "succeeded"}
    by_hand = refund | {"operation_id": "op-2", "caller": None}
    record = {
        "currency": "USD",
        "caller": "arn:aws:sts::123456789012:assumed-role/shop",
        "operations": [refund | {"caller": "arn:aws:iam::123456789012:user/support"}, by_hand],
        "disputes": [{"dispute_id": "dp_1", "status": "lost", "amount_minor": 700, "reason": "fraudulent"}],
    }
    lines = printed(details(history(CAUGHT), record=record)).splitlines()
    assert "requested by arn:aws:sts::123456789012:assumed-role/shop" in lines
    assert "refund 5.00 USD · succeeded · requested by arn:aws:iam::123456789012:user/support" in lines
    assert "refund 5.00 USD · succeeded" in lines
    assert "dispute 7.00 USD · lost · fraudulent · dp_1" in lines


def test_the_way_of_each_refund_capture_and_void_is_drawn_too() -> None:
    text = printed(details(history(CAUGHT)), operations={"Refund op-1": history(RETRIED)})
    assert "States, " in text
    assert "Refund op-1, " in text

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest

from functions.shared.domain.ledger import Posting
from tests.samples import PAN
from tests.unit.tools.console.histories import CAUGHT, CHALLENGED, RETRIED, at, history
from tests.unit.tools.console.machines import ASL, MACHINE
from tools.console import pages
from tools.console.definition import Definition
from tools.console.history import History
from tools.console.payments import PaymentDetails, Resolution, Summary
from tools.console.records import Entry, PaymentEvent

SUSPENSE = (Posting("suspense:in_doubt", "debit", 1999, "USD"), Posting("liability:merchant", "credit", 1999, "USD"))
BACK = (Posting("suspense:in_doubt", "credit", 1999, "USD"), Posting("liability:merchant", "debit", 1999, "USD"))


def iso(seconds: float) -> str:
    return f"{at(seconds):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def details(
    read: History, status: str = "FAILED", definition: Definition | None = MACHINE, **changes: Any
) -> PaymentDetails:
    execution = {
        "executionArn": "arn:aws:states:eu-west-1:123456789012:execution:payments-payment:pay-1",
        "status": status,
        "startDate": at(0),
        "stopDate": read.ended_at,
        "input": {"amount_minor": 1999},
        "output": None,
        "error": "PaymentReversed",
        "cause": "States.Timeout",
    }
    values: dict[str, Any] = {
        "name": "pay-1",
        "summary": Summary(
            "pay-1",
            "reversed",
            1999,
            "USD",
            "visa",
            "4242",
            "tok_a",
            "fp_a",
            "order-1001",
            "sparkle",
            "states_timeout",
            at(0),
        ),
        "execution": execution,
        "definition": definition,
        "history": read,
        "record": {"pk": "PAYMENT#pay-1", "sk": "PAYMENT", "status": "reversed", "amount_minor": 1999},
        "entries": [Entry(1, "in_doubt", iso(1.5), SUSPENSE), Entry(2, "reversal", iso(900), BACK, "refund-1", 1)],
    }
    return PaymentDetails(**(values | changes))


@pytest.fixture
def page() -> str:
    return pages.single_page(details(history(CAUGHT, "FAILED")))


def svg(page: str) -> ElementTree.Element:
    match = re.search(r'<svg class="graph".*?</svg>', page, re.DOTALL)
    assert match
    return ElementTree.fromstring(match[0])  # noqa: S314


def ids(page: str) -> list[str]:
    return re.findall(r'\bid="([^"]+)"', page)


def test_a_single_page_asks_for_nothing_from_anywhere(page: str) -> None:
    assert not re.search(r"""\b(?:src|href)=["'](?!#)""", page)
    assert not re.search(r"url\((?!#)|@import|\bimport\s*[({\"']", page)


def test_a_single_page_allows_its_own_style_and_script_and_nothing_else(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert policy
    assert style
    assert script
    digests = [f"'{pages.digest(each[1])}'".replace("'", "&#39;") for each in (style, script)]
    assert policy[1] == f"default-src &#39;none&#39;; style-src {digests[0]}; script-src {digests[1]}"
    assert "style=" not in page


def test_links_lead_to_what_is_there_and_ids_are_given_once(page: str) -> None:
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links >= {"visit-1", "state-Charge", "event-8", "entry-1", "entry-2"}
    assert links <= set(ids(page))
    assert len(ids(page)) == len(set(ids(page)))


def test_a_state_says_what_happened_to_those_who_do_not_see_it(page: str) -> None:
    labels = {
        element.attrib["id"]: element.attrib["aria-label"]
        for element in svg(page).iter()
        if element.attrib.get("id", "").startswith("state-")
    }
    assert labels["state-Charge"] == (
        "Charge, Task. It gave up, and its error was caught. Errors: States.Timeout. Asks for the money."
    )
    assert labels["state-Wait"] == "Wait, Wait. "


def test_states_are_coloured_and_only_those_that_ran_are_links(page: str) -> None:
    drawn = {
        element.attrib["id"].removeprefix("state-"): (element.tag.rpartition("}")[2], element.attrib["class"])
        for element in svg(page).iter()
        if element.attrib.get("id", "").startswith("state-")
    }
    assert drawn == {
        "Charge": ("a", "state caught"),
        "Compensate": ("a", "state succeeded"),
        "Reversed": ("a", "state failed"),
        "Outcome": ("g", "state untaken"),
        "Wait": ("g", "state untaken"),
        "Done": ("g", "state untaken"),
    }


def test_the_way_taken_is_drawn_on_top_of_the_rest(page: str) -> None:
    lines = [
        element.attrib["class"] for element in svg(page).iter() if "line" in element.attrib.get("class", "").split()
    ]
    taken = [kind for kind in lines if "untaken" not in kind]
    assert sorted(taken) == ["line taken catch", "line taken next", "line taken next", "line taken next"]
    assert lines[-len(taken) :] == taken


def test_an_entry_is_posted_by_the_event_that_ended_its_call_or_by_another_execution() -> None:
    values = pages.detail_values(details(history(CAUGHT, "FAILED")))
    assert {number: event.id if event else None for number, event in values["posted_by"].items()} == {1: 8, 2: None}


@pytest.mark.parametrize(("seconds", "event"), [(0.5, 4), (1.5, 8), (3.4, 8), (4.1, None)])
def test_clocks_may_differ_a_little(seconds: float, event: int | None) -> None:
    posted_event = pages.posted_by(Entry(1, "capture", iso(seconds), ()), history(CAUGHT, "FAILED"))
    assert (posted_event.id if posted_event else None) == event


def test_accounts_have_their_debits_and_credits_side_by_side() -> None:
    accounts = pages.t_accounts(details(history(CAUGHT)).entries)
    assert [(each.account, each.lines, each.balance_minor) for each in accounts] == [
        ("suspense:in_doubt", [(1, 1999, None), (2, None, 1999)], 0),
        ("liability:merchant", [(1, None, 1999), (2, 1999, None)], 0),
    ]


def test_an_account_has_its_balance_on_its_side() -> None:
    text = pages.single_page(details(history(CAUGHT), entries=[Entry(1, "in_doubt", iso(1.5), SUSPENSE)]))
    feet = re.findall(r"<tfoot><tr><td>(.*?)</td><td>(.*?)</td></tr></tfoot>", text)
    assert feet == [("<small>balance</small> 19.99", ""), ("", "<small>balance</small> 19.99")]


@pytest.mark.parametrize(
    ("resolution", "sentence"),
    [
        (Resolution("arn", 0, None, at(300)), "Last attempt: none yet"),
        (Resolution("arn", 2, at(300), at(3900)), "asked 2 times"),
        (Resolution("arn", 1, at(300), None), "Next attempt: now"),
        (None, "No running execution was found that resolves it"),
    ],
)
def test_a_doubt_says_when_it_was_asked_for_and_when_it_will_be(resolution: Resolution | None, sentence: str) -> None:
    read = details(history(CAUGHT))
    assert read.summary
    doubtful = replace(read, summary=replace(read.summary, status="in_doubt"), resolution=resolution)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", pages.single_page(doubtful)))
    assert sentence in text
    assert "docs/runbook.md#payments-in-doubt" in text


def test_what_others_wrote_is_text() -> None:
    evil = "</script><script>alert(1)</script>"
    summary = Summary("pay-1", "captured", 1, "USD", None, None, None, None, evil, evil, evil, at(0))
    event_rows = [(0, "ExecutionStarted", {"input": {"card_holder": evil}}), *CAUGHT[1:]]
    text = pages.single_page(details(history(event_rows), summary=summary, name=evil, record={"description": evil}))
    assert evil not in text
    assert text.count("&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
    assert text.count("<script") == 1


def test_no_card_number_is_on_the_page() -> None:
    event_rows = [(0, "ExecutionStarted", {"input": {"card_data": {"card_number": PAN}}}), *CAUGHT[1:]]
    text = pages.single_page(details(history(event_rows)))
    assert PAN not in text
    assert "424242******4242" in text


def test_a_running_payment_and_one_without_execution_have_a_page_too() -> None:
    running = pages.single_page(details(history(RETRIED[:5], "RUNNING"), "RUNNING", record=None, entries=[]))
    assert "The ledger has no record of this payment yet." in running
    assert 'class="state running"' in running
    forgotten = pages.single_page(details(history(CAUGHT), execution=None, history=None, definition=None))
    assert "Path through the states" not in forgotten
    assert "suspense:in_doubt" in forgotten


def test_operations_are_listed() -> None:
    operation = {
        "operation_id": "refund-1",
        "type": "refund",
        "amount_minor": 500,
        "status": "rejected",
        "error": "amount_exceeds_captured",
        "created_at": iso(10),
    }
    text = pages.single_page(details(history(CAUGHT), record={"operations": [operation]}))
    assert "refund-1" in text
    assert "5.00 USD" in text
    assert "amount exceeds captured" in text


def test_disputes_are_listed_and_no_part_of_what_is_left() -> None:
    dispute = {"dispute_id": "dp_1", "status": "open", "amount_minor": 700, "reason": "product_not_received"}
    dispute |= {"opened_at": iso(10), "ended_at": None}
    disputed = details(history(CAUGHT), record={"disputes": [dispute]})
    assert disputed.summary
    summary = replace(disputed.summary, captured_minor=1999, refunded_minor=500, disputed_minor=700)
    text = pages.single_page(replace(disputed, summary=summary))
    assert "product not received" in text
    for what, amount in (("Disputed", "7.00"), ("Net", "7.99 USD")):
        assert f"<dt>{what}</dt><dd>{amount}</dd>" in text
    assert "Disputed" not in pages.single_page(details(history(CAUGHT)))


def test_an_unknown_state_in_a_history_spoils_nothing() -> None:
    definition = Definition.from_asl(ASL.replace("Compensate", "Undo"))
    assert "Compensate" in pages.single_page(details(history(CAUGHT), definition=definition))


def test_times_are_utc() -> None:
    assert datetime.fromisoformat("2026-11-23T09:00:00.000Z") == datetime(2026, 11, 23, 9, tzinfo=UTC)
    time = pages.environment.filters["time"]
    expected = '<time datetime="2026-11-23T09:00:00Z" data-local="seconds">2026-11-23 09:00:00 UTC</time>'
    assert time("2026-11-23T10:00:00+01:00") == expected
    assert "09:00:00.123 UTC" in time("2026-11-23T09:00:00.123Z", "milliseconds")
    assert pages.environment.filters["age"](at(0), at(61)) == "1 min 1 s"


def test_a_page_says_who_is_waited_for_and_since_when() -> None:
    read = history(CHALLENGED, "RUNNING")
    challenged = details(read, "RUNNING", entries=[], record=None)
    assert challenged.summary
    page = pages.single_page(replace(challenged, summary=replace(challenged.summary, wait=read.customer_wait)))
    note = page.partition('class="customer"')[2].partition("</div>")[0]
    assert "The bank asks the customer." in note
    for moment in ("2026-11-23 09:00:01", "2026-11-23 09:15:02", "ch_1"):
        assert moment in note
    assert 'class="customer"' not in pages.single_page(details(history(CAUGHT)))


@pytest.mark.parametrize(
    ("status", "operations", "why"),
    [
        ("in_doubt", [], "whether the gateway holds or has taken money is not known yet"),
        ("authorized", ["processing"], "an operation is under way, and money may move with it"),
        ("authorized", [], "the gateway holds money, and none has moved"),
        ("declined", [], "no money has moved"),
    ],
)
def test_without_entries_it_says_of_the_money_only_what_is_known(status: str, operations: list[str], why: str) -> None:
    void = {"operation_id": "op-1", "type": "void", "amount_minor": None, "error": None, "created_at": None}
    listed = [void | {"status": each} for each in operations]
    record = {"status": status, "operations": listed}
    page = pages.single_page(details(history(CAUGHT), entries=[], record=record))
    assert f"It has no entries: {why}." in page


def test_its_events_are_listed() -> None:
    events = [PaymentEvent(1, "payment.captured", "2026-11-23T09:00:01.500Z")]
    page = pages.single_page(details(history(CAUGHT), events=events))
    assert '<th scope="row"><code>payment.captured</code></th><td data-name="version">1</td>' in page
    assert "2026-11-23 09:00:01.500 UTC" in page
    assert "events-heading" not in pages.single_page(details(history(CAUGHT)))

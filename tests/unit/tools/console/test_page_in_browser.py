"""The console's script in Chromium, beside a stack that stops and starts again."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, expect

from functions.shared.domain.ledger import Posting
from tests.chromium import browser as browser
from tests.unit.tools.console.histories import CAUGHT, history
from tests.unit.tools.console.test_pages import details
from tools.console.app import serve
from tools.console.payments import STATUSES, Machine, Money, Page, PaymentDetails, Payments, Summary
from tools.console.records import Break, Entry, LedgerItems, PaymentEvent
from tools.deployment.stack import Stack

ARN = "arn:aws:states:us-east-1:000000000000:stateMachine:payments-local-payment"
WITHIN_MS = 15_000


@contextmanager
def listening(port: int = 0) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", port)) as server:
        yield int(server.getsockname()[1])


@contextmanager
def running_console(port: int) -> Iterator[str]:
    """The URL of a console of the stack at this port."""
    local = f"http://127.0.0.1:{port}"
    server = serve(Stack(local, "us-east-1", ARN, "ledger", "/p-", local, "AK", "s"), 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://localhost:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_page_says_how_to_start_the_stack_and_goes_on_once_it_is_there(
    browser: Browser, running: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Payments, "page", lambda *_: Page([]))
    monkeypatch.setattr(Payments, "doubt_count", lambda _: 0)
    with listening() as port:
        url = running.enter_context(running_console(port))
        was_open = browser.new_page()
        was_open.goto(url)
        expect(was_open.get_by_role("heading", level=1)).to_have_text("Payments")
    live_state = was_open.locator("#live-state")
    expect(live_state).to_have_text("The stack is not running: make up", timeout=WITHIN_MS)
    opened_now = browser.new_page()
    opened_now.goto(url)
    expect(opened_now.locator(".command")).to_have_text("make up")
    with listening(port):
        expect(live_state).to_have_text("live", timeout=WITHIN_MS)
        expect(opened_now.get_by_role("heading", level=1)).to_have_text("Payments", timeout=WITHIN_MS)
    for page in (was_open, opened_now):
        page.close()


REFERENCES = ("order-1", "W" * 64, "long words and many of them " * 2, "\u65e5" * 64, None)
REASONS = (None, "insufficient_funds", "States.ExceedToleratedFailureThreshold", "x" * 64)
CURRENCIES = ("USD", "JPY", "KWD", "CLF")
MOST_MINOR = 999_999_999_999


def longest_payments() -> list[Summary]:
    """Payments of every status, with texts and amounts as long as they can be."""
    return [
        Summary(
            payment_id=f"payment-{number}".ljust(64, "W"),
            status=STATUSES[number % len(STATUSES)],
            amount_minor=MOST_MINOR,
            currency=CURRENCIES[number % len(CURRENCIES)],
            brand="american_express",
            last4="0005",
            token=None,
            fingerprint=None,
            gateway="sparkle",
            merchant_reference=REFERENCES[number % len(REFERENCES)],
            reason=REASONS[number % len(REASONS)],
            started_at=datetime(2026, 11, 29, tzinfo=UTC),
            captured_minor=MOST_MINOR,
            refunded_minor=MOST_MINOR - 1,
        )
        for number in range(50)
    ]


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_payment_makes_the_list_wider_than_the_window(
    browser: Browser, running: ExitStack, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    payments = longest_payments()
    sums = [Money(currency, MOST_MINOR * 1000, MOST_MINOR * 999, MOST_MINOR) for currency in CURRENCIES]
    listed = Page(payments, payments[-1].position, None, None, Counter(dict.fromkeys(STATUSES, 100_000)), sums)
    monkeypatch.setattr(Payments, "page", lambda *_: listed)
    monkeypatch.setattr(Payments, "doubt_count", lambda _: 200)
    url = running.enter_context(running_console(running.enter_context(listening())))
    page = running.enter_context(browser.new_page(viewport={"width": width, "height": 800}))
    page.goto(url)
    expect(page.locator("tbody tr")).to_have_count(len(payments))
    assert page.evaluate("document.documentElement.scrollWidth") <= width


LONG_ID = "payment-".ljust(64, "W")
LONG_TEXT = "charge ch_1 of 99999999999 USD, " + "X" * 80


def longest_details() -> PaymentDetails:
    """A payment whose tables have texts and amounts as long as they can be."""
    at = "2026-11-23T09:00:01.500Z"
    postings = (Posting("asset:gateway:sparkle", "debit", MOST_MINOR, "CLF"),) * 2
    entries = [Entry(n, "partial_reversal_of_suspense", at, postings, LONG_ID, 1) for n in (1, 2)]
    operation = {"operation_id": LONG_ID, "type": "capture", "amount_minor": MOST_MINOR, "status": "in_doubt"}
    dispute = {"dispute_id": LONG_ID, "reason": "x" * 64, "amount_minor": MOST_MINOR, "status": "open"}
    record = {
        "status": "captured",
        "operations": [operation | {"error": "amount_exceeds_captured", "created_at": at, "caller": f"arn:{LONG_ID}"}],
        "disputes": [dispute | {"opened_at": at, "ended_at": at}],
    }
    events = [PaymentEvent(n, "payment.dispute_opened", at) for n in (1, 2)]
    return details(history(CAUGHT), name=LONG_ID, record=record, entries=entries, events=events)


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("path", ["breaks", "machines", f"payments/{LONG_ID}"])
def test_no_table_makes_a_page_wider_than_the_window(
    browser: Browser, running: ExitStack, monkeypatch: pytest.MonkeyPatch, path: str, width: int
) -> None:
    found = Break("2026-11-23", "unexplained_at_gateway", LONG_ID, LONG_TEXT, LONG_TEXT, "2026-11-24T02:00:00.000Z")
    execution = {"executionArn": "arn:x", "name": "x" * 80, "status": "TIMED_OUT", "startDate": datetime.now(UTC)}
    monkeypatch.setattr(LedgerItems, "breaks", lambda *_: [found])
    monkeypatch.setattr(Payments, "other_machines", lambda _: [Machine("payments-local-operation", [execution])])
    monkeypatch.setattr(Payments, "details", lambda *_: longest_details())
    monkeypatch.setattr(Payments, "doubt_count", lambda _: 200)
    url = running.enter_context(running_console(running.enter_context(listening())))
    page = running.enter_context(browser.new_page(viewport={"width": width, "height": 800}))
    page.goto(f"{url}/{path}")
    expect(page.locator("tbody tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width < 640:
        scrolling = "[...document.querySelectorAll('.scroll')].filter((each) => each.querySelector('table'))"
        assert page.evaluate(f"{scrolling}.every((each) => each.scrollWidth <= each.clientWidth)")


def test_what_a_link_opens_has_the_focus_though_chromium_clears_it_late(
    browser: Browser, running: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Payments, "details", lambda *_: details(history(CAUGHT)))
    monkeypatch.setattr(Payments, "doubt_count", lambda _: 0)
    url = running.enter_context(running_console(running.enter_context(listening())))
    page = running.enter_context(browser.new_page())
    page.goto(f"{url}/payments/pay-1")
    page.evaluate("addEventListener('hashchange', () => document.activeElement.blur())")
    page.locator("#state-Charge").press("Enter")
    expect(page.locator("summary:focus")).to_contain_text("Charge", timeout=WITHIN_MS)

"""The console's script in Chromium, beside a stack that stops and starts again."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, expect

from tests.chromium import browser as browser
from tools.console.app import serve
from tools.console.payments import STATUSES, Money, Page, Payments, Summary
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

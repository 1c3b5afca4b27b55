"""The console and a payment's page, in a browser, with all kinds of payments."""

import re
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.chromium import barriers, opened, take_screenshots
from tests.stack.driver import CARD_DATA, Driver
from tools.console import pages
from tools.console.app import serve
from tools.console.payments import Payments
from tools.deployment.polling import wait_for
from tools.deployment.stack import Stack

# Slow enough to be visible, and faster than the gateway's read timeout.
SLOW_SECONDS = 4

# An event starts resolve once a payment is in doubt, and Step Functions lists executions with a delay.
STARTED_WITHIN_SECONDS = 20


@pytest.fixture(scope="module")
def console(stack: Stack) -> Iterator[str]:
    """The console's URL."""
    server = serve(stack, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://localhost:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture(scope="module")
def payments(stack: Stack) -> Iterator[dict[str, str]]:
    """Payment ids by outcome."""
    driver = Driver(stack)
    ids: dict[str, str] = {}

    def pay(
        name: str, *faults: tuple[str, int], card_number: str = CARD_DATA["card_number"], **changes: object
    ) -> None:
        payment_id = f"console-{name}-{len(ids)}".ljust(16, "0")
        for operation, times in faults:
            driver.set_fault(payment_id, operation, "http_500", times=times)
        card_data = CARD_DATA | {"card_number": card_number}
        _, answer = driver.pay(payment_id, card_data=card_data, merchant_reference=f"order-{name}", **changes)
        assert answer.status_code == 202, answer.text
        ids[name] = payment_id

    pay("captured", ("charge", 2), amount_minor=4200)
    pay("declined", card_number="4000000000009995", currency="EUR")
    pay("reversed", ("charge", 30), card_number="5555555555554444")
    pay("in_doubt", ("charge", 60), ("find", 60), ("reverse", 60), amount_minor=9900, currency="JPY")
    for name, payment_id in ids.items():
        assert driver.ended(payment_id)["status"] == name
    yield ids
    driver.clear_faults()


def test_an_operator_finds_a_payment_by_its_reference_and_follows_it_by_keyboard_alone(
    browser: Browser, console: str, payments: dict[str, str]
) -> None:
    with opened(browser, console) as page:
        page.keyboard.press("/")
        page.keyboard.type("order-reversed")
        page.keyboard.press("Enter")
        rows = page.locator("table.payments tbody tr")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("19.99 USD reversed gateway outcome unknown order-reversed mastercard •••• 4444")
        page.get_by_role("link", name=payments["reversed"]).press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(f"19.99 USD reversed Payment {payments['reversed']}")
        page.get_by_role("link", name="Charge, Task. It gave up").press("Enter")
        charge = page.locator("details.visit", has_text="Charge").filter(has=page.locator(".event .error"))
        expect(charge.first).to_have_attribute("open", "")
        expect(page.locator(":focus")).to_contain_text("GatewayOutcomeUnknown ×5, caught")
        page.get_by_role("link", name="event", exact=False).first.press("Enter")
        expect(page.locator(":focus")).to_contain_text("TaskSucceeded")
        expect(page.locator(":focus").locator("..")).to_contain_text('"status": "reversed"')


def test_an_open_page_follows_a_payment_to_its_end(browser: Browser, console: str, stack: Stack) -> None:
    driver = Driver(stack)
    payment_id = "console-running-0001"
    driver.set_fault(payment_id, "charge", "slow", seconds=SLOW_SECONDS)
    driver.pay(payment_id)
    driver.execution(payment_id)  # until Step Functions shows it
    with opened(browser, f"{console}/payments/{payment_id}") as page:
        status = page.locator(".details-head .status")
        expect(status).to_have_text("processing")
        expect(page.locator("#state-Charge")).to_have_class("state running")
        tokenize = page.locator("details.visit").first
        tokenize.locator("summary").first.click()
        take_screenshots(page, "console-running")
        expect(status).to_have_text("captured", timeout=20_000)
        expect(page.locator("#state-Persist")).to_have_class("state succeeded")
        expect(page.get_by_role("status")).to_have_text("captured")
        expect(tokenize).to_have_attribute("open", "")
        expect(page.locator("main")).not_to_have_attribute("data-live", "1000")


def test_times_are_local_with_utc_on_hover_and_an_id_can_be_copied(
    browser: Browser, console: str, payments: dict[str, str]
) -> None:
    context = browser.new_context(timezone_id="Asia/Kolkata", permissions=["clipboard-read", "clipboard-write"])
    with context, context.new_page() as page:
        page.goto(f"{console}/?text={payments['captured'][:16]}")
        time = page.locator("table.payments time")
        local, utc = time.inner_text(), time.get_attribute("title") or ""
        assert utc.endswith(" UTC")
        apart = datetime.fromisoformat(local) - datetime.fromisoformat(utc.removesuffix(" UTC"))
        assert apart == timedelta(hours=5, minutes=30)
        expect(page.get_by_role("columnheader", name="Requested")).to_contain_text("GMT+5:30")
        page.get_by_role("button", name="Copy the payment’s id").click()
        assert page.evaluate("navigator.clipboard.readText()") == payments["captured"]
        expect(page).to_have_url(re.compile("text="))  # the rest of the row is a link


def test_a_doubt_shows_the_next_attempt_and_what_to_do(
    browser: Browser, console: str, payments: dict[str, str]
) -> None:
    with opened(browser, f"{console}/payments/{payments['in_doubt']}") as page:
        expect(page.get_by_role("note")).to_contain_text(re.compile(r"Next attempt: (now|20\d\d-)"))
        page.get_by_role("link", name="Runbook: payments in doubt").click()
        expect(page.locator(":target")).to_have_text("payments-in-doubt")


def test_a_new_payment_appears_in_the_list_by_itself(browser: Browser, console: str, stack: Stack) -> None:
    with opened(browser, console) as page:
        expect(page.locator("#live-state")).to_have_text("live")
        payment_id, _ = Driver(stack).pay()
        expect(page.get_by_role("link", name=payment_id)).to_be_visible(timeout=10_000)


def test_the_list_of_doubts_shows_their_age(browser: Browser, console: str, payments: dict[str, str]) -> None:
    with opened(browser, f"{console}/doubts") as page:
        row = page.get_by_role("row", name=payments["in_doubt"])
        expect(row).to_contain_text("9,900 JPY")
        expect(row).to_contain_text(re.compile(r"\d+ (s|min)\b"))
        expect(page.get_by_role("row", name=payments["captured"])).to_have_count(0)


def test_accounts_balance(browser: Browser, console: str, payments: dict[str, str]) -> None:
    with opened(browser, f"{console}/accounts") as page:
        expect(page.get_by_role("row", name="suspense:in_doubt")).not_to_have_count(0)
        expect(page.get_by_role("region", name="JPY")).to_contain_text("✓ balances")


def test_the_resolve_state_machine_s_executions_are_there_with_their_loop(
    browser: Browser, console: str, payments: dict[str, str]
) -> None:
    with opened(browser, f"{console}/machines") as page:
        execution = page.get_by_role("region", name="-resolve").get_by_role("link").first
        wait_for(lambda: page.reload() and execution.is_visible(), STARTED_WITHIN_SECONDS)
        execution.click()
        expect(page.locator("#state-HowLongToWait")).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_contain_text("-resolve:")
        take_screenshots(page, "console-resolve")


def test_every_page_is_accessible_and_nothing_is_cut_off(
    browser: Browser, console: str, payments: dict[str, str]
) -> None:
    paths = {name: f"/payments/{payment_id}" for name, payment_id in payments.items()}
    paths |= {"list": "/", "doubts": "/doubts", "accounts": "/accounts", "breaks": "/breaks", "machines": "/machines"}
    for name, path in paths.items():
        with opened(browser, console + path) as page:
            take_screenshots(page, f"console-{name}")
            for visit in page.locator("details.visit").all():
                visit.evaluate("each => each.open = true")
            page.emulate_media(color_scheme="light")
            assert barriers(page) == [], name
            # A dark page is the same but for its colours.
            page.emulate_media(color_scheme="dark")
            assert barriers(page, of_colours=True) == [], f"{name}, dark"


def test_a_payment_s_page_is_one_file_that_works_by_itself(
    browser: Browser, stack: Stack, payments: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "payment.html"
    file.write_text(pages.single_page(Payments(stack).details(payments["in_doubt"])))
    with opened(browser, file.as_uri()) as page:
        page.locator("#state-Compensate").click()
        expect(page.locator(":focus")).to_contain_text("ReversalUnconfirmed ×5, caught")
        assert (
            page.locator("#state-Compensate rect").first.evaluate("each => getComputedStyle(each).fill")
            != "rgb(0, 0, 0)"
        )
        take_screenshots(page, "inspect")
        assert barriers(page) == []


def test_no_card_number_is_shown_anywhere(console: str, browser: Browser, payments: dict[str, str]) -> None:
    for payment_id in payments.values():
        with opened(browser, f"{console}/payments/{payment_id}") as page:
            content = page.content()
            assert "******" in content
            assert not [
                number for number in ("4242424242424242", "4000000000009995", "5555555555554444") if number in content
            ]

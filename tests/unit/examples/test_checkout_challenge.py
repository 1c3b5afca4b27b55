"""The bank asks the customer (3-D Secure): the way there and back in Chromium, with the shop's own back end.

The API and the bank's page are the test's. tests/stack/test_checkout_challenge.py goes the same ways on a real stack.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from werkzeug.serving import make_server

from client import CardSummary, NextAction, NotFound, Payment, PaymentsClient, SingleUseKey
from examples.checkout.app import create_app
from tests.chromium import browser as browser
from tests.samples import SUMMARY, TEST_CARDS
from tests.sealers import issued_key

BANK = "https://bank.test/challenge/ch_1"
NEXT_ACTION = NextAction("redirect", BANK)
CARD = CardSummary.from_json(SUMMARY.to_dict())
THANK_YOU = "You paid $48.50 with your Visa ending in 4242."


@dataclass
class Api:
    """The API, in which the test decides what becomes of each payment."""

    payments: dict[str, Payment] = field(default_factory=dict)
    return_url: str = ""

    def issue_key(self, payment_id: str) -> SingleUseKey:
        return SingleUseKey.from_json(issued_key()[1])

    def pay(self, *, idempotency_key: str, return_url: str, **order: Any) -> Payment:
        self.return_url = return_url
        self.payments[idempotency_key] = Payment(
            payment_id=idempotency_key, status="action_required", next_action=NEXT_ACTION, card=CARD
        )
        return replace(self.payments[idempotency_key], status="processing", next_action=None)

    def payment(self, payment_id: str, *, wait_seconds: int = 0) -> Payment:
        if payment_id not in self.payments:
            raise NotFound(404, "payment_not_found", "There is no payment with this id.")
        return self.payments[payment_id]

    def ends(self, status: Any, decline_code: str | None = None) -> None:
        """End the latest payment like this."""
        latest = [*self.payments][-1]
        self.payments[latest] = Payment(payment_id=latest, status=status, decline_code=decline_code, card=CARD)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def page(browser: Browser, api: Api) -> Iterator[Page]:
    """A new order's page, and the bank's, which says the best of each payment. Every browser error fails the test."""
    server = make_server("127.0.0.1", 0, create_app(cast(PaymentsClient, api), TEST_CARDS), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def ask(route: Route) -> None:
        back = f'<a href="{api.return_url}?status=captured&payment_intent=pi_1">To the shop</a>'
        route.fulfill(content_type="text/html", body=f"<h1>Your bank</h1>{back}")

    complaints: list[str] = []
    with browser.new_context() as context:
        context.route(f"{BANK}*", ask)
        context.on("console", lambda message: complaints.append(message.text))
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        page = context.new_page()
        page.goto(f"http://localhost:{server.port}")
        yield page
    server.shutdown()
    thread.join()
    assert complaints == []


def pay(page: Page) -> None:
    """Pay with a test card, and arrive at the bank."""
    page.get_by_role("button", name="Visa …4242").click()
    page.get_by_role("button", name="Pay $48.50").click()
    expect(page.get_by_role("heading", name="Your bank")).to_be_visible()


def come_back(page: Page) -> None:
    page.get_by_role("link", name="To the shop").click()


def expect_to_be_asked(page: Page) -> None:
    expect(page.get_by_role("heading", name="Confirm this payment")).to_be_visible()
    expect(page.get_by_role("link", name="Continue to your bank")).to_have_attribute("href", BANK)
    expect(page.get_by_role("button", name="Pay")).to_be_hidden()


def test_the_customer_goes_to_the_bank_and_comes_back_to_the_order(api: Api, page: Page) -> None:
    order = page.url
    pay(page)
    assert api.return_url == order
    api.ends("captured")
    come_back(page)
    expect(page.get_by_text(THANK_YOU)).to_be_visible()
    assert page.url.startswith(f"{order}?")


@pytest.mark.parametrize(
    ("decline_code", "message"),
    [
        ("authentication_failed", "Your bank could not confirm that it is you who pays."),
        ("authentication_expired", "You did not confirm this payment in time"),
        ("insufficient_funds", "There is not enough money on this card."),
    ],
)
def test_what_the_redirect_says_is_not_believed(api: Api, page: Page, decline_code: str, message: str) -> None:
    pay(page)
    api.ends("declined", decline_code)
    come_back(page)
    expect(page.get_by_role("alert")).to_contain_text(message)
    expect(page.get_by_role("heading", name="Thank you!")).to_be_hidden()
    pay(page)
    assert [*api.payments] == [f"{page_order(api)}-{attempt}" for attempt in (1, 2)]


def page_order(api: Api) -> str:
    return api.return_url.rpartition("/")[2]


def test_who_comes_back_before_the_answer_is_neither_sent_away_again_nor_told_anything_untrue(
    api: Api, page: Page
) -> None:
    pay(page)
    come_back(page)
    expect_to_be_asked(page)
    page.wait_for_timeout(1500)
    expect_to_be_asked(page)
    api.ends("captured")
    expect(page.get_by_text(THANK_YOU)).to_be_visible()


def test_who_leaves_the_bank_can_continue_there(api: Api, page: Page) -> None:
    pay(page)
    come_back(page)
    page.get_by_role("link", name="Continue to your bank").click()
    expect(page.get_by_role("heading", name="Your bank")).to_be_visible()
    api.ends("captured")
    come_back(page)
    expect(page.get_by_text(THANK_YOU)).to_be_visible()


@pytest.mark.parametrize("approved", [True, False])
def test_the_back_button_leads_to_the_truth(api: Api, page: Page, approved: bool) -> None:
    pay(page)
    if approved:
        api.ends("captured")
    page.go_back()
    if approved:
        expect(page.get_by_text(THANK_YOU)).to_be_visible()
        expect(page.get_by_role("button", name="Pay")).to_be_hidden()
    else:
        expect_to_be_asked(page)
    assert len(api.payments) == 1


def test_the_back_button_from_the_thanks_leads_to_the_bank_and_forward_to_the_thanks(api: Api, page: Page) -> None:
    pay(page)
    api.ends("captured")
    come_back(page)
    expect(page.get_by_text(THANK_YOU)).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Your bank")).to_be_visible()
    page.go_forward()
    expect(page.get_by_text(THANK_YOU)).to_be_visible()
    assert len(api.payments) == 1


def test_a_page_that_the_browser_kept_is_loaded_again(api: Api, page: Page) -> None:
    with page.expect_navigation():
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")


def test_a_second_window_is_asked_too_and_sees_how_it_ends(api: Api, page: Page) -> None:
    open_before, order = page.context.new_page(), page.url
    open_before.goto(order)
    pay(page)
    open_after = page.context.new_page()
    open_after.goto(order)
    expect_to_be_asked(open_after)
    # Another card in the other window neither pays nor leads to the first card's bank by itself.
    open_before.get_by_role("button", name="Mastercard").click()
    open_before.get_by_role("button", name="Pay $48.50").click()
    expect_to_be_asked(open_before)
    api.ends("captured")
    come_back(page)
    for window in (page, open_before, open_after):
        expect(window.get_by_text(THANK_YOU)).to_be_visible(timeout=10_000)
    assert len(api.payments) == 1


def test_who_comes_back_twice_sees_the_same_twice(api: Api, page: Page) -> None:
    pay(page)
    again = page.context.new_page()
    again.goto(f"{api.return_url}?status=failed")
    expect_to_be_asked(again)
    api.ends("captured")
    come_back(page)
    for window in (page, again):
        expect(window.get_by_text(THANK_YOU)).to_be_visible(timeout=10_000)
    page.reload()
    expect(page.get_by_text(THANK_YOU)).to_be_visible()
    assert len(api.payments) == 1


def test_when_the_time_is_over_the_page_says_so_and_another_card_pays(api: Api, page: Page) -> None:
    pay(page)
    come_back(page)
    expect_to_be_asked(page)
    api.ends("declined", "authentication_expired")
    expect(page.get_by_role("alert")).to_contain_text("You did not confirm this payment in time, so it was canceled.")
    pay(page)
    api.ends("captured")
    come_back(page)
    expect(page.get_by_text(THANK_YOU)).to_be_visible()
    assert len(api.payments) == 2

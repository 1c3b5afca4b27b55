"""The bank asks the customer: from the shop's page to the sandbox's, which stands in for the bank's, and back."""

import pytest
from playwright.sync_api import Page, expect

from tests.chromium import take_screenshots
from tests.stack.driver import Driver
from tests.stack.test_checkout import choose, pay, payment_id
from tests.stack.test_checkout import page as page
from tests.stack.test_checkout import shop as shop

CHALLENGED, REQUIRED, POOR = "Visa …3155", "Visa …3220", "then insufficient funds …3178"
THANK_YOU = "You paid $48.50 with your Visa ending in"
# The gateway's event, the queue's delay, and the time for a busy machine.
MILLISECONDS = 60_000


pytestmark = pytest.mark.usefixtures("sandbox_events")


def go_to_the_bank(page: Page, test_card: str = CHALLENGED) -> None:
    choose(page, test_card)
    pay(page)
    expect(page.get_by_role("heading", name="Confirm your payment")).to_be_visible(timeout=MILLISECONDS)


def answer(page: Page, button: str) -> None:
    page.get_by_role("button", name=button).click()


def expect_to_be_asked(page: Page) -> None:
    expect(page.get_by_role("heading", name="Confirm this payment")).to_be_visible(timeout=MILLISECONDS)
    expect(page.get_by_role("link", name="Continue to your bank")).to_be_visible()
    expect(page.get_by_role("button", name="Pay")).to_be_hidden()


def expect_thanks(page: Page) -> None:
    expect(page.get_by_text(f"{THANK_YOU} 3155.")).to_be_visible(timeout=MILLISECONDS)


def statuses(driver: Driver, order: str) -> list[list[str]]:
    """The statuses of the charges of the order's first two attempts."""
    return [[charge["status"] for charge in driver.charges(f"{order}-{attempt}")] for attempt in (1, 2)]


def test_who_approves_has_paid(driver: Driver, page: Page) -> None:
    paid, address = payment_id(page), page.url
    go_to_the_bank(page)
    take_screenshots(page, "checkout-bank")
    answer(page, "Approve")
    expect_thanks(page)
    assert page.url.partition("?")[0] == address
    payment = driver.stack.payment(paid)
    assert (payment["status"], payment["next_action"]) == ("captured", None)
    assert payment["authentication"] == {"result": "authenticated", "version": "2.2.0", "liability_shift": True}


def test_who_fails_has_not_paid_and_may_pay_with_another_card(driver: Driver, page: Page) -> None:
    order = page.url.rpartition("/")[2]
    go_to_the_bank(page, REQUIRED)
    answer(page, "Fail")
    expect(page.get_by_role("alert")).to_contain_text("could not confirm that it is you", timeout=MILLISECONDS)
    take_screenshots(page, "checkout-not-confirmed")
    choose(page, "Mastercard")
    pay(page)
    expect(page.get_by_text("with your Mastercard ending in 4444.")).to_be_visible(timeout=MILLISECONDS)
    assert statuses(driver, order) == [["declined"], ["captured"]]


def test_a_bank_that_asks_may_decline_afterwards(page: Page) -> None:
    go_to_the_bank(page, POOR)
    answer(page, "Approve")
    expect(page.get_by_role("alert")).to_contain_text("There is not enough money", timeout=MILLISECONDS)


def test_who_leaves_can_continue_and_who_goes_back_too(driver: Driver, page: Page) -> None:
    order = page.url.rpartition("/")[2]
    go_to_the_bank(page)
    page.get_by_role("link", name="Leave").click()
    expect_to_be_asked(page)
    take_screenshots(page, "checkout-asked")
    page.get_by_role("link", name="Continue to your bank").click()
    expect(page.get_by_role("heading", name="Confirm your payment")).to_be_visible()
    page.go_back()
    expect_to_be_asked(page)
    page.go_forward()
    answer(page, "Approve")
    expect_thanks(page)
    page.go_back()
    expect(page.get_by_role("heading", name="Nobody is waiting for you any more")).to_be_visible()
    page.go_forward()
    expect_thanks(page)
    assert statuses(driver, order) == [["captured"], []]


def test_in_a_second_window_the_same_payment_is_approved_and_both_see_it(driver: Driver, page: Page) -> None:
    order, address = page.url.rpartition("/")[2], page.url
    go_to_the_bank(page)
    second_window = page.context.new_page()
    second_window.goto(address)
    expect_to_be_asked(second_window)
    page.get_by_role("link", name="Leave").click()
    second_window.get_by_role("link", name="Continue to your bank").click()
    answer(second_window, "Approve")
    for window in (page, second_window):
        expect_thanks(window)
    assert statuses(driver, order) == [["captured"], []]


def test_who_comes_back_twice_and_with_lies_sees_the_truth(driver: Driver, page: Page) -> None:
    order, address = page.url.rpartition("/")[2], page.url
    go_to_the_bank(page)
    liar = page.context.new_page()
    liar.goto(f"{address}?status=captured&redirect_status=succeeded")
    expect_to_be_asked(liar)
    answer(page, "Fail")
    for window in (page, liar):
        expect(window.get_by_role("alert")).to_contain_text("could not confirm", timeout=MILLISECONDS)
        window.reload()
        expect(window.get_by_role("alert")).to_contain_text("could not confirm")
    assert statuses(driver, order) == [["declined"], []]


def test_when_the_time_is_over_nobody_can_approve_any_more(driver: Driver, page: Page) -> None:
    paid = payment_id(page)
    go_to_the_bank(page)
    late = page.context.new_page()
    late.goto(page.url)
    page.get_by_role("link", name="Leave").click()
    expect_to_be_asked(page)
    [charge] = driver.charges(paid)
    # As the payment does when the time is over.
    driver.stack.sandbox("POST", f"/v1/charges/{charge['id']}/cancel_authentication").raise_for_status()
    answer(late, "Approve")
    expect(late.get_by_role("heading", name="Nobody is waiting for you any more")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("You did not confirm this payment in time", timeout=MILLISECONDS)
    assert driver.stack.payment(paid)["decline_code"] == "authentication_expired"
    [charge] = driver.charges(paid)
    assert (charge["status"], charge["captured_minor"]) == ("declined", 0)

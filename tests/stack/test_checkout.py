"""The shop's checkout in a browser, from the first page to the gateway's records."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect
from werkzeug.serving import make_server

from client import PaymentsClient
from examples.checkout.app import create_app
from tests.chromium import take_screenshots
from tests.samples import TEST_CARDS
from tests.stack.driver import Driver
from tools.local.machine import Machine

# Passes Luhn but is not a published test card, so it must be sealed.
NUMBER = "4000056655665556"
HOLDER = "Ada Lovelace"
CODE = "737"
LOST = "Failed to load resource: net::ERR_FAILED"
THANK_YOU = "You paid $48.50 with your Visa ending in"


@dataclass
class Shop:
    """The running back end, and every request that it received."""

    url: str
    received: list[str] = field(default_factory=list)

    def record(self, app: Any) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
        def recorded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = BytesIO(body)
            self.received.append(repr({key: value for key, value in environ.items() if key[0] != "w"}) + body.decode())
            answer: Iterable[bytes] = app(environ, start_response)
            return answer

        return recorded


@pytest.fixture
def shop(driver: Driver, machine: Machine) -> Iterator[Shop]:
    app = create_app(PaymentsClient.from_stack_file(machine.stack_file), TEST_CARDS)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    shop = Shop(f"http://localhost:{server.port}")
    server.app = shop.record(app)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield shop
    server.shutdown()
    thread.join()


@pytest.fixture
def page(browser: Browser, shop: Shop) -> Iterator[Page]:
    """Open a new order's page. Every browser error fails the test, such as a violation of the security policy."""
    page = browser.new_context().new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.text != LOST else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(shop.url)
    expect(page.get_by_role("heading", name="Test cards")).to_be_visible()
    yield page
    page.context.close()
    assert complaints == []


def payment_id(page: Page, attempt: int = 1) -> str:
    return f"{page.url.rpartition('/')[2]}-{attempt}"


def choose(page: Page, test_card: str) -> None:
    page.get_by_role("button", name=test_card).click()


def pay(page: Page) -> None:
    page.get_by_role("button", name="Pay $48.50").click()


def test_a_card_is_entered_by_keyboard_and_visible_nowhere_on_the_way(driver: Driver, shop: Shop, page: Page) -> None:
    sent: list[str] = []

    def note(request: Request) -> None:
        sent.append(f"{request.url} {request.headers} {request.post_data}")

    page.on("request", note)
    take_screenshots(page, "checkout-form")
    page.get_by_label("Card number").focus()
    page.keyboard.type(NUMBER)
    expect(page.get_by_label("Card number")).to_have_value("4000 0566 5566 5556")
    page.keyboard.press("Tab")
    page.keyboard.type("12/2030")
    page.keyboard.press("Tab")
    page.keyboard.type(CODE)
    page.keyboard.press("Tab")
    page.keyboard.type(HOLDER)
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"{THANK_YOU} 5556.")).to_be_visible()
    expect(page.get_by_role("heading", name="Thank you!")).to_be_focused()
    expect(page.locator("#receipt")).to_contain_text(payment_id(page))
    take_screenshots(page, "checkout-paid")

    [charge] = driver.charges(payment_id(page))
    assert (charge["status"], charge["amount_minor"], charge["card_last4"]) == ("captured", 4850, NUMBER[-4:])
    assert any('"card_data":"ey' in text for text in sent)
    assert any('"card_data":"ey' in text for text in shop.received)
    in_the_clear = re.compile(" ?".join(NUMBER) + "|" + HOLDER.replace(" ", ".{1,3}"))
    assert [text for text in sent + shop.received if in_the_clear.search(text)] == []

    page.reload()
    expect(page.get_by_text(f"{THANK_YOU} 5556.")).to_be_visible()
    expect(page.get_by_role("button", name="Pay")).to_be_hidden()


def test_after_a_decline_another_card_pays_the_same_order(driver: Driver, page: Page) -> None:
    choose(page, "insufficient funds …9995")
    pay(page)
    expect(page.get_by_role("alert")).to_have_text(
        "There is not enough money on this card. Use another card, or ask your bank."
    )
    expect(page.get_by_role("alert")).to_be_focused()
    take_screenshots(page, "checkout-declined")
    choose(page, "Mastercard")
    pay(page)
    expect(page.get_by_text("with your Mastercard ending in 4444.")).to_be_visible()
    attempts = [driver.charges(payment_id(page, attempt)) for attempt in (1, 2, 3)]
    assert [[charge["status"] for charge in charges] for charges in attempts] == [["declined"], ["captured"], []]


def test_a_wrong_security_code_is_reported_and_only_it_has_to_be_entered_again(driver: Driver, page: Page) -> None:
    choose(page, "incorrect cvc")
    pay(page)
    expect(page.get_by_role("alert")).to_have_text("The security code is not this card’s. Check it against your card.")
    expect(page.get_by_label("Security code")).to_have_value("")
    page.get_by_label("Security code").fill(CODE)
    pay(page)
    expect(page.get_by_text(f"{THANK_YOU} 4242.")).to_be_visible()


def test_an_expired_and_a_mistyped_card_get_different_messages_and_are_never_sent(driver: Driver, page: Page) -> None:
    page.get_by_label("Card number").fill(NUMBER[:-1] + "7")
    page.get_by_label("Expires").fill("13/30")
    pay(page)
    expect(page.get_by_label("Card number")).to_be_focused()
    for label in ("Card number", "Expires", "Name on card"):
        expect(page.get_by_label(label)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Card number")).to_have_accessible_description(
        "Visa A digit of this card number is wrong. Check it against your card."
    )
    take_screenshots(page, "checkout-mistyped")
    choose(page, "expired in 2020")
    expect(page.get_by_label("Card number")).to_have_attribute("aria-invalid", "false")
    pay(page)
    expect(page.get_by_label("Expires")).to_be_focused()
    expect(page.get_by_label("Expires")).to_have_accessible_description("This card has expired. Use another card.")
    page.get_by_label("Expires").fill("12 / 99")
    page.get_by_label("Name on card").fill("\u00a0\u200b")
    pay(page)
    expect(page.get_by_label("Expires")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Name on card")).to_have_attribute("aria-invalid", "true")
    assert driver.execution(payment_id(page)) is None
    assert driver.charges(payment_id(page)) == []


def test_a_double_click_and_a_second_window_pay_once(driver: Driver, page: Page) -> None:
    second_window = page.context.new_page()
    second_window.goto(page.url)
    for window in (page, second_window):
        choose(window, "Visa …4242")
    page.get_by_role("button", name="Pay $48.50").dblclick()
    pay(second_window)
    for window in (page, second_window):
        expect(window.get_by_text(f"{THANK_YOU} 4242.")).to_be_visible()
    assert [len(driver.charges(payment_id(page, attempt))) for attempt in (1, 2)] == [1, 0]


def test_a_slow_payment_is_followed_to_its_end(driver: Driver, page: Page) -> None:
    looks: list[Route] = []

    def keep_waiting(route: Route) -> None:
        if route.request.method == "GET":
            looks.append(route)
        else:
            route.fallback()

    page.route("**/payment", keep_waiting)
    page.clock.install()
    choose(page, "Visa …1111")
    with page.expect_request(lambda request: request.method == "GET" and request.url.endswith("/payment")):
        pay(page)
        expect(page.get_by_role("heading", name="Paying …")).to_be_focused()
        take_screenshots(page, "checkout-paying")
    page.clock.fast_forward(10_000)
    expect(page.get_by_role("status")).to_contain_text("This takes longer than usual.")
    assert len(looks) == 1
    looks[0].continue_()
    expect(page.get_by_text(f"{THANK_YOU} 1111.")).to_be_visible(timeout=15_000)
    assert len(driver.charges(payment_id(page))) == 1


def test_the_customer_waits_for_one_request(driver: Driver, page: Page) -> None:
    looks: list[str] = []
    page.on("request", lambda request: looks.append(request.method) if request.url.endswith("/payment") else None)
    choose(page, "Visa …4242")
    pay(page)
    expect(page.get_by_text(f"{THANK_YOU} 4242.")).to_be_visible()
    assert looks == ["POST", "GET"]


def answer_with(page: Page, **changes: Any) -> None:
    """From now on, have the back end answer the page with this payment status."""
    payment = {"payment_id": "order-1", "paid_at": None, "status": "captured", "decline_code": None, "error": None}
    payment |= {"card": None, "refund": None, **changes}
    page.unroute_all()
    page.route("**/api/orders/*/*", lambda route: route.fulfill(json={"payment": payment}))


def test_a_payment_in_doubt_can_not_be_paid_again_and_shows_how_it_ends(page: Page) -> None:
    answer_with(page, status="in_doubt")
    choose(page, "Visa …4242")
    pay(page)
    expect(page.get_by_role("status")).to_contain_text("Please don’t pay again")
    expect(page.get_by_role("button", name="Pay")).to_be_hidden()
    take_screenshots(page, "checkout-in-doubt")
    answer_with(page, status="reversed")
    expect(page.get_by_role("alert")).to_contain_text("the payment was undone")
    expect(page.get_by_role("button", name="Pay")).to_be_visible()


def test_a_refund_is_followed_to_its_end(driver: Driver, page: Page) -> None:
    choose(page, "Visa …4242")
    pay(page)
    driver.set_fault(payment_id(page), "refund", "slow", seconds=1.5)
    page.get_by_role("button", name="Refund this order").click()
    expect(page.get_by_role("status")).to_contain_text("$48.50 is on its way back to you.")
    expect(page.get_by_role("status")).to_contain_text("$48.50 went back to your card.", timeout=15_000)
    expect(page.get_by_role("button", name="Refund")).to_be_hidden()
    take_screenshots(page, "checkout-refunded")
    assert [charge["refunded_minor"] for charge in driver.charges(payment_id(page))] == [4850]


def test_a_payment_that_could_not_be_sent_is_sent_again_under_the_same_id(driver: Driver, page: Page) -> None:
    lost = []

    def lose_the_answer(route: Route) -> None:
        lost.append(route.fetch().json())
        route.abort()

    page.route("**/payment", lose_the_answer, times=1)
    choose(page, "Visa …4242")
    pay(page)
    expect(page.get_by_role("alert")).to_contain_text("you can’t be charged twice")
    page.get_by_label("Security code").fill(CODE)
    pay(page)
    expect(page.get_by_text(f"{THANK_YOU} 4242.")).to_be_visible()
    assert [len(driver.charges(payment_id(page, attempt))) for attempt in (1, 2)] == [1, 0]
    assert len(lost) == 1

"""The checkout's page in Chromium with input from people, keyboards and password managers, and a scripted API."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.credentials import Credentials
from iso4217 import Currency
from playwright.sync_api import Browser, CDPSession, Locator, Page, Route, expect
from werkzeug.serving import make_server

from client import PaymentsClient
from examples.checkout.app import create_app
from functions.shared.adapters.currencies import minor_unit
from tests.chromium import browser as browser
from tests.samples import TEST_CARDS, UNLISTED_PAN
from tests.sealers import header_in, issued_key
from tools.books.money import amount_text

NUMBER = UNLISTED_PAN
CARD = {"card_number": NUMBER, "expiry_date": "12/30", "security_code": "737"}
ONLY_DIGITS = "Enter the digits of the card number, and nothing else."
EXPIRED = "This card has expired. Use another card."
NO_MONTH = "The month is one from 01 to 12."
ENTER_DATE = "Enter month and year, like 09 / 29."
BRANDS_TAKEN = ["visa", "mastercard", "amex"]
ACCEPTED = [each.code for each in Currency if minor_unit(each.code) is not None]


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """The shop's static files. Each test scripts its API in the browser."""
    nowhere = PaymentsClient("http://127.0.0.1:9/v1", "us-east-1", Credentials("AKIDEXAMPLE", "secret"))
    server = make_server("127.0.0.1", 0, create_app(nowhere, TEST_CARDS), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://localhost:{server.port}"
    server.shutdown()
    thread.join()


def order_in(currency: str, amount_minor: int = 4850) -> dict[str, Any]:
    item = {"name": "Beans", "quantity": 1, "price_minor": amount_minor}
    return {"order_id": "order", "items": [item], "amount_minor": amount_minor, "currency": currency}


def script(page: Page, order: dict[str, Any], payment: dict[str, Any] | None = None) -> None:
    answer: dict[str, Any] = {"order": order, "payment": payment, "test_cards": [], "brands": BRANDS_TAKEN}
    page.route("**/api/orders/*", lambda route: route.fulfill(json=answer))


@pytest.fixture(scope="module")
def checkout(browser: Browser, shop: str) -> Iterator[Page]:
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        script(page, order_in("USD"))
        page.goto(f"{shop}/orders/order")
        expect(page.get_by_role("button", name="Pay $48.50")).to_be_visible()
        yield page


@pytest.fixture
def page(checkout: Page) -> Iterator[Page]:
    """The page with empty fields. Every browser error fails the test."""
    complaints: list[str] = []

    def note(complaint: object) -> None:
        complaints.append(str(complaint))

    checkout.on("console", note)
    checkout.on("pageerror", note)
    for label in ("Card number", "Expires", "Name on card"):
        checkout.get_by_label(label).fill("")
    code(checkout).fill("737")
    yield checkout
    checkout.remove_listener("console", note)
    checkout.remove_listener("pageerror", note)
    assert complaints == []


@pytest.fixture(scope="module")
def keyboard(checkout: Page) -> CDPSession:
    """An input method editor, through Chromium's own protocol."""
    return checkout.context.new_cdp_session(checkout)


def number(page: Page) -> Locator:
    return page.get_by_label("Card number")


def expiry(page: Page) -> Locator:
    return page.get_by_label("Expires")


def code(page: Page) -> Locator:
    return page.get_by_label("Security code")


def read(page: Page) -> Any:
    """The card that the page would seal, or None."""
    return page.evaluate("import('/page/card.mjs').then((card) => card.read())")


def caret(field: Locator) -> int:
    return int(field.evaluate("(field) => field.selectionStart"))


def compose(keyboard: CDPSession, text: str, chosen: str) -> None:
    """Compose a text step by step, then commit the chosen text."""
    for end in range(1, len(text) + 1):
        keyboard.send("Input.imeSetComposition", {"text": text[:end], "selectionStart": end, "selectionEnd": end})
    keyboard.send("Input.insertText", {"text": chosen})


def paste(page: Page, field: Locator, text: str) -> None:
    page.evaluate("(text) => navigator.clipboard.writeText(text)", text)
    field.focus()
    page.keyboard.press("ControlOrMeta+V")


NUMBERS = {
    "as it is": NUMBER,
    "with spaces": "4000 0566 5566 5556",
    "with dashes": "4000-0566-5566-5556",
    "with dots": "4000.0566.5566.5556",
    "with hard spaces": "4000\u00a00566\u00a05566\u00a05556",
    "with long dashes": "4000–0566—5566−5556",
    "with blanks around": "  4000056655665556 ",
    "from right to left": "\u200f4000056655665556\u200e",
    "full-width": "４０００　０５６６　５５６６　５５５６",
    "full-width with dashes": "４０００－０５６６－５５６６－５５５６",
    "with the Japanese keyboard's dash": "４０００ー０５６６ー５５６６ー５５５６",
    "Arabic": "٤٠٠٠٠٥٦٦٥٥٦٦٥٥٥٦",
    "Persian": "۴۰۰۰۰۵۶۶۵۵۶۶۵۵۵۶",
    "Devanagari": "४००००५६६५५६६५५५६",
    "Bengali": "৪০০০০৫৬৬৫৫৬৬৫৫৫৬",
    "Thai": "๔๐๐๐๐๕๖๖๕๕๖๖๕๕๕๖",
}


@pytest.mark.parametrize("text", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("how", ["typed", "pasted"])
def test_a_card_number_is_understood_in_every_format(page: Page, how: str, text: str) -> None:
    if how == "pasted":
        paste(page, number(page), text)
    else:
        number(page).focus()
        page.keyboard.type(text)
    expect(number(page)).to_have_value("4000 0566 5566 5556")
    assert caret(number(page)) == len("4000 0566 5566 5556")
    expect(page.locator("#brand")).to_have_text("Visa")


DATES = {
    **dict.fromkeys(["12/30", "12 / 30", "12-30", "12.30", "12 30", "1230", "12/2030", "12-2030", "122030"], "12/30"),
    **dict.fromkeys(["2030-12", "2030/12", "203012", "2030-12-31", "30/12", "12 /30 ", "１２／３０"], "12/30"),
    **dict.fromkeys(["12・30", "12－30", "١٢/٣٠", "۱۲/۳۰", "१२/३०", "Dec 30", "December 2030", "dec-30"], "12/30"),
    **dict.fromkeys(["2030年12月", "12月/30年", "2030년 12월", "\u200e12/30", "30 12", "DEC 2030"], "12/30"),
    **dict.fromkeys(["1/30", "1/2030", "01/30", "0130", "130", "1-30", "01-2030", "012030"], "01/30"),
    **dict.fromkeys(["2030-01", "2030-1", "１／３０", "Jan 30", "1月30", "jan. 2030"], "01/30"),
    **dict.fromkeys(["9/30", "930", "Sept 30", "09 / 30"], "09/30"),
}


@pytest.mark.parametrize(("text", "date"), DATES.items())
@pytest.mark.parametrize("how", ["typed", "pasted"])
def test_a_date_of_expiry_is_understood_in_every_common_spelling(page: Page, how: str, text: str, date: str) -> None:
    if how == "pasted":
        paste(page, expiry(page), text)
    else:
        expiry(page).focus()
        page.keyboard.type(text)
    page.keyboard.press("Tab")
    expect(expiry(page)).to_have_value(date.replace("/", " / "))
    expect(expiry(page)).to_have_attribute("aria-invalid", "false")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *((text, ENTER_DATE) for text in ("12/3", "12", "12/30/45", "soon", "12/1930", "2030", "1 2 3 4")),
        *((text, NO_MONTH) for text in ("13/30", "00/30", "0/30", "99/2030")),
        ("01/20", EXPIRED),
        ("12/99", "Enter month and year as they are on your card."),
    ],
)
def test_an_invalid_date_stays_visible_with_a_message(page: Page, text: str, message: str) -> None:
    paste(page, expiry(page), text)
    value = expiry(page).input_value()
    page.keyboard.press("Tab")
    expect(expiry(page)).to_have_value(value)
    assert value.replace(" / ", "/") == text
    expect(expiry(page)).to_have_accessible_description(message)


def test_an_expired_card_is_reported_at_once_and_other_mistakes_in_dates_later(page: Page) -> None:
    expiry(page).focus()
    page.keyboard.type("012")
    expect(page.locator("#expiry-error")).to_be_hidden()
    page.keyboard.type("0")
    expect(expiry(page)).to_be_focused()
    expect(page.locator("#expiry-error")).to_have_text(EXPIRED)
    page.keyboard.type("30")
    expect(expiry(page)).to_have_value("01 / 2030")
    expect(page.locator("#expiry-error")).to_be_hidden()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *(
            (text, ONLY_DIGITS)
            for text in ("Visa 4000056655665556", "•••• 5556", "4000056655665556 12/30", "four", "½")
        ),
        ("4000 0566 5566 5556 1234", "Visa numbers have 16, 18, or 19 digits, and this has 20. Check it"),
        ("4000 0566 5566 555", "Visa numbers have 16, 18, or 19 digits, and this has 15. Check it"),
        ("3782 822463 1000", "American Express numbers have 15 digits, and this has 14."),
        ("4000 0566 5566 5557", "A digit of this card number is wrong. Check it against your card."),
        ("0000 0000 0000 0000", "No card’s number begins like this. Check it against your card."),
        ("0000", "This card number is not complete."),
        ("6011 1111 1111 1117", "This shop does not take Discover. Use another card."),
    ],
)
def test_an_invalid_number_stays_visible_and_each_mistake_has_its_message(page: Page, text: str, message: str) -> None:
    paste(page, number(page), text)
    page.keyboard.press("Tab")
    expect(number(page)).to_have_value(text)
    expect(page.locator("#number-error")).to_contain_text(message)
    assert read(page) is None


def test_blank_fields_are_reported(page: Page) -> None:
    code(page).fill("")
    page.get_by_role("button", name="Pay").click()
    messages = [page.locator(f"#{field}-error").inner_text() for field in ("number", "expiry", "code", "holder")]
    expected = [
        "Enter the card number.",
        "Enter month and year.",
        "Enter the security code.",
        "Enter the name on the card.",
    ]
    assert messages == expected


def test_accepted_brands_are_shown_and_the_card_s_brand_is_marked(page: Page) -> None:
    brands = page.get_by_role("list", name="Cards that this shop takes").get_by_role("listitem")
    expect(brands).to_have_text(["Visa", "Mastercard", "American Express"])
    number(page).fill("5")
    number(page).press_sequentially("5")
    expect(page.locator("#brands .this")).to_have_text("Mastercard")
    number(page).fill("")
    expect(page.locator("#brands .this")).to_have_count(0)


def test_a_paid_order_has_a_receipt_and_the_refund_is_the_demo_s(browser: Browser, shop: str) -> None:
    page = browser.new_page(timezone_id="UTC", locale="en-US")
    paid: dict[str, Any] = {
        "payment_id": "order-1",
        "paid_at": "2026-11-23T09:00:00+00:00",
        "status": "captured",
        "refund": None,
    }
    paid |= {"decline_code": None, "error": None, "card": {"brand": "visa", "last4": "5556"}}
    script(page, order_in("USD"), paid)
    page.goto(f"{shop}/orders/order")
    lines = page.locator("#receipt > div")
    expect(lines).to_have_text(
        ["Orderorder", "Paid$48.50", "OnNov 23, 2026, 9:00 AM", "CardVisa •••• 5556", "Paymentorder-1"]
    )
    expect(page.get_by_role("button", name="Print receipt")).to_be_visible()
    demo = page.get_by_role("region", name="Only in this demo")
    expect(demo.get_by_role("button", name="Refund this order")).to_be_visible()
    page.emulate_media(media="print")
    expect(lines.first).to_be_visible()
    expect(demo).to_be_hidden()


def test_text_is_not_rewritten_during_composition(page: Page, keyboard: CDPSession) -> None:
    number(page).focus()
    states = []
    for end in range(1, 17):
        text = "４００００５６６５５６６５５５６"[:end]
        keyboard.send("Input.imeSetComposition", {"text": text, "selectionStart": end, "selectionEnd": end})
        states.append((number(page).input_value(), caret(number(page))))
    assert states == [("４００００５６６５５６６５５５６"[:end], end) for end in range(1, 17)]
    keyboard.send("Input.insertText", {"text": "４００００５６６５５６６５５５６"})
    expect(number(page)).to_have_value("4000 0566 5566 5556")


def test_a_card_can_be_typed_with_an_input_method(page: Page, keyboard: CDPSession) -> None:
    number(page).focus()
    for group in ("４０００", "０５６６", "５５６６", "５５５６"):
        compose(keyboard, group, group)
    page.keyboard.press("Tab")
    compose(keyboard, "１２・３０", "１２／３０")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    compose(keyboard, "やまだ", "山田")
    compose(keyboard, "たろう", " 太郎")
    assert read(page) == {
        "card_number": NUMBER,
        "expiry_date": "12/30",
        "security_code": "737",
        "card_holder": "山田 太郎",
    }


def test_the_caret_stays_at_a_correction(page: Page) -> None:
    field = number(page)
    field.fill("4000 566 5566 5556")
    field.evaluate("(field) => field.setSelectionRange(5, 5)")
    page.keyboard.press("0")
    expect(field).to_have_value("4000 0566 5566 5556")
    assert caret(field) == 6
    page.keyboard.type("x")
    expect(field).to_have_value("4000 0x566 5566 5556")
    assert caret(field) == 7
    page.keyboard.press("Backspace")
    expect(field).to_have_value("4000 0566 5566 5556")
    assert caret(field) == 6


@pytest.mark.parametrize("key", ["Backspace", "Delete"])
def test_deleted_characters_are_not_restored(page: Page, key: str) -> None:
    for field, text in ((number(page), "4000 0566 5566 5556"), (expiry(page), "12 / 30")):
        field.fill(text)
        field.press("End" if key == "Backspace" else "Home")
        for remaining in range(len(text) - 1, -1, -1):
            page.keyboard.press(key)
            assert len(field.input_value()) == remaining


WRITERS = {
    "with its events": ["keydown", "keypress", "input", "keyup", "change"],
    "with input": ["input"],
    "with change": ["change"],
    "in silence": [],
}
FILLED = [("4000056655665556", "12/2030"), ("4000 0566 5566 5556", "2030-12"), ("4000-0566-5566-5556", "12/30")]


@pytest.mark.parametrize("events", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(("card_number", "date"), FILLED)
def test_a_card_from_a_password_manager_is_read(page: Page, events: list[str], card_number: str, date: str) -> None:
    values = {"number": card_number, "expiry": date, "holder": "Ada Lovelace"}
    page.evaluate(
        """([values, events]) => {
            const { set } = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
            for (const [id, value] of Object.entries(values)) {
                const field = document.getElementById(id);
                set.call(field, value);
                for (const event of events) field.dispatchEvent(new Event(event, { bubbles: true }));
            }
        }""",
        [values, events],
    )
    assert read(page) == {
        "card_number": NUMBER,
        "expiry_date": "12/30",
        "security_code": "737",
        "card_holder": "Ada Lovelace",
    }


AMEX, SHORT = "378282246310005", "{} security codes have {} digits."


@pytest.mark.parametrize(
    ("card_number", "text", "message"),
    [
        (NUMBER, "7377", SHORT.format("Visa", 3)),
        (NUMBER, "73", SHORT.format("Visa", 3)),
        (AMEX, "737", SHORT.format("American Express", 4)),
        (NUMBER, "cvc", "Enter the digits of the security code."),
    ],
)
def test_a_security_code_that_the_card_can_not_have_stays_and_has_its_message(
    page: Page, card_number: str, text: str, message: str
) -> None:
    number(page).fill(card_number)
    code(page).fill(text)
    page.get_by_role("button", name="Pay").click()
    expect(code(page)).to_have_value(text)
    expect(page.locator("#code-error")).to_have_text(message)


@pytest.mark.parametrize(
    ("card_number", "text", "read_as", "where"),
    [
        (NUMBER, "７３７", "737", "3 digits on the back"),
        (NUMBER, " 737 ", "737", "3 digits on the back"),
        (AMEX, "7373", "7373", "4 digits on the front"),
    ],
)
def test_a_security_code_is_as_long_as_the_brand_s(
    page: Page, card_number: str, text: str, read_as: str, where: str
) -> None:
    number(page).fill(card_number)
    expiry(page).fill("12/30")
    page.get_by_label("Name on card").fill("Ada Lovelace")
    code(page).fill(text)
    expect(code(page)).to_have_accessible_description(where)
    assert read(page)["security_code"] == read_as


def test_a_page_left_open_for_hours_pays_with_a_new_key_and_keeps_all_but_the_security_code(
    browser: Browser, shop: str
) -> None:
    page = browser.new_page()
    page.clock.install()
    script(page, order_in("USD"))
    sent: list[tuple[str, Any]] = []
    failed = {"status": "rejected", "error": "sealing_key_expired", "decline_code": None, "refund": None, "card": None}

    def attempt(route: Route) -> None:
        sent.append(("key", None))
        route.fulfill(json={"payment_id": f"order-{len(sent)}", "key": issued_key()[1]})

    def pay(route: Route) -> None:
        body: Any = route.request.post_data_json
        sent.append(("card", body["card_data"]))
        route.fulfill(json={"payment": failed if len(sent) == 2 else failed | {"status": "captured", "error": None}})

    page.route("**/attempts", attempt)
    page.route("**/payment", pay)
    page.goto(f"{shop}/orders/order")
    typed = {"Card number": "4000 0566 5566 5556", "Expires": "12 / 30", "Name on card": "Ada Lovelace"}
    for label, text in typed.items():
        page.get_by_label(label).fill(text)
    code(page).fill("737")
    page.clock.fast_forward(3 * 3600 * 1000)
    assert sent == []
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_role("alert")).to_contain_text("Enter the security code again")
    assert {label: page.get_by_label(label).input_value() for label in typed} == typed
    expect(code(page)).to_have_value("")
    code(page).fill("737")
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_role("heading", name="Thank you!")).to_be_visible()
    assert [what for what, _ in sent] == ["key", "card", "key", "card"]
    headers = [header_in(sealed) for _, sealed in sent if sealed]
    assert [header["payment_id"] for header in headers] == ["order-1", "order-3"]
    assert headers[0]["kid"] != headers[1]["kid"]
    page.close()


@pytest.mark.parametrize("reached", [True, False])
def test_a_security_code_is_kept_in_the_page_only_while_nothing_was_sent(
    browser: Browser, shop: str, reached: bool
) -> None:
    page = browser.new_page()
    script(page, order_in("USD"))
    answer = {"payment_id": "order-1", "key": issued_key()[1]}
    page.route("**/attempts", lambda route: route.fulfill(json=answer) if reached else route.abort())
    page.route("**/payment", lambda route: route.abort())
    page.goto(f"{shop}/orders/order")
    for label, text in {"Card number": NUMBER, "Expires": "12/30", "Name on card": "Ada Lovelace"}.items():
        page.get_by_label(label).fill(text)
    code(page).fill("737")
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_role("alert")).to_contain_text("can’t be reached")
    expect(code(page)).to_have_value("" if reached else "737")
    page.close()


@pytest.mark.parametrize(
    ("holder", "message"),
    [
        ("", "Enter the name"),
        ("\u200b \u3164", "Enter the name"),
        ("x" * 65, "too long"),
        (f"Ada {NUMBER}", "looks like a card number"),
    ],
)
def test_an_invalid_name_stays_with_a_message(page: Page, holder: str, message: str) -> None:
    number(page).fill(NUMBER)
    expiry(page).fill("12/30")
    page.get_by_label("Name on card").fill(holder)
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_label("Name on card")).to_have_value(holder)
    expect(page.get_by_label("Name on card")).to_be_focused()
    expect(page.locator("#holder-error")).to_contain_text(message)


def test_a_company_and_a_name_with_numbers_are_names(page: Page) -> None:
    number(page).fill(NUMBER)
    expiry(page).fill("12/30")
    for holder in ("ACME 2000 GmbH", "O’Brien-Ñandú, 3rd", "株式会社 1234", "😀" * 64):
        page.get_by_label("Name on card").fill(holder)
        assert read(page)["card_holder"] == holder


def test_an_amount_has_the_books_decimals_in_every_accepted_currency(page: Page) -> None:
    amounts = [1, 4850, 123456, 999_999_999_999]
    pairs = [(currency, amount) for currency in ACCEPTED for amount in amounts]
    written = page.evaluate(
        """async (pairs) => {
            const { moneyIn } = await import("/page/money.mjs");
            return pairs.map(([currency, amount]) => moneyIn(currency)(amount));
        }""",
        pairs,
    )
    figures = ["".join(character for character in text if character in "0123456789.,") for text in written]
    assert len(ACCEPTED) > 160
    assert figures == [amount_text(amount, currency) for currency, amount in pairs]


@pytest.mark.parametrize(("currency", "paid"), [("HUF", "HUF 48.50"), ("JPY", "¥4,850"), ("KWD", "KWD 4.850")])
def test_an_order_is_shown_and_paid_in_its_own_currency(browser: Browser, shop: str, currency: str, paid: str) -> None:
    page = browser.new_page()
    script(page, order_in(currency))
    page.goto(f"{shop}/orders/order")
    expect(page.locator("#total")).to_have_text(paid)
    expect(page.locator("#price")).to_have_text(paid)
    payment = {"status": "captured", "decline_code": None, "error": None, "refund": None}
    page.unroute_all()
    script(page, order_in(currency), payment | {"card": {"brand": "visa", "last4": "4242"}})
    page.reload()
    expect(page.locator("#outcome-text")).to_have_text(f"You paid {paid} with your Visa ending in 4242.")
    page.close()

"""The page on which a customer is authenticated, in Chromium, with a shop of another origin."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from tests.chromium import barriers, opened, take_screenshots
from tests.chromium import browser as browser
from tests.sandbox import running_sandbox, serving

API_KEY = "sk_test_sparkle"  # pragma: allowlist secret
HEADERS = {"Authorization": f"Bearer {API_KEY}"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with running_sandbox(API_KEY) as url:
        yield url


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    app = Flask("shop")

    @app.get("/pay/<path:url>")
    def pay(url: str) -> str:
        return f'<title>Pay</title><a href="{url}">Go to the bank</a>'

    @app.get("/return")
    def come_back() -> str:
        return "<title>The shop</title>"

    with serving(app) as url:
        yield url.replace("127.0.0.1", "localhost")


def waiting(sandbox: str, shop: str, reference: str) -> dict[str, Any]:
    card = {"number": "4000002500003155", "expiry_month": 12, "expiry_year": 2030, "holder": "Jane Doe"}
    body = {"reference": reference, "amount_minor": 1999, "currency": "EUR", "card": card}
    answer = requests.post(
        f"{sandbox}/v1/charges",
        json=body | {"return_url": f"{shop}/return?order=1&more=2"},
        headers=HEADERS | {"Idempotency-Key": reference},
        timeout=5,
    )
    charge: dict[str, Any] = answer.json()
    return charge


def status(sandbox: str, charge: dict[str, Any]) -> str:
    response = requests.get(f"{sandbox}/v1/charges/{charge['id']}", headers=HEADERS, timeout=5)
    return str(response.json()["status"])


def go_to_the_bank(page: Page, shop: str, charge: dict[str, Any]) -> None:
    page.goto(f"{shop}/pay/{charge['next_action']['redirect_url']}")
    page.get_by_role("link", name="Go to the bank").click()
    expect(page.get_by_role("heading", name="Confirm your payment")).to_be_visible()


@pytest.mark.parametrize(("button", "ends"), [("Approve", "captured"), ("Fail", "declined")])
def test_a_customer_answers_and_comes_back_to_the_shop(
    browser: Browser, sandbox: str, shop: str, button: str, ends: str
) -> None:
    charge = waiting(sandbox, shop, f"pay-{button}")
    with browser.new_context() as context:
        page = context.new_page()
        go_to_the_bank(page, shop, charge)
        page.get_by_role("button", name=button).click()
        expect(page).to_have_url(f"{shop}/return?order=1&more=2")
        assert status(sandbox, charge) == ends
        page.go_back()
        page.reload()
        expect(page.get_by_role("heading", name="Nobody is waiting for you any more")).to_be_visible()
        page.get_by_role("link", name="Leave").click()
        expect(page).to_have_title("The shop")


def test_a_customer_leaves(browser: Browser, sandbox: str, shop: str) -> None:
    charge = waiting(sandbox, shop, "pay-leave")
    with browser.new_context() as context:
        page = context.new_page()
        go_to_the_bank(page, shop, charge)
        page.get_by_role("link", name="Leave").click()
        expect(page).to_have_title("The shop")
    assert status(sandbox, charge) == "action_required"


def test_the_page_has_no_barriers(browser: Browser, sandbox: str, shop: str) -> None:
    charge = waiting(sandbox, shop, "pay-look")
    with opened(browser, charge["next_action"]["redirect_url"]) as page:
        assert barriers(page) == []
        take_screenshots(page, "challenge")

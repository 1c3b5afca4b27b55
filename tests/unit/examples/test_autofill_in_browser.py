"""Chromium's own autofill writes a card into the checkout page."""

from playwright.sync_api import CDPSession, Page, expect

from tests.chromium import browser_with_autofill as browser
from tests.unit.examples.test_page_in_browser import NUMBER, checkout, keyboard, number, page, read, shop

__all__ = ["browser", "checkout", "keyboard", "page", "shop"]  # fixtures


def test_chromiums_own_autofill_writes_a_card(page: Page, keyboard: CDPSession) -> None:
    node = keyboard.send("DOM.getDocument")["root"]["nodeId"]
    node_id = keyboard.send("DOM.querySelector", {"nodeId": node, "selector": "#number"})["nodeId"]
    field = keyboard.send("DOM.describeNode", {"nodeId": node_id})["node"]["backendNodeId"]
    card = {"number": NUMBER, "name": "Ada Lovelace", "expiryMonth": "12", "expiryYear": "2030", "cvc": "123"}
    keyboard.send("Autofill.enable")
    keyboard.send("Autofill.trigger", {"fieldId": field, "card": card})
    expect(number(page)).to_have_value("4000 0566 5566 5556")
    assert read(page) == {
        "card_number": NUMBER,
        "expiry_date": "12/30",
        "security_code": "737",
        "card_holder": "Ada Lovelace",
    }

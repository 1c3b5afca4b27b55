"""Sealed cards over the REST API: which open, which are refused, and that no number leaks."""

import json
from collections.abc import Callable

import pytest

from client import seal
from tests.browser import seal_in_browser
from tests.stack.driver import Driver
from tests.tampering import flipped, sealed_unchecked, with_header, with_segment
from tools.deployment.stack import Stack, new_payment_id

# Passes Luhn but is not a published test card, so it must be sealed.
NUMBER = "4000056655665556"
CARD = {"card_number": NUMBER, "expiry_date": "12/30", "card_holder": "Ada Lovelace"}


def served_key(driver: Driver) -> dict[str, str]:
    answer = driver.stack.call("GET", "/keys")
    assert answer.status_code == 200
    [key] = answer.json()["keys"]
    assert (key["alg"], key["enc"]) == ("RSA-OAEP-256", "A256GCM")
    assert key["pem"].startswith("-----BEGIN PUBLIC KEY-----")
    return dict(key)


def history(driver: Driver, payment_id: str) -> str:
    arn = driver.stack.execution_arn(payment_id)
    states = driver.stack.client("stepfunctions")
    events = states.get_execution_history(executionArn=arn, maxResults=1000)["events"]
    return json.dumps([events, driver.stack.describe_execution(arn)], default=str)


def test_a_sealed_card_is_charged_and_its_number_is_nowhere(driver: Driver) -> None:
    payment_id = new_payment_id()
    driver.pay(payment_id, card_data=seal(CARD, payment_id, served_key(driver)))
    payment = driver.ended(payment_id)
    assert payment["status"] == "captured"
    assert (payment["card"]["brand"], payment["card"]["last4"]) == ("visa", NUMBER[-4:])
    assert len(driver.charges(payment_id)) == 1
    written = [history(driver, payment_id), json.dumps(payment)]
    written.append(repr(driver.payment_items(payment_id)))
    written.append(repr(driver.card_item(payment["card"]["token"])))
    logs = driver.stack.client("logs")
    for function in ("tokenize", "encrypt", "charge", "persist"):
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=driver.stack.log_group_prefix + function)
        written += [event["message"] for page in pages for event in page["events"]]
    assert payment_id in "".join(written)
    for text in written:
        assert NUMBER not in text
        assert CARD["card_holder"] not in text


def test_a_card_that_a_browser_sealed_is_charged(driver: Driver) -> None:
    payment_id = new_payment_id()
    card = CARD | {"card_holder": "Renée Łukasz"}
    driver.pay(payment_id, card_data=seal_in_browser(card, payment_id, served_key(driver)))
    payment = driver.ended(payment_id)
    assert (payment["status"], payment["card"]["last4"]) == ("captured", NUMBER[-4:])


def test_a_sealed_card_can_be_stored(driver: Driver) -> None:
    payment_id = new_payment_id()
    driver.post("/cards", {"card_data": seal(CARD, payment_id, served_key(driver))}, payment_id)
    assert driver.ended(payment_id)["status"] == "stored"


INVALID_CARDS: dict[str, Callable[[str, dict[str, str]], str]] = {
    "sealed_card_tampered": lambda payment_id, key: with_segment(seal(CARD, payment_id, key), 1, flipped),
    "sealing_not_supported": lambda payment_id, key: with_header(
        seal(CARD, payment_id, key),
        {"alg": "RSA1_5", "enc": "A256GCM", "kid": key["kid"], "payment_id": payment_id},
    ),
    "unknown_sealing_key": lambda payment_id, key: seal(CARD, payment_id, key | {"kid": "another"}),
    "sealed_for_another_payment": lambda _, key: seal(CARD, new_payment_id(), key),
    "sensitive_authentication_data": lambda payment_id, key: sealed_unchecked(CARD | {"cvc": "123"}, payment_id, key),
    "invalid_sealed_card": lambda payment_id, key: seal({"card_number": NUMBER}, payment_id, key),
    "invalid_card_number": lambda payment_id, key: seal(CARD | {"card_number": NUMBER[:-1] + "0"}, payment_id, key),
    "expired_card": lambda payment_id, key: seal(CARD | {"expiry_date": "12/25"}, payment_id, key),
}
"""The card of a payment with this id, under this key, by the error that it leads to."""


@pytest.fixture(scope="module")
def with_invalid_cards(stack: Stack) -> dict[str, str]:
    """The ids of payments with these cards, all sent before any of them is waited for."""
    driver = Driver(stack)
    key = served_key(driver)

    def sent(sealed: Callable[[str, dict[str, str]], str]) -> str:
        payment_id = new_payment_id()
        driver.pay(payment_id, card_data=sealed(payment_id, key))
        return payment_id

    return {error: sent(sealed) for error, sealed in INVALID_CARDS.items()}


@pytest.mark.parametrize("error", INVALID_CARDS)
def test_an_invalid_sealed_card_is_rejected_and_the_gateway_never_called(
    driver: Driver, with_invalid_cards: dict[str, str], error: str
) -> None:
    payment_id = with_invalid_cards[error]
    payment = driver.ended(payment_id)
    assert (payment["status"], payment["error"]) == ("rejected", error)
    assert driver.charges(payment_id) == []

"""Requests that the API refuses by itself: no execution exists afterwards."""

import json
from typing import Any

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from cli.stack import Stack, new_payment_id
from tests.stack.driver import CARD_DATA, PAYMENT, Driver


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in PAYMENT.items() if name != field}


BAD_BODIES: dict[str, Any] = {
    "no card data": without("card_data"),
    "no amount": without("amount_minor"),
    "no currency": without("currency"),
    "not a test card": PAYMENT | {"card_data": CARD_DATA | {"card_number": "4000056655665556"}},
    "fails Luhn": PAYMENT | {"card_data": CARD_DATA | {"card_number": "4242424242424241"}},
    "month 13": PAYMENT | {"card_data": CARD_DATA | {"expiry_date": "13/30"}},
    "a security code": PAYMENT | {"card_data": CARD_DATA | {"cvc": "123"}},
    "no holder": PAYMENT | {"card_data": {name: CARD_DATA[name] for name in ("card_number", "expiry_date")}},
    "amount zero": PAYMENT | {"amount_minor": 0},
    "amount negative": PAYMENT | {"amount_minor": -1},
    "amount a float": PAYMENT | {"amount_minor": 19.99},
    "amount a string": PAYMENT | {"amount_minor": "1999"},
    "amount a boolean": PAYMENT | {"amount_minor": True},
    "amount too large": PAYMENT | {"amount_minor": 100000000},
    "currency in lower case": PAYMENT | {"currency": "usd"},
    "unknown field": PAYMENT | {"surprise": 1},
    "reference too long": PAYMENT | {"merchant_reference": "x" * 65},
    "a card number in the reference": PAYMENT | {"merchant_reference": "4242 4242 4242 4242"},
    "a card number in the description": PAYMENT | {"description": "paid with 4242-4242-4242-4242, thanks"},
    "capture not a boolean": PAYMENT | {"capture": "yes"},
    "an array": [PAYMENT],
    "a string": "hello",
    "null": None,
}


HOSTILE_KEYS = [
    "x" * 15,
    "x" * 65,
    'a"b' * 8,
    '","input":"{}","x":"',
    "${jndi:ldap://x}....",
    "../../../../../../x",
    "key with spaces in it",
    "$util.escapeJavaScript",
    "arn:aws:states:::x:y:z",
    "*" * 20,
    "'" * 20,
    "\\" * 20,
]


def send(stack: Stack, path: str, body: bytes, headers: dict[str, str]) -> requests.Response:
    """A signed POST of raw bytes."""
    url = stack.api_url + path
    request = AWSRequest("POST", url, data=body, headers=headers)
    credentials = stack.session().get_credentials()
    assert credentials is not None
    SigV4Auth(credentials, "execute-api", stack.region).add_auth(request)
    return requests.post(url, data=body, headers=dict(request.headers), timeout=30)


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_payment_is_refused_before_an_execution_exists(driver: Driver, name: str) -> None:
    payment_id = new_payment_id()
    headers = {"Content-Type": "application/json", "Idempotency-Key": payment_id}
    answer = send(driver.stack, "/payments", json.dumps(BAD_BODIES[name]).encode(), headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert "Missing card data." in answer.json()["error"]["message"]
    assert "4242" not in answer.text
    assert driver.execution(payment_id) is None


@pytest.mark.parametrize("body", [b"", b"{", b"card", b'{"amount_minor": 1e400}', b"\xff\xfe"], ids=repr)
def test_a_body_that_is_not_json_is_refused(driver: Driver, body: bytes) -> None:
    payment_id = new_payment_id()
    headers = {"Content-Type": "application/json", "Idempotency-Key": payment_id}
    answer = send(driver.stack, "/payments", body, headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert driver.execution(payment_id) is None


def test_amounts_at_both_limits_are_accepted(driver: Driver) -> None:
    for amount in (1, 99999999):
        assert driver.paid(amount_minor=amount)["captured_minor"] == amount


def test_a_payment_needs_an_idempotency_key(driver: Driver) -> None:
    before = driver.executions()
    answer = driver.stack.call("POST", "/payments", PAYMENT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "missing_idempotency_key")
    assert driver.executions() == before


@pytest.mark.parametrize(
    "key",
    HOSTILE_KEYS,
    ids=lambda key: key[:12],
)
@pytest.mark.parametrize("path", ["/payments", "/cards"])
def test_a_hostile_idempotency_key_injects_nothing(driver: Driver, path: str, key: str) -> None:
    before = driver.executions()
    body = PAYMENT if path == "/payments" else {"card_data": CARD_DATA}
    answer = driver.stack.call("POST", path, body, {"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_idempotency_key")
    assert key not in answer.text
    assert driver.executions() == before


def test_another_media_type_is_refused(driver: Driver) -> None:
    for content_type in ("text/plain", "application/xml", "application/x-www-form-urlencoded"):
        payment_id = new_payment_id()
        headers = {"Content-Type": content_type, "Idempotency-Key": payment_id}
        answer = send(driver.stack, "/payments", b"<card/>", headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")
        assert driver.execution(payment_id) is None


def test_a_body_over_ten_megabytes_is_too_large(driver: Driver) -> None:
    payment_id = new_payment_id()
    headers = {"Content-Type": "application/json", "Idempotency-Key": payment_id}
    answer = send(driver.stack, "/payments", b" " * (10 * 1024 * 1024 + 1), headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert driver.execution(payment_id) is None


def test_a_stored_card_takes_card_data_alone(driver: Driver) -> None:
    for body in ({}, {"card_data": CARD_DATA, "amount_minor": 1}, {"card_data": CARD_DATA, "operation": "charge"}):
        payment_id, answer = driver.post("/cards", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
        assert driver.execution(payment_id) is None

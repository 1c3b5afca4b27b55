"""Rules for the whole API: ids, links, optional fields, and caching."""

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from client import seal
from client.transport import SigV4
from tests.stack.driver import CARD_DATA, PAYMENT, Driver
from tests.stack.test_sealed_cards import CARD, served_key
from tools.deployment.stack import Stack, new_payment_id

NO_ID = ("x", "x" * 15, "x" * 65, "x" * 2043, "4000056655665556", "%20", "%00", "%ff", "%0a" * 20, "a%2Fb", "😀", "...")
OPERATIONS = ("refunds", "captures", "voids")


def resolved(stack: Stack, answer: requests.Response, link: str) -> dict[str, Any]:
    """Follow the link as a client resolves it: relative to the request's address."""
    credentials = stack.session().get_credentials()
    assert credentials
    response = requests.get(urljoin(answer.url, link), auth=SigV4(credentials, stack.region), timeout=30)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


# --- Links


def test_links_resolve_in_every_answer_that_has_them(driver: Driver) -> None:
    payment_id, accepted = driver.pay()
    card_id, stored = driver.post("/cards", {"card_data": CARD_DATA})
    driver.ended(payment_id)
    operation_id, refunded = driver.post(f"/payments/{payment_id}/refunds", {"amount_minor": 1})
    driver.operation(payment_id, operation_id)
    driver.ended(card_id)
    for answer, status_code in ((accepted, 202), (stored, 201), (refunded, 202)):
        assert answer.status_code == status_code
        assert resolved(driver.stack, answer, answer.headers["Location"])
        for link in (answer.json()["links"]["self"],):
            assert resolved(driver.stack, answer, link)["payment_id"] == answer.json()["payment_id"]
    _, used_payment = driver.pay(payment_id, amount_minor=1)
    _, used_operation = driver.post(f"/payments/{payment_id}/refunds", {"amount_minor": 2}, operation_id)
    for answer in (used_payment, used_operation):
        assert answer.status_code == 409
        assert resolved(driver.stack, answer, answer.json()["links"]["self"])["payment_id"] == payment_id


def test_links_resolve_at_a_custom_domain_with_and_without_a_base_path(driver: Driver) -> None:
    stack, api_id = driver.stack, driver.stack.api_url.split("/")[-2]
    # The only name with a dot that the emulator's access control accepts.
    domain = "127.0.0.1"
    assert stack.aws_endpoint_url
    client = stack.session().client("apigateway", endpoint_url=stack.aws_endpoint_url.replace(domain, "localhost"))
    client.create_domain_name(domainName=domain)
    credentials = stack.session().get_credentials()
    assert credentials
    try:
        client.create_base_path_mapping(domainName=domain, basePath="shop", restApiId=api_id, stage="v1")
        payment_id = new_payment_id()
        answer = requests.post(
            f"{stack.aws_endpoint_url}/shop/payments",
            data=json.dumps(PAYMENT),
            headers={"Content-Type": "application/json", "Idempotency-Key": payment_id},
            auth=SigV4(credentials, stack.region),
            timeout=30,
        )
        assert answer.headers["Location"] == answer.json()["links"]["self"] == f"/shop/payments/{payment_id}"
        assert resolved(stack, answer, answer.headers["Location"])["payment_id"] == payment_id
    finally:
        client.delete_base_path_mapping(domainName=domain, basePath="shop")
        client.delete_domain_name(domainName=domain)
    driver.ended(payment_id)


# --- Ids


@pytest.mark.parametrize("item", NO_ID)
def test_an_impossible_id_is_400_or_404_at_every_route(driver: Driver, item: str) -> None:
    routes = [("GET", f"/payments/{item}"), ("GET", f"/cards/{item}"), ("DELETE", f"/cards/{item}")]
    routes += [("POST", f"/payments/{item}/{operation}") for operation in OPERATIONS]
    for method, path in routes:
        key = {"Idempotency-Key": new_payment_id()} if method == "POST" else {}
        answer = driver.stack.call(method, path, {} if key else None, key)
        assert answer.status_code in (400, 404), f"{method} {path[:80]}: {answer.status_code} {answer.text}"
        assert set(answer.json()) == {"error"}


def spellings() -> Iterator[str]:
    """Spellings of the same UUID."""
    original = uuid.uuid4()
    yield from (str(original), str(original).upper(), original.hex, original.hex.upper())


def test_every_spelling_of_a_uuid_is_the_same_payment_or_operation(driver: Driver) -> None:
    written, operation = list(spellings()), list(spellings())
    answers = [driver.pay(each)[1] for each in written]
    assert {answer.json()["payment_id"] for answer in answers} == {written[0]}
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert driver.ended(written[-1])["status"] == "captured"
    assert [driver.stack.payment(each)["payment_id"] for each in written] == [written[0]] * 4
    assert len(driver.charges(written[0])) == 1

    refunds = [
        driver.post(f"/payments/{payment_id}/refunds", {"amount_minor": 500}, key)[1].json()
        for payment_id, key in zip(written, operation, strict=True)
    ]
    ids = {(refund["payment_id"], refund["operation_id"]) for refund in refunds}
    assert ids == {(written[0], operation[0])}
    driver.operation(written[0], operation[0])
    assert driver.stack.payment(written[0])["refunded_minor"] == 500


def test_a_card_sealed_for_a_uuid_is_valid_for_any_of_its_spellings(driver: Driver) -> None:
    sent, sealed_for = list(spellings())[1:3]
    driver.pay(sent, card_data=seal(CARD, sealed_for, served_key(driver)))
    assert driver.ended(sent)["status"] == "captured"


# --- Optional fields, and notations of numbers


def test_null_means_absent(driver: Driver) -> None:
    nothing = dict.fromkeys(("token", "merchant_reference", "description", "capture", "save_card"))
    payment_id, answer = driver.post("/payments", PAYMENT | nothing)
    assert answer.status_code == 202, answer.text
    payment = driver.ended(payment_id)
    assert (payment["status"], payment["merchant_reference"], payment["card"]["token"]) == ("captured", None, None)
    operation_id, _ = driver.post(f"/payments/{payment_id}/refunds", {"amount_minor": None})
    assert driver.operation(payment_id, operation_id)["amount_minor"] == 1999

    token = driver.paid(save_card=True)["card"]["token"]
    by_token = PAYMENT | {"card_data": None, "token": token}
    payment_id, answer = driver.post("/payments", by_token)
    assert answer.status_code == 202, answer.text
    assert driver.ended(payment_id)["card"]["token"] == token


@pytest.mark.parametrize(("written", "amount"), [("1999.0", 1999), ("1.999e3", 1999), ("12345678.0", 12345678)])
def test_an_integer_may_be_written_as_any_number(driver: Driver, written: str, amount: int) -> None:
    def post(path: str, body: str) -> str:
        key, credentials = new_payment_id(), driver.stack.session().get_credentials()
        assert credentials
        answer = requests.post(
            driver.stack.api_url + path,
            data=body,
            headers={"Content-Type": "application/json", "Idempotency-Key": key},
            auth=SigV4(credentials, driver.stack.region),
            timeout=30,
        )
        assert answer.status_code == 202, answer.text
        return key

    payment_id = post("/payments", json.dumps(PAYMENT).replace("1999", written))
    assert '"amount_minor": ' + str(amount) in json.dumps(driver.ended(payment_id))
    operation_id = post(f"/payments/{payment_id}/refunds", f'{{"amount_minor": {written}}}')
    assert driver.operation(payment_id, operation_id)["status"] == "succeeded"
    [charge] = driver.charges(payment_id)
    assert (charge["amount_minor"], charge["refunded_minor"]) == (amount, amount)


# --- Caches


def test_no_answer_may_be_cached(driver: Driver) -> None:
    stack = driver.stack
    payment = driver.paid(save_card=True)
    payment_id, card = payment["payment_id"], f"/cards/{payment['card']['token']}"
    keyed = {"Idempotency-Key": new_payment_id()}
    answers = [
        stack.call("GET", f"/payments/{payment_id}"),
        stack.call("GET", f"/payments/{new_payment_id()}"),
        stack.call("GET", "/keys"),
        stack.call("GET", card),
        stack.call("DELETE", card),
        stack.call("DELETE", card),
        stack.call("GET", "/nowhere"),
        stack.call("GET", "/"),
        stack.call("POST", "/payments", PAYMENT, keyed),
        stack.call("POST", "/payments", PAYMENT | {"amount_minor": 1}, keyed),
        stack.call("POST", "/payments", PAYMENT),
        stack.call("POST", "/payments", {}, keyed),
        stack.call("POST", "/payments", {}, keyed | {"Content-Type": "application/xml"}),
        stack.call("POST", "/payments/x/refunds", {}, keyed),
        requests.get(f"{stack.api_url}/payments/{payment_id}", timeout=30),
        requests.get(f"{stack.api_url}/nowhere", timeout=30),
    ]
    assert {answer.status_code for answer in answers} == {200, 202, 204, 400, 403, 404, 409, 415}
    cacheable = [answer.url for answer in answers if answer.headers.get("Cache-Control") != "no-store"]
    assert cacheable == []
    driver.ended(keyed["Idempotency-Key"])

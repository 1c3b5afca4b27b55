"""Card testing over the REST API, detected by order, by digits and by expiry date. Real numbers, sealed."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from client import seal
from functions.shared.domain.card_number import passes_luhn
from tests.aws_facts import facts
from tests.stack.driver import CARD_DATA, Driver
from tools.deployment.stack import new_payment_id

DECLINED_TEST_CARD = CARD_DATA | {"card_number": "4000000000000002"}


def numbers(bin: str, last4: str | None = None) -> Iterable[str]:
    """Card numbers of one bank with these endings that are not published test cards."""
    middles = (f"{bin}{n:06}{last4}" for n in range(10**6)) if last4 else (f"{bin}{n:010}" for n in range(10**6))
    return filter(passes_luhn, middles)


@pytest.fixture
def key(driver: Driver) -> dict[str, str]:
    [key] = driver.stack.call("GET", "/keys").json()["keys"]
    return dict(key)


@pytest.fixture
def pay_each(driver: Driver, key: dict[str, str]) -> Callable[..., list[dict[str, Any]]]:
    """Pay with, or store, each of the cards, eight at a time. Return how each ended."""

    def pay_one(card: dict[str, str], path: str, order: dict[str, Any]) -> dict[str, Any]:
        payment_id = new_payment_id()
        _, answer = driver.post(path, order | {"card_data": seal(card, payment_id, key)}, payment_id)
        if path == "/cards":  # which is answered at once
            content: dict[str, Any] = answer.json()
            assert answer.status_code == (422 if "error" in content else 201), answer.text
            return {"decline_code": None} | content
        assert answer.status_code == 202, answer.text
        return driver.ended(payment_id)

    def pay_each(
        cards: Iterable[dict[str, str]], path: str = "/payments", *, at_a_time: int = 8, **order: Any
    ) -> list[dict[str, Any]]:
        body = {} if path == "/cards" else {"amount_minor": 100, "currency": "USD"} | order
        with ThreadPoolExecutor(at_a_time) as pool:
            return list(pool.map(lambda card: pay_one(card, path, body), cards))

    return pay_each


def card(number: str, expiry_date: str = "12/30") -> dict[str, str]:
    return {"card_number": number, "expiry_date": expiry_date, "card_holder": "Ada Lovelace"}


def first(count: int, of: Iterable[str]) -> list[str]:
    return [number for _, number in zip(range(count), of, strict=False)]


def outcomes(payments: Iterable[dict[str, Any]]) -> Counter[str]:
    return Counter(payment["decline_code"] or payment["status"] for payment in payments)


def test_of_many_cards_on_one_order_ten_are_charged_the_rest_denied_and_an_alarm_raised(
    driver: Driver, pay_each: Callable[..., list[dict[str, Any]]]
) -> None:
    payments = pay_each(map(card, first(26, numbers("401234"))), merchant_reference="order-of-a-thief")
    assert outcomes(payments) == {"captured": 10, "screened:reference_cards": 16}
    denied = [payment for payment in payments if payment["status"] == "declined"]
    assert [driver.charges(payment["payment_id"]) for payment in denied] == [[]] * 16
    assert {payment["card"]["fingerprint"] for payment in denied} == {None}
    records = [driver.payment_items(payment["payment_id"])["PAYMENT"] for payment in payments]
    assert sum({"S": "bin_cards"} in record["flags"]["L"] for record in records) >= 6
    logs = driver.stack.client("logs").get_paginator("filter_log_events")
    pages = logs.paginate(logGroupName=f"{driver.stack.log_group_prefix}screen", filterPattern='"ScreeningAlarm"')
    assert sum(len(page["events"]) for page in pages) >= 6


def test_guessing_the_middle_digits_of_a_card_has_four_tries(
    pay_each: Callable[..., list[dict[str, Any]]],
) -> None:
    cards = pay_each(map(card, first(8, numbers("402345", "6789"))), "/cards")
    assert outcomes(cards) == {"stored": 4, "screened:lookalike_cards": 4}
    assert [each["error"]["code"] for each in cards if "error" in each] == ["card_declined"] * 4
    assert len({each["card"]["fingerprint"] for each in cards if "card" in each}) == 4


def test_a_card_has_four_expiry_dates(pay_each: Callable[..., list[dict[str, Any]]]) -> None:
    [number] = first(1, numbers("403456"))
    # Each payment counts itself before it checks the count, so more than the fifth of simultaneous ones may be denied.
    payments = pay_each((card(number, f"{month:02}/31") for month in range(1, 9)), at_a_time=1)
    assert outcomes(payments) == {"captured": 4, "screened:card_expiry_dates": 4}


def test_an_order_with_five_declines_is_denied_except_for_test_cards(
    driver: Driver, pay_each: Callable[..., list[dict[str, Any]]]
) -> None:
    order = {"merchant_reference": "order-in-vain"}
    for _ in range(5):
        assert driver.paid(card_data=DECLINED_TEST_CARD, **order)["decline_code"] == "do_not_honor"
    [number] = first(1, numbers("404567"))
    assert outcomes(pay_each([card(number)], **order)) == {"screened:reference_declines": 1}
    assert outcomes(pay_each([card(number)], merchant_reference="another-order")) == {"captured": 1}
    assert driver.paid(card_data=DECLINED_TEST_CARD, **order)["decline_code"] == "do_not_honor"


def test_a_failed_condition_returns_the_item_as_aws_documents(driver: Driver) -> None:
    documented, dynamodb = facts("dynamodb_failed_condition"), driver.stack.client("dynamodb")
    key = {"pk": {"S": "VELOCITY#bin#nobody's"}, "sk": {"S": "2026-11-23T09:00:00Z"}}
    item, table = key | {"cards": {"BS": [b"1"]}}, driver.stack.table_of("VELOCITY#")
    dynamodb.put_item(TableName=table, Item=item)
    with pytest.raises(ClientError) as refused:
        dynamodb.update_item(
            TableName=table,
            Key=key,
            UpdateExpression="SET expires_at = :at",
            ConditionExpression="size(cards) < :one",
            ExpressionAttributeValues={":at": {"N": "1"}, ":one": {"N": "1"}},
            ReturnValuesOnConditionCheckFailure=documented["asked"],
        )
    dynamodb.delete_item(TableName=table, Key=key)
    answer: dict[str, Any] = dict(refused.value.response)
    assert answer["Error"]["Code"] == documented["error"]
    assert answer[documented["told_in"]] == item

from typing import Any

import pytest

from functions.shared.domain.errors import ExpiredCard, InvalidInput
from functions.tokenize.handler import handler
from tests.samples import CARD_DATA, HOLDER, PAN
from tests.unit.functions.conftest import Output, World

REQUEST = {"amount_minor": 1999, "currency": "USD", "card_data": CARD_DATA}


def test_a_request_is_tokenized_and_leaves_no_card_in_the_log(world: World, output: Output) -> None:
    tokenized = handler({"payment_id": "payment-of-ours-1", "request": REQUEST}, None)
    assert tokenized["card"]["last4"] == "4242"
    assert PAN not in repr(tokenized)
    assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}
    assert PAN not in output.text
    assert HOLDER not in output.text


def test_a_request_without_a_card_is_missing_card_data(world: World, output: Output) -> None:
    with pytest.raises(InvalidInput) as refused:
        handler({"payment_id": "payment-of-ours-1", "request": {"amount_minor": 1999, "currency": "USD"}}, None)
    assert str(refused.value) == "Missing card data."
    assert output.metrics() == {"PaymentRejected": [1.0]}


def test_an_expired_card_is_rejected_and_counted(world: World, output: Output) -> None:
    expired = REQUEST | {"card_data": CARD_DATA | {"expiry_date": "12/20"}}
    with pytest.raises(ExpiredCard):
        handler({"payment_id": "payment-of-ours-1", "request": expired}, None)
    assert output.metrics() == {"PaymentRejected": [1.0]}
    assert PAN not in output.text


@pytest.mark.parametrize("amount", [0, -1, 19.99, "1999", True, 10**12, None])
def test_an_amount_is_a_positive_integer_of_at_most_twelve_digits(world: World, amount: Any) -> None:
    with pytest.raises(InvalidInput):
        handler({"payment_id": "payment-of-ours-1", "request": REQUEST | {"amount_minor": amount}}, None)


def test_an_amount_is_an_integer_however_it_was_written(world: World) -> None:
    tokenized = handler({"payment_id": "payment-of-ours-1", "request": REQUEST | {"amount_minor": 1999.0}}, None)
    assert repr(tokenized["payment"]["amount_minor"]) == "1999"


def test_null_means_absent(world: World) -> None:
    nothing = dict.fromkeys(("token", "merchant_reference", "description", "capture", "save_card"))
    event = {"payment_id": "payment-of-ours-1", "request": REQUEST}
    assert handler(event | {"request": REQUEST | nothing}, None) == handler(event, None)


@pytest.mark.parametrize("field", ["amount_minor", "currency"])
def test_a_payment_needs_an_amount_and_a_currency_and_a_card_to_store_does_not(world: World, field: str) -> None:
    request = {name: value for name, value in REQUEST.items() if name != field}
    with pytest.raises(InvalidInput):
        handler({"payment_id": "payment-of-ours-1", "request": request}, None)
    to_store = {"card_data": CARD_DATA, "caller": None}
    assert handler({"payment_id": "payment-of-ours-1", "store_request": to_store}, None)["card"]["token"]


def test_a_card_security_code_has_no_place_in_the_request(world: World) -> None:
    with pytest.raises(InvalidInput, match="has a field that the contract does not know"):
        handler(
            {"payment_id": "payment-of-ours-1", "request": REQUEST | {"card_data": CARD_DATA | {"cvc": "123"}}}, None
        )

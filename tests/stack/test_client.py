"""The merchant's client on a real stack."""

import pytest
from botocore.credentials import Credentials

from client import (
    AccessDenied,
    CardData,
    KeyUsedForAnother,
    NotFound,
    Operation,
    Payment,
    PaymentsClient,
    RequestRefused,
)
from tests.stack.driver import Driver
from tools.deployment.stack import new_payment_id
from tools.local.machine import Machine

# Passes Luhn but is not a published test card, so it must be sealed.
CARD = CardData("4000056655665556", "12/30", "Ada Lovelace")


@pytest.fixture
def payments(driver: Driver, machine: Machine) -> PaymentsClient:
    return PaymentsClient.from_stack_file(machine.stack_file)


def pay(payments: PaymentsClient, key: str | None = None, amount_minor: int = 1999) -> str:
    return payments.pay(amount_minor=amount_minor, currency="USD", card=CARD, idempotency_key=key).payment_id


def test_a_card_is_sealed_and_charged_once_however_often_the_key_is_used(
    driver: Driver, payments: PaymentsClient
) -> None:
    key = new_payment_id()
    assert [pay(payments, key), pay(payments, key)] == [key, key]
    payment = payments.wait(key)
    assert (payment.status, payment.captured_minor) == ("captured", 1999)
    assert payment.card is not None
    assert (payment.card.brand, payment.card.last4) == ("visa", CARD.card_number[-4:])
    assert pay(payments, key) == key
    assert len(driver.charges(key)) == 1
    with pytest.raises(KeyUsedForAnother):
        pay(payments, key, amount_minor=2000)


def test_a_decline_is_a_value(payments: PaymentsClient) -> None:
    card = CardData("4000000000009995", "12/30", "Ada Lovelace")
    payment = payments.wait(payments.pay(amount_minor=1999, currency="USD", card=card).payment_id)
    assert (payment.status, payment.decline_code) == ("declined", "insufficient_funds")


def test_a_stored_card_is_shown_until_it_is_erased(payments: PaymentsClient) -> None:
    key = new_payment_id()
    stored = payments.store_card(CARD, idempotency_key=key)
    again = payments.store_card(CARD, idempotency_key=key)
    assert (again.payment_id, again.status, again.card) == (key, "stored", stored.card)
    assert payments.payment(key).card == stored.card
    assert stored.card is not None
    token = stored.card.token
    assert token is not None
    assert payments.card(token) == stored.card
    payments.erase_card(token)
    with pytest.raises(NotFound):
        payments.card(token)
    payments.erase_card(token)


def test_a_capture_and_a_refund_happen_once_per_key(driver: Driver, payments: PaymentsClient) -> None:
    paid = payments.pay(amount_minor=2000, currency="USD", card=CARD, capture=False).payment_id
    assert payments.wait(paid).status == "authorized"

    def ended(operation: Operation) -> tuple[str, str | None]:
        final = payments.wait_for_operation(paid, operation.operation_id)
        return final.status, final.error

    assert ended(payments.capture(paid, 1000)) == ("succeeded", None)
    assert ended(payments.void(paid)) == ("rejected", "invalid_state")
    key = new_payment_id()
    refunds = [payments.refund(paid, 400, idempotency_key=key) for _ in range(2)]
    assert [ended(refund) for refund in refunds] == [("succeeded", None)] * 2
    assert payments.refund(paid, 400, idempotency_key=key).status == "succeeded"
    with pytest.raises(KeyUsedForAnother):
        payments.refund(paid, 500, idempotency_key=key)
    assert ended(payments.refund(paid, 700)) == ("rejected", "amount_exceeds_captured")
    payment = payments.payment(paid)
    assert (payment.status, payment.captured_minor, payment.refunded_minor) == ("partially_refunded", 1000, 400)
    assert ended(payments.refund(paid)) == ("succeeded", None)
    assert payments.payment(paid).status == "refunded"
    assert driver.charges(paid)[0]["refunded_minor"] == 1000


def test_an_authorization_is_voided(payments: PaymentsClient) -> None:
    paid = payments.pay(amount_minor=2000, currency="USD", card=CARD, capture=False).payment_id
    payments.wait(paid)
    voided = payments.void(paid)
    assert payments.wait_for_operation(paid, voided.operation_id).status == "succeeded"
    assert payments.payment(paid).status == "voided"


def test_a_stored_card_pays_by_its_token_until_it_is_erased(payments: PaymentsClient) -> None:
    stored = payments.store_card(CARD).card
    assert stored is not None
    assert stored.token is not None

    def paid_by_token() -> Payment:
        return payments.wait(payments.pay(amount_minor=1999, currency="USD", token=stored.token).payment_id)

    assert paid_by_token().status == "captured"
    payments.erase_card(stored.token)
    assert paid_by_token().error == "unknown_token"


def test_the_apis_refusals_are_raised(driver: Driver, payments: PaymentsClient) -> None:
    with pytest.raises(RequestRefused) as raised:
        pay(payments, amount_minor=0)
    assert raised.value.code == "invalid_request"
    with pytest.raises(NotFound):
        payments.payment(new_payment_id())
    stack = driver.stack
    for key_id, secret in ((stack.access_key_id or "", "wrong"), ("AKIAUNKNOWN", "wrong")):
        stranger = PaymentsClient(stack.api_url, stack.region, Credentials(key_id, secret))
        with pytest.raises(AccessDenied):
            stranger.keys()

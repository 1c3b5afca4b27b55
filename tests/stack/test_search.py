"""GET /payments on a real stack: by the client, and as any HTTP client asks."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from client import Payment, PaymentsClient
from tests.stack.driver import Driver
from tools.deployment.polling import wait_for
from tools.deployment.stack import new_payment_id
from tools.local.machine import Machine

DECLINED = {"card_number": "4000000000009995", "expiry_date": "12/30", "card_holder": "John Doe"}
TODAY = datetime.now(UTC).date()


@pytest.fixture
def payments(driver: Driver, machine: Machine) -> PaymentsClient:
    return PaymentsClient.from_stack_file(machine.stack_file)


def find_page(driver: Driver, query: str) -> dict[str, Any]:
    answer = driver.stack.call("GET", f"/payments?{query}")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    page: dict[str, Any] = answer.json()
    return page


def test_payments_are_found_by_their_reference_and_shown_as_by_their_id(
    driver: Driver, payments: PaymentsClient
) -> None:
    reference = f"order {new_payment_id()}/ä"
    first, second = (driver.paid(merchant_reference=reference) for _ in range(2))

    def search() -> list[Payment]:
        return list(payments.search(merchant_reference=reference))

    listed = wait_for(search, 10, until=lambda listed: len(listed) == 2)
    assert listed == [payments.payment(payment["payment_id"]) for payment in (second, first)]
    assert list(payments.search(merchant_reference=f"{reference}…")) == []


def test_payments_of_a_status_come_in_pages_newest_first(driver: Driver, payments: PaymentsClient) -> None:
    since = datetime.now(UTC)
    declined = [driver.paid(card_data=DECLINED)["payment_id"] for _ in range(3)]
    driver.paid()

    def search() -> list[str]:
        return [payment.payment_id for payment in payments.search(status="declined", since=since)]

    assert wait_for(search, 10, until=lambda ids: len(ids) == 3) == declined[::-1]
    query = f"status=declined&from={TODAY}&limit=2"
    page = find_page(driver, query)
    assert [payment["payment_id"] for payment in page["payments"]] == [declined[2], declined[1]]
    following = find_page(driver, f"{query}&cursor={page['next_cursor']}")
    assert following["payments"][0]["payment_id"] == declined[0]


def test_a_refund_moves_a_payment_to_its_new_status(driver: Driver) -> None:
    since = f"from={quote(datetime.now(UTC).isoformat(), safe='')}"
    payment_id = driver.paid()["payment_id"]

    def ids(status: str) -> list[str]:
        return [payment["payment_id"] for payment in find_page(driver, f"{since}&status={status}")["payments"]]

    assert wait_for(lambda: ids("captured"), 10, until=lambda ids: ids == [payment_id]) == [payment_id]
    operation_id, _ = driver.post(f"/payments/{payment_id}/refunds", {})
    driver.operation(payment_id, operation_id)
    assert wait_for(lambda: ids("refunded"), 10, until=lambda ids: ids == [payment_id]) == [payment_id]
    assert ids("captured") == []


@pytest.mark.parametrize("query", ["reference=order-1", "status=processing", "from=yesterday", "limit=0", "cursor=x"])
def test_a_search_that_makes_no_sense_is_refused(driver: Driver, query: str) -> None:
    answer = driver.stack.call("GET", f"/payments?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")

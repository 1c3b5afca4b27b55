"""The deployed mapping templates, and header names as clients of HTTP/1.1 and of HTTP/2 send them."""

import pytest

from tests.mapping_templates import OPERATIONS, STARTS, answering, started, starting
from tests.stack.deployed import deployed
from tests.stack.driver import PAYMENT, Driver
from tools.deployment.stack import Stack, new_payment_id


def test_the_deployed_templates_are_those_of_the_other_tests(stack: Stack) -> None:
    methods = deployed(stack).methods
    for route in STARTS:
        method = methods["POST", f"/payments/{{payment_id}}/{route}" if route in OPERATIONS else f"/{route}"]
        state_machine = stack.live_arn(
            "operation" if route in OPERATIONS else "store_card" if route == "cards" else "payment"
        )
        assert method.request_template == starting(route, state_machine)
        assert method.response_templates == {answering(route, end) for end in (started(route), "refused")}


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
def test_the_keys_header_may_be_written_in_any_case(driver: Driver, name: str) -> None:
    payment_id, operation_id = new_payment_id(), new_payment_id()

    def post(path: str, key: str, **body: object) -> tuple[int, dict[str, object]]:
        answer = driver.stack.call("POST", path, body, {name: key})
        return answer.status_code, answer.json()

    started = {"payment_id": payment_id, "status": "processing", "links": {"self": driver.place(payment_id)}}
    assert post("/payments", payment_id, **PAYMENT) == (202, started)
    assert driver.ended(payment_id)["status"] == "captured"
    driver.wait_for_execution(payment_id)
    status, exists = post("/payments", payment_id, **PAYMENT)
    assert (status, exists["payment_id"], "operation_id" in exists) == (409, payment_id, False)

    refunds = f"/payments/{payment_id}/refunds"
    assert post(refunds, operation_id) == (202, started | {"operation_id": operation_id})
    assert driver.operation(payment_id, operation_id)["status"] == "succeeded"
    driver.wait_for_operation_execution(operation_id)
    status, exists = post(refunds, operation_id)
    assert (status, exists["operation_id"], exists["payment_id"]) == (409, operation_id, payment_id)


@pytest.mark.parametrize("path", ["/payments", "/cards", "/payments/a-payment-of-nobody-1/refunds"])
def test_a_key_in_the_query_string_is_ignored(driver: Driver, path: str) -> None:
    key, body = new_payment_id(), {"card_data": PAYMENT["card_data"]} if path == "/cards" else PAYMENT
    answer = driver.stack.call("POST", f"{path}?Idempotency-Key={key}", {} if "refunds" in path else body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "missing_idempotency_key")

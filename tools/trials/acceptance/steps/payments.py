"""Payments of every kind, each over HTTP/1.1 and over HTTP/2, which sends header names in lower case."""

from collections.abc import Callable
from typing import Any

from client import CardData, NotFound, PaymentsClient
from tools.deployment.stack import UNDER_WAY, new_payment_id
from tools.trials.acceptance.run import Protocol, Run, Step, Unexpected, expect_equal
from tools.trials.replay import answer_bank

CARD_DATA = {"card_number": "4242424242424242", "expiry_date": "12/30", "card_holder": "John Doe"}
PAYMENT = {"amount_minor": 1999, "currency": "USD", "card_data": CARD_DATA, "merchant_reference": "order-1001"}
AUTHORIZATION = PAYMENT | {"capture": False}
CHALLENGED = PAYMENT | {
    "card_data": CARD_DATA | {"card_number": "4000002500003155"},
    "return_url": "http://localhost:8080/orders/order-1001",
}


def pay(run: Run, body: Any = PAYMENT, *, protocol: Protocol = "HTTP/1.1") -> dict[str, Any]:
    """Make a payment, wait until it ends, and return it."""
    return run.wait_until_ended(run.start("/payments", body, protocol=protocol), protocol=protocol)


def in_the_clear(run: Run, protocol: Protocol) -> None:
    expect_equal("the status", pay(run, protocol=protocol)["status"], "captured")


def sealed(run: Run, protocol: Protocol) -> None:
    payment_id = new_payment_id()
    body = PAYMENT | {"card_data": run.seal(CARD_DATA, payment_id)}
    run.start("/payments", body, key=payment_id, protocol=protocol)
    expect_equal("the status", run.wait_until_ended(payment_id, protocol=protocol)["status"], "captured")


def by_token(run: Run, protocol: Protocol) -> None:
    stored = run.wait_until_ended(run.start("/cards", {"card_data": CARD_DATA}, protocol=protocol), protocol=protocol)
    expect_equal("the stored card's status", stored["status"], "stored")
    body = {name: value for name, value in PAYMENT.items() if name != "card_data"}
    payment = pay(run, body | {"token": stored["card"]["token"]}, protocol=protocol)
    expect_equal("the status", (payment["status"], payment["card"]["last4"]), ("captured", "4242"))


def declined(run: Run, protocol: Protocol) -> None:
    card_data = CARD_DATA | {"card_number": "4000000000009995"}
    payment = pay(run, PAYMENT | {"card_data": card_data}, protocol=protocol)
    expect_equal("the status", (payment["status"], payment["decline_code"]), ("declined", "insufficient_funds"))


def authorized(run: Run, protocol: Protocol) -> None:
    payment = pay(run, AUTHORIZATION, protocol=protocol)
    expect_equal("the status", (payment["status"], payment["captured_minor"]), ("authorized", 0))


def captured(run: Run, protocol: Protocol) -> None:
    payment = pay_and_operate(run, AUTHORIZATION, "captures", {"amount_minor": 1500}, protocol)
    expect_equal("the status", (payment["status"], payment["captured_minor"]), ("captured", 1500))


def voided(run: Run, protocol: Protocol) -> None:
    expect_equal("the status", pay_and_operate(run, AUTHORIZATION, "voids", {}, protocol)["status"], "voided")


def refunded_in_part(run: Run, protocol: Protocol) -> None:
    payment = pay_and_operate(run, PAYMENT, "refunds", {"amount_minor": 500}, protocol)
    expect_equal("the status", (payment["status"], payment["refunded_minor"]), ("partially_refunded", 500))


def refunded(run: Run, protocol: Protocol) -> None:
    payment = pay_and_operate(run, PAYMENT, "refunds", {}, protocol)
    expect_equal("the status", (payment["status"], payment["refunded_minor"]), ("refunded", 1999))


def challenged(run: Run, protocol: Protocol) -> None:
    expect_equal("the status", pay_and_answer(run, "approve", protocol)["status"], "captured")


def challenge_failed(run: Run, protocol: Protocol) -> None:
    payment = pay_and_answer(run, "fail", protocol)
    expect_equal("the status", (payment["status"], payment["decline_code"]), ("declined", "authentication_failed"))


def pay_and_answer(run: Run, customer: str, protocol: Protocol) -> dict[str, Any]:
    """Make a payment about which the bank asks, answer for the customer, and return the payment after its end."""
    run.require_sandbox()
    payment = pay(run, CHALLENGED, protocol=protocol)
    expect_equal("the status", payment["status"], "action_required")
    answer_bank(payment["next_action"]["url"], customer)
    return run.wait_until(payment["payment_id"], lambda each: each["status"] not in UNDER_WAY, protocol=protocol)


def pay_and_operate(run: Run, payment_request: Any, kind: str, body: Any, protocol: Protocol) -> dict[str, Any]:
    """Make a payment and one operation on it, and return the payment after both have ended."""
    payment_id = pay(run, payment_request, protocol=protocol)["payment_id"]
    operation_id = run.start(f"/payments/{payment_id}/{kind}", body, protocol=protocol)
    return run.wait_until_ended(payment_id, operation_id, protocol=protocol)


def pay_with_client(run: Run) -> None:
    """Use the client in client/, which signs, seals and polls by itself. Its answers are not recorded."""
    client = PaymentsClient(run.stack.api_url, run.stack.region, run.credentials)
    card = CardData(**CARD_DATA)
    payment = client.wait(client.pay(amount_minor=1999, currency="USD", card=card).payment_id)
    expect_equal("the status", payment.status, "captured")
    refund = client.refund(payment.payment_id, 500)
    expect_equal("the refund", client.wait_for_operation(payment.payment_id, refund.operation_id).status, "succeeded")
    try:
        client.payment(new_payment_id())
    except NotFound:
        return
    raise Unexpected("A payment that was never made was found.")


PAYMENT_KINDS: dict[str, Callable[[Run, Protocol], None]] = {
    "a test card in the clear": in_the_clear,
    "a sealed card": sealed,
    "a stored card, by its token": by_token,
    "a card that is declined": declined,
    "a payment whose bank asks the customer, who approves": challenged,
    "a payment whose bank asks the customer, who fails": challenge_failed,
    "an authorization": authorized,
    "an authorization that is captured in part": captured,
    "an authorization that is voided": voided,
    "a payment that is refunded in part": refunded_in_part,
    "a payment that is refunded": refunded,
}
PROTOCOLS: tuple[Protocol, ...] = ("HTTP/1.1", "HTTP/2")


def _with_protocol(protocol: Protocol, kind: Callable[[Run, Protocol], None]) -> Callable[[Run], None]:
    return lambda run: kind(run, protocol)


STEPS = [
    *(
        Step("payments", f"{name}, over {protocol}", _with_protocol(protocol, kind))
        for protocol in PROTOCOLS
        for name, kind in PAYMENT_KINDS.items()
    ),
    Step("payments", "the client in Python pays, refunds and tells an error by its type", pay_with_client),
]

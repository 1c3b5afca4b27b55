"""Payments over the REST API, and their effects at the gateway and in the ledger."""

import json
import re
import time

import pytest
import requests

from client.transport import SigV4
from tests.stack.driver import CARD_DATA, PAYMENT, Driver
from tools.deployment.definitions import MACHINES, definition
from tools.deployment.polling import has_ended, wait_for
from tools.deployment.stack import Stack, new_payment_id

HAPPY_PATH = ["Tokenize", "Screen", "Encrypt", "Charge", "Persist"]


def test_an_approved_payment_is_charged_once_and_recorded_in_balance(driver: Driver) -> None:
    payment = driver.paid(merchant_reference="order-1")
    payment_id = payment["payment_id"]
    [charge] = driver.charges(payment_id)
    assert (payment["status"], payment["captured_minor"]) == ("captured", 1999)
    assert (charge["status"], charge["captured_minor"]) == ("captured", 1999)
    assert payment["charge_id"] == charge["id"]
    assert driver.account_totals(payment_id) == {"asset:gateway:sparkle": 1999, "liability:merchant": -1999}
    assert driver.states(payment_id) == HAPPY_PATH


def test_a_payment_is_accepted_with_its_location(driver: Driver) -> None:
    payment_id, answer = driver.pay()
    assert answer.status_code == 202
    assert answer.headers["Location"] == driver.place(payment_id)
    assert answer.json() == {
        "payment_id": payment_id,
        "status": "processing",
        "links": {"self": driver.place(payment_id)},
    }


def test_a_declined_payment_is_recorded_and_moves_no_money(driver: Driver) -> None:
    payment = driver.paid(card_data=CARD_DATA | {"card_number": "4000000000009995"})
    assert (payment["status"], payment["decline_code"]) == ("declined", "insufficient_funds")
    assert list(driver.payment_items(payment["payment_id"])) == ["EVENT#000001", "PAYMENT"]
    assert driver.states(payment["payment_id"])[-1] == "Persist"


def test_an_authorization_holds_the_money_without_an_entry(driver: Driver) -> None:
    payment = driver.paid(capture=False)
    [charge] = driver.charges(payment["payment_id"])
    assert (payment["status"], payment["captured_minor"]) == ("authorized", 0)
    assert (charge["status"], charge["captured_minor"]) == ("authorized", 0)
    assert driver.account_totals(payment["payment_id"]) == {}


def test_the_same_key_and_body_while_it_runs_is_accepted_again(driver: Driver) -> None:
    payment_id = new_payment_id()
    driver.set_fault(payment_id, "charge", "slow", seconds=2)
    _, first = driver.pay(payment_id)
    _, again = driver.pay(payment_id)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert driver.ended(payment_id)["status"] == "captured"
    assert len(driver.charges(payment_id)) == 1


def test_the_same_key_with_another_body_is_a_conflict(driver: Driver) -> None:
    payment_id = new_payment_id()
    driver.set_fault(payment_id, "charge", "slow", seconds=2)
    driver.pay(payment_id)
    _, answer = driver.pay(payment_id, amount_minor=2000)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "payment_exists"
    assert driver.ended(payment_id)["amount_minor"] == 1999


def test_the_same_json_in_another_order_is_the_same_body(driver: Driver) -> None:
    payment_id = new_payment_id()
    driver.set_fault(payment_id, "charge", "slow", seconds=2)
    _, first = driver.pay(payment_id, description="Two tickets")
    turned = dict(reversed((PAYMENT | {"description": "Two tickets"}).items()))
    turned["card_data"] = dict(reversed(CARD_DATA.items()))
    _, again = driver.post("/payments", turned, payment_id)
    assert (first.status_code, again.status_code) == (202, 202)
    assert driver.ended(payment_id)["status"] == "captured"


@pytest.mark.parametrize("name", MACHINES)
def test_a_state_machine_is_deployed_as_its_definition_is_read(driver: Driver, name: str) -> None:
    states, arn = driver.stack.client("stepfunctions"), driver.stack.machine_arn(name)
    deployed = states.describe_state_machine(stateMachineArn=arn)["definition"]
    with_placeholders = re.sub(r"arn:[^\"]+:function:[^\"]*-(\w+):\d+", r"${\1_function_arn}", deployed)
    with_placeholders = with_placeholders.replace("arn:aws:states:::", "arn:${partition}:states:::")
    assert json.loads(with_placeholders) == json.loads(definition(name))


def test_a_payment_that_only_the_books_remember_is_not_charged_again(driver: Driver) -> None:
    """Step Functions deletes an execution after 90 days, DynamoDB what a payment has only until it ends, and the
    gateway a key and a reference whenever it likes. So the same payment is started again on a new state machine with
    the deployed definition and role."""
    payment = driver.paid()
    payment_id = payment["payment_id"]
    request = json.loads((driver.execution(payment_id) or {})["input"])
    driver.stack.sandbox("POST", "/sandbox/forget", json={"reference": payment_id}).raise_for_status()
    ephemeral = driver.stack.resource("dynamodb").Table(driver.stack.function_name("ephemeral"))
    ephemeral.delete_item(Key={"payment_id": payment_id})
    states = driver.stack.client("stepfunctions")
    deployed = states.describe_state_machine(stateMachineArn=driver.stack.machine_arn("payment"))
    other_machine = states.create_state_machine(
        name=f"again-{payment_id}", definition=deployed["definition"], roleArn=deployed["roleArn"]
    )["stateMachineArn"]
    try:
        arn = states.start_execution(stateMachineArn=other_machine, name=payment_id, input=json.dumps(request))[
            "executionArn"
        ]
        ended = wait_for(lambda: driver.stack.describe_execution(arn), 30, until=has_ended)
    finally:
        states.delete_state_machine(stateMachineArn=other_machine)
    assert (ended["status"], json.loads(ended["output"])["status"]) == ("SUCCEEDED", "captured")
    assert [charge["captured_minor"] for charge in driver.charges(payment_id)] == [1999]
    assert driver.stack.payment(payment_id) == payment


def test_a_key_that_was_used_leads_to_its_payment(driver: Driver) -> None:
    payment_id = driver.paid()["payment_id"]
    driver.wait_for_execution(payment_id)
    _, answer = driver.pay(payment_id)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "payment_exists"
    assert answer.json()["payment_id"] == payment_id
    assert answer.json()["links"] == {"self": driver.place(payment_id)}
    assert "arn:" not in answer.text


def test_a_payment_is_found_right_after_it_was_accepted_though_its_execution_is_seen_late(driver: Driver) -> None:
    payment_id = new_payment_id()
    driver.set_fault(payment_id, "charge", "slow", seconds=2)
    driver.pay(payment_id)
    states = driver.stack.client("stepfunctions")
    with pytest.raises(states.exceptions.ExecutionDoesNotExist):
        states.describe_execution(executionArn=driver.stack.execution_arn(payment_id))
    answer = driver.stack.call("GET", f"/payments/{payment_id}")
    assert (answer.status_code, answer.json()["status"]) == (200, "processing")
    assert driver.ended(payment_id)["status"] == "captured"


def test_a_payment_is_processing_while_it_runs(driver: Driver) -> None:
    payment_id = new_payment_id()
    driver.set_fault(payment_id, "charge", "slow", seconds=2)
    driver.pay(payment_id)
    payment = driver.stack.payment(payment_id)
    assert payment["status"] == "processing"
    assert (payment["amount_minor"], payment["currency"]) == (1999, "USD")
    assert payment["card"] is None
    driver.ended(payment_id)


def test_an_unknown_payment_is_not_found(driver: Driver) -> None:
    answer = driver.stack.call("GET", f"/payments/{new_payment_id()}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "payment_not_found"


def waited(driver: Driver, path: str, query: str) -> tuple[requests.Response, float]:
    """Return the answer, and how many seconds it took."""
    began = time.monotonic()
    answer = driver.stack.call("GET", f"/payments/{path}{query}")
    assert answer.headers["Cache-Control"] == "no-store"
    return answer, time.monotonic() - began


def test_a_wait_is_answered_as_soon_as_the_payment_has_ended(driver: Driver) -> None:
    payment_id = new_payment_id()
    driver.set_fault(payment_id, "charge", "slow", seconds=2)
    driver.pay(payment_id)
    answer, seconds = waited(driver, payment_id, "?wait=25")
    assert (answer.status_code, answer.json()["status"]) == (200, "captured")
    assert 1 < seconds < 12
    answer, seconds = waited(driver, payment_id, "?wait=25")
    assert answer.json()["status"] == "captured"
    assert seconds < 3


def test_a_wait_that_is_over_shows_the_payment_as_it_is(driver: Driver) -> None:
    payment_id = new_payment_id()
    driver.set_fault(payment_id, "charge", "slow", seconds=4)
    driver.pay(payment_id)
    answer, seconds = waited(driver, payment_id, "?wait=2")
    assert (answer.status_code, answer.json()["status"]) == (200, "processing")
    assert 2 <= seconds < 4
    driver.ended(payment_id)


def test_an_invalid_card_is_reported_long_before_the_wait_ends(driver: Driver) -> None:
    payment_id, _ = driver.pay(card_data=CARD_DATA | {"expiry_date": "12/20"})
    answer, seconds = waited(driver, payment_id, "?wait=25")
    assert (answer.json()["status"], answer.json()["error"]) == ("rejected", "expired_card")
    assert seconds < 10


def test_an_unknown_payment_or_operation_is_not_waited_for(driver: Driver) -> None:
    payment_id = driver.paid()["payment_id"]
    for path in (new_payment_id(), f"{payment_id}/operations/{new_payment_id()}"):
        answer, seconds = waited(driver, path, "?wait=25")
        assert answer.status_code == 404
        assert seconds < 6


def test_an_operation_is_waited_for_by_itself(driver: Driver) -> None:
    payment_id, refund_id = driver.paid()["payment_id"], new_payment_id()
    driver.set_fault(payment_id, "refund", "slow", seconds=1.5)
    driver.post(f"/payments/{payment_id}/refunds", {"amount_minor": 500}, refund_id)
    answer, seconds = waited(driver, f"{payment_id}/operations/{refund_id}", "?wait=25")
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert seconds < 12


@pytest.mark.parametrize("query", ["?wait=26", "?wait=-1", "?wait=", "?wait=1.5", "?wait=soon", "?wait=1&wait=99"])
def test_a_wait_that_is_no_number_of_seconds_up_to_25_is_refused(driver: Driver, query: str) -> None:
    for path in (new_payment_id(), f"{new_payment_id()}/operations/{new_payment_id()}"):
        answer, seconds = waited(driver, path, query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
        assert seconds < 5


def test_the_wait_parameter_is_signed(driver: Driver) -> None:
    credentials = driver.stack.session().get_credentials()
    assert credentials
    url = f"{driver.stack.api_url}/payments/{driver.paid()['payment_id']}"
    auth = SigV4(credentials, driver.stack.region)
    signed = requests.Request("GET", url, params={"wait": "20"}, auth=auth).prepare()
    with requests.Session() as session:
        assert session.send(signed, timeout=30).status_code == 200
        signed.url = f"{url}?wait=21"
        assert session.send(signed, timeout=30).status_code == 403


def test_a_name_survives_the_mapping_template(driver: Driver) -> None:
    holder = 'O\'Brien "Zoë" \\ / \u2028 \U0001f600'
    payment = driver.paid(card_data=CARD_DATA | {"card_holder": holder})
    execution = driver.execution(payment["payment_id"])
    assert execution is not None
    assert json.loads(execution["input"])["card_data"]["card_holder"] == holder
    assert payment["status"] == "captured"


def test_the_card_leaves_the_state_once_it_is_encrypted(driver: Driver) -> None:
    payment_id = driver.paid()["payment_id"]
    arn = driver.stack.execution_arn(payment_id)
    history = driver.stack.client("stepfunctions").get_execution_history(executionArn=arn, maxResults=1000)["events"]
    after_encrypt = False
    checked = 0
    for event in history:
        if event["type"] == "TaskStateExited" and event["stateExitedEventDetails"]["name"] == "Encrypt":
            after_encrypt = True
        if after_encrypt:
            checked += 1
            assert CARD_DATA["card_number"] not in json.dumps(event, default=str)
            assert "card_data" not in json.dumps(event, default=str)
    assert checked > 5


def test_a_lost_answer_after_capture_ends_with_exactly_one_charge(driver: Driver) -> None:
    payment_id = new_payment_id()
    driver.set_fault(payment_id, "charge", "timeout_after", seconds=8)
    driver.pay(payment_id)
    assert driver.ended(payment_id)["status"] == "captured"
    [charge] = driver.charges(payment_id)
    assert charge["captured_minor"] == 1999


def test_a_charge_that_cannot_be_looked_up_is_reversed_in_the_books(driver: Driver) -> None:
    payment_id = new_payment_id()
    # Every answer to the charge is lost, and five attempts to find it fail: those of Charge itself, one per try.
    driver.set_fault(payment_id, "charge", "http_500", times=100)
    driver.set_fault(payment_id, "find", "http_500", times=5)
    driver.pay(payment_id)
    payment = driver.ended(payment_id)
    assert (payment["status"], payment["captured_minor"]) == ("reversed", 0)
    assert payment["error"] == "gateway_outcome_unknown"
    assert driver.charges(payment_id) == []
    assert "Compensate" in driver.states(payment_id)


def test_a_reversal_that_can_not_be_confirmed_leaves_the_payment_in_doubt_with_its_amount_in_suspense(
    driver: Driver,
) -> None:
    payment_id = new_payment_id()
    driver.set_fault(payment_id, "charge", "garbage", times=100)
    driver.set_fault(payment_id, "find", "http_500", times=100)
    driver.set_fault(payment_id, "reverse", "http_502_html", times=100)
    driver.pay(payment_id)
    execution = wait_for(lambda: driver.execution(payment_id), 240, 0.5, until=lambda each: not each or has_ended(each))
    assert execution is not None
    assert (execution["status"], execution["error"]) == ("FAILED", "PaymentInDoubt")
    assert driver.stack.payment(payment_id)["status"] == "in_doubt"
    assert driver.account_totals(payment_id) == {"suspense:in_doubt": 1999, "liability:merchant": -1999}
    assert len(driver.charges(payment_id)) == 1


def test_a_stored_card_is_kept_without_a_charge_and_can_be_erased(driver: Driver) -> None:
    card_data = CARD_DATA | {"card_number": "6011111111111117"}
    payment_id, answer = driver.post("/cards", {"card_data": card_data})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == answer.json()["links"]["card"]
    again = driver.post("/cards", {"card_data": card_data}, payment_id)[1]
    assert (again.status_code, again.json()) == (201, answer.json())
    other = driver.post("/cards", {"card_data": card_data | {"expiry_date": "11/30"}}, payment_id)[1]
    assert (other.status_code, other.json()["error"]["code"]) == (409, "payment_exists")
    wrong = driver.post(
        "/cards", {"card_data": card_data | {"card_number": "4242424242424242", "card_holder": "\u200b"}}
    )[1]
    assert wrong.status_code == 400
    payment = driver.ended(payment_id)
    token = payment["card"]["token"]
    assert answer.json()["card"] == payment["card"]
    assert (payment["status"], payment["charge_id"], payment["amount_minor"]) == ("stored", None, None)
    assert driver.charges(payment_id) == []
    card = driver.stack.call("GET", f"/cards/{token}").json()
    assert card == payment["card"]
    assert (card["brand"], card["bin"], card["last4"], card["expiry"]) == ("discover", "601111", "1117", "12/30")
    assert driver.stack.call("DELETE", f"/cards/{token}").status_code == 204
    assert driver.card_item(token) == {}
    assert driver.stack.call("GET", f"/cards/{token}").status_code == 404
    assert driver.stack.call("DELETE", f"/cards/{token}").json()["error"]["code"] == "card_not_found"
    assert driver.stack.payment(payment_id)["card"] is None
    erased = driver.post("/cards", {"card_data": card_data}, payment_id)[1]
    assert (erased.status_code, erased.json()["error"]["code"]) == (409, "payment_exists")


def test_the_same_card_has_the_same_fingerprint_and_another_transaction(driver: Driver) -> None:
    first, second = driver.paid(), driver.paid()
    assert first["card"]["fingerprint"] == second["card"]["fingerprint"]
    assert first["transaction_id"] != second["transaction_id"]


# Each has its execution started without the API, before any of them is waited for.
REJECTED: tuple[tuple[dict[str, object], str], ...] = (
    ({"card_data": CARD_DATA | {"expiry_date": "12/25"}}, "expired_card"),
    ({"currency": "ZZZ"}, "unknown_currency"),
    ({"currency": "XAU"}, "unknown_currency"),
    ({"card_data": CARD_DATA | {"card_number": "4242424242424241"}}, "invalid_card_number"),
    ({"card_data": CARD_DATA | {"card_number": "4000056655665556"}}, "card_data_must_be_sealed"),
    ({"amount_minor": 0}, "invalid_input"),
    ({"amount_minor": 19.99}, "invalid_input"),
    ({"card_data": None}, "invalid_input"),
)


@pytest.fixture(scope="module")
def started_by_hand(stack: Stack) -> list[str]:
    """The payments' ids, in the order of `REJECTED`."""
    requests = (
        {name: value for name, value in (PAYMENT | changes).items() if value is not None} for changes, _ in REJECTED
    )
    return [Driver(stack).start_by_hand(request) for request in requests]


@pytest.mark.parametrize("row", range(len(REJECTED)), ids=[f"{error}-{row}" for row, (_, error) in enumerate(REJECTED)])
def test_an_execution_started_by_hand_is_rejected_and_the_gateway_never_called(
    driver: Driver, started_by_hand: list[str], row: int
) -> None:
    payment_id = started_by_hand[row]
    payment = driver.ended(payment_id)
    assert (payment["status"], payment["error"]) == ("rejected", REJECTED[row][1])
    assert driver.charges(payment_id) == []
    assert driver.states(payment_id)[-1] == "PaymentRejected"

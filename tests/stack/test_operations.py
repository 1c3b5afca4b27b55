"""Refunds, captures and voids over the REST API, stored cards by their tokens, and screened payments."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.stack.driver import CARD_DATA, SEEN_AFTER_SECONDS, Driver, payments
from tools.deployment.polling import wait_for
from tools.deployment.stack import new_payment_id
from tools.local.machine import Machine

FIELDS = {"operation_id", "type", "amount_minor", "status", "error", "created_at", "source"}


def operated(driver: Driver, payment_id: str, kind: str, body: Any = None) -> dict[str, Any]:
    """Request the operation and follow it to its end. Return it as the payment shows it."""
    operation_id, answer = driver.post(f"/payments/{payment_id}/{kind}", {} if body is None else body)
    assert answer.status_code == 202, answer.text
    return driver.operation(payment_id, operation_id)


class TestRefunds:
    def test_a_payment_is_refunded_bit_by_bit_until_nothing_is_left(self, driver: Driver) -> None:
        payment_id = driver.paid()["payment_id"]
        first = operated(driver, payment_id, "refunds", {"amount_minor": 500})
        assert first.keys() == FIELDS
        assert (first["type"], first["amount_minor"], first["status"], first["error"]) == (
            "refund",
            500,
            "succeeded",
            None,
        )
        assert driver.stack.payment(payment_id)["status"] == "partially_refunded"
        rest = operated(driver, payment_id, "refunds")
        payment = driver.stack.payment(payment_id)
        assert (rest["amount_minor"], payment["status"], payment["refunded_minor"]) == (1499, "refunded", 1999)
        more = operated(driver, payment_id, "refunds", {"amount_minor": 1})
        assert (more["status"], more["error"]) == ("rejected", "amount_exceeds_captured")
        assert [each["status"] for each in driver.stack.payment(payment_id)["operations"]] == [
            "succeeded",
            "succeeded",
            "rejected",
        ]
        assert [charge["refunded_minor"] for charge in driver.charges(payment_id)] == [1999]
        assert not any(driver.account_totals(payment_id).values())

    def test_a_refund_is_accepted_with_its_ids_and_its_payments_location(self, driver: Driver) -> None:
        payment_id = driver.paid()["payment_id"]
        operation_id, answer = driver.post(f"/payments/{payment_id}/refunds", {"amount_minor": 1})
        assert answer.headers["Location"] == driver.place(payment_id)
        assert answer.json() == {
            "payment_id": payment_id,
            "operation_id": operation_id,
            "status": "processing",
            "links": {"self": driver.place(payment_id)},
        }
        driver.operation(payment_id, operation_id)

    def test_the_same_key_is_the_same_refund(self, driver: Driver) -> None:
        payment_id, operation_id = driver.paid()["payment_id"], new_payment_id()
        driver.set_fault(payment_id, "refund", "slow", seconds=2)
        path = f"/payments/{payment_id}/refunds"
        (_, first), (_, again), (_, other) = (
            driver.post(path, {"amount_minor": amount}, operation_id) for amount in (500, 500, 600)
        )
        assert (first.status_code, again.status_code, other.status_code) == (202, 202, 409)
        assert again.json() == first.json()
        assert other.json()["error"]["code"] == "operation_exists"
        assert (other.json()["payment_id"], other.json()["operation_id"]) == (payment_id, operation_id)
        assert driver.operation(payment_id, operation_id)["status"] == "succeeded"
        driver.wait_for_operation_execution(operation_id)
        _, late = driver.post(path, {"amount_minor": 500}, operation_id)
        assert (late.status_code, late.json()["links"]) == (409, {"self": driver.place(payment_id)})
        assert [charge["refunded_minor"] for charge in driver.charges(payment_id)] == [500]

    def test_refunds_at_the_same_moment_never_give_back_more_than_was_captured(self, driver: Driver) -> None:
        payment_id = driver.paid()["payment_id"]
        with ThreadPoolExecutor(6) as pool:
            ended = list(pool.map(lambda _: operated(driver, payment_id, "refunds", {"amount_minor": 900}), range(6)))
        assert sorted(each["status"] for each in ended) == ["rejected"] * 4 + ["succeeded"] * 2
        assert {each["error"] for each in ended} == {None, "amount_exceeds_captured"}
        assert driver.stack.payment(payment_id)["refunded_minor"] == 1800
        assert [charge["refunded_minor"] for charge in driver.charges(payment_id)] == [1800]

    def test_a_refund_whose_answer_is_lost_is_made_once(self, driver: Driver) -> None:
        payment_id = driver.paid()["payment_id"]
        driver.set_fault(payment_id, "refund", "timeout_after", seconds=6)
        assert operated(driver, payment_id, "refunds", {"amount_minor": 500})["status"] == "succeeded"
        assert [charge["refunded_minor"] for charge in driver.charges(payment_id)] == [500]


class TestHolds:
    @pytest.mark.parametrize(("body", "captured"), [({}, 1999), ({"amount_minor": 1500}, 1500)])
    def test_an_authorization_is_captured_in_whole_or_in_part_once(
        self, driver: Driver, body: dict[str, int], captured: int
    ) -> None:
        payment_id = driver.paid(capture=False)["payment_id"]
        assert operated(driver, payment_id, "captures", body)["amount_minor"] == captured
        payment = driver.stack.payment(payment_id)
        assert (payment["status"], payment["amount_minor"], payment["captured_minor"]) == ("captured", 1999, captured)
        again = operated(driver, payment_id, "captures", body)
        assert (again["status"], again["error"]) == ("rejected", "invalid_state")
        assert operated(driver, payment_id, "voids")["error"] == "invalid_state"
        assert [charge["captured_minor"] for charge in driver.charges(payment_id)] == [captured]
        assert driver.account_totals(payment_id)["asset:gateway:sparkle"] == captured

    def test_an_authorization_is_voided(self, driver: Driver) -> None:
        payment_id = driver.paid(capture=False)["payment_id"]
        assert operated(driver, payment_id, "voids")["status"] == "succeeded"
        assert driver.stack.payment(payment_id)["status"] == "voided"
        assert [charge["status"] for charge in driver.charges(payment_id)] == ["voided"]
        assert operated(driver, payment_id, "captures")["error"] == "invalid_state"

    def test_no_more_is_captured_than_was_authorized(self, driver: Driver) -> None:
        payment_id = driver.paid(capture=False)["payment_id"]
        assert operated(driver, payment_id, "captures", {"amount_minor": 2000})["error"] == "amount_exceeds_authorized"

    def test_a_capture_that_comes_while_the_payment_runs_waits_for_it(self, driver: Driver) -> None:
        payment_id = new_payment_id()
        driver.set_fault(payment_id, "charge", "slow", seconds=2)
        driver.pay(payment_id, capture=False)
        operation_id, answer = driver.post(f"/payments/{payment_id}/captures", {})
        assert answer.status_code == 202
        driver.ended(payment_id)
        assert driver.operation(payment_id, operation_id)["status"] == "succeeded"


def test_an_operation_on_an_unknown_payment_is_rejected_and_not_found(driver: Driver) -> None:
    payment_id = new_payment_id()
    operation_id, answer = driver.post(f"/payments/{payment_id}/refunds", {})
    assert answer.status_code == 202
    execution = driver.wait_for_operation_execution(operation_id)
    assert (execution["error"], execution["cause"]) == ("OperationRejected", "PaymentNotFound")
    assert driver.stack.call("GET", f"/payments/{payment_id}").status_code == 404
    time.sleep(SEEN_AFTER_SECONDS)
    response = driver.stack.call("GET", f"/payments/{payment_id}/operations/{operation_id}")
    assert (response.status_code, response.json()["status"], response.json()["error"]) == (
        200,
        "rejected",
        "payment_not_found",
    )


def test_an_operation_on_a_rejected_payment_is_rejected_where_it_can_be_seen(driver: Driver) -> None:
    payment_id = driver.paid(card_data=CARD_DATA | {"expiry_date": "12/20"})["payment_id"]
    operation_id, _ = driver.post(f"/payments/{payment_id}/voids", {})
    driver.wait_for_operation_execution(operation_id)
    time.sleep(SEEN_AFTER_SECONDS)
    operation = driver.stack.call("GET", f"/payments/{payment_id}/operations/{operation_id}").json()
    assert (operation["type"], operation["status"], operation["error"]) == ("void", "rejected", "payment_not_found")


def test_a_key_that_was_used_for_another_payment_is_a_conflict_that_says_so(driver: Driver) -> None:
    first_id, second_id = driver.paid()["payment_id"], driver.paid()["payment_id"]
    operation_id, _ = driver.post(f"/payments/{first_id}/refunds", {"amount_minor": 500})
    assert driver.operation(first_id, operation_id)["status"] == "succeeded"
    _, again = driver.post(f"/payments/{second_id}/refunds", {"amount_minor": 500}, operation_id)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "operation_exists")
    response = driver.stack.call("GET", f"/payments/{second_id}/operations/{operation_id}")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "key_used_for_another_request")
    response = driver.stack.call("GET", f"/payments/{first_id}/operations/{operation_id}")
    assert (response.status_code, response.json()["status"]) == (200, "succeeded")
    assert driver.stack.payment(second_id)["refunded_minor"] == 0


def test_a_stopped_refund_is_brought_to_its_end(driver: Driver) -> None:
    """The resolve state machine requests it again under the same key."""
    payment_id = driver.paid()["payment_id"]
    # Longer than a busy machine takes to ask again, and over when it is asked for the third time.
    driver.set_fault(payment_id, "refund", "timeout_after", seconds=12)
    operation_id, _ = driver.post(f"/payments/{payment_id}/refunds", {"amount_minor": 500})
    driver.operation(payment_id, operation_id, until=("processing",))
    driver.stop_operation(operation_id)
    settled = driver.operation(payment_id, operation_id, until=("succeeded",))
    assert settled["status"] == "succeeded"
    assert [charge["refunded_minor"] for charge in driver.charges(payment_id)] == [500]
    # The doubt may end before anybody reads the payment; the books record it.
    items = driver.payment_items(payment_id).values()
    doubts = [item for item in items if item.get("account", {}).get("S") == "suspense:in_doubt"]
    assert [(item["direction"]["S"], item["amount_minor"]["N"]) for item in doubts] == [
        ("credit", "500"),
        ("debit", "500"),
    ]


class TestWhatSomebodyDidAtTheGateway:
    """As a merchant would in a dashboard."""

    def move(self, driver: Driver, payment_id: str, move: str, **body: int) -> None:
        (charge,) = driver.charges(payment_id)
        door = "sandbox" if move == "expire" else "v1"
        path, headers = f"/{door}/charges/{charge['id']}/{move}", {"Idempotency-Key": new_payment_id()}
        driver.stack.sandbox("POST", path, json=body, headers=headers).raise_for_status()

    def test_a_refund_is_adopted_by_a_command_and_then_the_audit_finds_nothing(
        self, driver: Driver, machine: Machine
    ) -> None:
        # The gateway must not tell of it: then there would be nothing left to find.
        driver.stack.sandbox("DELETE", "/sandbox/events").raise_for_status()
        payment_id = driver.paid()["payment_id"]
        self.move(driver, payment_id, "refunds", amount_minor=500)
        audited = wait_for(
            lambda: payments(machine.stack_file, "audit", payment_id), 30, until=lambda audited: audited.returncode
        )
        assert (audited.returncode, "not adopted" in audited.stdout) == (1, True), audited.stdout
        for message in ("the gateway's refund of 5.00 USD: succeeded", "The books agree with the gateway."):
            adopted = payments(machine.stack_file, "adopt", payment_id)
            assert adopted.returncode == 0, adopted.stdout
            assert message in adopted.stdout
        assert payments(machine.stack_file, "audit", payment_id).returncode == 0
        payment = driver.stack.payment(payment_id)
        assert (payment["status"], payment["refunded_minor"]) == ("partially_refunded", 500)
        assert [operation["source"] for operation in payment["operations"]] == ["gateway"]

    def test_a_request_is_judged_by_the_amount_left_at_the_gateway(self, driver: Driver) -> None:
        payment_id = driver.paid()["payment_id"]
        self.move(driver, payment_id, "refunds", amount_minor=1500)
        too_much = operated(driver, payment_id, "refunds", {"amount_minor": 500})
        assert (too_much["status"], too_much["error"]) == ("rejected", "amount_exceeds_captured")
        assert operated(driver, payment_id, "refunds")["amount_minor"] == 499
        payment = driver.stack.payment(payment_id)
        assert (payment["status"], payment["refunded_minor"]) == ("refunded", 1999)
        assert [charge["refunded_minor"] for charge in driver.charges(payment_id)] == [1999]
        assert not any(driver.account_totals(payment_id).values())

    def test_an_authorization_that_expired_is_voided_and_says_so(self, driver: Driver) -> None:
        authorized = driver.paid(capture=False)
        assert authorized["expires_at"]
        self.move(driver, authorized["payment_id"], "expire")
        assert operated(driver, authorized["payment_id"], "captures")["error"] == "invalid_state"
        payment = driver.stack.payment(authorized["payment_id"])
        assert (payment["status"], payment["error"], payment["expires_at"]) == ("voided", "expired", None)

    def test_a_refund_that_is_pending_is_processing_until_it_has_ended(self, driver: Driver) -> None:
        payment_id = driver.paid()["payment_id"]
        driver.set_fault(payment_id, "refund", "refund_pending")
        operation_id, _ = driver.post(f"/payments/{payment_id}/refunds", {"amount_minor": 500})
        execution = driver.wait_for_operation_execution(operation_id)
        assert execution["error"] == "OperationPending"
        assert driver.operation(payment_id, operation_id, until=("processing",))["error"] is None
        ((refund,),) = (charge["refunds"] for charge in driver.charges(payment_id))
        driver.stack.sandbox("POST", f"/sandbox/refunds/{refund['id']}/succeed").raise_for_status()
        assert driver.operation(payment_id, operation_id)["status"] == "succeeded"
        assert driver.stack.payment(payment_id)["refunded_minor"] == 500


class TestStoredCards:
    def test_a_stored_card_is_charged_by_its_token_until_it_is_erased(self, driver: Driver) -> None:
        stored_id, _ = driver.post("/cards", {"card_data": CARD_DATA | {"card_number": "3530111333300000"}})
        token = driver.ended(stored_id)["card"]["token"]
        paid = driver.paid(card_data=None, token=token)
        assert (paid["status"], paid["card"]["token"], paid["card"]["last4"]) == ("captured", token, "0000")
        assert [charge["card_last4"] for charge in driver.charges(paid["payment_id"])] == ["0000"]
        assert driver.stack.call("DELETE", f"/cards/{token}").status_code == 204
        unknown = driver.paid(card_data=None, token=token)
        assert (unknown["status"], unknown["error"]) == ("rejected", "unknown_token")
        assert driver.charges(unknown["payment_id"]) == []

    def test_an_expired_stored_card_is_not_charged(self, driver: Driver) -> None:
        card_data = CARD_DATA | {"card_number": "30569309025904", "expiry_date": "12/25"}
        stored_id, _ = driver.post("/cards", {"card_data": card_data})
        rejected = driver.paid(card_data=None, token=driver.ended(stored_id)["card"]["token"])
        assert (rejected["status"], rejected["error"]) == ("rejected", "expired_card")

    def test_using_a_stored_card_extends_its_retention(self, driver: Driver) -> None:
        token = driver.paid(card_data=CARD_DATA | {"card_number": "378282246310005"}, save_card=True)["card"]["token"]
        before = driver.card_item(token)
        time.sleep(1)  # a card's retention is counted in seconds
        driver.paid(card_data=None, token=token)
        after = driver.card_item(token)
        assert int(after["expires_at"]["N"]) > int(before["expires_at"]["N"])
        assert after["ciphertext"] == before["ciphertext"]

    def test_two_requests_that_store_one_number_share_only_its_fingerprint(self, driver: Driver) -> None:
        first_card, second_card = (
            driver.ended(driver.post("/cards", {"card_data": CARD_DATA | {"expiry_date": expiry}})[0])["card"]
            for expiry in ("11/30", "12/31")
        )
        assert first_card["token"] != second_card["token"]
        assert first_card["fingerprint"] == second_card["fingerprint"]
        assert driver.stack.call("DELETE", f"/cards/{first_card['token']}").status_code == 204
        assert driver.stack.call("GET", f"/cards/{second_card['token']}").json()["expiry"] == "12/31"
        assert driver.paid(card_data=None, token=second_card["token"])["status"] == "captured"
        assert driver.paid(card_data=None, token=first_card["token"])["error"] == "unknown_token"

    @pytest.mark.parametrize(
        ("changes", "stored"), [({}, False), ({"save_card": False}, False), ({"save_card": True}, True)]
    )
    def test_a_card_is_stored_only_if_the_payment_requests_it(
        self, driver: Driver, changes: dict[str, bool], stored: bool
    ) -> None:
        payment = driver.paid(**changes)
        assert (payment["card"]["token"] is not None) is stored
        if stored:
            assert driver.stack.call("GET", f"/cards/{payment['card']['token']}").json() == payment["card"]

    def test_a_declined_payments_card_is_not_stored_even_if_requested(self, driver: Driver) -> None:
        declined = driver.paid(card_data=CARD_DATA | {"card_number": "4000000000009995"}, save_card=True)
        assert (declined["status"], declined["card"]["token"]) == ("declined", None)

    def test_a_card_and_a_token_together_are_refused(self, driver: Driver) -> None:
        _, answer = driver.pay(token="tok_" + "a" * 52)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


class TestScreening:
    def test_a_payment_that_a_rule_denies_is_declined_and_the_gateway_never_called(self, driver: Driver) -> None:
        payment = driver.paid(currency="KPW")
        assert (payment["status"], payment["decline_code"]) == ("declined", "screened:currency_not_accepted")
        assert (payment["charge_id"], payment["transaction_id"]) == (None, None)
        assert driver.charges(payment["payment_id"]) == []
        assert driver.states(payment["payment_id"])[-2:] == ["Screen", "Deny"]

    def test_a_payment_is_counted_for_its_card(self, driver: Driver) -> None:
        payment = driver.paid(currency="TND", card_data=CARD_DATA | {"card_number": "6011111111111117"})
        counted = driver.items(f"VELOCITY#{payment['card']['fingerprint']}").values()
        assert sum(int(item["TND"]["N"]) for item in counted if "TND" in item) == 1999
        assert all(int(item["expires_at"]["N"]) > 0 for item in counted)

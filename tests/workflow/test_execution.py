"""Runs the state machine: the outcomes of payments, the ledger's contents, and what happened at the gateway."""

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from functions.resolve.handler import handler as resolve
from functions.screen.rules import Screening
from functions.shared import runtime
from functions.shared.domain.card import Card
from functions.shared.domain.errors import (
    GatewayOutcomeUnknown,
    KeyUnusable,
    LedgerUnavailable,
    SecretUnavailable,
)
from functions.shared.domain.ledger import capture_entry, in_doubt_entry
from functions.shared.domain.payment import Payment, PaymentRequest
from functions.shared.ports import Velocity
from functions.status.payment_status import payment_status
from functions.tokenize.tokenize_card import card_token, fingerprint
from tests.balances import balances
from tests.mocked_aws import COUNTERS_TABLE, new_id
from tests.samples import DECLINED_PAN, HOLDER, PAN, TEST_CARDS, UNLISTED_PAN, card
from tests.workflow.conftest import Execution, Workflow, by

CAPTURE = capture_entry("sparkle", 1999, "USD")
DOUBT = in_doubt_entry(1999, "USD")
LEDGER_DOWN = LedgerUnavailable("DynamoDB: down")

HAPPY_PATH = ["Tokenize", "Screen", "Encrypt", "Charge", "Persist"]


def assert_no_card_after_encrypt(execution: Execution) -> None:
    """After Encrypt, no event contains the card; before that, only the states to which it was sent in the clear."""
    states = [event for event in execution.history if event.get("stateExitedEventDetails")]
    assert not any("card_data" in json.dumps(event["stateExitedEventDetails"]) for event in states)
    ends = [
        place
        for place, event in enumerate(execution.history)
        if event.get("stateExitedEventDetails", {}).get("name") in ("Encrypt", "EncryptCard")
    ]
    after = json.dumps(execution.history[ends[0] :], default=str)
    assert "card_data" not in after
    assert "card_number" not in after
    assert PAN not in after
    assert HOLDER not in after
    assert len(execution.history[ends[0] :]) > 5


def test_an_approved_card_is_captured_once_and_recorded(workflow: Workflow) -> None:
    execution = workflow.run(merchant_reference="order-1001")
    assert (execution.status, execution.states) == ("SUCCEEDED", HAPPY_PATH)
    recorded = workflow.record_of(execution)
    assert (recorded.payment.status, recorded.payment.captured_minor) == ("captured", 1999)
    assert recorded.payment.merchant_reference == "order-1001"
    assert recorded.journal == (CAPTURE,)
    (charge,) = workflow.charges(execution)
    assert (charge["status"], charge["captured_minor"], charge["id"]) == (
        "captured",
        1999,
        recorded.payment.charge_id,
    )
    assert workflow.waits == []
    assert execution.output is not None
    assert execution.output["status"] == "captured"
    assert_no_card_after_encrypt(execution)


@pytest.mark.parametrize("pan", TEST_CARDS)
def test_every_test_card_has_its_published_outcome(workflow: Workflow, pan: str) -> None:
    execution = workflow.run(**by(pan))
    payment = workflow.record_of(execution).payment
    card = TEST_CARDS[pan]
    assert execution.ended_as == ("captured" if card["outcome"] == "approved" else "declined")
    assert payment.card
    assert payment.card.brand == card["brand"]
    # A payment without a return_url can't have its customer asked.
    challenged = card["outcome"] == "challenged"
    assert payment.decline_code == ("authentication_required" if challenged else card.get("decline_code"))


def test_a_declined_card_is_recorded_and_no_money_moved(workflow: Workflow) -> None:
    execution = workflow.run(**by(DECLINED_PAN))
    assert (execution.status, execution.ended_as) == ("SUCCEEDED", "declined")
    recorded = workflow.record_of(execution)
    assert (recorded.payment.status, recorded.payment.decline_code) == ("declined", "insufficient_funds")
    assert recorded.journal == ()
    assert [charge["status"] for charge in workflow.charges(execution)] == ["declined"]
    assert_no_card_after_encrypt(execution)


def test_without_capture_the_money_is_held(workflow: Workflow) -> None:
    execution = workflow.run(capture=False)
    assert (execution.status, execution.ended_as) == ("SUCCEEDED", "authorized")
    recorded = workflow.record_of(execution)
    assert (recorded.payment.status, recorded.payment.captured_minor) == ("authorized", 0)
    assert recorded.journal == ()
    assert [charge["status"] for charge in workflow.charges(execution)] == ["authorized"]


def test_a_card_even_an_expired_one_is_stored_without_a_charge(workflow: Workflow) -> None:
    execution = workflow.store(**by(expiry_date="12/25"))
    assert execution.states == ["TokenizeCard", "ScreenCard", "EncryptCard", "AskedToVerify", "Keep"]
    token = card_token(card(), f"{execution.name}/card", runtime.token_mac())
    summary = runtime.card_vault().summary(token, runtime.now())
    assert summary
    assert summary.expiry == "12/25"
    assert execution.output == {"payment_id": execution.name, "status": "stored", "card": summary.to_dict()}
    assert workflow.recorded(execution) is None
    assert workflow.gateway_calls(execution) == []
    assert_no_card_after_encrypt(execution)


def token_of(execution: Execution) -> str:
    assert execution.output
    return str(execution.output["card"]["token"])


def test_a_card_that_the_issuer_finds_good_is_stored_with_the_networks_id(workflow: Workflow) -> None:
    execution = workflow.store(verify=True)
    assert execution.states == ["TokenizeCard", "ScreenCard", "EncryptCard", "AskedToVerify", "Verify", "Keep"]
    token = token_of(execution)
    stored = runtime.card_vault().find(token, runtime.now())
    assert stored
    assert stored.network_transaction_id
    assert workflow.charges(execution) == []
    paid = workflow.run(card_data=None, token=token, initiator="merchant", reason="recurring")
    assert workflow.charges(paid)[0]["stored_credential"] == {
        "use": "subsequent",
        "initiator": "merchant",
        "reason": "recurring",
        "previous_network_transaction_id": stored.network_transaction_id,
    }


def test_a_card_that_the_issuer_declines_is_not_stored(workflow: Workflow) -> None:
    execution = workflow.store(verify=True, **by(DECLINED_PAN))
    assert (execution.status, execution.error) == ("FAILED", "CardDeclined")
    assert "insufficient_funds" in str(execution.cause)
    assert "Keep" not in execution.states
    assert workflow.invocations.count("verify") == 1


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "http_429"])
def test_a_card_that_nobody_knows_to_be_good_is_not_stored_and_may_be_sent_again(
    workflow: Workflow, fault: str
) -> None:
    workflow.break_next("verify", fault, key := new_id(), times=3)
    execution = workflow.store(key, verify=True)
    assert execution.error == "CardNotStored"
    assert execution.cause in ("GatewayOutcomeUnknown", "GatewayBusy")
    assert workflow.invocations.count("verify") == 3
    assert token_of(workflow.store(key, verify=True))


def test_the_first_payment_that_the_customer_makes_is_named_by_later_ones(workflow: Workflow) -> None:
    token = token_of(workflow.store())
    by_token = {"card_data": None, "token": token}
    by_merchant = {"initiator": "merchant", "reason": "unscheduled"}
    alone, first, second = (workflow.run(**by_token, **by) for by in (by_merchant, {}, by_merchant))
    named = [
        workflow.charges(execution)[0]["stored_credential"].get("previous_network_transaction_id")
        for execution in (alone, first, second)
    ]
    assert named == [None, None, workflow.charges(first)[0]["network_transaction_id"]]
    recorded = workflow.record_of(second).payment
    assert (recorded.initiator, recorded.reason) == ("merchant", "unscheduled")


def test_a_card_is_stored_again_by_the_same_key_and_another_is_not(workflow: Workflow) -> None:
    stored = workflow.store()
    assert workflow.store(stored.name).output == stored.output
    other = workflow.store(stored.name, **by("5555555555554444"))
    assert (other.status, other.error) == ("FAILED", "KeyUsedBefore")


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (by(UNLISTED_PAN), "CardDataMustBeSealed"),
        (by("4242424242424241"), "InvalidCardNumber"),
        ({"card_data": "not a card"}, "InvalidInput"),
        ({"amount_minor": 1999}, "InvalidInput"),
    ],
)
def test_an_invalid_card_is_not_stored(workflow: Workflow, request_: dict[str, Any], why: str) -> None:
    execution = workflow.store(**request_)
    assert (execution.error, execution.cause) == ("CardRejected", why)
    assert workflow.recorded(execution) is None


def test_a_payment_may_have_the_key_of_a_stored_card_and_save_the_same_card(workflow: Workflow) -> None:
    stored = workflow.store()
    execution = workflow.run(stored.name, save_card=True)
    assert execution.ended_as == "captured"
    assert workflow.record_of(execution).payment.card != stored.card


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (by(expiry_date="12/20"), "ExpiredCard"),
        (by(UNLISTED_PAN), "CardDataMustBeSealed"),
        (by("4242424242424241"), "InvalidCardNumber"),
        ({"currency": "ZZZ"}, "UnknownCurrency"),
        ({"currency": "XAU"}, "UnknownCurrency"),
        ({"amount_minor": 0}, "InvalidInput"),
        ({"card_data": "not a card"}, "InvalidInput"),
        ({"surprise": True}, "InvalidInput"),
    ],
)
def test_invalid_input_is_rejected_at_once_and_the_gateway_never_called(
    workflow: Workflow, request_: dict[str, Any], why: str
) -> None:
    execution = workflow.run(**request_)
    assert (execution.status, execution.states) == ("FAILED", ["Tokenize", "Erase", "PaymentRejected"])
    assert (execution.error, execution.cause) == ("PaymentRejected", why)
    assert workflow.invocations == ["tokenize", "persist"]
    assert workflow.recorded(execution) is None
    assert workflow.gateway_calls(execution) == []


def test_a_rejection_reads_as_such_through_the_status_function(workflow: Workflow) -> None:
    execution = workflow.run(**by(expiry_date="12/20"))
    body = payment_status(
        execution.name,
        ledger=runtime.ledger(),
        executions=runtime.executions(),
        customer_waits=runtime.customer_waits(),
        card_vault=runtime.card_vault(),
        now=runtime.now,
        sleep=runtime.sleep,
    )
    assert body is not None
    assert (body["status"], body["error"], body["amount_minor"]) == ("rejected", "expired_card", 1999)
    assert PAN not in str(body)


def test_a_card_that_cannot_be_encrypted_is_rejected(
    workflow: Workflow, failing: Callable[[str, str, Exception], None]
) -> None:
    failing("card_cipher", "encrypt", KeyUnusable("KMS: DisabledException"))
    execution = workflow.run()
    assert (execution.ended_in, execution.cause) == ("PaymentRejected", "KeyUnusable")
    assert execution.states == [*HAPPY_PATH[:3], "Erase", "PaymentRejected"]
    assert workflow.gateway_calls(execution) == []


def test_a_lost_answer_after_capture_ends_with_exactly_one_charge(workflow: Workflow) -> None:
    workflow.break_next("charge", "timeout_after", payment_id := new_id(), seconds=3)
    execution = workflow.run(payment_id)
    assert execution.states == HAPPY_PATH
    assert [charge["captured_minor"] for charge in workflow.charges(execution)] == [1999]
    assert workflow.record_of(execution).journal == (CAPTURE,)
    assert workflow.invocations.count("charge") == 1
    assert_no_card_after_encrypt(execution)


class TestBooksAreAskedFirst:
    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            ({}, "captured"),
            ({"capture": False}, "authorized"),
            (by(DECLINED_PAN), "declined"),
            ({"amount_minor": 2999}, "captured"),
        ],
        ids=["captured", "authorized", "declined", "another amount"],
    )
    def test_a_payment_that_only_the_ledger_remembers_ends_as_recorded(
        self, workflow: Workflow, request_: dict[str, Any], status: str
    ) -> None:
        first = workflow.run(**(request_ | {"amount_minor": 1999}))
        recorded = workflow.record_of(first)
        workflow.forget(first.name)
        again = workflow.run(first.name, **request_)
        assert (again.status, again.ended_as) == ("SUCCEEDED", status)
        assert len(workflow.charges(first)) == 1
        assert workflow.record_of(first) == recorded

    def test_a_reversed_payment_is_not_charged_and_fails_again(self, workflow: Workflow) -> None:
        workflow.break_next("charge", "timeout_after", payment_id := new_id(), times=99)
        workflow.break_next("find", "timeout_before", payment_id, times=99)
        first = workflow.run(payment_id)
        recorded = workflow.record_of(first)
        workflow.forget(payment_id)
        again = workflow.run(payment_id)
        assert (again.status, again.ended_in) == ("FAILED", first.ended_in)
        assert again.states[-3:] == ["Compensate", "Outcome", first.ended_in]
        assert workflow.record_of(first) == recorded

    def test_a_refunded_payment_is_not_charged_again_either(self, workflow: Workflow) -> None:
        first = workflow.run()
        workflow.operate(first.name, "refund")
        workflow.forget(first.name)
        again = workflow.run(first.name)
        assert (again.status, again.ended_as) == ("SUCCEEDED", "refunded")
        assert len(workflow.charges(first)) == 1

    def test_a_refund_that_only_the_ledger_remembers_is_not_made_again(self, workflow: Workflow) -> None:
        first = workflow.run()
        refund = workflow.operate(first.name, "refund", amount_minor=500)
        workflow.forget(first.name)
        again = workflow.operate(first.name, "refund", refund.name, amount_minor=500)
        assert again.ended_in == "OperationSucceeded"
        assert [charge["refunded_minor"] for charge in workflow.charges(first)] == [500]

    def test_a_charge_that_came_after_all_is_undone_with_both_movements_on_the_books(
        self, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = workflow.run()
        workflow.forget(first.name)
        monkeypatch.setattr(
            runtime.ledger(), "statuses", lambda payment_ids: {}
        )  # as if it had looked before the first charge
        again = workflow.run(first.name)
        assert again.ended_as == "captured"
        assert again.states[-3:] == ["Compensate", "Outcome", "PaymentRecorded"]
        charges = {charge["id"]: charge["status"] for charge in workflow.charges(first)}
        recorded = workflow.record_of(first)
        assert charges.pop(recorded.payment.charge_id or "") == "captured"
        assert list(charges.values()) == ["refunded"]
        assert (recorded.payment.status, recorded.payment.refunded_minor) == ("captured", 0)
        assert [each.charge_id for each in recorded.payment.operations] == list(charges)
        assert balances(recorded.journal) == balances([CAPTURE])


def test_a_charge_that_never_arrived_is_tried_again_with_the_same_key(workflow: Workflow) -> None:
    workflow.break_next("charge", "timeout_before", payment_id := new_id(), times=2)
    execution = workflow.run(payment_id)
    assert execution.ended_as == "captured"
    assert len(workflow.charges(execution)) == 1
    assert workflow.invocations.count("charge") == 3
    assert len(workflow.waits) == 2
    charges = [call for call in workflow.gateway_calls(execution) if call["idempotency_key"]]
    assert [call["idempotency_key"] for call in charges] == [f"{payment_id}-charge"] * 3


@pytest.mark.parametrize("fault", ["http_429", "http_500", "http_502_html", "reset"])
def test_a_gateway_call_that_fails_once_is_retried(workflow: Workflow, fault: str) -> None:
    workflow.break_next("charge", fault, payment_id := new_id())
    execution = workflow.run(payment_id)
    assert execution.ended_as == "captured"
    assert workflow.invocations.count("charge") == 2
    assert [charge["captured_minor"] for charge in workflow.charges(execution)] == [1999]


def test_a_charge_that_never_gets_through_is_reversed_and_never_called_failed(workflow: Workflow) -> None:
    workflow.break_next("charge", "timeout_before", payment_id := new_id(), times=100)
    execution = workflow.run(payment_id)
    assert (execution.status, execution.ended_in) == ("FAILED", "PaymentReversed")
    assert (execution.error, execution.cause) == ("PaymentReversed", "GatewayOutcomeUnknown")
    recorded = workflow.record_of(execution)
    assert (recorded.payment.status, recorded.payment.error) == ("reversed", "GatewayOutcomeUnknown")
    assert recorded.journal == (DOUBT, DOUBT.reverse(1))
    assert workflow.charges(execution) == []
    assert workflow.invocations.count("charge") == 5
    assert_no_card_after_encrypt(execution)


def test_a_charge_that_went_through_unseen_is_reversed_with_both_movements_on_the_books(workflow: Workflow) -> None:
    payment_id = new_id()
    workflow.break_next("charge", "timeout_after", payment_id)
    workflow.break_next("charge", "http_500", payment_id, times=4)
    workflow.break_next("find", "http_500", payment_id, times=5)
    execution = workflow.run(payment_id)
    assert (execution.ended_in, execution.cause) == ("PaymentReversed", "GatewayOutcomeUnknown")
    assert [charge["status"] for charge in workflow.charges(execution)] == ["voided"]
    recorded = workflow.record_of(execution)
    assert recorded.journal == (DOUBT, DOUBT.reverse(1), CAPTURE, CAPTURE.reverse(3))
    assert balances(recorded.journal) == {}


def test_an_unconfirmed_reversal_is_in_doubt_with_the_money_in_suspense(workflow: Workflow) -> None:
    payment_id = new_id()
    workflow.break_next("charge", "timeout_before", payment_id, times=100)
    workflow.break_next("reverse", "timeout_before", payment_id, times=100)
    execution = workflow.run(payment_id)
    assert (execution.status, execution.ended_in, execution.error) == ("FAILED", "PaymentInDoubt", "PaymentInDoubt")
    recorded = workflow.record_of(execution)
    assert (recorded.payment.status, recorded.payment.version) == ("in_doubt", 1)
    assert recorded.journal == (DOUBT,)
    assert workflow.invocations.count("compensate") == 5
    assert_no_card_after_encrypt(execution)


def test_a_reversal_confirmed_by_a_later_attempt_clears_the_doubt(workflow: Workflow) -> None:
    payment_id = new_id()
    workflow.break_next("charge", "timeout_before", payment_id, times=100)
    workflow.break_next("reverse", "timeout_after", payment_id, times=2)
    execution = workflow.run(payment_id)
    assert execution.ended_in == "PaymentReversed"
    recorded = workflow.record_of(execution)
    assert (recorded.payment.status, recorded.payment.version) == ("reversed", 2)
    assert recorded.journal == (DOUBT, DOUBT.reverse(1))


def test_a_charge_without_its_gateways_key_is_in_doubt_on_the_books_too(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_key() -> str:
        raise SecretUnavailable("Secrets Manager: down")

    monkeypatch.setattr(runtime.gateways().named("sparkle"), "_api_key", no_key)
    execution = workflow.run()
    assert execution.ended_in == "PaymentInDoubt"
    recorded = workflow.record_of(execution)
    assert (recorded.payment.status, recorded.payment.error) == ("in_doubt", "SecretUnavailable")
    assert recorded.journal == (DOUBT,)


def test_a_capture_that_cannot_be_recorded_is_undone(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only Persist sees the failure: the ledger works again when Compensate writes to it.
    monkeypatch.setattr("functions.persist.handler.persist_payment", Mock(side_effect=LEDGER_DOWN))
    execution = workflow.run()
    assert (execution.ended_in, execution.cause) == ("PaymentReversed", "LedgerUnavailable")
    assert workflow.invocations.count("persist") == 11
    assert [charge["status"] for charge in workflow.charges(execution)] == ["voided"]
    recorded = workflow.record_of(execution)
    assert (recorded.payment.status, recorded.payment.error) == ("reversed", "LedgerUnavailable")
    assert recorded.journal == (DOUBT, DOUBT.reverse(1), CAPTURE, CAPTURE.reverse(3))
    assert_no_card_after_encrypt(execution)


def test_a_capture_during_a_long_outage_of_the_ledger_is_recorded_after_it(
    workflow: Workflow, failing: Callable[[str, str, Exception], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing("ledger", "record", LEDGER_DOWN)
    execution = workflow.run()
    monkeypatch.undo()
    assert (execution.status, execution.states) == (
        "FAILED",
        [*HAPPY_PATH, "Compensate", "PaymentInDoubt"],
    )
    # A reversal needs a record first, so the charge remains as evidence.
    assert [charge["status"] for charge in workflow.charges(execution)] == ["captured"]
    resolved = resolve({"payment_id": execution.name, "operation_id": None, "ask_gateway": True}, None)
    assert resolved["status"] == "captured"
    assert workflow.record_of(execution).journal == (DOUBT, DOUBT.reverse(1), CAPTURE)


def test_a_capture_recorded_by_an_attempt_whose_answer_was_lost_stands(workflow: Workflow) -> None:
    workflow.lambda_errors["persist"] = ["Sandbox.Timedout"] * 3
    execution = workflow.run()
    assert execution.states == [*HAPPY_PATH, "Compensate", "Outcome", "PaymentRecorded"]
    assert [charge["status"] for charge in workflow.charges(execution)] == ["captured"]
    assert workflow.record_of(execution).journal == (CAPTURE,)


@pytest.mark.parametrize("function", ["tokenize", "encrypt", "charge", "persist"])
@pytest.mark.parametrize("error", ["Lambda.TooManyRequestsException", "Lambda.Unknown", "Sandbox.Timedout"])
def test_a_function_whose_answer_is_lost_once_changes_nothing(workflow: Workflow, function: str, error: str) -> None:
    workflow.lambda_errors[function] = [error]
    execution = workflow.run()
    assert execution.ended_as == "captured"
    assert workflow.invocations.count(function) == 2
    assert [charge["captured_minor"] for charge in workflow.charges(execution)] == [1999]
    assert workflow.record_of(execution).journal == (CAPTURE,)


def test_a_compensation_whose_answer_is_lost_ends_the_same(workflow: Workflow) -> None:
    workflow.break_next("charge", "timeout_before", payment_id := new_id(), times=100)
    workflow.lambda_errors["compensate"] = ["Lambda.Unknown"]
    execution = workflow.run(payment_id)
    assert execution.ended_in == "PaymentReversed"
    assert workflow.invocations.count("compensate") == 2
    assert workflow.record_of(execution).payment.version == 2


def test_a_card_that_cannot_be_stored_may_be_sent_again(
    workflow: Workflow, failing: Callable[[str, str, Exception], None]
) -> None:
    failing("card_vault", "keep", LEDGER_DOWN)
    execution = workflow.store()
    assert (execution.error, execution.cause) == ("CardNotStored", "LedgerUnavailable")
    assert workflow.invocations.count("keep") == 3
    assert workflow.gateway_calls(execution) == []


class TestScreening:
    def test_a_payment_that_a_rule_denies_is_declined_and_the_gateway_never_called(self, workflow: Workflow) -> None:
        execution = workflow.run(currency="KPW")
        assert (execution.status, execution.states) == (
            "SUCCEEDED",
            ["Tokenize", "Screen", "Deny"],
        )
        payment = workflow.record_of(execution).payment
        assert (payment.status, payment.decline_code) == ("declined", "screened:currency_not_accepted")
        assert (payment.transaction_id, payment.charge_id, payment.card and payment.card.last4) == (None, None, "4242")
        assert workflow.gateway_calls(execution) == []
        assert workflow.invocations == ["tokenize", "screen", "persist"]

    def test_rules_that_cannot_be_evaluated_reject_the_payment(
        self, workflow: Workflow, failing: Callable[[str, str, Exception], None]
    ) -> None:
        failing("velocity_counter", "count", LEDGER_DOWN)
        execution = workflow.run()
        assert (execution.ended_in, execution.cause) == ("PaymentRejected", "LedgerUnavailable")
        assert workflow.invocations.count("screen") == 5
        assert workflow.gateway_calls(execution) == []

    def test_a_screen_whose_answer_is_lost_counts_the_payment_once(self, workflow: Workflow) -> None:
        workflow.lambda_errors["screen"] = ["Sandbox.Timedout"]
        execution = workflow.run(**by("5555555555554444"), currency="TND")
        assert execution.ended_as == "captured"
        key = {"S": f"VELOCITY#{fingerprint(card('5555555555554444'), runtime.token_mac())}"}
        counted = workflow.aws.dynamodb.query(
            TableName=COUNTERS_TABLE, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": key}
        )
        assert sum(int(item.get("TND", {"N": "0"})["N"]) for item in counted["Items"]) == 1999

    def test_a_card_that_a_rule_denies_is_not_stored(self, workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
        denied = Screening("card_expiry_dates")
        monkeypatch.setattr("functions.screen.rules.Rules.screen", lambda self, facts: denied)
        execution = workflow.store(**by("378282246310005"))
        assert (execution.status, execution.states) == (
            "FAILED",
            ["TokenizeCard", "ScreenCard", "CardDeclined"],
        )
        assert execution.error == "CardDeclined"
        verdict = json.loads(json.loads(execution.cause or "")["errorMessage"])
        assert verdict["decline_code"] == "screened:card_expiry_dates"
        token = card_token(card("378282246310005"), f"{execution.name}/card", runtime.token_mac())
        assert runtime.card_vault().summary(token, runtime.now()) is None
        assert workflow.gateway_calls(execution) == []

    def test_a_card_that_is_stored_is_counted_as_a_payment_is(self, workflow: Workflow) -> None:
        counted = velocity_of(workflow, None, runtime.now(), card("6011111111111117")).payments_1h
        workflow.store(**by("6011111111111117"))
        assert velocity_of(workflow, None, runtime.now(), card("6011111111111117")).payments_1h == counted + 2

    @pytest.mark.parametrize("fault", [None, "Sandbox.Timedout"])
    def test_a_decline_is_counted_once_also_when_its_answer_is_lost(
        self, workflow: Workflow, fault: str | None
    ) -> None:
        workflow.lambda_errors["persist"] = [fault] if fault else []
        execution = workflow.run(**by(DECLINED_PAN), merchant_reference=f"order-{new_id()}")
        payment = workflow.record_of(execution).payment
        assert (
            velocity_of(
                workflow, payment.merchant_reference, payment.created_at, card(DECLINED_PAN)
            ).reference_declines_1h
            == 1
        )

    def test_a_decline_that_compensate_brings_to_light_is_counted(self, workflow: Workflow) -> None:
        workflow.lambda_errors["charge"] = ["InternalError"]
        execution = workflow.run(**by(DECLINED_PAN), merchant_reference=f"order-{new_id()}")
        assert execution.states[-3:] == ["Compensate", "Outcome", "PaymentRecorded"]
        payment = workflow.record_of(execution).payment
        assert (
            velocity_of(
                workflow, payment.merchant_reference, payment.created_at, card(DECLINED_PAN)
            ).reference_declines_1h
            == 1
        )

    def test_a_denial_by_a_rule_is_not_counted_as_a_decline(self, workflow: Workflow) -> None:
        execution = workflow.run(currency="KPW", merchant_reference=f"order-{new_id()}")
        payment = workflow.record_of(execution).payment
        assert velocity_after(workflow, payment, card()).reference_declines_1h == 0


def velocity_after(workflow: Workflow, payment: Payment, by: Card) -> Velocity:
    """What the payment's next one would be told."""
    return velocity_of(workflow, payment.merchant_reference, payment.created_at, by)


def velocity_of(workflow: Workflow, merchant_reference: str | None, started_at: str, by: Card) -> Velocity:
    """What another payment would be told."""
    request = PaymentRequest(1, "USD", merchant_reference=merchant_reference)
    summary = by.summary(None, fingerprint(by, runtime.token_mac()))
    return runtime.velocity_counter().count(new_id(), request, summary, started_at, lambda lookalike_cards: True)


class TestStoredCards:
    def test_a_payment_stands_even_if_its_cards_retention_cannot_be_extended(
        self, workflow: Workflow, failing: Callable[[str, str, Exception], None]
    ) -> None:
        stored = workflow.store().card
        failing("card_vault", "renew", LEDGER_DOWN)
        execution = workflow.run(card_data=None, token=stored.token)
        assert execution.ended_as == "captured"
        assert [charge["status"] for charge in workflow.charges(execution)] == ["captured"]

    def test_a_stored_card_is_charged_by_its_token_without_being_sent_again(self, workflow: Workflow) -> None:
        stored = workflow.store().card
        execution = workflow.run(card_data=None, token=stored.token)
        assert execution.states == HAPPY_PATH
        payment = workflow.record_of(execution).payment
        assert (payment.status, payment.card) == ("captured", stored)
        assert PAN not in json.dumps(execution.history, default=str)

    @pytest.mark.parametrize("save_card", [True, False])
    def test_a_payments_card_is_stored_if_requested(self, workflow: Workflow, save_card: bool) -> None:
        execution = workflow.run(**by("6011111111111117"), save_card=save_card)
        payment = workflow.record_of(execution).payment
        assert payment.status == "captured"
        token = card_token(card("6011111111111117"), execution.name, runtime.token_mac())
        assert payment.card
        assert payment.card.token == (token if save_card else None)
        assert (runtime.card_vault().summary(token, runtime.now()) is not None) is save_card

    def test_an_erased_card_is_an_unknown_token(self, workflow: Workflow) -> None:
        stored = workflow.store(**by("3530111333300000")).card
        assert stored.token
        runtime.card_vault().erase(stored.token, runtime.now())
        execution = workflow.run(card_data=None, token=stored.token)
        assert (execution.states, execution.cause) == (["Tokenize", "Erase", "PaymentRejected"], "UnknownToken")
        assert workflow.gateway_calls(execution) == []

    def test_an_expired_card_is_stored_and_not_charged(self, workflow: Workflow) -> None:
        stored = workflow.store(**by("30569309025904", expiry_date="12/25")).card
        execution = workflow.run(card_data=None, token=stored.token)
        assert (execution.states, execution.cause) == (["Tokenize", "Erase", "PaymentRejected"], "ExpiredCard")


@pytest.mark.parametrize(
    ("capture", "move", "books"),
    [
        (False, ("capture", {"amount_minor": 600}), ("captured", 600)),
        (False, ("void", {}), ("voided", 0)),
        (False, ("expire", {}), ("voided", 0)),
        (True, ("refunds", {"amount_minor": 200}), ("partially_refunded", 1799)),
        (True, ("refunds", {}), ("refunded", 0)),
    ],
)
def test_movements_at_the_gateway_before_the_charges_answer_are_recorded_and_not_undone(
    workflow: Workflow,
    monkeypatch: pytest.MonkeyPatch,
    capture: bool,
    move: tuple[str, dict[str, int]],
    books: tuple[str, int],
) -> None:
    gateway, payment_id = runtime.gateways().named("sparkle"), new_id()
    ask = gateway.charge if capture else gateway.authorize

    def overtaken(*arguments: Any) -> None:
        ask(*arguments)
        workflow.at_the_gateway(payment_id, move[0], **move[1])
        raise GatewayOutcomeUnknown("No answer.")

    monkeypatch.setattr(gateway, ask.__name__, overtaken)
    paid = workflow.run(payment_id, capture=capture)
    assert (paid.status, paid.ended_as) == ("SUCCEEDED", books[0])
    assert workflow.books_are_the_gateways(paid) == books
    assert [operation.source for operation in workflow.record_of(paid).payment.operations] == ["gateway"]


@pytest.mark.parametrize("capture", [True, False])
def test_a_partial_approval_is_undone(workflow: Workflow, capture: bool) -> None:
    payment_id = new_id()
    workflow.break_next("charge", "partial_approval", payment_id)
    undone = workflow.run(payment_id, capture=capture)
    assert (undone.ended_in, undone.cause) == ("PaymentReversed", "GatewayMismatch")
    assert [charge["status"] for charge in workflow.charges(undone)] == ["voided"]
    assert workflow.record_of(undone).payment.status == "reversed"

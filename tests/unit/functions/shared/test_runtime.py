"""The frame around every handler: logs, metrics, and what answers and errors may contain."""

import json
import logging
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.shared import runtime
from functions.shared.domain.errors import (
    ExpiredCard,
    GatewayMismatch,
    GatewayOutcomeUnknown,
    InternalError,
    InvalidInput,
    KeyUnusable,
    LedgerConflict,
    LedgerUnavailable,
    PaymentError,
)
from functions.shared.domain.event import EVENT_TYPES
from functions.shared.runtime import clock, factories
from tests.mocked_aws import TABLE, MockedAws
from tests.samples import CARD_DATA, HOLDER, PAN, SUMMARY, TOKEN, configured, order
from tests.unit.functions.conftest import Output
from tests.unit.functions.events import HANDLERS

EVENT: dict[str, Any] = {
    "payment_id": "payment-of-ours-1",
    "card": SUMMARY.to_dict(),
    "request": {"amount_minor": 1999, "currency": "USD", "card_data": CARD_DATA},
}

FACTORIES = [
    runtime.card_cipher,
    runtime.token_mac,
    runtime.ledger,
    runtime.card_vault,
    runtime.velocity_counter,
    runtime.executions,
    runtime.operation_executions,
    runtime.gateways,
]
CACHED = (*FACTORIES, runtime.webhook_endpoints, factories._client)


def handler_of(call: runtime.UseCase) -> runtime.Handler:
    return runtime.function("encrypt")(call)


def failing_with(error: Exception) -> runtime.Handler:
    def fail(event: runtime.Event) -> dict[str, Any]:
        raise error

    return handler_of(fail)


def assert_free_of_card_data(text: str) -> None:
    assert PAN not in text
    assert HOLDER not in text
    assert "Zebedee" not in text


class TestLog:
    def test_every_line_has_the_payments_id_and_none_the_event(self, output: Output) -> None:
        def log_twice(event: runtime.Event) -> dict[str, Any]:
            runtime.logger.info("one")
            runtime.logger.info("two")
            return {"card_data": event["request"]["card_data"]}

        handler_of(log_twice)(EVENT, None)
        assert [line["message"] for line in output.logs()] == ["one", "two", "encrypt done"]
        assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}
        assert_free_of_card_data(output.text)

    def test_one_payments_id_is_not_left_behind_for_the_next(self, output: Output) -> None:
        with pytest.raises(ExpiredCard):
            failing_with(ExpiredCard("The card has expired."))(EVENT, None)
        runtime.logger.info("between")
        handler_of(lambda event: {})(EVENT | {"payment_id": "payment-of-ours-2"}, None)
        ids = {line["message"]: line.get("payment_id") for line in output.logs()}
        assert ids == {"encrypt failed": "payment-of-ours-1", "between": None, "encrypt done": "payment-of-ours-2"}

    def test_a_failure_says_which_error_and_why(self, output: Output) -> None:
        with pytest.raises(KeyUnusable):
            failing_with(KeyUnusable("KMS: DisabledException"))(EVENT, None)
        (line,) = output.logs()
        assert (line["level"], line["payment_id"]) == ("WARNING", "payment-of-ours-1")
        assert (line["error"], line["reason"]) == ("KeyUnusable", "KMS: DisabledException")

    @pytest.mark.parametrize("payment_id", [CARD_DATA, [PAN], 4242424242424242, None])
    def test_a_payment_id_that_is_no_text_is_not_logged(self, output: Output, payment_id: object) -> None:
        with pytest.raises(InvalidInput):
            handler_of(lambda event: {})(EVENT | {"payment_id": payment_id}, None)
        (line,) = output.logs()
        assert "payment_id" not in line
        assert_free_of_card_data(output.text)


class TestErrors:
    def test_an_error_of_ours_leaves_as_it_is(self, output: Output) -> None:
        error = GatewayOutcomeUnknown("Sparkle answered 500.")
        with pytest.raises(GatewayOutcomeUnknown) as raised:
            failing_with(error)(EVENT, None)
        assert raised.value is error
        assert output.logs()

    @pytest.mark.parametrize(
        "error",
        [
            ValueError(f"invalid literal: {PAN}"),
            KeyError(HOLDER),
            RuntimeError(CARD_DATA),
            UnicodeDecodeError("utf-8", PAN.encode(), 0, 1, HOLDER),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_an_unforeseen_error_leaves_without_its_data(
        self, output: Output, caplog: pytest.LogCaptureFixture, error: Exception
    ) -> None:
        with caplog.at_level(logging.DEBUG), pytest.raises(InternalError) as raised:
            failing_with(error)(EVENT, None)
        assert str(raised.value) == type(error).__name__
        assert_free_of_card_data("".join(traceback.format_exception(raised.value)))
        (line,) = output.logs()
        assert (line["level"], line["error"], line["payment_id"]) == (
            "ERROR",
            type(error).__name__,
            "payment-of-ours-1",
        )
        assert any("test_runtime.py:" in place for place in line["where"])
        assert_free_of_card_data(output.text + caplog.text)

    def test_the_data_is_not_behind_it_either_when_the_error_had_a_cause_of_its_own(self, output: Output) -> None:
        def fail(event: runtime.Event) -> dict[str, Any]:
            try:
                int(event["card_data"]["card_holder"])
            except ValueError as error:
                raise RuntimeError(PAN) from error
            return {}

        with pytest.raises(InternalError) as raised:
            handler_of(fail)(EVENT, None)
        assert_free_of_card_data("".join(traceback.format_exception(raised.value)))
        assert_free_of_card_data(str(output.logs()))

    @pytest.mark.parametrize("event", [None, [], PAN, 1, [CARD_DATA]], ids=str)
    def test_what_is_no_object_is_invalid_input(self, output: Output, event: Any) -> None:
        with pytest.raises(InvalidInput):
            handler_of(lambda event: {})(event, None)
        (line,) = output.logs()
        assert "payment_id" not in line
        assert_free_of_card_data(output.text)

    def test_what_breaks_the_contract_never_reaches_the_use_case(self, output: Output) -> None:
        reached: list[object] = []

        def reach(event: runtime.Event) -> dict[str, Any]:
            reached.append(event)
            return {}

        with pytest.raises(InvalidInput, match=r"^Missing card data\.$"):
            handler_of(reach)(EVENT | {"request": {}}, None)
        assert reached == []
        assert output.logs()[0]["reason"] == "Missing card data."

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        field=st.sampled_from(["payment_id", "card", "request", PAN]),
        value=st.sampled_from([PAN, int(PAN), [PAN], {PAN: PAN}, CARD_DATA | {"cvv": PAN}, CARD_DATA | {PAN: "x"}]),
    )
    def test_input_that_breaks_the_contract_is_refused_and_logged_without_its_values(
        self, output: Output, field: str, value: Any
    ) -> None:
        event = EVENT | {field: value}
        try:
            handler_of(lambda event: {})(event, None)
        except InvalidInput as error:
            assert_free_of_card_data(repr(error))
            written = output.logs()[-1]
            if field != "payment_id":
                assert_free_of_card_data(str(written))
        else:
            assert (field, value) == ("payment_id", PAN)  # a text, so it is a payment's id


class TestMetrics:
    def test_what_was_counted_is_written_in_the_embedded_metric_format(self, output: Output) -> None:
        def count(event: runtime.Event) -> dict[str, Any]:
            runtime.count("PaymentCaptured")
            return {}

        handler_of(count)(EVENT, None)
        assert output.metrics() == {"PaymentCaptured": [1.0]}
        emf = next(line for line in output.lines() if "_aws" in line)
        assert emf["service"] == "payments"
        assert_free_of_card_data(output.text)

    def test_a_rejection_is_counted(self, output: Output) -> None:
        with pytest.raises(ExpiredCard):
            failing_with(ExpiredCard("The card has expired."))(EVENT, None)
        assert output.metrics() == {"PaymentRejected": [1.0]}

    def test_a_charge_that_is_not_what_was_asked_is_counted(self, output: Output) -> None:
        with pytest.raises(GatewayMismatch):
            failing_with(GatewayMismatch("The gateway charged another amount than asked."))(EVENT, None)
        assert output.metrics() == {"GatewayMismatch": [1.0]}

    @pytest.mark.parametrize("error", [GatewayOutcomeUnknown("?"), RuntimeError("?")])
    def test_a_fault_is_no_rejection(self, output: Output, error: Exception) -> None:
        with pytest.raises(PaymentError):
            failing_with(error)(EVENT, None)
        assert output.metrics() == {}

    def test_what_was_counted_before_a_failure_is_written_and_not_counted_again(self, output: Output) -> None:
        def count_and_fail(event: runtime.Event) -> dict[str, Any]:
            runtime.count("PaymentInDoubt")
            raise GatewayOutcomeUnknown("?")

        with pytest.raises(GatewayOutcomeUnknown):
            handler_of(count_and_fail)(EVENT, None)
        assert output.metrics() == {"PaymentInDoubt": [1.0]}
        written = len(output.lines())
        handler_of(lambda event: {})(EVENT, None)
        assert not any("_aws" in line for line in output.lines()[written:])


class TestFactories:
    @pytest.fixture(autouse=True)
    def environment(self, aws: MockedAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("GATEWAYS", configured("http://127.0.0.1:1"))
        for variable in ("STATE_MACHINE_ARN", "OPERATION_STATE_MACHINE_ARN"):
            monkeypatch.setenv(variable, "arn:aws:states:eu-west-1:123456789012:stateMachine:payment")
        for factory in CACHED:
            factory.cache_clear()
        yield
        for factory in CACHED:
            factory.cache_clear()

    def test_all_adapters_of_a_service_have_one_client(self) -> None:
        assert factories._client("dynamodb") is factories._client("dynamodb")

    def test_what_is_asked_of_aws_says_who_asks(self) -> None:
        names: list[bytes] = []
        client = factories._client("dynamodb")
        client.meta.events.register("before-send", lambda request, **_: names.append(request.headers["User-Agent"]))
        client.list_tables()
        [name] = names
        assert name.startswith(f"payments Boto3/{boto3.__version__} ".encode())

    def test_what_a_function_uses_is_made_before_its_first_call_on_lambda(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[str] = []
        uses = (lambda: calls.append("ledger"), lambda: calls.append("gateway"))
        runtime.function("encrypt", uses=uses)(lambda event: {})
        assert calls == []
        monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        runtime.function("encrypt", uses=uses)(lambda event: {})
        assert calls == ["ledger", "gateway"]

    def test_a_start_on_lambda_does_not_look_for_garbage_and_the_calls_after_it_do(self) -> None:
        look = """
import functions, gc
print(gc.isenabled())
from functions.shared import runtime
runtime.function("encrypt", uses=[lambda: print(gc.isenabled())])(lambda event: {})
print(gc.isenabled(), gc.get_freeze_count() > 10_000)
"""
        environment = os.environ | {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
        process = subprocess.run(  # noqa: S603
            [sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True
        )
        assert process.stdout.split() == ["False", "False", "True", "True"]

    @pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: str(factory.__name__))
    def test_an_adapter_is_made_from_the_environment_once(self, factory: Any) -> None:
        assert factory() is factory()

    def test_what_they_make_works(self, aws: MockedAws) -> None:
        ciphertext = runtime.card_cipher().encrypt(b"card", {"token": TOKEN})
        assert runtime.card_cipher().decrypt(ciphertext, {"token": TOKEN}) == b"card"
        assert len(runtime.token_mac().mac(b"card")) == 32
        assert runtime.ledger().payment("pay-unknown") is None
        assert runtime.card_vault().summary("tok_unknown", runtime.now()) is None
        assert TABLE in aws.dynamodb.list_tables()["TableNames"]

    def test_a_webhook_without_a_list_gets_all_types_of_events_and_has_dead_letters_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        common = {"url": "https://shop.example", "secret_id": "secret"}  # pragma: allowlist secret
        webhooks = {
            "arn:shop": {"name": "shop", "queue_url": "https://sqs/shop", "events": [], **common},
            "arn:books": {"name": "books", "queue_url": "https://sqs/books", "events": ["card.erased"], **common},
        }
        monkeypatch.setenv("WEBHOOKS", json.dumps(webhooks))
        shop, books = runtime.webhook_endpoints().values()
        assert (set(shop.types), set(books.types)) == (set(EVENT_TYPES), {"card.erased"})
        with Stubber(factories._client("sqs")) as sqs:
            sqs.add_response("send_message", {}, {"QueueUrl": "https://sqs/shop-dead-letters", "MessageBody": "x"})
            shop.queue.set_aside("x")
            sqs.assert_no_pending_responses()

    def test_a_call_of_the_gateway_is_counted_and_timed_in_milliseconds(self, output: Output) -> None:
        def look(event: runtime.Event) -> dict[str, Any]:
            runtime.gateways().named("sparkle").find_by_reference(order("payment-of-ours-1"))
            return {}

        with pytest.raises(GatewayOutcomeUnknown):
            handler_of(look)(EVENT, None)
        counted = output.metrics()
        (milliseconds,) = counted.pop("GatewayLatency")
        assert 0 < milliseconds < 5000
        assert counted == {"GatewayCalls": [1.0], "GatewayErrors": [1.0]}
        emf = next(line for line in output.lines() if "_aws" in line)
        units = {metric["Name"]: metric["Unit"] for metric in emf["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
        assert units == {"GatewayCalls": "Count", "GatewayErrors": "Count", "GatewayLatency": "Milliseconds"}

    def test_a_call_that_is_answered_is_no_error(
        self, sandbox_url: str, output: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GATEWAYS", configured(sandbox_url))

        def look_twice(event: runtime.Event) -> dict[str, Any]:
            assert [
                runtime.gateways().named("sparkle").find_by_reference(order("payment-of-ours-1")) for _ in range(2)
            ] == [None, None]
            return {}

        handler_of(look_twice)(EVENT, None)
        counted = output.metrics()
        assert len(counted.pop("GatewayLatency")) == 2
        assert counted == {"GatewayCalls": [1.0, 1.0]}


def test_the_time_is_utc_to_the_millisecond() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", runtime.now())


def test_a_currencys_decimals_come_from_the_standard() -> None:
    assert (runtime.minor_unit("USD"), runtime.minor_unit("ZZZ")) == (2, None)


def test_a_cold_start_imports_no_adapter_and_none_of_their_packages() -> None:
    handlers = ", ".join(f"functions.{function}.handler" for function in HANDLERS)
    look = f"import sys, {handlers}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split()  # noqa: S603
    assert "functions.cards.handler" in loaded
    packages = {"boto3", "requests", "fastjsonschema", "jsonschema", "cryptography", "iso4217", "rule_engine"}
    lazy = packages | {"functions.shared.adapters"}
    assert lazy.isdisjoint(loaded)


class TestAfterConflicts:
    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        slept: list[float] = []
        monkeypatch.setattr(clock, "sleep", slept.append)
        return slept

    def test_who_comes_second_tries_again_at_once(self, pauses: list[float]) -> None:
        answers = iter([LedgerConflict("Somebody else."), LedgerConflict("Another one."), None])

        def write() -> str:
            if error := next(answers):
                raise error
            return "written"

        assert runtime.retry_conflicts(write) == "written"
        assert len(pauses) == 2
        assert sum(pauses) < 0.1

    def test_a_conflict_that_stays_is_left_to_the_state_machine_within_a_second(self, pauses: list[float]) -> None:
        tries = 0

        def write() -> None:
            nonlocal tries
            tries += 1
            raise LedgerConflict("Always.")

        with pytest.raises(LedgerConflict):
            runtime.retry_conflicts(write)
        assert tries == 6
        assert sum(pauses) < 1

    def test_nothing_else_is_tried_again(self, pauses: list[float]) -> None:
        def write() -> None:
            raise LedgerUnavailable("Down.")

        with pytest.raises(LedgerUnavailable):
            runtime.retry_conflicts(write)
        assert pauses == []

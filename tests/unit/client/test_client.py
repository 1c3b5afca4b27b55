"""The merchant's client with a scripted API. tests/stack/test_client.py runs it on a real stack."""

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest
import requests
from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError

from client import (
    AccessDenied,
    Authentication,
    CardData,
    CardNotSealed,
    KeyUsedForAnother,
    NextAction,
    NoAnswer,
    NotFound,
    NotSent,
    Operation,
    Payment,
    PaymentsClient,
    PaymentsError,
    RequestRefused,
    StillProcessing,
    TooManyRequests,
)
from client.transport import SigV4
from tests.samples import HOLDER, PAN, SEALED, SUMMARY, TOKEN, UNLISTED_PAN
from tests.scripted_api import HANG_UP, FakeTime, ScriptedApi
from tests.sealers import issued_key

KEY = "order-1001-attempt-1"
CHALLENGE_URL = "https://gateway.test/challenge/ch_1"
STARTED = (202, {"payment_id": KEY, "status": "processing", "links": {"self": f"/payments/{KEY}"}})
EXISTS = (409, {"error": {"code": "payment_exists", "message": "This Idempotency-Key was used before."}})
OPERATION_EXISTS = (409, {"error": {"code": "operation_exists", "message": "This Idempotency-Key was used before."}})
BUSY = (429, {"error": {"code": "too_many_requests", "message": "Too many requests."}})
BROKEN = (502, {"error": {"code": "bad_gateway", "message": "Try again."}})
NO_SUCH_PAYMENT = (404, {"error": {"code": "payment_not_found", "message": "There is no payment with this id."}})
NO_SUCH_OPERATION = (404, {"error": {"code": "operation_not_found", "message": "There is no operation with this id."}})
NO_SUCH_CARD = (404, {"error": {"code": "card_not_found", "message": "There is no stored card with this token."}})
FORBIDDEN = (403, {"error": {"code": "forbidden", "message": "The request is not signed."}})


def payment_answer(status: str = "captured", **changes: Any) -> tuple[int, dict[str, Any]]:
    """The body of GET /payments/{payment_id}."""
    payment = {
        "payment_id": KEY,
        "status": status,
        "amount_minor": 1999,
        "currency": "USD",
        "captured_minor": 1999,
        "refunded_minor": 0,
        "card": SUMMARY.to_dict(),
        "transaction_id": "0" * 64,
        "charge_id": "ch_1",
        "decline_code": None,
        "error": None,
        "merchant_reference": None,
        "operations": [],
        "created_at": "2026-11-23T09:00:00.000Z",
        "updated_at": "2026-11-23T09:00:01.000Z",
    }
    return 200, payment | changes


def waiting_answer() -> tuple[int, dict[str, Any]]:
    """The body of GET /payments/{payment_id} while the customer is asked."""
    next_action = {"type": "redirect", "url": CHALLENGE_URL}
    return payment_answer("action_required", next_action=next_action, action_required_since="2026-11-23T09:00:00.000Z")


def operation(**changes: Any) -> dict[str, Any]:
    refund = {
        "operation_id": "refund-1-of-order-1001",
        "type": "refund",
        "amount_minor": 500,
        "status": "succeeded",
        "error": None,
    }
    return refund | {"created_at": "2026-11-23T10:00:00.000Z"} | changes


def shown_operation(**changes: Any) -> tuple[int, dict[str, Any]]:
    """The body of GET /payments/{payment_id}/operations/{operation_id}."""
    return 200, {"payment_id": KEY} | operation(**changes)


def pay(payments: PaymentsClient, **changes: Any) -> Payment:
    order: dict[str, Any] = {"amount_minor": 1999, "currency": "USD", "card": SEALED, "idempotency_key": KEY}
    return payments.pay(**order | changes)


def test_a_payment_is_signed_and_sent_once(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(STARTED)
    assert pay(payments, capture=False, description="Beans") == Payment(payment_id=KEY, status="processing")
    [call] = api.calls
    assert (call.method, call.path) == ("POST", "/v1/payments")
    assert call.headers["Idempotency-Key"] == KEY
    signature = r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/us-east-1/execute-api/aws4_request, "
    assert re.match(
        signature + "SignedHeaders=content-type;host;idempotency-key;x-amz-date", call.headers["Authorization"]
    )
    body = {"amount_minor": 1999, "currency": "USD", "card_data": SEALED, "description": "Beans", "capture": False}
    assert call.json == body


def test_a_payment_by_a_stored_card_sends_only_the_token(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(STARTED)
    pay(payments, card=None, token=TOKEN)
    assert api.calls[0].json == {"amount_minor": 1999, "currency": "USD", "token": TOKEN, "capture": True}


def test_a_payment_of_the_merchants_says_so_and_why(api: ScriptedApi, payments: PaymentsClient) -> None:
    by: dict[str, Any] = {"initiator": "merchant", "reason": "recurring"}
    api.script(STARTED, payment_answer(**by))
    pay(payments, card=None, token=TOKEN, **by)
    assert api.calls[0].json == {"amount_minor": 1999, "currency": "USD", "token": TOKEN, "capture": True} | by
    payment = payments.payment(KEY)
    assert (payment.initiator, payment.reason) == ("merchant", "recurring")


def test_a_payment_says_what_is_asked_of_the_customers_bank_and_where_the_customer_comes_back_to(
    api: ScriptedApi, payments: PaymentsClient
) -> None:
    options = {"return_url": "https://shop.test/orders/1001", "three_d_secure": "required", "exemption": "low_value"}
    api.script(STARTED)
    pay(payments, **options)
    assert {name: api.calls[0].json[name] for name in options} == options


def test_waiting_ends_when_the_customer_is_asked_and_says_where(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(payment_answer("processing"), waiting_answer())
    payment = payments.wait(KEY)
    assert (payment.status, payment.next_action) == ("action_required", NextAction("redirect", CHALLENGE_URL))
    assert payment.action_required_since == datetime(2026, 11, 23, 9, tzinfo=UTC)


def test_waiting_for_the_customer_goes_on_until_the_payment_has_ended(
    api: ScriptedApi, payments: PaymentsClient, time: FakeTime
) -> None:
    api.script(waiting_answer(), waiting_answer(), payment_answer("processing"), payment_answer("captured"))
    assert payments.wait(KEY, for_customer=True).status == "captured"
    assert time.slept == sorted(time.slept)
    assert len(time.slept) == 3
    api.script(*[waiting_answer()] * 100)
    with pytest.raises(StillProcessing, match="is still action_required after 30 s"):
        payments.wait(KEY, for_customer=True, timeout_seconds=30)


def test_a_payment_shows_what_became_of_3_d_secure(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(
        payment_answer(authentication={"result": "authenticated", "version": "2.2.0", "liability_shift": True}),
        payment_answer(),
    )
    assert payments.payment(KEY).authentication == Authentication("authenticated", "2.2.0", True)
    assert payments.payment(KEY).authentication is None


def test_a_payment_shows_what_is_disputed(api: ScriptedApi, payments: PaymentsClient) -> None:
    dispute = {"dispute_id": "dp_1", "status": "lost", "amount_minor": 700, "reason": "fraudulent"}
    times = {"opened_at": "2026-11-23T09:00:00.000Z", "ended_at": "2026-11-24T09:00:00.000Z"}
    api.script(payment_answer(disputes=[dispute | times | {"more": 1}], disputed_minor=700), payment_answer())
    payment = payments.payment(KEY)
    [lost] = payment.disputes
    assert (payment.disputed_minor, lost.status, lost.ended_at) == (700, "lost", datetime(2026, 11, 24, 9, tzinfo=UTC))
    assert payments.payment(KEY).disputes == ()


@pytest.mark.parametrize(("verify", "sent"), [(None, {}), (True, {"verify": True}), (False, {"verify": False})])
def test_a_card_to_be_stored_is_verified_if_that_is_asked_for(
    api: ScriptedApi, payments: PaymentsClient, verify: bool | None, sent: dict[str, bool]
) -> None:
    api.script((201, {"payment_id": KEY, "status": "stored", "card": SUMMARY.to_dict()}))
    payments.store_card(SEALED, verify=verify, idempotency_key=KEY)
    assert api.calls[0].json == {"card_data": SEALED} | sent


def test_a_call_without_a_key_gets_a_new_key(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(STARTED, STARTED)
    pay(payments, idempotency_key=None)
    pay(payments, idempotency_key=None)
    first_key, second_key = (call.headers["Idempotency-Key"] for call in api.calls)
    assert first_key != second_key
    assert re.fullmatch("[A-Za-z0-9_-]{16,64}", first_key)


@pytest.mark.parametrize(
    "trouble", [HANG_UP, BUSY, BROKEN, (500, b"<html>"), (200, b"not JSON"), (404, b"<html>"), (302, {})]
)
def test_a_failed_call_is_retried_with_the_same_bytes_and_key(
    api: ScriptedApi, payments: PaymentsClient, time: FakeTime, trouble: tuple[int, Any] | None
) -> None:
    api.script(trouble, trouble, STARTED)
    assert pay(payments).status == "processing"
    assert {(call.headers["Idempotency-Key"], call.body) for call in api.calls} == {(KEY, api.calls[0].body)}
    assert len(api.calls) == 3
    assert [0 <= pause <= longest for pause, longest in zip(time.slept, (0.4, 0.8), strict=True)] == [True, True]


def test_an_api_that_takes_too_long_is_no_answer(api: ScriptedApi, payments: PaymentsClient) -> None:
    # The listening socket queues connections, and nobody accepts them.
    api.shutdown()
    with pytest.raises(NoAnswer, match="ReadTimeout"):
        pay(payments)


@pytest.mark.parametrize("trouble", [HANG_UP, BROKEN])
def test_no_answer_after_all_retries_is_an_error_that_names_the_key(
    api: ScriptedApi, payments: PaymentsClient, trouble: tuple[int, Any] | None
) -> None:
    api.script(*[trouble] * 4, STARTED)
    with pytest.raises(NoAnswer) as raised:
        pay(payments)
    assert raised.value.idempotency_key == KEY
    assert len(api.calls) == 4


def test_a_busy_api_did_nothing_unless_an_earlier_try_got_no_answer(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(BUSY, BUSY, BUSY, BUSY)
    with pytest.raises(TooManyRequests):
        pay(payments)
    api.script(HANG_UP, BUSY, BUSY, BUSY)
    with pytest.raises(NoAnswer):
        pay(payments)


def test_a_refusal_after_a_try_without_an_answer_does_not_say_that_nothing_was_done(
    api: ScriptedApi, payments: PaymentsClient
) -> None:
    api.script(HANG_UP, FORBIDDEN)
    with pytest.raises(NoAnswer):
        pay(payments)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((400, {"error": {"code": "invalid_request", "message": "Missing card data."}}), RequestRefused),
        (FORBIDDEN, AccessDenied),
        ((403, {"error": {"code": "refused", "message": "Its credentials are unknown."}}), AccessDenied),
        ((404, {"error": {"code": "not_found", "message": "There is no such route."}}), RequestRefused),
        (NO_SUCH_PAYMENT, NotFound),
        (NO_SUCH_CARD, NotFound),
    ],
)
def test_a_refusal_is_raised_at_once_as_its_own_error(
    api: ScriptedApi, payments: PaymentsClient, answer: tuple[int, Any], error: type[RequestRefused]
) -> None:
    api.script(answer)
    with pytest.raises(RequestRefused) as raised:
        pay(payments)
    assert (type(raised.value), raised.value.status) == (error, answer[0])
    assert (raised.value.code, raised.value.message) == tuple(answer[1]["error"].values())


def test_a_key_used_before_gives_its_payment(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(HANG_UP, EXISTS, NO_SUCH_PAYMENT, payment_answer("declined", decline_code="do_not_honor"))
    payment = pay(payments)
    assert (payment.status, payment.decline_code) == ("declined", "do_not_honor")


@pytest.mark.parametrize("other", [{"amount_minor": 1998}, {"currency": "EUR"}, {"merchant_reference": "order-1002"}])
def test_a_key_of_another_payment_never_returns_that_payment(
    api: ScriptedApi, payments: PaymentsClient, other: dict[str, Any]
) -> None:
    api.script(EXISTS, payment_answer(**other))
    with pytest.raises(KeyUsedForAnother):
        pay(payments)
    api.script(EXISTS, payment_answer())
    with pytest.raises(KeyUsedForAnother):
        payments.store_card(SEALED, idempotency_key=KEY)


def test_waiting_ends_when_the_payment_is_no_longer_processing(
    api: ScriptedApi, payments: PaymentsClient, time: FakeTime
) -> None:
    api.script(NO_SUCH_PAYMENT, payment_answer("processing"), payment_answer("processing"), payment_answer("in_doubt"))
    assert payments.wait(KEY).status == "in_doubt"
    assert time.slept == sorted(time.slept)
    assert len(time.slept) == 3


def test_a_wait_is_one_call_which_the_api_answers_when_the_payment_has_ended(
    api: ScriptedApi, payments: PaymentsClient, time: FakeTime
) -> None:
    api.script(payment_answer("captured"), payment_answer("declined"), payment_answer("captured"))
    assert payments.wait(KEY).status == "captured"
    assert payments.payment(KEY, wait_seconds=25).status == "declined"
    assert payments.payment(KEY).status == "captured"
    assert api.routes == [("GET", f"/payments/{KEY}{query}") for query in ("?wait=20", "?wait=25", "")]
    assert time.slept == []


def test_the_read_timeout_exceeds_the_requested_wait(
    api: ScriptedApi, payments: PaymentsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed, send = list[tuple[float, float]](), requests.Session.request

    def request(session: requests.Session, *call: Any, **options: Any) -> requests.Response:
        allowed.append(options["timeout"])
        return send(session, *call, **options)

    monkeypatch.setattr(requests.Session, "request", request)
    api.script(*[payment_answer("captured")] * 5)
    payments.payment(KEY)
    payments.payment(KEY, wait_seconds=25)
    payments.wait(KEY)
    payments.wait(KEY, timeout_seconds=7)
    payments.wait(KEY, timeout_seconds=0.5)
    assert [seconds for _, seconds in allowed] == pytest.approx([0.2, 25.2, 20.2, 6.2, 0.2])


def test_an_api_that_does_not_wait_is_polled_with_growing_pauses(
    api: ScriptedApi, payments: PaymentsClient, time: FakeTime
) -> None:
    api.script(*[payment_answer("processing")] * 8, payment_answer("captured"))
    assert payments.wait(KEY, timeout_seconds=10).status == "captured"
    assert time.slept == sorted(time.slept)
    waits = [int(path.rpartition("=")[2]) for _, path in api.routes]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] == 9


def test_waiting_ends_at_its_timeout(api: ScriptedApi, payments: PaymentsClient, time: FakeTime) -> None:
    api.script(*[payment_answer("processing")] * 100)
    with pytest.raises(StillProcessing):
        payments.wait(KEY, timeout_seconds=30)
    assert 28 <= time.now <= 30
    assert len(api.calls) < 25
    api.script(*[NO_SUCH_PAYMENT] * 100)
    with pytest.raises(NotFound):
        payments.wait("no-such-payment-here", timeout_seconds=30)


@pytest.mark.parametrize("trouble", [BUSY, BROKEN, HANG_UP, (502, b"<html>")])
def test_waiting_survives_temporary_errors(
    api: ScriptedApi, payments: PaymentsClient, time: FakeTime, trouble: tuple[int, Any] | None
) -> None:
    api.script(payment_answer("processing"), *[trouble] * 9, payment_answer("captured"))
    assert payments.wait(KEY).status == "captured"
    assert 5 < time.now < 60
    api.script(*[trouble] * 9, shown_operation())
    assert payments.wait_for_operation(KEY, "refund-1-of-order-1001").status == "succeeded"


@pytest.mark.parametrize(("trouble", "cause"), [(BUSY, "HTTP 429"), (BROKEN, "HTTP 502"), (HANG_UP, "ConnectionError")])
def test_waiting_during_lasting_errors_times_out_and_reports_the_last_payment(
    api: ScriptedApi, payments: PaymentsClient, time: FakeTime, trouble: tuple[int, Any] | None, cause: str
) -> None:
    api.script(payment_answer("processing"), *[trouble] * 100)
    with pytest.raises(StillProcessing, match=f"{KEY} was processing when it was last seen.*{cause} at the last of"):
        payments.wait(KEY, timeout_seconds=30)
    assert time.now == pytest.approx(30)
    api.script(*[trouble] * 100)
    with pytest.raises(TooManyRequests if trouble is BUSY else NoAnswer, match=cause):
        payments.wait(KEY, timeout_seconds=30)
    assert time.now == pytest.approx(60)
    assert len(api.calls) < 60


def test_an_error_that_waiting_cannot_fix_is_raised_at_once(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(BUSY, FORBIDDEN)
    with pytest.raises(AccessDenied):
        payments.wait(KEY)


def test_a_timed_out_wait_reports_the_status(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(*[shown_operation(status="processing")] * 100)
    with pytest.raises(StillProcessing, match=r"refund-1-of-order-1001 is still processing"):
        payments.wait_for_operation(KEY, "refund-1-of-order-1001", timeout_seconds=2)


def test_the_api_s_retry_after_is_honoured(api: ScriptedApi, payments: PaymentsClient, time: FakeTime) -> None:
    api.headers = {"Retry-After": "4"}
    api.script(BUSY, STARTED)
    pay(payments)
    assert time.slept == [4]
    api.headers = {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT", "Date": "Fri, 31 Dec 9999 23:59:56 GMT"}
    api.script(BUSY, STARTED)
    pay(payments)
    assert time.slept == [4, 3]


def test_a_retry_after_of_minutes_is_raised_unless_the_timeout_allows_it(
    api: ScriptedApi, payments: PaymentsClient, time: FakeTime
) -> None:
    api.headers = {"Retry-After": "45"}
    api.script(BUSY)
    with pytest.raises(TooManyRequests):
        pay(payments)
    assert time.slept == []
    api.script(BUSY, payment_answer())
    assert payments.wait(KEY).status == "captured"
    assert time.slept == [45]


@pytest.mark.parametrize("header", ["-1", "soon", "1.5", "", "٣", "Fri, 99 Foo 2026"])
def test_an_invalid_retry_after_is_replaced_by_the_clients_own_pause(
    api: ScriptedApi, payments: PaymentsClient, time: FakeTime, header: str
) -> None:
    api.headers = {"Retry-After": header.encode().decode("latin-1")}
    api.script(BUSY, STARTED)
    pay(payments)
    assert [pause <= 0.4 for pause in time.slept] == [True]


# A second more than AWS refuses, since one may pass between two calls.
@pytest.mark.parametrize("off", [-3600, -302, 302, 86400 * 400])
def test_a_wrong_clock_is_corrected_by_the_apis_date(
    api: ScriptedApi, payments: PaymentsClient, time: FakeTime, off: float
) -> None:
    api.clock = off
    api.script(STARTED, payment_answer(), payment_answer())
    pay(payments)
    assert len(api.calls) == 2
    assert {call.headers["Idempotency-Key"] for call in api.calls} == {KEY}
    payments.payment(KEY)
    assert len(api.calls) == 3
    # And again after this machine's clock is corrected.
    api.clock = 0
    payments.payment(KEY)
    assert len(api.calls) == 5
    assert time.slept == []


@pytest.mark.parametrize("headers", [{"Date": ""}, {"Date": "yesterday"}, {}])
def test_a_refusal_for_another_reason_than_the_time_is_raised_at_once(
    api: ScriptedApi, payments: PaymentsClient, headers: dict[str, str]
) -> None:
    api.headers = headers
    api.script(FORBIDDEN)
    with pytest.raises(AccessDenied):
        pay(payments)


def test_forty_threads_keep_their_connections(
    api: ScriptedApi, payments: PaymentsClient, everything_logged: pytest.LogCaptureFixture
) -> None:
    api.gate = threading.Barrier(40, timeout=30)
    api.script(*[payment_answer()] * 80)
    slow = PaymentsClient(api.url, "us-east-1", Credentials("AKIDEXAMPLE", "secret"))
    with ThreadPoolExecutor(40) as pool:
        assert {payment.status for payment in pool.map(slow.payment, [KEY] * 80)} == {"captured"}
    assert "pool is full" not in everything_logged.text


def test_a_payment_has_the_contracts_fields_and_ignores_others(api: ScriptedApi, payments: PaymentsClient) -> None:
    later: dict[str, Any] = {"loyalty_points": 3}
    api.script(payment_answer(**later, card=SUMMARY.to_dict() | later, operations=[operation(**later)]))
    payment = payments.payment(KEY)
    assert payment.card is not None
    assert (payment.card.token, payment.card.last4) == (TOKEN, "4242")
    assert payment.updated_at == datetime(2026, 11, 23, 9, 0, 1, tzinfo=UTC)
    assert payment.operations == (
        Operation(
            operation_id="refund-1-of-order-1001",
            type="refund",
            status="succeeded",
            amount_minor=500,
            created_at=datetime(2026, 11, 23, 10, tzinfo=UTC),
        ),
    )


@pytest.mark.parametrize(
    ("start", "path", "body"),
    [
        (
            lambda payments: payments.refund(KEY, 500, idempotency_key="refund-1-of-order-1001"),
            "refunds",
            {"amount_minor": 500},
        ),
        (lambda payments: payments.refund(KEY, idempotency_key="refund-1-of-order-1001"), "refunds", {}),
        (
            lambda payments: payments.capture(KEY, 500, idempotency_key="refund-1-of-order-1001"),
            "captures",
            {"amount_minor": 500},
        ),
        (lambda payments: payments.void(KEY, idempotency_key="refund-1-of-order-1001"), "voids", {}),
    ],
)
def test_an_operation_is_started_under_its_own_key_and_followed_to_its_end(
    api: ScriptedApi,
    payments: PaymentsClient,
    start: Callable[[PaymentsClient], Operation],
    path: str,
    body: dict[str, int],
) -> None:
    kind = path.removesuffix("s")
    api.script(
        BROKEN,
        (202, {"payment_id": KEY, "operation_id": "refund-1-of-order-1001", "status": "processing", "links": {}}),
        NO_SUCH_OPERATION,
        shown_operation(type=kind, status="processing"),
        shown_operation(type=kind, status="rejected", error="invalid_state"),
    )
    started = start(payments)
    assert (started.operation_id, started.type, started.status) == ("refund-1-of-order-1001", kind, "processing")
    ended = payments.wait_for_operation(KEY, started.operation_id)
    assert (ended.status, ended.error) == ("rejected", "invalid_state")
    assert (
        api.routes
        == [("POST", f"/payments/{KEY}/{path}")] * 2
        + [("GET", f"/payments/{KEY}/operations/refund-1-of-order-1001?wait=20")] * 3
    )
    assert [(call.headers["Idempotency-Key"], call.json) for call in api.calls[:2]] == [
        ("refund-1-of-order-1001", body)
    ] * 2


def test_an_operation_right_after_its_payment_is_followed_though_the_payment_appears_late(
    api: ScriptedApi, payments: PaymentsClient
) -> None:
    api.script(NO_SUCH_OPERATION, NO_SUCH_OPERATION, shown_operation())
    assert payments.wait_for_operation(KEY, "refund-1-of-order-1001").status == "succeeded"
    api.script(OPERATION_EXISTS, NO_SUCH_OPERATION, shown_operation())
    assert payments.refund(KEY, 500, idempotency_key="refund-1-of-order-1001").status == "succeeded"


def test_an_operation_that_was_requested_before_is_returned(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(OPERATION_EXISTS, shown_operation())
    assert payments.refund(KEY, 500, idempotency_key="refund-1-of-order-1001").status == "succeeded"
    api.script(OPERATION_EXISTS, shown_operation(status="processing"))
    assert payments.refund(KEY, 500, idempotency_key="refund-1-of-order-1001").status == "processing"


@pytest.mark.parametrize("other", [{"amount_minor": 501}, {"type": "capture"}])
def test_a_key_of_another_operation_never_returns_that_operation(
    api: ScriptedApi, payments: PaymentsClient, other: dict[str, Any]
) -> None:
    api.script(OPERATION_EXISTS, shown_operation(**other))
    with pytest.raises(KeyUsedForAnother):
        payments.refund(KEY, 500, idempotency_key="refund-1-of-order-1001")


def test_a_key_that_was_used_for_another_payment_is_not_waited_for(api: ScriptedApi, payments: PaymentsClient) -> None:
    used = (409, {"error": {"code": "key_used_for_another_request", "message": "On another payment."}})
    api.script(OPERATION_EXISTS, used)
    with pytest.raises(KeyUsedForAnother):
        payments.refund(KEY, 500, idempotency_key="refund-1-of-order-1001")
    api.script(used)
    with pytest.raises(KeyUsedForAnother):
        payments.wait_for_operation(KEY, "refund-1-of-order-1001")


def test_an_operation_on_an_unknown_payment_is_not_waited_for(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(shown_operation(status="processing"), shown_operation(status="rejected", error="payment_not_found"))
    with pytest.raises(NotFound):
        payments.wait_for_operation(KEY, "refund-1-of-order-1001")


def test_an_operation_that_never_appears_is_not_found(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(*[NO_SUCH_OPERATION] * 100)
    with pytest.raises(NotFound):
        payments.wait_for_operation(KEY, "refund-1-of-order-1001")


def test_waiting_for_an_operation_ends_at_its_timeout(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(*[shown_operation(status="processing")] * 100)
    with pytest.raises(StillProcessing):
        payments.wait_for_operation(KEY, "refund-1-of-order-1001")


def test_a_card_is_stored_shown_and_erased(api: ScriptedApi, payments: PaymentsClient) -> None:
    api.script(STARTED, (200, SUMMARY.to_dict()), (204, b""), NO_SUCH_CARD)
    assert payments.store_card(SEALED, idempotency_key=KEY).status == "processing"
    assert payments.card(TOKEN).expiry == "12/44"
    assert [payments.erase_card(TOKEN) for _ in range(2)] == [True, False]
    assert api.calls[0].json == {"card_data": SEALED}
    assert api.routes == [("POST", "/cards"), ("GET", f"/cards/{TOKEN}"), *[("DELETE", f"/cards/{TOKEN}")] * 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda payments: pay(payments, amount_minor=Decimal(1999)), "amount_minor must be of the type int"),
        (lambda payments: pay(payments, amount_minor=1999.0), "amount_minor must be of the type int"),
        (lambda payments: pay(payments, amount_minor="1999"), "amount_minor must be of the type int"),
        (lambda payments: pay(payments, amount_minor=True), "amount_minor must be of the type int"),
        (lambda payments: pay(payments, currency=b"USD"), "currency must be of the type str, and is bytes"),
        (lambda payments: pay(payments, currency=840), "currency"),
        (lambda payments: pay(payments, capture="false"), "capture must be of the type bool"),
        (lambda payments: pay(payments, capture=0), "capture"),
        (lambda payments: pay(payments, save_card=1), "save_card"),
        (lambda payments: pay(payments, merchant_reference=1001), "merchant_reference must be of the type str"),
        (lambda payments: pay(payments, description=["Beans"]), "description"),
        (lambda payments: pay(payments, card=None, token=b"tok_"), "token"),
        (lambda payments: pay(payments, card={"card_number": PAN}), "card"),
        (lambda payments: pay(payments, card=CardData(int(PAN), "12/30", HOLDER)), "card_number"),  # type: ignore[arg-type]
        (lambda payments: pay(payments, card=CardData(PAN, date(2030, 12, 1), HOLDER)), "expiry_date"),  # type: ignore[arg-type]
        (lambda payments: pay(payments, card=CardData(PAN, "12/30", [HOLDER])), "card_holder"),  # type: ignore[arg-type]
        (lambda payments: pay(payments, idempotency_key=uuid4()), "idempotency_key"),
        (lambda payments: payments.refund(KEY, Decimal(500)), "amount_minor must be of the type int, and is Decimal"),
        (lambda payments: payments.capture(KEY, 5e2), "amount_minor"),
        (lambda payments: payments.void(KEY, idempotency_key=uuid4()), "idempotency_key"),
        (lambda payments: payments.payment(uuid4()), "payment_id"),
        (lambda payments: payments.card(Decimal(1)), "token"),
    ],
)
def test_a_value_of_a_wrong_type_is_not_sent_and_the_field_is_named(
    api: ScriptedApi, payments: PaymentsClient, call: Callable[[PaymentsClient], object], message: str
) -> None:
    with pytest.raises(NotSent, match=message) as refused:
        call(payments)
    assert PAN not in str(refused.value)
    assert api.calls == []


def test_a_space_in_a_query_is_signed_as_it_is_sent() -> None:
    url, query = "https://api.example/v1/payments", {"merchant_reference": "order 1+2"}
    signed = requests.Request(
        "GET", url, params=query, auth=SigV4(Credentials("AKIDEXAMPLE", "x"), "us-east-1")
    ).prepare()
    assert signed.url == f"{url}?merchant_reference=order%201%2B2"


def test_a_search_goes_from_page_to_page_as_far_as_it_is_read(api: ScriptedApi, payments: PaymentsClient) -> None:
    older = {"payments": [payment_answer("declined")[1]], "next_cursor": None}
    api.script((200, {"payments": [payment_answer()[1]], "next_cursor": "b2xkZXI"}), (200, older))
    until = datetime(2026, 11, 29, tzinfo=UTC)
    results = payments.search(merchant_reference="order 1/ä&x", since=date(2026, 11, 1), until=until)
    assert api.calls == []
    assert next(results).status == "captured"
    assert len(api.calls) == 1
    assert [payment.status for payment in results] == ["declined"]
    queries = [dict(parse_qsl(urlsplit(call.path).query)) for call in api.calls]
    criteria = {"merchant_reference": "order 1/ä&x", "from": "2026-11-01", "to": "2026-11-29T00:00:00+00:00"}
    assert queries == [criteria, criteria | {"cursor": "b2xkZXI"}]
    assert "order%201" in api.calls[0].path  # SigV4 knows no + for a space


CARD_IN_TEXT = f"paid by {UNLISTED_PAN[:4]}.{UNLISTED_PAN[4:]}"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda payments: pay(payments, merchant_reference=CARD_IN_TEXT), "merchant_reference"),
        (lambda payments: pay(payments, description=CARD_IN_TEXT), "description"),
        (lambda payments: pay(payments, card=CardData(PAN, "12/30", CARD_IN_TEXT)), "card_holder"),
        (lambda payments: payments.store_card(CardData(PAN, "12/30", CARD_IN_TEXT)), "card_holder"),
        (
            lambda payments: pay(payments, card=CardData(PAN[:-1] + "1", "12/30", HOLDER)),
            "card_number must be a card's",
        ),
        (lambda payments: pay(payments, card=CardData(PAN, "12/2030", HOLDER)), "expiry_date must be MM/YY"),
        (lambda payments: pay(payments, card=CardData(PAN, "12/99", HOLDER)), "expiry_date must not be further"),
        (lambda payments: pay(payments, card=CardData(PAN, "12/30", "\u00a0\u200b")), "card_holder must be a name"),
        (lambda payments: pay(payments, card=f"{UNLISTED_PAN}.a.a.a.a"), "The card"),
        (lambda payments: pay(payments, card=UNLISTED_PAN), "The card"),
        (lambda payments: payments.store_card(UNLISTED_PAN), "The card"),
        (lambda payments: pay(payments, idempotency_key=f"order-{UNLISTED_PAN}"), "idempotency_key"),
        (lambda payments: payments.refund(KEY, idempotency_key=UNLISTED_PAN), "idempotency_key"),
        (lambda payments: payments.refund(UNLISTED_PAN), "payment_id"),
        (lambda payments: payments.payment(f"x{UNLISTED_PAN}"), "payment_id"),
        (lambda payments: payments.payment("../cards/tok?x"), "payment_id"),
        (lambda payments: payments.wait(UNLISTED_PAN), "payment_id"),
        (lambda payments: payments.card(UNLISTED_PAN), "token"),
        (lambda payments: payments.erase_card(UNLISTED_PAN), "token"),
        (lambda payments: payments.search(merchant_reference=CARD_IN_TEXT), "merchant_reference"),
        (lambda payments: payments.search(since=datetime(2026, 11, 29)), "from needs a time zone"),
        (lambda payments: payments.search(until="2026"), "to must be a date"),
        (lambda payments: pay(payments, metadata={"a": CARD_IN_TEXT}), "metadata"),
        (lambda payments: pay(payments, metadata={CARD_IN_TEXT: "a"}), "metadata"),
        (lambda payments: pay(payments, metadata={"a": 1}), "metadata must have"),
        (lambda payments: pay(payments, metadata="a=b"), "metadata must be"),
    ],
)
def test_a_misplaced_card_number_or_a_broken_rule_is_not_sent_and_the_field_is_named(
    api: ScriptedApi, payments: PaymentsClient, call: Callable[[PaymentsClient], object], message: str
) -> None:
    with pytest.raises(NotSent, match=message) as refused:
        call(payments)
    assert not re.search("[0-9]{4}", str(refused.value))
    assert api.calls == []


@pytest.mark.parametrize(
    "file",
    [
        "domain/card_brands.json",
        "domain/card_number.py",
        "domain/card_rules.json",
        "domain/card_rules.py",
        "domain/shapes.py",
        "adapters/decimals.json",
    ],
)
def test_the_client_has_the_products_own_rules_to_the_letter(file: str) -> None:
    own = Path("functions/shared", file)
    assert Path("client", own.name).read_text() == own.read_text()


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Logging as in a merchant's process, without the functions' redaction, which other tests may have installed."""
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    caplog.set_level(logging.DEBUG)
    yield caplog
    logging.setLogRecordFactory(factory)


def test_a_card_is_sealed_before_it_is_sent_and_is_in_no_text(
    api: ScriptedApi, payments: PaymentsClient, everything_logged: pytest.LogCaptureFixture
) -> None:
    card = CardData(PAN, "12/44", HOLDER, "7370")
    api.script((201, issued_key()[1]), *[BROKEN] * 4)
    with pytest.raises(NoAnswer) as raised:
        pay(payments, card=card)
    sent = {call.body for call in api.calls[1:]}
    assert len(sent) == 1
    assert json.loads(sent.pop())["card_data"].count(".") == 4
    logs = everything_logged.text
    texts = [repr(card), str(card), repr(raised.value), logs, *map(repr, api.calls)]
    assert [text for text in texts if PAN in text or HOLDER in text or "'7370'" in text] == []
    assert "POST /v1/payments" in logs


def test_a_stack_file_says_where_the_api_is(api: ScriptedApi, time: FakeTime, tmp_path: Path) -> None:
    file = tmp_path / "stack.json"
    stack = {"api_url": api.url, "region": "eu-central-1", "access_key_id": "AKIDSTACK", "secret_access_key": "secret"}
    file.write_text(json.dumps(stack | {"sparkle_url": None}))
    api.script((200, {"keys": []}))
    assert PaymentsClient.from_stack_file(file).keys() == ()
    assert "Credential=AKIDSTACK/" in api.calls[0].headers["Authorization"]
    assert "/eu-central-1/execute-api/" in api.calls[0].headers["Authorization"]


def test_without_credentials_there_is_no_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(NoCredentialsError):
        PaymentsClient("https://api.test/v1", "us-east-1")


def test_every_error_has_the_same_base_class() -> None:
    errors = (
        RequestRefused,
        AccessDenied,
        CardNotSealed,
        NotFound,
        KeyUsedForAnother,
        TooManyRequests,
        NoAnswer,
        StillProcessing,
    )
    assert all(issubclass(error, PaymentsError) for error in errors)

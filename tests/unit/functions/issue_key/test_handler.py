import json
from typing import Any

import pytest

from functions.issue_key.handler import handler
from functions.shared.domain.errors import KeyServiceUnavailable, KeyUnusable, PaymentUnderWay
from tests.samples import payment
from tests.unit.functions.conftest import Output, World

UUID = "c56a4180-65aa-42ec-a945-5fd21dec0538"


def call(key: str | None = "payment-of-ours-1", body: str | None = None, **changes: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Idempotency-Key": key} if key is not None else {}
    event = {"headers": headers, "body": body, "requestContext": {"path": "/v1/keys"}} | changes
    answer = handler(event, None)
    assert answer["headers"]["Cache-Control"] == "no-store"
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("body", [None, "", " ", "{}", "{ }\n"])
def test_a_key_is_issued_for_an_idempotency_key_alone(world: World, output: Output, body: str | None) -> None:
    status, issued = call(body=body)
    assert (status, issued["kid"]) == (201, world.sealing_keys.issued["payment-of-ours-1"].kid)
    assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}


@pytest.mark.parametrize("spelling", [UUID.upper(), UUID.replace("-", "")])
def test_a_key_is_issued_for_the_payment_whatever_the_spelling_of_its_id(world: World, spelling: str) -> None:
    assert call(spelling) == call(UUID)
    assert list(world.sealing_keys.issued) == [UUID]


@pytest.mark.parametrize("name", ["idempotency-key", "IDEMPOTENCY-KEY"])
def test_a_header_s_name_may_be_in_any_case(world: World, name: str) -> None:
    assert call(headers={name: "payment-of-ours-1"})[0] == 201


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": None}, "missing_idempotency_key"),
        ({"key": ""}, "missing_idempotency_key"),
        ({"headers": None}, "missing_idempotency_key"),
        ({"key": "too-short"}, "invalid_idempotency_key"),
        ({"key": "4242424242424242"}, "invalid_idempotency_key"),
        ({"body": '{"card_number": "4242424242424242"}'}, "invalid_request"),
        ({"body": "[]"}, "invalid_request"),
        ({"body": "not json"}, "invalid_request"),
    ],
)
def test_what_is_wrong_with_the_request_is_said_and_no_key_issued(
    world: World, changes: dict[str, Any], code: str
) -> None:
    status, answer = call(**changes)
    assert (status, answer["error"]["code"]) == (400, code)
    assert "4242424242424242" not in json.dumps(answer)
    assert world.sealing_keys.issued == {}


def test_a_payment_that_has_ended_or_is_under_way_gets_no_key(world: World) -> None:
    world.ledger.record(payment("recorded-payment-1"))
    world.sealing_keys.ended.add("rejected-payment-1")
    world.sealing_keys.faults.arm("issue", PaymentUnderWay("It holds a card."))
    for key in ("running-payment-1", "recorded-payment-1", "rejected-payment-1"):
        status, answer = call(key)
        assert (status, answer["error"]["code"], answer["payment_id"]) == (409, "payment_exists", key)
        assert answer["links"] == {"self": f"/v1/payments/{key}"}
    assert world.sealing_keys.issued == {}


@pytest.mark.parametrize(("path", "link"), [("/keys", "/payments/"), ("/pay/v2/keys/", "/pay/v2/payments/")])
def test_a_link_begins_as_the_request_s_path_does(world: World, path: str, link: str) -> None:
    world.sealing_keys.ended.add("payment-of-ours-1")
    assert call(requestContext={"path": path})[1]["links"]["self"] == f"{link}payment-of-ours-1"


def test_while_a_service_is_down_the_caller_may_ask_again(world: World) -> None:
    world.sealing_keys.faults.arm("issue", KeyServiceUnavailable("KMS: Throttling"))
    assert call()[0] == 503
    assert call()[0] == 201


def test_a_key_that_can_t_be_used_is_no_answer_but_a_fault(world: World) -> None:
    world.sealing_keys.faults.arm("issue", KeyUnusable("KMS: DisabledException"))
    with pytest.raises(KeyUnusable):
        call()

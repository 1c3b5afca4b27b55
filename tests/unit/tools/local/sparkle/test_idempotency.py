from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.unit.tools.local.sparkle.conftest import Sparkle, charge_request, headers
from tools.local.sandbox.idempotency import Answer
from tools.local.sparkle.charges import ChargeBook
from tools.local.sparkle.errors import RequestInProgress
from tools.local.sparkle.idempotency import sparkle_keys


@pytest.mark.parametrize(("number", "status"), [("4242424242424242", 201), ("4000000000000002", 402)])
def test_the_same_key_and_body_get_the_first_answer_again(sparkle: Sparkle, number: str, status: int) -> None:
    body = charge_request(number=number)
    first = sparkle.post("/v1/charges", body, key="k")
    sparkle.clock.advance(days=1)
    again = sparkle.post("/v1/charges", dict(reversed(body.items())), key="k")
    assert (first.status_code, again.status_code) == (status, status)
    assert again.json == first.json
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(sparkle.get("/sandbox/charges").json["charges"]) == 1


def test_a_replay_shows_the_first_answer_though_the_charge_has_changed(sparkle: Sparkle) -> None:
    first = sparkle.post("/v1/charges", charge_request(), key="k")
    sparkle.reverse()
    assert sparkle.post("/v1/charges", charge_request(), key="k").json == first.json
    assert sparkle.find()[0]["status"] == "voided"


@pytest.mark.parametrize("change", [{"amount_minor": 2000}, {"reference": "pay-2"}, {"capture": True}])
def test_the_same_key_with_another_body_is_refused(sparkle: Sparkle, change: dict[str, Any]) -> None:
    sparkle.post("/v1/charges", charge_request(), key="k")
    answer = sparkle.post("/v1/charges", charge_request() | change, key="k")
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "idempotency_key_reused")
    assert len(sparkle.get("/sandbox/charges").json["charges"]) == 1


def test_the_same_key_on_another_path_is_refused(sparkle: Sparkle) -> None:
    charge = sparkle.charge(capture=False)
    assert sparkle.post(f"/v1/charges/{charge['id']}/capture", {}, key="k").status_code == 200
    answer = sparkle.post(f"/v1/charges/{charge['id']}/refunds", {}, key="k")
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "idempotency_key_reused")


def test_an_operation_repeated_with_its_key_happens_once(sparkle: Sparkle) -> None:
    charge = sparkle.charge(capture=False)
    for action, body in (("capture", {}), ("refunds", {"amount_minor": 500})):
        path = f"/v1/charges/{charge['id']}/{action}"
        first, again = (sparkle.post(path, body, key=action) for _ in range(2))
        assert (again.status_code, again.json) == (first.status_code, first.json)
        assert again.headers["Idempotent-Replayed"] == "true"
    assert sparkle.find()[0]["refunded_minor"] == 500


def test_a_refusal_by_the_charges_state_is_remembered(sparkle: Sparkle) -> None:
    charge = sparkle.charge(capture=False)
    path = f"/v1/charges/{charge['id']}/refunds"
    assert sparkle.post(path, {}, key="k").status_code == 409
    sparkle.post(f"/v1/charges/{charge['id']}/capture", {})
    again = sparkle.post(path, {}, key="k")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (409, "true")


@pytest.mark.parametrize("change", [{"amount_minor": 0}, {"currency": "ZZZ"}])
def test_an_invalid_request_does_not_use_the_key_up(sparkle: Sparkle, change: dict[str, Any]) -> None:
    assert sparkle.post("/v1/charges", charge_request() | change, key="k").status_code == 422
    assert sparkle.post("/v1/charges", charge_request(), key="k").status_code == 201


def test_a_crash_does_not_use_the_key_up(sparkle: Sparkle, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as crashing:
        crashing.setattr(ChargeBook, "charge", lambda *_: 1 / 0)
        answer = sparkle.post("/v1/charges", charge_request(), key="k")
        assert (answer.status_code, answer.json["error"]["code"]) == (500, "internal_server_error")
    assert sparkle.post("/v1/charges", charge_request(), key="k").status_code == 201


@pytest.mark.parametrize("key", [None, "", "k" * 256])
def test_a_request_that_moves_money_needs_a_key(sparkle: Sparkle, key: str | None) -> None:
    sent = headers(key or "")
    if key is None:
        del sent["Idempotency-Key"]
    answer = sparkle.post("/v1/charges", charge_request(), headers=sent)
    assert (answer.status_code, answer.json["error"]["reason"]) == (422, "missing_idempotency_key")
    assert sparkle.find() == []


def test_a_claimed_key_is_in_progress_until_it_is_recorded_and_free_once_released() -> None:
    keys = sparkle_keys()
    assert keys.claim("k", "/v1/charges", {}, "pay-1") is None
    with pytest.raises(RequestInProgress):
        keys.claim("k", "/v1/charges", {}, "pay-1")
    keys.release("k")
    assert keys.claim("k", "/v1/charges", {"other": 1}, "pay-1") is None
    keys.record("k", Answer(201, {"id": 1}))
    assert keys.claim("k", "/v1/charges", {"other": 1}, "pay-1") == Answer(201, {"id": 1}, replayed=True)


def test_the_same_key_sent_many_times_at_once_makes_one_charge(url: str) -> None:
    def send(_: int) -> int:
        answer = requests.post(f"{url}/v1/charges", json=charge_request(), headers=headers("k"), timeout=10)
        return answer.status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = set(pool.map(send, range(64)))
    assert 201 in statuses
    assert statuses <= {201, 409}
    assert len(requests.get(f"{url}/sandbox/charges", headers=headers(""), timeout=10).json()["charges"]) == 1


def test_refunds_at_once_never_give_back_more_than_was_captured(url: str) -> None:
    charge = requests.post(f"{url}/v1/charges", json=charge_request(), headers=headers("k"), timeout=10).json()

    def refund(number: int) -> int:
        path = f"{url}/v1/charges/{charge['id']}/refunds"
        return requests.post(path, json={"amount_minor": 500}, headers=headers(f"r{number}"), timeout=10).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(refund, range(16)))
    assert sorted(statuses) == [201] * 3 + [422] * 13
    assert (
        requests.get(f"{url}/sandbox/charges", headers=headers(""), timeout=10).json()["charges"][0]["refunded_minor"]
        == 1500
    )


def test_one_refund_reference_sent_at_once_under_many_keys_makes_one_refund(url: str) -> None:
    charge = requests.post(f"{url}/v1/charges", json=charge_request(), headers=headers("k"), timeout=10).json()
    path = f"{url}/v1/charges/{charge['id']}/refunds"

    def refund(number: int) -> int:
        body = {"amount_minor": 1, "refund_reference": "return-1"}
        return requests.post(path, json=body, headers=headers(f"r{number}"), timeout=10).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(refund, range(16)))
    assert sorted(statuses) == [201] + [409] * 15
    assert len(requests.get(path, headers=headers(""), timeout=10).json()["refunds"]) == 1


def test_a_charge_and_its_reversal_at_once_leave_no_money_moved(url: str) -> None:
    def race(number: int) -> None:
        reference = f"pay-{number // 2}"
        if number % 2:
            body, path = {"reference": reference}, "reversals"
        else:
            body, path = charge_request(reference), "charges"
        requests.post(f"{url}/v1/{path}", json=body, headers=headers(f"k{number}"), timeout=10)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(race, range(64)))
    charges = requests.get(f"{url}/sandbox/charges", headers=headers(""), timeout=10).json()["charges"]
    assert {charge["captured_minor"] - charge["refunded_minor"] for charge in charges} <= {0}


def test_the_oldest_answered_keys_are_forgotten_when_there_are_too_many() -> None:
    keys = sparkle_keys(max_keys=2)
    for key in ("a", "b", "c"):
        assert keys.claim(key, "/", {}, "pay-1") is None
        keys.record(key, Answer(201, {"key": key}))
    assert keys.claim("c", "/", {}, "pay-1") == Answer(201, {"key": "c"}, replayed=True)
    assert keys.claim("a", "/", {}, "pay-1") is None


def test_a_key_in_progress_is_never_forgotten() -> None:
    keys = sparkle_keys(max_keys=1)
    keys.claim("a", "/", {}, "pay-1")
    keys.claim("b", "/", {}, "pay-1")
    with pytest.raises(RequestInProgress):
        keys.claim("a", "/", {}, "pay-1")
    keys.record("a", Answer(201, {}))


def test_a_reference_that_is_forgotten_is_not_found_and_can_be_charged_again(sparkle: Sparkle) -> None:
    first = sparkle.post("/v1/charges", charge_request(), key="k").json
    other = sparkle.post("/v1/charges", charge_request("pay-2"), key="k-2").json
    assert sparkle.post("/sandbox/forget", {"reference": "pay-1"}).status_code == 204
    assert sparkle.find() == []
    second = sparkle.post("/v1/charges", charge_request(), key="k")
    assert (second.status_code, second.json["id"] == first["id"]) == (201, False)
    assert {charge["id"] for charge in sparkle.get("/sandbox/charges").json["charges"]} == {
        first["id"],
        second.json["id"],
        other["id"],
    }
    # The first charge can still be found by its id, and other references are remembered.
    refund = sparkle.post(f"/v1/charges/{first['id']}/refunds", {"amount_minor": 1999}).json
    assert refund["charge"]["id"] == first["id"]
    assert sparkle.post("/v1/charges", charge_request("pay-2"), key="k-2").json["id"] == other["id"]


def test_a_reversal_that_is_forgotten_refuses_nothing_any_more(sparkle: Sparkle) -> None:
    sparkle.post("/v1/reversals", {"reference": "pay-1"})
    assert sparkle.post("/v1/charges", charge_request()).status_code == 409
    sparkle.post("/sandbox/forget", {"reference": "pay-1"})
    assert sparkle.post("/v1/charges", charge_request()).status_code == 201


def test_what_was_never_known_can_be_forgotten_and_nobody_forgets_without_the_key(sparkle: Sparkle) -> None:
    assert sparkle.post("/sandbox/forget", {"reference": "pay-9"}).status_code == 204
    assert sparkle.post("/sandbox/forget", {"reference": "pay-9"}, headers={}).status_code == 401
    assert sparkle.post("/sandbox/forget", {}).status_code == 422

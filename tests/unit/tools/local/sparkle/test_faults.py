import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.unit.tools.local.sparkle.conftest import API_KEY, APPROVED, Sparkle, charge_request, headers
from tools.deployment.polling import wait_for
from tools.local.sandbox.performing import DROP
from tools.local.sparkle.app import create_app
from tools.local.sparkle.contract import contract

NOTHING_DONE = ["timeout_before", "reset", "http_429", "http_500", "http_502_html"]


def break_next(url: str, operation: str, fault: str, **more: Any) -> None:
    answer = requests.post(
        f"{url}/sandbox/faults", json={"operation": operation, "fault": fault} | more, headers=headers(""), timeout=10
    )
    assert answer.status_code == 201, answer.text


def charge(url: str, reference: str = "pay-1", timeout: float = 10) -> requests.Response:
    body = charge_request(reference)
    return requests.post(f"{url}/v1/charges", json=body, headers=headers(f"{reference}-charge"), timeout=timeout)


def find(url: str, reference: str = "pay-1") -> list[dict[str, Any]]:
    answer = requests.get(f"{url}/v1/charges", params={"reference": reference}, headers=headers(""), timeout=10)
    return list(answer.json()["charges"])


@pytest.mark.parametrize("fault", NOTHING_DONE)
def test_a_fault_before_the_deed_does_nothing_and_the_key_stays_good(sparkle: Sparkle, fault: str) -> None:
    sparkle.http.post(
        "/sandbox/faults", json={"operation": "charge", "fault": fault, "seconds": 0}, headers=headers("")
    )
    sparkle.http.post("/v1/charges", json=charge_request(), headers=headers("k"))
    assert sparkle.find() == []
    again = sparkle.post("/v1/charges", charge_request(), key="k")
    assert again.status_code == 201
    assert "Idempotent-Replayed" not in again.headers


def test_a_429_says_when_to_come_back(sparkle: Sparkle) -> None:
    sparkle.break_next("charge", "http_429")
    answer = sparkle.post("/v1/charges", charge_request())
    assert (answer.status_code, answer.json["error"]["code"]) == (429, "rate_limited")
    assert answer.headers["Retry-After"] == "1"


def test_a_500_is_json_and_a_502_is_html(sparkle: Sparkle) -> None:
    sparkle.break_next("charge", "http_500")
    sparkle.break_next("charge", "http_502_html")
    first, second = (sparkle.post("/v1/charges", charge_request()) for _ in range(2))
    assert (first.status_code, first.json["error"]["code"]) == (500, "internal_server_error")
    assert (second.status_code, second.mimetype) == (502, "text/html")


def test_a_timeout_before_the_deed_ends_without_an_answer_and_without_a_charge(url: str) -> None:
    break_next(url, "charge", "timeout_before", seconds=0.2)
    started = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        charge(url)
    assert time.monotonic() - started >= 0.2
    assert find(url) == []


def test_a_timeout_after_the_deed_ends_without_an_answer_but_with_a_charge(url: str) -> None:
    break_next(url, "charge", "timeout_after", seconds=0.1)
    with pytest.raises(requests.ConnectionError):
        charge(url)
    assert [each["status"] for each in find(url)] == ["captured"]


def test_while_the_answer_is_lost_the_charge_is_found_and_its_key_replays(url: str) -> None:
    break_next(url, "charge", "timeout_after", seconds=30)
    with pytest.raises(requests.ReadTimeout):
        charge(url, timeout=0.5)
    assert [each["status"] for each in find(url)] == ["captured"]
    again = charge(url)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json() == find(url)[0]


def test_a_late_charge_is_in_progress_until_it_is_done_without_an_answer(url: str) -> None:
    break_next(url, "charge", "late", seconds=1)
    with pytest.raises(requests.ReadTimeout):
        charge(url, timeout=0.2)
    assert charge(url).json()["error"]["code"] == "request_in_progress"
    assert find(url) == []
    assert [each["status"] for each in wait_for(lambda: find(url), 5)] == ["captured"]
    assert charge(url).headers["Idempotent-Replayed"] == "true"


def test_a_charge_that_lands_after_its_reversal_is_refused(url: str) -> None:
    break_next(url, "charge", "late", seconds=0.5)
    with pytest.raises(requests.ReadTimeout):
        charge(url, timeout=0.1)
    reversal = requests.post(f"{url}/v1/reversals", json={"reference": "pay-1"}, headers=headers(""), timeout=10)
    assert reversal.json()["result"] == "tombstoned"
    time.sleep(0.8)
    assert find(url) == []
    assert charge(url).json()["error"]["code"] == "reference_reversed"


def test_a_garbled_answer_comes_after_the_deed(url: str) -> None:
    break_next(url, "charge", "garbage")
    answer = charge(url)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert [each["status"] for each in find(url)] == ["captured"]


def test_a_slow_answer_arrives_and_meanwhile_its_key_is_in_progress(url: str) -> None:
    break_next(url, "charge", "slow", seconds=1)
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        slow = pool.submit(charge, url)
        assert wait_for(lambda: find(url), 5)
        meanwhile = charge(url)
        assert slow.result().status_code == 201
    assert time.monotonic() - started >= 1
    assert (meanwhile.status_code, meanwhile.json()["error"]["code"]) == (409, "request_in_progress")
    assert charge(url).json() == slow.result().json()


def test_a_sleeping_fault_holds_nobody_else_up(url: str) -> None:
    break_next(url, "charge", "timeout_before", reference="pay-1", seconds=30)
    break_next(url, "charge", "slow", reference="pay-2", seconds=30)
    for reference in ("pay-1", "pay-2"):
        with pytest.raises(requests.ReadTimeout):
            charge(url, reference, timeout=0.3)
    assert charge(url, "pay-3", timeout=5).status_code == 201


def test_a_reset_is_a_tcp_reset(url: str) -> None:
    break_next(url, "charge", "reset")
    with pytest.raises(requests.ConnectionError) as raised:
        charge(url)
    assert "ConnectionResetError" in repr(raised.value)
    assert find(url) == []


def test_a_closed_connection_is_no_reset(url: str) -> None:
    break_next(url, "charge", "timeout_before", seconds=0)
    with pytest.raises(requests.ConnectionError) as raised:
        charge(url)
    assert "RemoteDisconnected" in repr(raised.value)


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [
        ("find", "GET", "/v1/charges?reference=pay-1"),
        ("find", "GET", "/v1/charges/{id}"),
        ("find", "GET", "/v1/charges/{id}/refunds"),
        ("reverse", "POST", "/v1/reversals"),
        ("capture", "POST", "/v1/charges/{id}/capture"),
        ("void", "POST", "/v1/charges/{id}/void"),
        ("refund", "POST", "/v1/charges/{id}/refunds"),
        ("settlements", "GET", "/v1/settlements?date=2026-11-23"),
    ],
)
def test_a_fault_hits_its_operation_only_and_only_its_reference(
    sparkle: Sparkle, operation: str, method: str, path: str
) -> None:
    charge = sparkle.charge("pay-1", capture=operation == "refund")
    body = None if method == "GET" else {"reference": "pay-1"} if operation == "reverse" else {}
    reference = "2026-11-23" if operation == "settlements" else "pay-1"
    for other in set(contract()["components"]["schemas"]["Operation"]["enum"]) - {operation}:
        sparkle.break_next(other, "http_500", reference=reference, times=5)
    sparkle.break_next(operation, "http_500", reference="pay-2")
    sparkle.break_next(operation, "http_429", reference=reference)
    path = path.format(id=charge["id"])
    assert sparkle.call(method, path, body).status_code == 429
    assert sparkle.call(method, path, body).status_code in (200, 201)


def test_a_refund_whose_answer_is_lost_was_made(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    sparkle.break_next("refund", "timeout_after", seconds=0)
    path = f"/v1/charges/{charge['id']}/refunds"
    assert sparkle.http.post(path, json={"amount_minor": 500}, headers=headers("k")).status_code == 444
    assert sparkle.find()[0]["refunded_minor"] == 500
    assert sparkle.post(path, {"amount_minor": 500}, key="k").headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("timeout_before", None),
        ("timeout_after", None),
        ("reset", None),
        ("slow", 200),
        ("late", None),
        ("garbage", 200),
        ("http_429", 429),
        ("http_500", 500),
        ("http_502_html", 502),
    ],
)
def test_a_settlement_report_meets_every_fault_once(sparkle: Sparkle, fault: str, status: int | None) -> None:
    report = sparkle.report()
    sparkle.break_next("settlements", fault, seconds=0)
    broken = sparkle.http.get("/v1/settlements?date=2026-11-23", headers=headers(""))
    assert broken.status_code == status or (status is None and DROP in broken.headers)
    assert broken.is_json == (fault in ("slow", "http_429", "http_500"))
    assert sparkle.report() == report
    logged = [(entry["path"], entry["reference"], entry["status"], entry["fault"]) for entry in sparkle.requests()]
    day = ("/v1/settlements", "2026-11-23")
    assert logged == [(*day, 200, None), (*day, status, fault), (*day, 200, None)]


def test_a_settlement_report_that_is_not_asked_for_properly_uses_no_fault_up(sparkle: Sparkle) -> None:
    sparkle.break_next("settlements", "http_500")
    for query in ("date=today", "date=2026-11-23&limit=0", "date=2026-11-23&cursor=1"):
        assert sparkle.get(f"/v1/settlements?{query}").status_code == 422
    assert sparkle.get("/v1/settlements?date=2026-11-23").status_code == 500


def test_times_counts_down_and_one_is_the_default(sparkle: Sparkle) -> None:
    sparkle.break_next("find", "http_500", times=2)
    sparkle.break_next("find", "http_429")
    statuses = [sparkle.get("/v1/charges?reference=pay-1").status_code for _ in range(4)]
    assert statuses == [500, 500, 429, 200]


def test_a_fault_for_a_reference_goes_before_one_for_any(sparkle: Sparkle) -> None:
    sparkle.break_next("find", "http_500")
    sparkle.break_next("find", "http_429", reference="pay-1")
    statuses = [sparkle.get("/v1/charges?reference=pay-1").status_code for _ in range(3)]
    assert statuses == [429, 500, 200]


def test_disarming_disarms_all(sparkle: Sparkle) -> None:
    sparkle.break_next("find", "http_500", times=9)
    sparkle.break_next("find", "http_500", reference="pay-1")
    assert sparkle.call("DELETE", "/sandbox/faults").status_code == 204
    assert sparkle.get("/v1/charges?reference=pay-1").status_code == 200


def test_the_faults_for_one_reference_can_be_disarmed_alone(sparkle: Sparkle) -> None:
    for reference in ("pay-1", "pay-2"):
        sparkle.break_next("find", "http_500", times=9, reference=reference)
    assert sparkle.call("DELETE", "/sandbox/faults?reference=pay-1").status_code == 204
    assert sparkle.get("/v1/charges?reference=pay-1").status_code == 200
    assert sparkle.get("/v1/charges?reference=pay-2").status_code == 500


def test_a_request_that_is_refused_before_it_counts_uses_no_fault_up(sparkle: Sparkle) -> None:
    sparkle.break_next("charge", "http_500")
    assert sparkle.post("/v1/charges", charge_request(amount_minor=0)).status_code == 422
    assert sparkle.post("/v1/charges", charge_request(), headers={}).status_code == 401
    assert sparkle.post("/v1/charges", charge_request()).status_code == 500


@pytest.mark.parametrize(
    ("fault", "seconds"), [("timeout_before", 30), ("timeout_after", 30), ("slow", 2), ("late", 10), ("reset", None)]
)
def test_an_armed_fault_is_shown_with_its_defaults(sparkle: Sparkle, fault: str, seconds: float | None) -> None:
    answer = sparkle.post("/sandbox/faults", {"operation": "void", "fault": fault})
    assert answer.json == {
        "operation": "void",
        "fault": fault,
        "times": 1,
        "reference": None,
        "seconds": seconds,
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "operation"),
        ({"operation": "charge"}, "fault"),
        ({"operation": "pay", "fault": "slow"}, "operation must be one of charge, verify, find"),
        ({"operation": "charge", "fault": "explode"}, "fault must be one of timeout_before"),
        ({"operation": "charge", "fault": "slow", "times": 0}, "times"),
        ({"operation": "charge", "fault": "slow", "times": "2"}, "times"),
        ({"operation": "charge", "fault": "slow", "seconds": -1}, "seconds"),
        ({"operation": "charge", "fault": "slow", "reference": 1}, "reference"),
        ({"operation": "charge", "fault": "slow", "second": 1}, "unknown field"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_its_field(
    sparkle: Sparkle, body: dict[str, Any], field: str
) -> None:
    answer = sparkle.post("/sandbox/faults", body)
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "invalid_request")
    assert field in answer.json["error"]["message"]
    assert sparkle.post("/v1/charges", charge_request()).status_code == 201


def test_the_request_log_tells_what_happened_and_holds_no_card(sparkle: Sparkle) -> None:
    sparkle.break_next("charge", "http_500")
    sparkle.break_next("charge", "timeout_after", seconds=0)
    for _ in range(2):
        sparkle.http.post("/v1/charges", json=charge_request(), headers=headers("k"))
    sparkle.http.get(f"/v1/charges/{APPROVED}", headers=headers("k"))
    sparkle.http.get(f"/v1/{APPROVED}", headers={})
    logged = [
        (entry["method"], entry["path"], entry["reference"], entry["status"], entry["fault"])
        for entry in sparkle.requests()
    ]
    assert logged == [
        ("POST", "/v1/charges", "pay-1", 500, "http_500"),
        ("POST", "/v1/charges", "pay-1", None, "timeout_after"),
        ("GET", "/v1/charges/{charge_id}", None, 404, None),
        ("GET", None, None, 401, None),
    ]
    assert {entry["idempotency_key"] for entry in sparkle.requests()[:2]} == {"k"}
    for path in ("/sandbox/requests", "/sandbox/charges"):
        assert APPROVED not in sparkle.get(path).text
        assert "Jane Doe" not in sparkle.get(path).text


def test_the_request_log_keeps_only_the_last_requests(sparkle: Sparkle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.local.sparkle.app._MAX_LOGGED_REQUESTS", 2)
    small = Sparkle(create_app(API_KEY).test_client(), sparkle.clock, sparkle.book)
    for reference in ("a", "b", "c"):
        small.find(reference)
    assert [entry["reference"] for entry in small.requests()] == ["b", "c"]

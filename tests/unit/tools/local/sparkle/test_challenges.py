"""Customers are authenticated, on a page or by a test."""

from typing import Any

import pytest
import requests
from werkzeug.test import TestResponse

from tests.unit.tools.local.sparkle.conftest import Sparkle, charge_request

CHALLENGED = "4000002500003155"
CHALLENGED_TOO = "4000000000003220"
CHALLENGED_AND_DECLINED = "4000008260003178"
RETURN_URL = "https://shop.example/orders/1?a=1&b=2"
NO_HEADERS: dict[str, str] = {}


def waiting(sparkle: Sparkle, reference: str = "pay-1", number: str = CHALLENGED, **changes: Any) -> dict[str, Any]:
    charge = sparkle.charge(reference, number=number, **changes)
    assert charge["status"] == "action_required"
    return charge


def challenge(sparkle: Sparkle, charge: dict[str, Any], outcome: str) -> Any:
    return sparkle.post(f"/sandbox/charges/{charge['id']}/challenge", {"outcome": outcome})


def open_page(sparkle: Sparkle, charge: dict[str, Any], **headers: str) -> TestResponse:
    page: TestResponse = sparkle.get(f"/challenge/{charge['id']}", headers=headers)
    return page


def click(sparkle: Sparkle, charge: dict[str, Any], button: str, **headers: str) -> TestResponse:
    page: TestResponse = sparkle.call("POST", f"/challenge/{charge['id']}/{button}", headers=headers)
    return page


@pytest.mark.parametrize("number", [CHALLENGED, CHALLENGED_TOO])
@pytest.mark.parametrize(("capture", "status", "captured_minor"), [(True, "captured", 1999), (False, "authorized", 0)])
def test_a_customer_who_passes_the_challenge_pays(
    sparkle: Sparkle, number: str, capture: bool, status: str, captured_minor: int
) -> None:
    charge = waiting(sparkle, number=number, capture=capture)
    assert charge["next_action"] == {"redirect_url": f"http://localhost/challenge/{charge['id']}"}
    assert (charge["authentication"], charge["network_transaction_id"], charge["expires_at"]) == (None, None, None)
    assert sparkle.settlement() == []
    paid = challenge(sparkle, charge, "approve").json
    assert (paid["status"], paid["captured_minor"], paid["next_action"]) == (status, captured_minor, None)
    assert paid["authentication"] == {"result": "authenticated", "version": "2.2.0", "liability_shift": True}
    assert paid["network_transaction_id"]
    assert bool(paid["expires_at"]) is not capture
    assert sparkle.find() == [paid]
    assert [line["id"] for line in sparkle.settlement()] == [charge["id"]] * capture


def test_a_customer_who_fails_it_does_not(sparkle: Sparkle) -> None:
    failed = challenge(sparkle, charge := waiting(sparkle), "fail").json
    assert (failed["status"], failed["decline_code"]) == ("declined", "authentication_failed")
    assert failed["authentication"] == {"result": "failed", "version": "2.2.0", "liability_shift": False}
    assert challenge(sparkle, charge, "approve").status_code == 409
    assert sparkle.find() == [failed]


def test_a_customer_who_passes_it_may_lack_the_money(sparkle: Sparkle) -> None:
    declined = challenge(sparkle, waiting(sparkle, number=CHALLENGED_AND_DECLINED), "approve").json
    assert (declined["status"], declined["decline_code"]) == ("declined", "insufficient_funds")
    assert declined["authentication"]["result"] == "authenticated"


def test_nobody_passes_a_challenge_whose_wait_was_ended(sparkle: Sparkle) -> None:
    charge = waiting(sparkle, return_url=RETURN_URL)
    ended = [sparkle.post(f"/v1/charges/{charge['id']}/cancel_authentication") for _ in range(2)]
    assert [answer.status_code for answer in ended] == [200, 200]
    assert ended[0].json == ended[1].json == sparkle.find()[0]
    assert (ended[0].json["status"], ended[0].json["decline_code"]) == ("declined", "authentication_expired")
    assert challenge(sparkle, charge, "approve").status_code == 409
    assert click(sparkle, charge, "approve").status_code == 409
    assert "Approve" not in open_page(sparkle, charge).text
    assert sparkle.find() == [ended[0].json]


@pytest.mark.parametrize(("capture", "status"), [(True, "captured"), (False, "authorized")])
def test_the_wait_is_ended_too_late_for_a_customer_who_was_faster(sparkle: Sparkle, capture: bool, status: str) -> None:
    paid = challenge(sparkle, charge := waiting(sparkle, capture=capture), "approve").json
    assert sparkle.post(f"/v1/charges/{charge['id']}/cancel_authentication").json == paid
    assert paid["status"] == status


def test_the_end_of_a_wait_for_an_unknown_charge_is_404(sparkle: Sparkle) -> None:
    assert sparkle.post("/v1/charges/ch_000000000000000000000000/cancel_authentication").status_code == 404


def test_a_reversal_ends_the_wait(sparkle: Sparkle) -> None:
    charge = waiting(sparkle)
    reversal = sparkle.reverse()
    assert (reversal["result"], reversal["charge"]["decline_code"]) == ("declined", "authentication_expired")
    assert challenge(sparkle, charge, "approve").status_code == 409
    assert sparkle.reverse() == reversal


def test_what_waits_can_be_neither_captured_nor_voided_nor_refunded(sparkle: Sparkle) -> None:
    charge = waiting(sparkle, capture=False)
    for operation in ("capture", "void", "refunds"):
        answer = sparkle.post(f"/v1/charges/{charge['id']}/{operation}", {})
        assert (answer.status_code, answer.json["error"]["code"]) == (409, "invalid_state")


def test_a_repeated_request_shows_the_charge_as_it_was(sparkle: Sparkle) -> None:
    first = sparkle.post("/v1/charges", charge_request(number=CHALLENGED), "key-of-mine")
    challenge(sparkle, first.json, "approve")
    again = sparkle.post("/v1/charges", charge_request(number=CHALLENGED), "key-of-mine")
    assert (again.json, again.headers["Idempotent-Replayed"]) == (first.json, "true")


def test_authentication_may_be_required_and_refused(sparkle: Sparkle) -> None:
    waiting(sparkle, "pay-1", "4242424242424242", three_d_secure="required")
    declined = sparkle.post("/v1/charges", charge_request("pay-2", CHALLENGED, three_d_secure="none"))
    assert (declined.status_code, declined.json["error"]["decline_code"]) == (402, "authentication_required")


def test_exemptions_are_granted_by_other_issuers_only(sparkle: Sparkle) -> None:
    exempt = sparkle.charge("pay-1", exemption="low_value")
    assert exempt["authentication"] == {"result": "exempt", "version": None, "liability_shift": False}
    assert sparkle.charge("pay-2")["authentication"] is None
    assert waiting(sparkle, "pay-3", exemption="low_value")["authentication"] is None


def test_a_customer_who_is_absent_is_not_asked(sparkle: Sparkle) -> None:
    stored = {"use": "subsequent", "initiator": "merchant", "reason": "recurring"}
    assert sparkle.charge(number=CHALLENGED, stored_credential=stored)["status"] == "captured"


def test_a_challenge_sends_an_event(sparkle: Sparkle) -> None:
    events: list[Any] = []
    book = sparkle.book
    book.report = events.append
    for n, end in enumerate(("approve", "fail", "cancel")):
        charge = waiting(sparkle, f"pay-{n}")
        if end == "cancel":
            sparkle.post(f"/v1/charges/{charge['id']}/cancel_authentication")
        else:
            challenge(sparkle, charge, end)
    assert [(event["type"], event["reference"]) for event in events] == [
        ("charge.captured", "pay-0"),
        ("charge.declined", "pay-1"),
        ("charge.declined", "pay-2"),
    ]


class TestPage:
    def test_it_asks_and_has_a_button_for_each_answer(self, sparkle: Sparkle) -> None:
        charge = waiting(sparkle, return_url=RETURN_URL, amount_minor=1900, currency="JPY")
        page = open_page(sparkle, charge)
        assert page.mimetype == "text/html"
        assert "1900 JPY" in page.text
        assert "3155" in page.text
        for button in ("Approve", "Fail"):
            action = f"/challenge/{charge['id']}/{button.lower()}"
            assert f'<form method="post" action="{action}"><button>{button}</button></form>' in page.text
        assert '<a href="https://shop.example/orders/1?a=1&amp;b=2">Leave</a>' in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]

    @pytest.mark.parametrize(("button", "status"), [("approve", "captured"), ("fail", "declined")])
    def test_a_click_answers_and_leads_back_to_the_shop(self, sparkle: Sparkle, button: str, status: str) -> None:
        charge = waiting(sparkle, return_url=RETURN_URL)
        clicked = click(sparkle, charge, button)
        assert (clicked.status_code, clicked.headers["Location"]) == (303, RETURN_URL)
        assert sparkle.find()[0]["status"] == status
        assert click(sparkle, charge, "approve").status_code == 409
        assert sparkle.find()[0]["status"] == status

    def test_without_a_shop_to_go_back_to_it_says_so(self, sparkle: Sparkle) -> None:
        charge = waiting(sparkle)
        assert "Leave" not in open_page(sparkle, charge).text
        clicked = click(sparkle, charge, "approve")
        assert (clicked.status_code, "close this page" in clicked.text) == (200, True)

    def test_what_does_not_exist_is_not_asked_about(self, sparkle: Sparkle) -> None:
        paid, charge = sparkle.charge("pay-1"), waiting(sparkle, "pay-2")
        assert open_page(sparkle, paid).status_code == 404
        assert open_page(sparkle, {"id": "ch_<script>"}).status_code == 404
        assert "<script>" not in open_page(sparkle, {"id": "ch_<script>"}).text
        assert click(sparkle, charge, "steal").status_code == 404

    @pytest.mark.parametrize(
        "url",
        ["javascript:alert(1)", "//shop.example", "/orders", "data:text/html,x", "ftp://a.example", "http://a b"],
    )
    def test_it_leads_only_to_the_web(self, sparkle: Sparkle, url: str) -> None:
        refused = sparkle.post("/v1/charges", charge_request(number=CHALLENGED, return_url=url))
        assert (refused.status_code, refused.json["error"]["reason"]) == (422, "invalid_field")

    def test_it_leads_nowhere_that_its_address_asks_for(self, sparkle: Sparkle) -> None:
        charge = waiting(sparkle, return_url=RETURN_URL)
        page = sparkle.get(f"/challenge/{charge['id']}?return_url=https://evil.example", headers=NO_HEADERS)
        assert "evil" not in page.text

    def test_a_url_is_escaped(self, sparkle: Sparkle) -> None:
        charge = waiting(sparkle, return_url='https://shop.example/"><script>alert(1)</script>')
        assert "<script>" not in open_page(sparkle, charge).text

    def test_a_shop_may_link_to_it_and_no_other_site_may_answer(self, sparkle: Sparkle) -> None:
        charge = waiting(sparkle)
        linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
        assert sparkle.get(f"/challenge/{charge['id']}", headers=linked).status_code == 200
        forged = sparkle.http.post(f"/challenge/{charge['id']}/approve", headers={"Origin": "https://evil.example"})
        assert forged.status_code == 403
        assert sparkle.find()[0]["status"] == "action_required"

    def test_a_browser_gets_there_by_the_address_that_the_charge_has(self, url: str) -> None:
        body = charge_request(number=CHALLENGED, return_url=f"{url}/sandbox/health")
        headers = {"Authorization": "Bearer sk_test_sparkle", "Idempotency-Key": "key"}
        charge = requests.post(f"{url}/v1/charges", json=body, headers=headers, timeout=5).json()
        page = charge["next_action"]["redirect_url"]
        assert requests.get(page, timeout=5).status_code == 200
        assert requests.post(f"{page}/approve", timeout=5).json() == {"status": "ok"}

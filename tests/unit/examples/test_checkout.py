"""The shop's back end over HTTP. tests/stack/test_checkout.py opens its page in a browser, on a real stack."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from client import PaymentsClient
from examples.checkout.app import create_app
from tests.samples import PAN, SEALED, SUMMARY, TEST_CARDS
from tests.scripted_api import HANG_UP, ScriptedApi
from tests.sealers import issued_key

ORIGIN = "http://localhost"
_, KEY = issued_key()
TOLD_KEY = KEY | {"expires_at": datetime.fromisoformat(KEY["expires_at"]).isoformat()}
ISSUED = (201, KEY)
NO_PAYMENT = (404, {"error": {"code": "payment_not_found", "message": "There is no payment with this id."}})
REFUSED = (400, {"error": {"code": "invalid_request", "message": "Missing card data."}})


class Shop:
    """Calls the back end for one order, as the shop's page does."""

    def __init__(self, http: FlaskClient) -> None:
        self.http = http
        self.path = http.get("/").headers["Location"]
        self.order_id = self.path.rpartition("/")[2]

    def get(self, path: str = "") -> TestResponse:
        return self.http.get(f"/api{self.path}{path}")

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> TestResponse:
        return self.http.post(f"/api{self.path}{path}", json=body, headers=headers or {"Origin": ORIGIN})


@pytest.fixture
def shop(payments: PaymentsClient) -> Shop:
    return Shop(create_app(payments, TEST_CARDS).test_client())


def paid(shop: Shop, status: str = "captured", attempt: int = 1, **changes: Any) -> tuple[int, dict[str, Any]]:
    """The API's answer about the payment of an attempt."""
    order = {"amount_minor": 4850, "currency": "USD", "merchant_reference": shop.order_id}
    return 200, {"payment_id": f"{shop.order_id}-{attempt}", "status": status, **order, **changes}


def test_every_order_has_its_own_unguessable_address(shop: Shop) -> None:
    addresses = {shop.http.get("/").headers["Location"] for _ in range(20)}
    assert len(addresses) == 20
    assert all(len(address) >= len("/orders/") + 22 for address in addresses)
    assert shop.http.get(shop.path).mimetype == "text/html"


@pytest.mark.parametrize(
    "path", ["/", "/orders/x", "/page/style.css", "/page/sealing.mjs", "/api/orders/x", "/nowhere"]
)
def test_every_answer_allows_only_the_shops_own_content(shop: Shop, path: str) -> None:
    headers = shop.http.get(path).headers
    policy = dict(directive.split(" ", 1) for directive in headers["Content-Security-Policy"].split("; "))
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in headers
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("origin", [None, "null", "https://shop.evil.test", "http://localhost.evil.test"])
def test_another_site_can_not_pay(api: ScriptedApi, shop: Shop, origin: str | None) -> None:
    headers = {"Origin": origin} if origin else {"X-Without": "an origin"}
    answers = [shop.post("/attempts", {}, headers)]
    if origin:
        answers.append(shop.http.get(f"/api{shop.path}", headers=headers))
    for answer in answers:
        assert (answer.status_code, answer.json) == (403, {"error": {"code": "another_site"}})
    assert api.calls == []


def test_only_json_is_accepted(api: ScriptedApi, shop: Shop) -> None:
    path, headers = f"/api{shop.path}/attempts", {"Origin": ORIGIN}
    assert shop.http.post(path, data={"a": "form"}, headers=headers).status_code == 415
    assert shop.http.post(path, data="{}", content_type="text/plain", headers=headers).status_code == 415
    assert shop.http.post(path, json=[], headers=headers).status_code == 400
    assert shop.http.post(path, json={"a": "x" * 20_000}, headers=headers).status_code == 413
    assert api.calls == []


def test_another_host_name_is_refused(shop: Shop) -> None:
    assert shop.http.get("/", base_url="http://shop.evil.test").status_code == 400


@pytest.mark.parametrize("card_data", [{"card_number": PAN}, PAN, f"a.b.c.d.{PAN} ", "a.b.c.d", "", None])
def test_a_card_in_the_clear_is_refused_and_goes_no_further(api: ScriptedApi, shop: Shop, card_data: Any) -> None:
    answer = shop.post("/payment", {"payment_id": f"{shop.order_id}-1", "card_data": card_data})
    assert (answer.status_code, answer.json) == (400, {"error": {"code": "card_not_sealed"}})
    assert api.calls == []


def test_the_amount_is_the_orders_and_not_the_browsers(api: ScriptedApi, shop: Shop) -> None:
    api.script((202, {"payment_id": f"{shop.order_id}-1", "status": "processing"}))
    body = {"payment_id": f"{shop.order_id}-1", "card_data": SEALED, "amount_minor": 1, "currency": "JPY"}
    answer = shop.post("/payment", body)
    assert (answer.status_code, answer.json and answer.json["payment"]["status"]) == (202, "processing")
    [call] = api.calls
    order = {"amount_minor": 4850, "currency": "USD", "merchant_reference": shop.order_id, "capture": True}
    assert call.json == order | {"card_data": SEALED, "return_url": f"{ORIGIN}{shop.path}"}
    assert call.headers["Idempotency-Key"] == f"{shop.order_id}-1"


def test_the_first_attempt_can_be_requested_again_and_stays_the_same(api: ScriptedApi, shop: Shop) -> None:
    api.script(NO_PAYMENT, ISSUED, NO_PAYMENT, ISSUED)
    answers = [shop.post("/attempts", {}).json for _ in range(2)]
    assert answers == [{"payment_id": f"{shop.order_id}-1", "key": TOLD_KEY}] * 2


@pytest.mark.parametrize("status", ["declined", "rejected", "reversed"])
def test_another_attempt_begins_when_the_previous_one_has_failed(api: ScriptedApi, shop: Shop, status: str) -> None:
    # Two windows at a time: the second read the first attempt before the other began the next one.
    api.script(paid(shop, status), ISSUED, paid(shop, status, attempt=1), ISSUED)
    answers = [shop.post("/attempts", {}).json for _ in range(2)]
    assert answers == [{"payment_id": f"{shop.order_id}-2", "key": TOLD_KEY}] * 2
    late = shop.post("/payment", {"payment_id": f"{shop.order_id}-1", "card_data": SEALED})
    assert (late.status_code, late.json) == (409, {"error": {"code": "attempt_over"}})


@pytest.mark.parametrize(
    "status", ["processing", "action_required", "captured", "authorized", "in_doubt", "refunded", "voided"]
)
def test_no_other_attempt_begins_while_money_may_have_moved(api: ScriptedApi, shop: Shop, status: str) -> None:
    api.script(paid(shop, status), NO_PAYMENT, ISSUED)
    answer = shop.post("/attempts", {}).json
    assert answer is not None
    assert (list(answer), answer["payment"]["status"]) == (["payment"], status)
    answer = shop.post("/attempts", {}).json
    assert answer is not None
    assert answer["payment_id"] == f"{shop.order_id}-1"


def test_each_attempt_has_a_key_of_its_own(api: ScriptedApi, shop: Shop) -> None:
    api.script(NO_PAYMENT, ISSUED, paid(shop, "declined"), ISSUED)
    for _ in range(2):
        shop.post("/attempts", {})
    issued = [call.headers["Idempotency-Key"] for call in api.calls if call.method == "POST"]
    assert issued == [f"{shop.order_id}-{attempt}" for attempt in (1, 2)]


def test_who_asks_for_a_key_after_another_window_has_paid_is_told_of_the_payment(api: ScriptedApi, shop: Shop) -> None:
    exists = (409, {"error": {"code": "payment_exists", "message": "This Idempotency-Key was used before."}})
    api.script(NO_PAYMENT, exists, paid(shop))
    answer = shop.post("/attempts", {}).json
    assert answer is not None
    assert (list(answer), answer["payment"]["status"]) == (["payment"], "captured")


def test_the_page_gets_the_order_and_the_payments_status(api: ScriptedApi, shop: Shop) -> None:
    api.script(NO_PAYMENT, paid(shop, card=SUMMARY.to_dict()), paid(shop, "declined", decline_code="lost_card"))
    before = shop.get().json
    assert before is not None
    assert before["payment"] is None
    assert (before["order"]["amount_minor"], before["order"]["currency"]) == (4850, "USD")
    assert sum(item["quantity"] * item["price_minor"] for item in before["order"]["items"]) == 4850
    assert {card["card_number"] for card in before["test_cards"]} == set(TEST_CARDS)
    assert before["brands"][:2] == ["visa", "mastercard"]
    expected = {"payment_id": f"{shop.order_id}-1", "paid_at": None}
    expected |= {"status": "captured", "next_url": None, "decline_code": None, "error": None, "refund": None}
    assert shop.get("/payment").json == {"payment": expected | {"card": {"brand": "visa", "last4": "4242"}}}
    expected |= {"status": "declined", "decline_code": "lost_card", "card": None}
    assert shop.get("/payment").json == {"payment": expected}


def test_while_the_bank_asks_the_customer_the_page_gets_the_banks_address(api: ScriptedApi, shop: Shop) -> None:
    url = "https://bank.test/challenge/ch_1"
    api.script(paid(shop, "action_required", next_action={"type": "redirect", "url": url}))
    answer = shop.get("/payment").json
    assert answer is not None
    assert (answer["payment"]["status"], answer["payment"]["next_url"]) == ("action_required", url)


@pytest.mark.parametrize("query", ["", "?status=captured", "?redirect_status=succeeded&payment=paid", "?status=failed"])
def test_what_comes_with_the_way_back_from_the_bank_changes_nothing(api: ScriptedApi, shop: Shop, query: str) -> None:
    page = shop.http.get(shop.path)
    returned = shop.http.get(f"{shop.path}{query}", headers={"Referer": "https://bank.test/"})
    assert (returned.status_code, returned.data) == (200, page.data)
    api.script(paid(shop, "declined", decline_code="authentication_failed"))
    answer = shop.get(query).json
    assert answer is not None
    assert answer["payment"]["status"] == "declined"


def test_an_unknown_order_is_not_found(api: ScriptedApi, shop: Shop) -> None:
    answer = shop.http.get("/api/orders/another")
    assert (answer.status_code, answer.json) == (404, {"error": {"code": "order_not_found"}})
    assert api.calls == []


@pytest.mark.parametrize(("trouble", "code"), [([HANG_UP] * 4, "no_answer"), ([REFUSED], "nothing_done")])
def test_the_page_can_distinguish_unknown_outcomes_from_failures(
    api: ScriptedApi, shop: Shop, trouble: list[Any], code: str
) -> None:
    api.script(*trouble)
    answer = shop.post("/payment", {"payment_id": f"{shop.order_id}-1", "card_data": SEALED})
    assert (answer.status_code, answer.json) == (502, {"error": {"code": code}})


def test_an_order_is_refunded_once_and_shows_it_at_once(api: ScriptedApi, shop: Shop) -> None:
    refund = {"operation_id": f"{shop.order_id}-1-refund", "type": "refund", "amount_minor": 4850}
    refunded = paid(shop, "refunded", operations=[refund | {"status": "succeeded"}])
    exists = (409, {"error": {"code": "operation_exists", "message": "This Idempotency-Key was used before."}})
    operation = (200, refund | {"status": "succeeded", "error": None})
    api.script((202, {"status": "processing"}), paid(shop, operations=[]), paid(shop), exists, operation, refunded)
    answers = [shop.post("/refund", {}), shop.get("/payment"), shop.post("/refund", {})]
    payments = [answer.json and answer.json["payment"] for answer in answers]
    assert [payment and payment["refund"] for payment in payments] == ["processing", "processing", "succeeded"]
    posts = [call for call in api.calls if call.method == "POST"]
    assert {(call.path, call.headers["Idempotency-Key"], call.body) for call in posts} == {
        (f"/v1/payments/{shop.order_id}-1/refunds", f"{shop.order_id}-1-refund", b"{}")
    }

import json
import re
import secrets
from typing import Any

import pytest

from tests.unit.tools.local.sparkle.conftest import API_KEY, APPROVED, Sparkle, charge_request, headers
from tools.deployment.paths import ROOT
from tools.local.sparkle.charges import Card, ChargeBook
from tools.local.sparkle.contract import contract

TEST_CARDS = json.loads((ROOT / "functions" / "shared" / "contracts" / "test_cards.json").read_text())
APPROVING = [number for number, card in TEST_CARDS.items() if card["outcome"] == "approved"]
DECLINING = {number: card["decline_code"] for number, card in TEST_CARDS.items() if card["outcome"] == "declined"}
UNLISTED = "4000056655665556"


@pytest.mark.parametrize("number", APPROVING)
def test_a_published_card_that_approves_is_captured_at_once(sparkle: Sparkle, number: str) -> None:
    charge = sparkle.charge(number=number)
    assert charge["status"] == "captured"
    assert (charge["amount_minor"], charge["captured_minor"], charge["refunded_minor"]) == (1999, 1999, 0)
    assert (charge["card_brand"], charge["card_last4"]) == (TEST_CARDS[number]["brand"], number[-4:])
    assert charge["fee_minor"] == 58


@pytest.mark.parametrize(("number", "decline_code"), DECLINING.items())
def test_a_card_that_declines_is_402_with_its_code_and_moves_no_money(
    sparkle: Sparkle, number: str, decline_code: str
) -> None:
    answer = sparkle.post("/v1/charges", charge_request(number=number))
    assert answer.status_code == 402
    assert answer.json["error"]["code"] == "card_declined"
    assert answer.json["error"]["decline_code"] == decline_code
    assert answer.json["charge"]["status"] == "declined"
    assert answer.json["charge"]["captured_minor"] == 0
    assert sparkle.find() == [answer.json["charge"]]
    assert sparkle.settlement() == []


def with_code(security_code: str, number: str = APPROVED) -> dict[str, Any]:
    request = charge_request(number=number)
    return request | {"card": request["card"] | {"security_code": security_code}}


@pytest.mark.parametrize("security_code", ["000", "0000"])
def test_a_wrong_security_code_is_declined(sparkle: Sparkle, security_code: str) -> None:
    answer = sparkle.post("/v1/charges", with_code(security_code))
    assert (answer.status_code, answer.json["error"]["decline_code"]) == (402, "incorrect_cvc")
    assert sparkle.find() == [answer.json["charge"]]


@pytest.mark.parametrize("security_code", ["001", "123", "1000"])
def test_any_other_security_code_is_right(sparkle: Sparkle, security_code: str) -> None:
    assert sparkle.post("/v1/charges", with_code(security_code)).status_code == 201


@pytest.mark.parametrize(("number", "decline_code"), DECLINING.items())
def test_a_card_that_declines_has_its_own_code_whatever_its_security_code(
    sparkle: Sparkle, number: str, decline_code: str
) -> None:
    answer = sparkle.post("/v1/charges", with_code("000", number))
    assert answer.json["error"]["decline_code"] == decline_code


@pytest.mark.parametrize(
    ("number", "form"), [(APPROVED, "[0-9]{15}"), (UNLISTED, "[0-9]{15}"), ("5555555555554444", "MCC[0-9A-F]{6}1123")]
)
def test_an_approved_charge_has_an_id_of_its_network(sparkle: Sparkle, number: str, form: str) -> None:
    charges = [sparkle.charge(f"pay-{n}", number=number) for n in range(2)]
    assert all(re.fullmatch(form, charge["network_transaction_id"]) for charge in charges)
    assert charges[0]["network_transaction_id"] != charges[1]["network_transaction_id"]
    assert sparkle.find("pay-0") == charges[:1]


def test_a_declined_charge_has_no_id_of_its_network(sparkle: Sparkle) -> None:
    answer = sparkle.post("/v1/charges", charge_request(number="4000000000009995"))
    assert answer.json["charge"]["network_transaction_id"] is None


def test_a_charge_shows_what_was_said_of_the_stored_card(sparkle: Sparkle) -> None:
    credential = {
        "use": "subsequent",
        "initiator": "merchant",
        "reason": "recurring",
        "previous_network_transaction_id": "016153570198200",
    }
    assert sparkle.charge("pay-1", stored_credential=credential)["stored_credential"] == credential
    assert sparkle.charge("pay-2")["stored_credential"] is None


def verification_request(**card: str) -> dict[str, Any]:
    request = charge_request()
    return {"reference": "pay-1", "card": request["card"] | card}


@pytest.mark.parametrize("number", APPROVING)
def test_a_verification_of_a_good_card_is_no_charge(sparkle: Sparkle, number: str) -> None:
    answer = sparkle.post("/v1/verifications", verification_request(number=number))
    assert (answer.status_code, answer.json["status"], answer.json["card_last4"]) == (201, "verified", number[-4:])
    assert answer.json["network_transaction_id"]
    assert sparkle.find() == []
    assert sparkle.charge("pay-1")["status"] == "captured"


@pytest.mark.parametrize(("number", "decline_code"), DECLINING.items())
def test_a_verification_of_a_card_that_declines_says_why(sparkle: Sparkle, number: str, decline_code: str) -> None:
    answer = sparkle.post("/v1/verifications", verification_request(number=number))
    assert (answer.status_code, answer.json["error"]["decline_code"]) == (402, decline_code)
    assert answer.json["verification"]["network_transaction_id"] is None


def test_a_verification_judges_the_security_code_and_is_repeated_by_its_key(sparkle: Sparkle) -> None:
    request = verification_request(security_code="000")
    first, second = (sparkle.post("/v1/verifications", request, "key") for _ in range(2))
    assert first.json["error"]["decline_code"] == "incorrect_cvc"
    assert (first.json, second.headers["Idempotent-Replayed"]) == (second.json, "true")
    other = sparkle.post("/v1/verifications", verification_request(security_code="123"), "key")
    assert other.json["error"]["code"] == "idempotency_key_reused"


def test_the_security_code_is_shown_nowhere(sparkle: Sparkle) -> None:
    code = "8642"
    answers = [sparkle.post("/v1/charges", with_code(code)), sparkle.post("/v1/charges", with_code(f"{code}8642"))]
    assert [answer.status_code for answer in answers] == [201, 422]
    answers += [sparkle.get("/sandbox/charges"), sparkle.get("/sandbox/requests")]
    # An id has random digits.
    assert not [answer.text for answer in answers if code in re.sub("ch_[0-9a-f]+|[0-9]{15}", "", answer.text)]


def test_a_number_that_is_not_on_the_list_is_approved_if_it_passes_luhn(sparkle: Sparkle) -> None:
    charge = sparkle.charge(number=UNLISTED)
    assert (charge["status"], charge["card_brand"], charge["card_last4"]) == ("captured", None, "5556")


def test_a_number_that_fails_luhn_is_no_card_number(sparkle: Sparkle) -> None:
    answer = sparkle.post("/v1/charges", charge_request(number="4242424242424241"))
    assert answer.status_code == 422
    assert answer.json["error"]["code"] == "invalid_request"
    assert answer.json["error"]["reason"] == "invalid_card_number"
    assert sparkle.find() == []


@pytest.mark.parametrize("number", TEST_CARDS)
def test_every_published_card_passes_luhn_and_no_neighbour_does(number: str) -> None:
    assert Card.from_number(number).last4 == number[-4:]
    neighbour = number[:-1] + str((int(number[-1]) + 1) % 10)
    with pytest.raises(Exception, match="card number"):
        Card.from_number(neighbour)


def test_an_expired_date_is_fine_since_the_card_decides(sparkle: Sparkle) -> None:
    card = charge_request()["card"] | {"expiry_year": 2001}
    assert sparkle.charge(card=card)["status"] == "captured"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount_minor": 0}, "amount_minor"),
        ({"amount_minor": -1}, "amount_minor"),
        ({"amount_minor": 10**12}, "amount_minor"),
        ({"amount_minor": 19.0}, "amount_minor"),
        ({"amount_minor": "1999"}, "amount_minor"),
        ({"amount_minor": True}, "amount_minor"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "ZZZ"}, "currency"),
        ({"currency": "XAU"}, "currency"),
        ({"capture": 1}, "capture"),
        ({"reference": ""}, "reference"),
        ({"reference": None}, "reference"),
        ({"cvc": "123"}, "unknown field"),
        ({"stored_credential": {"use": "subsequent"}}, "initiator"),
        ({"stored_credential": {"use": "initial", "initiator": "cardholder"}}, "stored_credential.initiator"),
        ({"card": charge_request()["card"] | {"cvc": "123"}}, "card has an unknown field"),
        ({"card": charge_request()["card"] | {"expiry_month": 13}}, "card.expiry_month"),
        ({"card": charge_request()["card"] | {"security_code": "12"}}, "card.security_code"),
        ({"card": charge_request()["card"] | {"security_code": 123}}, "card.security_code"),
        ({"card": charge_request()["card"] | {"number": "4242 4242 4242 4242"}}, "card.number"),
        ({"card": APPROVED}, "card"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_charged(sparkle: Sparkle, change: dict[str, Any], field: str) -> None:
    answer = sparkle.post("/v1/charges", charge_request() | change)
    assert answer.status_code == 422
    assert answer.json["error"]["code"] == "invalid_request"
    assert field in answer.json["error"]["message"]
    assert sparkle.get("/sandbox/charges").json == {"charges": []}


@pytest.mark.parametrize("amount_minor", [1, 999_999_999_999])
def test_the_smallest_and_the_largest_amount_are_charged(sparkle: Sparkle, amount_minor: int) -> None:
    assert sparkle.charge(amount_minor=amount_minor)["captured_minor"] == amount_minor


@pytest.mark.parametrize("field", ["reference", "amount_minor", "currency", "card"])
def test_a_charge_needs_each_required_field(sparkle: Sparkle, field: str) -> None:
    body = charge_request()
    del body[field]
    answer = sparkle.post("/v1/charges", body)
    assert (answer.status_code, answer.json["error"]["reason"]) == (422, "invalid_field")


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 60_000, b'{"card": "4242424242424242"'])
def test_a_body_that_is_not_json_is_an_invalid_request(sparkle: Sparkle, data: bytes) -> None:
    answer = sparkle.post("/v1/charges", data=data)
    assert (answer.status_code, answer.json["error"]["reason"]) == (422, "invalid_json")
    assert APPROVED not in answer.text


@pytest.mark.parametrize("body", [[], "charge", 1, None, [charge_request()]])
def test_a_body_that_is_no_object_is_an_invalid_request(sparkle: Sparkle, body: Any) -> None:
    answer = sparkle.post("/v1/charges", data=json.dumps(body))
    assert (answer.status_code, answer.json["error"]["reason"]) == (422, "invalid_field")


def test_an_error_never_repeats_the_card_number(sparkle: Sparkle) -> None:
    for card in (APPROVED, {"number": APPROVED}, {"number": int(APPROVED)}, {APPROVED: "x"}):
        answer = sparkle.post("/v1/charges", charge_request(card=card))
        assert answer.status_code == 422
        assert APPROVED not in answer.text


@pytest.mark.parametrize("authorization", [None, "", API_KEY, f"bearer {API_KEY}", "Bearer wrong", "Bearer ÿ"])
def test_without_the_right_key_there_is_no_service(sparkle: Sparkle, authorization: str | None) -> None:
    sent = {"Idempotency-Key": "k"} | ({} if authorization is None else {"Authorization": authorization})
    answer = sparkle.post("/v1/charges", charge_request(), headers=sent)
    assert (answer.status_code, answer.json["error"]["code"]) == (401, "invalid_api_key")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert sparkle.find() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method.upper(), re.sub(r"{.*?}", "x", path))
        for path, operations in contract()["paths"].items()
        for method in sorted(set(operations) - {"parameters"})
        if path != "/sandbox/health" and not path.startswith("/challenge/")
    ],
)
def test_every_call_but_for_health_and_by_customers_needs_the_key(sparkle: Sparkle, method: str, path: str) -> None:
    for sent in ({}, {"Authorization": "Bearer wrong"}):
        answer = sparkle.call(method, path, headers=sent)
        assert (answer.status_code, answer.json["error"]["code"]) == (401, "invalid_api_key")
    assert sparkle.http.open(path, method="OPTIONS").status_code == 401
    assert sparkle.get("/sandbox/health", headers={}).status_code == 200


@pytest.mark.parametrize(
    "sent", [{"Origin": "http://localhost:8080"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "a.b"}]
)
@pytest.mark.parametrize("path", ["/sandbox/health", "/sandbox/charges", "/v1/charges?reference=pay-1"])
def test_no_web_page_of_another_site_is_served(sparkle: Sparkle, path: str, sent: dict[str, str]) -> None:
    answer = sparkle.http.get(path, headers=headers("") | sent)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "forbidden")
    assert sparkle.requests() == []


def test_a_charge_is_found_by_reference_and_by_id(sparkle: Sparkle) -> None:
    charge = sparkle.charge("pay-1")
    sparkle.charge("pay-2")
    assert sparkle.find("pay-1") == [charge]
    assert sparkle.get(f"/v1/charges/{charge['id']}").json == charge
    assert sparkle.find("pay-3") == []


@pytest.mark.parametrize("query", ["", "?reference=", "?id=1"])
def test_a_search_needs_a_reference(sparkle: Sparkle, query: str) -> None:
    assert sparkle.get(f"/v1/charges{query}").status_code == 422


def test_a_reference_is_charged_once_whatever_the_key(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    answer = sparkle.post("/v1/charges", charge_request())
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "reference_already_charged")
    assert sparkle.get("/sandbox/charges").json["charges"] == [charge]


def test_a_declined_reference_is_not_charged_again_either(sparkle: Sparkle) -> None:
    sparkle.post("/v1/charges", charge_request(number="4000000000000002"))
    answer = sparkle.post("/v1/charges", charge_request())
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "reference_already_charged")


def test_an_authorization_is_captured_once_for_no_more_than_its_amount(sparkle: Sparkle) -> None:
    charge = sparkle.charge(capture=False)
    assert (charge["status"], charge["captured_minor"], charge["fee_minor"]) == ("authorized", 0, None)
    path = f"/v1/charges/{charge['id']}/capture"
    too_much = sparkle.post(path, {"amount_minor": 2000})
    assert (too_much.status_code, too_much.json["error"]["code"]) == (422, "amount_exceeds_authorized")
    captured = sparkle.post(path, {"amount_minor": 1000})
    assert captured.status_code == 200
    assert captured.json["status"] == "captured"
    assert (captured.json["captured_minor"], captured.json["fee_minor"]) == (1000, 29)
    again = sparkle.post(path, {"amount_minor": 1})
    assert (again.status_code, again.json["error"]["code"]) == (409, "invalid_state")


def test_a_capture_without_an_amount_or_a_body_takes_all(sparkle: Sparkle) -> None:
    for reference, body in (("pay-1", {}), ("pay-2", None)):
        charge = sparkle.charge(reference, capture=False)
        answer = sparkle.post(f"/v1/charges/{charge['id']}/capture", body)
        assert answer.json["captured_minor"] == 1999


def test_only_what_is_not_captured_can_be_voided(sparkle: Sparkle) -> None:
    authorized, captured = sparkle.charge("pay-1", capture=False), sparkle.charge("pay-2")
    voided = sparkle.post(f"/v1/charges/{authorized['id']}/void", {})
    assert (voided.status_code, voided.json["status"]) == (200, "voided")
    for charge in (authorized, captured):
        answer = sparkle.post(f"/v1/charges/{charge['id']}/void", {})
        assert (answer.status_code, answer.json["error"]["code"]) == (409, "invalid_state")


def test_an_authorization_expires_when_its_time_is_over(sparkle: Sparkle) -> None:
    authorized = sparkle.charge(capture=False)
    assert authorized["expires_at"] > authorized["created_at"]
    sparkle.clock.advance(days=7, seconds=-1)
    assert sparkle.find() == [authorized]
    sparkle.clock.advance(seconds=1)
    (expired,) = sparkle.find()
    assert (expired["status"], expired["void_reason"]) == ("voided", "expired")
    answer = sparkle.post(f"/v1/charges/{authorized['id']}/capture", {})
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "invalid_state")


def test_what_is_captured_or_voided_never_expires(sparkle: Sparkle) -> None:
    charges = [sparkle.charge(reference, capture=False) for reference in ("pay-1", "pay-2")]
    for charge, how in zip(charges, ("capture", "void"), strict=True):
        sparkle.post(f"/v1/charges/{charge['id']}/{how}", {})
    assert sparkle.charge("pay-3")["expires_at"] is None
    sparkle.clock.advance(days=30)
    ends = [(charge["status"], charge["void_reason"]) for charge in sparkle.get("/sandbox/charges").json["charges"]]
    assert ends == [("captured", None), ("voided", None), ("captured", None)]


def test_an_authorization_can_be_made_to_expire(sparkle: Sparkle) -> None:
    authorized = sparkle.charge(capture=False)
    path = f"/sandbox/charges/{authorized['id']}/expire"
    assert sparkle.post(path).json["void_reason"] == "expired"
    assert [charge["status"] for charge in sparkle.find()] == ["voided"]
    again = sparkle.post(path)
    assert (again.status_code, again.json["error"]["code"]) == (409, "invalid_state")
    assert sparkle.post("/sandbox/charges/ch_unknown/expire").status_code == 404


@pytest.mark.parametrize(("capture", "amounts"), [(True, (1999, 999)), (False, (999, 0))])
def test_a_charge_may_be_approved_in_part(sparkle: Sparkle, capture: bool, amounts: tuple[int, int]) -> None:
    sparkle.break_next("charge", "partial_approval")
    charge = sparkle.charge(capture=capture)
    assert (charge["amount_minor"], charge["captured_minor"]) == amounts


@pytest.mark.parametrize("action", ["/capture", "/void", "/refunds"])
def test_an_unknown_charge_is_404_and_the_key_stays_good(sparkle: Sparkle, action: str) -> None:
    answer = sparkle.post(f"/v1/charges/ch_unknown{action}", {}, key="kept")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "charge_not_found")
    assert sparkle.post("/v1/charges", charge_request(), key="kept").status_code == 201


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("capture", {"amount_minor": 0}),
        ("capture", {"amount": 1}),
        ("void", {"amount_minor": 1}),
        ("refunds", {"amount_minor": -1}),
        ("refunds", {"amount_minor": 1.0}),
    ],
)
def test_an_operation_checks_its_body(sparkle: Sparkle, action: str, body: dict[str, Any]) -> None:
    charge = sparkle.charge(capture=False)
    answer = sparkle.post(f"/v1/charges/{charge['id']}/{action}", body)
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "invalid_request")


def test_unknown_routes_and_methods_are_refused_in_the_same_shape(sparkle: Sparkle) -> None:
    lost, wrong = sparkle.get("/v1/payments"), sparkle.call("DELETE", "/v1/charges")
    assert (lost.status_code, lost.json["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json["error"]["code"]) == (405, "method_not_allowed")


def test_an_id_is_never_taken_for_a_card_number(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["4111111111111111abcdef12", "a1b2c3d4e5f6a1b2c3d4e5f6"])  # pragma: allowlist secret
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(drawn))
    charge = ChargeBook().charge("order-1", 1999, "USD", Card.from_number("4242424242424242"))
    assert charge.id == "ch_a1b2c3d4e5f6a1b2c3d4e5f6"

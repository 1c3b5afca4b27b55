import json
from dataclasses import replace
from typing import Any

import pytest

from functions.charge.charge_card import charge_card
from functions.encrypt.encrypt_data import encrypt_card
from functions.shared.domain.card import CardSummary
from functions.shared.domain.charge import REDACTED, Charge, StoredCredential
from functions.shared.domain.errors import (
    CustomerActionRequired,
    GatewayBusy,
    GatewayMismatch,
    GatewayOutcomeUnknown,
    GatewayRefused,
    KeyServiceUnavailable,
    KeyUnusable,
    LedgerConflict,
    LedgerUnavailable,
)
from functions.shared.domain.payment import PaymentRequest, Status
from functions.shared.domain.security_code import CODE_KEY
from functions.shared.ports import HeldCard
from tests.fakes import LEDGER_DOWN, FakeCardCipher, FakeGateway, FakeHeldCards, FakeLedger
from tests.samples import (
    ABLE,
    CARD_DATA,
    CHALLENGED_PAN,
    DECLINED_PAN,
    NETWORK_TRANSACTION_ID,
    NOW,
    PAN,
    REQUEST,
    RETURN_URL,
    SECURITY_CODE,
    STARTED_AT,
    SUMMARY,
    WRONG_SECURITY_CODE,
    card,
    order,
    payment,
)

UNKNOWN = GatewayOutcomeUnknown("No answer.")


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


def charge(
    gateway: FakeGateway,
    request: PaymentRequest = REQUEST,
    pan: str = PAN,
    *,
    summary: CardSummary = SUMMARY,
    ledger: FakeLedger | None = None,
    cipher: FakeCardCipher | None = None,
    held_card: HeldCard | None = None,
    transaction_id: str | None = None,
) -> dict[str, Any]:
    """Charge the card that is held: the test's, or one that was just encrypted."""
    cipher, held_cards = cipher or FakeCardCipher(), FakeHeldCards()
    card_data = json.dumps(CARD_DATA | {"card_number": pan}).encode()
    held_card = held_card or HeldCard(cipher.encrypt(card_data, summary.encryption_context))
    held_cards.hold("pay-1", held_card, NOW)
    return charge_card(
        "pay-1",
        request,
        summary,
        transaction_id or held_card.transaction_id,
        STARTED_AT,
        held_cards=held_cards,
        cipher=cipher,
        gateway=gateway,
        ledger=ledger or FakeLedger(),
    )


def test_an_approved_card_is_captured(gateway: FakeGateway) -> None:
    outcome = charge(gateway)
    assert outcome == {
        "outcome": "captured",
        "gateway": "sparkle",
        "charge_id": gateway.charges["pay-1"].charge_id,
        "decline_code": None,
        "network_transaction_id": gateway.charges["pay-1"].network_transaction_id,
        "shown": gateway.charges["pay-1"].to_dict(),
    }
    assert gateway.charges["pay-1"].captured_minor == 1999


BY_TOKEN = PaymentRequest(1999, "USD", card_on_file=True, initiator="customer")
BY_MERCHANT = replace(BY_TOKEN, initiator="merchant", reason="recurring")


@pytest.mark.parametrize(
    ("request_", "summary", "credential"),
    [
        (REQUEST, SUMMARY.without_token(), None),
        (REQUEST, SUMMARY, StoredCredential("initial", "customer")),
        (BY_TOKEN, SUMMARY, StoredCredential("subsequent", "customer", None, NETWORK_TRANSACTION_ID)),
        (BY_MERCHANT, SUMMARY, StoredCredential("subsequent", "merchant", "recurring", NETWORK_TRANSACTION_ID)),
    ],
)
def test_the_gateway_is_told_whether_the_card_is_stored_and_who_charges_it(
    gateway: FakeGateway, request_: PaymentRequest, summary: CardSummary, credential: StoredCredential | None
) -> None:
    cipher = FakeCardCipher()
    ciphertext = cipher.encrypt(json.dumps(CARD_DATA).encode(), summary.encryption_context)
    named = NETWORK_TRANSACTION_ID if request_.card_on_file else None
    held_card = HeldCard(ciphertext, network_transaction_id=named)
    charge(gateway, request_, summary=summary, cipher=cipher, held_card=held_card)
    assert gateway.stored_credentials == {"pay-1": credential}


def test_a_number_that_the_gateway_takes_for_the_networks_id_is_not_passed_on(gateway: FakeGateway) -> None:
    charge(gateway)
    gateway.faults.arm("charge", UNKNOWN)
    gateway.show("pay-1", network_transaction_id=f"0{PAN}")
    assert charge(gateway)["network_transaction_id"] is None
    gateway.faults.arm("charge", UNKNOWN)
    gateway.show("pay-1", network_transaction_id=NETWORK_TRANSACTION_ID)
    outcome = charge(gateway)
    assert outcome["network_transaction_id"] == NETWORK_TRANSACTION_ID
    assert NETWORK_TRANSACTION_ID not in str(outcome["shown"])


@pytest.mark.parametrize("status", ["captured", "authorized", "declined", "in_doubt", "reversed", "refunded", "voided"])
def test_a_payment_that_the_books_know_is_not_charged_again_whatever_the_gateway_has_forgotten(
    gateway: FakeGateway, status: Status
) -> None:
    ledger = FakeLedger()
    ledger.record(payment(status=status))
    assert charge(gateway, ledger=ledger) == {"outcome": "recorded"}
    assert gateway.calls == []


def test_while_the_books_cannot_be_read_nobody_is_charged(gateway: FakeGateway) -> None:
    ledger = FakeLedger()
    ledger.faults.arm("statuses", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        charge(gateway, ledger=ledger)
    assert gateway.calls == []


def test_without_capture_the_money_is_only_held(gateway: FakeGateway) -> None:
    assert charge(gateway, replace(REQUEST, capture=False))["outcome"] == "authorized"
    assert gateway.charges["pay-1"].captured_minor == 0


def test_a_decline_is_an_outcome_and_no_error(gateway: FakeGateway) -> None:
    outcome = charge(gateway, pan=DECLINED_PAN)
    assert (outcome["outcome"], outcome["decline_code"]) == ("declined", "insufficient_funds")


@pytest.mark.parametrize(
    ("capture", "pan", "outcome"),
    [(True, PAN, "captured"), (False, PAN, "authorized"), (True, DECLINED_PAN, "declined")],
)
def test_when_the_answer_is_lost_a_look_by_reference_tells_the_outcome(
    gateway: FakeGateway, capture: bool, pan: str, outcome: str
) -> None:
    gateway.faults.arm("charge", UNKNOWN, done=True)
    assert charge(gateway, replace(REQUEST, capture=capture), pan)["outcome"] == outcome
    assert gateway.calls == ["charge", "find"]


def test_what_is_unknown_and_not_found_stays_unknown(gateway: FakeGateway) -> None:
    gateway.faults.arm("charge", UNKNOWN)
    with pytest.raises(GatewayOutcomeUnknown):
        charge(gateway)
    assert gateway.calls == ["charge", "find"]


@pytest.mark.parametrize("error", [UNKNOWN, GatewayBusy("429"), GatewayRefused("401")])
def test_a_look_that_fails_makes_the_outcome_no_better_known(gateway: FakeGateway, error: Exception) -> None:
    gateway.faults.arm("charge", UNKNOWN, done=True)
    gateway.faults.arm("find", error)
    with pytest.raises(type(error)):
        charge(gateway)


def test_every_attempt_carries_the_same_key_made_from_the_payments_id(gateway: FakeGateway) -> None:
    gateway.faults.arm("charge", UNKNOWN, times=2)
    for _ in range(2):
        with pytest.raises(GatewayOutcomeUnknown):
            charge(gateway)
    first, again = charge(gateway), charge(gateway)
    assert first == again
    assert gateway.idempotency_keys == ["pay-1-charge"] * 4
    assert len(gateway.charges) == 1


@pytest.mark.parametrize("error", [GatewayBusy("429"), GatewayRefused("422")])
def test_what_the_gateway_says_in_so_many_words_is_not_looked_up(gateway: FakeGateway, error: Exception) -> None:
    gateway.faults.arm("charge", error)
    with pytest.raises(type(error)):
        charge(gateway)
    assert gateway.calls == ["charge"]


@pytest.mark.parametrize("changes", [{"amount_minor": 2000}, {"currency": "EUR"}, {"reference": "pay-2"}])
def test_a_charge_of_something_else_is_a_mismatch(gateway: FakeGateway, changes: dict[str, Any]) -> None:
    other = gateway.charge(order(), card(), "someone-elses-key")
    gateway.charges["pay-1"] = replace(other, **changes)
    with pytest.raises(GatewayMismatch):
        charge(gateway)


@pytest.mark.parametrize(
    ("capture", "changes", "outcome"),
    [
        (False, {"status": "captured", "captured_minor": 600}, "authorized"),
        (False, {"status": "voided", "void_reason": "expired"}, "authorized"),
        (True, {"status": "partially_refunded"}, "captured"),
        (True, {"status": "refunded"}, "captured"),
        (True, {"status": "voided", "captured_minor": 0}, "captured"),
    ],
)
def test_a_charge_that_somebody_moved_before_its_answer_came_is_as_asked_and_shown_as_it_is(
    gateway: FakeGateway, capture: bool, changes: dict[str, Any], outcome: str
) -> None:
    ask = gateway.charge if capture else gateway.authorize
    gateway.charges["pay-1"] = replace(ask(order(), card(), "someone-elses-key"), **changes)
    charged = charge(gateway, replace(REQUEST, capture=capture))
    expected = replace(gateway.charges["pay-1"], network_transaction_id=None)
    assert (charged["outcome"], Charge.from_dict(charged["shown"])) == (outcome, expected)


@pytest.mark.parametrize("changes", [{"captured_minor": 600}, {"captured_minor": 0, "status": "authorized"}])
def test_a_charge_that_was_not_captured_in_full_is_a_mismatch(gateway: FakeGateway, changes: dict[str, Any]) -> None:
    gateway.charges["pay-1"] = replace(gateway.charge(order(), card(), "someone-elses-key"), **changes)
    with pytest.raises(GatewayMismatch):
        charge(gateway)


def test_a_ciphertext_of_another_card_is_not_charged(gateway: FakeGateway) -> None:
    cipher = FakeCardCipher()
    ciphertext = cipher.encrypt(json.dumps(CARD_DATA).encode(), {"token": "tok_of_another_card"})
    with pytest.raises(KeyUnusable):
        charge(gateway, cipher=cipher, held_card=HeldCard(ciphertext))
    assert gateway.calls == []


def test_only_the_card_that_encrypt_told_of_is_charged(gateway: FakeGateway) -> None:
    with pytest.raises(LedgerConflict):
        charge(gateway, transaction_id="0" * 64)
    assert gateway.calls == []


def test_nothing_is_charged_after_the_card_was_erased(gateway: FakeGateway) -> None:
    held_cards, cipher = FakeHeldCards(), FakeCardCipher()
    held_card = held_cards.hold("pay-1", HeldCard(b"ciphertext"), NOW)
    held_cards.erase("pay-1", NOW)
    with pytest.raises(LedgerConflict):
        charge_card(
            "pay-1",
            REQUEST,
            SUMMARY,
            held_card.transaction_id,
            STARTED_AT,
            held_cards=held_cards,
            cipher=cipher,
            gateway=gateway,
            ledger=FakeLedger(),
        )
    assert gateway.calls == []


def security_code(cipher: FakeCardCipher, code: str) -> HeldCard:
    """A card that is held with a security code."""
    return encrypt_card(card(security_code=code), SUMMARY.encryption_context, cipher=cipher)


def test_the_gateway_gets_the_security_code(gateway: FakeGateway) -> None:
    cipher = FakeCardCipher()
    assert charge(gateway, cipher=cipher, held_card=security_code(cipher, SECURITY_CODE))["outcome"] == "captured"
    other_gateway = FakeGateway()
    declined = charge(other_gateway, cipher=cipher, held_card=security_code(cipher, WRONG_SECURITY_CODE))
    assert (declined["outcome"], declined["decline_code"]) == ("declined", "incorrect_cvc")


@pytest.mark.parametrize("ciphertext", [b"\xff\xff\xff", b"\x00\x00\x00", b"1234"])
def test_another_card_s_security_code_is_not_sent(gateway: FakeGateway, ciphertext: bytes) -> None:
    cipher, with_key = FakeCardCipher(), json.dumps(CARD_DATA | {CODE_KEY: "000000"}).encode()
    held_card = HeldCard(cipher.encrypt(with_key, SUMMARY.encryption_context), ciphertext)
    with pytest.raises(KeyUnusable):
        charge(gateway, cipher=cipher, held_card=held_card)
    assert gateway.calls == []


def test_without_the_key_the_gateway_is_not_called(gateway: FakeGateway) -> None:
    cipher = FakeCardCipher()
    cipher.faults.arm("decrypt", KeyServiceUnavailable("KMS: Throttling"))
    with pytest.raises(KeyServiceUnavailable):
        charge(gateway, cipher=cipher)
    assert gateway.calls == []


@pytest.mark.parametrize(
    "changes", [{"charge_id": REDACTED}, {"decline_code": REDACTED}, {"status": REDACTED}], ids=str
)
def test_a_text_of_the_gateways_that_is_not_what_it_must_be_is_a_mismatch(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    changed = replace(gateway.charge(order(), card(), "another-key"), **changes)
    monkeypatch.setattr(gateway, "charge", lambda *_: changed)
    with pytest.raises(GatewayMismatch):
        charge(gateway)


def test_a_gateway_that_takes_no_security_code_is_not_sent_one() -> None:
    cipher, unable = FakeCardCipher(), FakeGateway(abilities=replace(ABLE, security_code=False))
    charged = charge(unable, cipher=cipher, held_card=security_code(cipher, WRONG_SECURITY_CODE))
    assert charged["outcome"] == "captured"


ASKABLE = replace(REQUEST, return_url=RETURN_URL)


def test_a_customer_who_has_to_be_asked_is_no_outcome(gateway: FakeGateway) -> None:
    with pytest.raises(CustomerActionRequired) as action_required:
        charge(gateway, ASKABLE, CHALLENGED_PAN)
    (created,) = gateway.charges.values()
    assert json.loads(str(action_required.value)) == {"gateway": "sparkle", "charge_id": created.charge_id}
    assert created.status == "action_required"


def test_what_the_request_says_of_the_authentication_reaches_the_gateway(gateway: FakeGateway) -> None:
    with pytest.raises(CustomerActionRequired):
        charge(gateway, replace(ASKABLE, three_d_secure="required", exemption="low_value"))
    order = gateway.orders["pay-1"]
    assert (order.three_d_secure, order.return_url, order.exemption) == ("required", RETURN_URL, "low_value")


@pytest.mark.parametrize("request_", [REQUEST, replace(ASKABLE, three_d_secure="none")])
def test_a_customer_who_cannot_be_asked_is_not_waited_for(gateway: FakeGateway, request_: PaymentRequest) -> None:
    answer = charge(gateway, request_, CHALLENGED_PAN)
    assert (answer["outcome"], answer["decline_code"]) == ("declined", "authentication_required")
    assert gateway.charges["pay-1"].status == "declined"


def test_a_decline_because_nobody_could_be_asked_stays_one_however_often_it_is_tried(gateway: FakeGateway) -> None:
    gateway.faults.arm("cancel_authentication", UNKNOWN, done=True)
    with pytest.raises(GatewayOutcomeUnknown):
        charge(gateway, REQUEST, CHALLENGED_PAN)
    answer = charge(gateway, REQUEST, CHALLENGED_PAN)
    assert (answer["outcome"], answer["decline_code"]) == ("declined", "authentication_required")

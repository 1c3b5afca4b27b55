import re
from dataclasses import replace
from typing import Any

import pytest

from functions.shared.adapters.currencies import minor_unit
from functions.shared.adapters.json_schema import validate
from functions.shared.domain import errors
from functions.shared.domain.card import Card
from functions.shared.domain.card_number import BRANDS, passes_luhn
from functions.shared.domain.errors import (
    BrandNotAccepted,
    CardDataMustBeSealed,
    CardNumberInText,
    ExpiredCard,
    InvalidCardNumber,
    InvalidInput,
    KeyServiceUnavailable,
    PaymentError,
    ReturnUrlNotAllowed,
    UnknownCurrency,
    UnknownToken,
)
from functions.shared.ports import CardOpener, StoredCard
from functions.shared.use_cases.open_card import open_card
from functions.tokenize.tokenize_card import (
    Acceptance,
    card_token,
    fingerprint,
    recall_card,
    tokenize_card,
    tokenize_card_to_store,
)
from tests.fakes import FakeCardVault, FakeMac
from tests.samples import (
    CARD,
    CARD_DATA,
    DECLINED_PAN,
    HOLDER,
    KEPT_UNTIL,
    NOW,
    PAN,
    RETURN_ORIGIN,
    RETURN_URL,
    SUMMARY,
    TEST_CARDS,
    TOKEN,
    UNLISTED_PAN,
)

EVERYTHING = Acceptance(brands=BRANDS, test_cards=True)
REQUEST = {"amount_minor": 1999, "currency": "USD", "card_data": CARD_DATA, "merchant_reference": "order-1001"}
STORE = {"card_data": CARD_DATA, "caller": "arn:aws:iam::123456789012:role/shop"}

token_mac = FakeMac()


def tokenize(
    request: dict[str, Any],
    payment_id: str = "pay-1",
    *,
    save_card: bool = False,
    accepted: Acceptance = EVERYTHING,
    now: str = NOW,
    **card_data: Any,
) -> dict[str, Any]:
    request = request | {"card_data": CARD_DATA | card_data}
    card = open_card(request["card_data"], payment_id, card_opener=no_opener, validate=validate)
    return checked(request, card, payment_id, save_card=save_card, accepted=accepted, now=now)


def checked(
    request: dict[str, Any],
    card: Card,
    payment_id: str = "pay-1",
    *,
    save_card: bool = False,
    accepted: Acceptance = EVERYTHING,
    now: str = NOW,
) -> dict[str, Any]:
    if "amount_minor" not in request:
        return tokenize_card_to_store(request, card, payment_id, accepted=accepted, token_mac=token_mac, now=now)
    return tokenize_card(
        request,
        card,
        payment_id,
        save_card=save_card,
        accepted=accepted,
        token_mac=token_mac,
        minor_unit=minor_unit,
        now=now,
    )


def no_opener() -> CardOpener:
    raise AssertionError("Plain card data needs no opener.")


def test_a_request_becomes_a_payment_without_its_card_and_a_card_without_its_number() -> None:
    tokenized = tokenize(REQUEST)
    assert tokenized == {
        "payment": {
            "amount_minor": 1999,
            "currency": "USD",
            "capture": True,
            "merchant_reference": "order-1001",
            "description": None,
            "card_on_file": False,
            "caller": None,
            "initiator": None,
            "reason": None,
            "three_d_secure": "automatic",
            "return_url": None,
            "exemption": None,
            "metadata": None,
        },
        "card": {
            "token": None,
            "fingerprint": fingerprint(CARD, token_mac),
            "brand": "visa",
            "bin": "424242",
            "last4": "4242",
            "expiry": "12/44",
        },
        "test_card": True,
    }
    assert PAN not in repr(tokenized)
    assert HOLDER not in repr(tokenized)


@pytest.mark.parametrize("name", ["merchant_reference", "description"])
@pytest.mark.parametrize("text", [UNLISTED_PAN, "4000.0566.5566.5556", f"x{UNLISTED_PAN}", "5018 0000 0009"])
def test_a_card_number_in_a_text_is_refused_by_the_texts_name(name: str, text: str) -> None:
    by_token = {"amount_minor": 1999, "currency": "USD", "token": TOKEN, name: text}
    with pytest.raises(CardNumberInText) as refused:
        tokenize(REQUEST | {name: text})
    assert str(refused.value) == f"This looks like a card number: {name}."
    with pytest.raises(CardNumberInText):
        recalled(by_token, FakeCardVault())


def test_a_number_has_one_fingerprint_whoever_holds_it_and_other_numbers_have_others() -> None:
    known_fingerprint = tokenize(REQUEST)["card"]["fingerprint"]
    assert (
        tokenize(STORE, "pay-2", card_holder="Someone else", expiry_date="01/31")["card"]["fingerprint"]
        == known_fingerprint
    )
    assert tokenize(REQUEST, card_number=DECLINED_PAN)["card"]["fingerprint"] != known_fingerprint


def test_a_token_belongs_to_one_stored_card_and_nobody_sees_that_two_have_one_number() -> None:
    token, again, other_token = (
        tokenize(STORE, payment_id)["card"]["token"] for payment_id in ("pay-1", "pay-1", "pay-2")
    )
    assert token == again
    assert token != other_token
    assert tokenize(STORE, "pay-1", card_number=DECLINED_PAN)["card"]["token"] not in (token, other_token)


@pytest.mark.parametrize(
    ("changes", "default", "stored"),
    [({}, False, False), ({}, True, True), ({"save_card": True}, False, True), ({"save_card": False}, True, False)],
)
def test_a_card_is_kept_where_the_request_or_else_the_deployment_asks_for_it(
    changes: dict[str, bool], default: bool, stored: bool
) -> None:
    assert (tokenize(REQUEST | changes, save_card=default)["card"]["token"] is not None) is stored


def test_a_card_to_be_stored_is_kept_whatever_the_deployment_says() -> None:
    assert tokenize(STORE, save_card=False)["card"]["token"]


@pytest.mark.parametrize("pan", TEST_CARDS)
def test_a_cards_names_have_the_shapes_that_the_contracts_ask_for(pan: str) -> None:
    card = tokenize(STORE, card_number=pan)["card"]
    assert re.fullmatch("tok_[a-z2-7]{52}", card["token"])
    assert re.fullmatch("fp_[a-z2-7]{52}", card["fingerprint"])
    assert card["token"][4:] != card["fingerprint"][3:]


@pytest.mark.parametrize(
    ("changes", "card_data", "error"),
    [
        ({}, {"card_number": PAN[:-1] + "1"}, InvalidCardNumber),
        ({}, {"card_number": UNLISTED_PAN}, CardDataMustBeSealed),
        ({}, {"expiry_date": "10/26"}, ExpiredCard),
        ({}, {"expiry_date": "13/30"}, InvalidInput),
        ({}, {"expiry_date": "12/46"}, InvalidInput),
        ({}, {"expiry_date": "01/99"}, InvalidInput),
        ({}, {"card_holder": " "}, InvalidInput),
        ({}, {"card_holder": "\u00a0\u3000\t"}, InvalidInput),
        ({}, {"card_holder": "\u200b\u3164\ufe0f"}, InvalidInput),
        ({"currency": "ZZZ"}, {}, UnknownCurrency),
        ({"currency": "XAU"}, {}, UnknownCurrency),
    ],
)
def test_what_is_no_good_is_rejected_without_repeating_the_card(
    changes: dict[str, Any], card_data: dict[str, Any], error: type[PaymentError]
) -> None:
    with pytest.raises(error) as rejected:
        tokenize(REQUEST | changes, **card_data)
    assert (CARD_DATA | card_data)["card_number"] not in repr(rejected.value)


def test_a_card_can_be_charged_until_its_month_has_ended_everywhere() -> None:
    good = tokenize(REQUEST, now="2026-12-01T11:59:59.999Z", expiry_date="11/26")
    assert good["card"]["expiry"] == "11/26"
    with pytest.raises(ExpiredCard):
        tokenize(REQUEST, now="2026-12-01T12:00:00.000Z", expiry_date="11/26")


def test_a_card_is_good_for_20_years_at_most_also_one_to_be_stored() -> None:
    assert tokenize(REQUEST, expiry_date="11/46")["card"]["expiry"] == "11/46"
    with pytest.raises(InvalidInput, match=r"^expiry_date must not be further than 20 years from now\.$"):
        tokenize(STORE, expiry_date="12/46")


def sealed(prefix: str, length: int) -> Card:
    """The content of a sealed card with any valid number."""
    number = prefix.ljust(length - 1, "0")
    number = next(number + digit for digit in "0123456789" if passes_luhn(number + digit))
    return Card.from_card_data(CARD_DATA | {"card_number": number})


@pytest.mark.parametrize("request_", [REQUEST, STORE])
@pytest.mark.parametrize(
    ("prefix", "length", "brand"),
    [("2200", 16, "mir"), ("6521500", 16, "rupay"), ("9704", 19, "napas"), ("1", 15, "uatp")],
)
def test_a_brand_that_is_not_accepted_is_named_and_one_that_is_goes_on(
    request_: dict[str, Any], prefix: str, length: int, brand: str
) -> None:
    card = sealed(prefix, length)
    assert checked(request_, card)["card"]["brand"] == brand
    with pytest.raises(BrandNotAccepted, match=brand) as refused:
        checked(request_, card, accepted=Acceptance(BRANDS - {brand}, test_cards=True))
    assert card.pan not in str(refused.value)


@pytest.mark.parametrize("pan", TEST_CARDS)
def test_a_test_card_is_refused_where_none_is_accepted_and_a_number_beside_it_is_not(pan: str) -> None:
    real = Acceptance(BRANDS, test_cards=False)
    with pytest.raises(errors.TestCardNotAccepted) as refused:
        tokenize(REQUEST, card_number=pan, accepted=real)
    assert pan[6:] not in str(refused.value)
    beside = sealed(pan[:7] + str((int(pan[7]) + 1) % 10), len(pan))
    tokenized = checked(REQUEST, beside, accepted=real)
    assert (tokenized["card"]["bin"], tokenized["test_card"]) == (pan[:6], False)


def test_an_expired_card_can_be_stored() -> None:
    stored = tokenize(STORE, expiry_date="12/25")
    assert stored["card"]["expiry"] == "12/25"
    assert stored["store_request"] == {"caller": STORE["caller"], "verify": False}
    assert "payment" not in stored


def test_a_card_that_is_stored_and_one_that_a_payment_of_the_same_key_saves_are_two() -> None:
    assert tokenize(STORE, "pay-1")["card"]["token"] != tokenize(REQUEST, "pay-1", save_card=True)["card"]["token"]


@pytest.mark.parametrize("pan", TEST_CARDS)
def test_of_every_test_card_the_published_brand_goes_on(pan: str) -> None:
    card = tokenize(REQUEST, card_number=pan)["card"]
    assert (card["brand"], card["bin"], card["last4"]) == (TEST_CARDS[pan]["brand"], pan[:6], pan[-4:])


@pytest.mark.parametrize("currency", ["JPY", "KWD", "EUR"])
def test_a_currency_may_have_any_number_of_decimals(currency: str) -> None:
    assert tokenize(REQUEST | {"currency": currency})["payment"]["currency"] == currency


def test_tokens_and_fingerprints_depend_on_the_key() -> None:
    other_mac = FakeMac()
    assert card_token(CARD, "pay-1", other_mac) != card_token(CARD, "pay-1", token_mac)
    assert fingerprint(CARD, other_mac) != fingerprint(CARD, token_mac)


def test_a_key_that_does_not_answer_is_left_to_the_state_machine() -> None:
    token_mac.faults.arm("mac", KeyServiceUnavailable("KMS: Throttling"))
    with pytest.raises(KeyServiceUnavailable):
        tokenize(REQUEST)


def recall(vault: FakeCardVault, now: str = NOW, accepted: Acceptance = EVERYTHING, **changes: Any) -> dict[str, Any]:
    return recalled({"amount_minor": 1999, "currency": "USD", "token": TOKEN} | changes, vault, now, accepted)


def recalled(
    request: dict[str, Any], vault: FakeCardVault, now: str = NOW, accepted: Acceptance = EVERYTHING
) -> dict[str, Any]:
    return recall_card(
        request, accepted=accepted, card_vault=vault, token_mac=token_mac, minor_unit=minor_unit, now=now
    )


@pytest.fixture
def vault() -> FakeCardVault:
    vault = FakeCardVault()
    vault.cards[TOKEN] = StoredCard(SUMMARY, b"ciphertext", KEPT_UNTIL)
    return vault


def test_a_stored_card_is_known_by_its_token_and_charged_as_one_on_file(vault: FakeCardVault) -> None:
    recalled = recall(vault)
    assert recalled["card"] == SUMMARY.to_dict()
    assert (recalled["payment"]["amount_minor"], recalled["payment"]["card_on_file"]) == (1999, True)


def test_a_token_that_nothing_is_stored_under_is_unknown(vault: FakeCardVault) -> None:
    vault.erase(TOKEN, NOW)
    with pytest.raises(UnknownToken):
        recall(vault)


def test_a_stored_cards_expiry_is_looked_at_when_it_is_charged(vault: FakeCardVault) -> None:
    vault.cards[TOKEN] = StoredCard(SUMMARY, b"ciphertext", "2050-01-01T00:00:00.000Z")
    assert recall(vault, "2045-01-01T11:59:59.999Z")["card"]["expiry"] == "12/44"
    with pytest.raises(ExpiredCard):
        recall(vault, "2045-01-01T12:00:00.000Z")


def test_a_stored_card_is_a_test_card_by_its_whole_number_and_not_by_what_is_shown_of_it(vault: FakeCardVault) -> None:
    real = Acceptance(BRANDS, test_cards=False)
    looks_alike = recall(vault, accepted=real)
    assert (looks_alike["card"]["last4"], looks_alike["test_card"]) == ("4242", False)
    test_card = replace(SUMMARY, fingerprint=fingerprint(CARD, token_mac))
    vault.cards[TOKEN] = StoredCard(test_card, b"ciphertext", KEPT_UNTIL)
    assert recall(vault)["test_card"] is True
    with pytest.raises(errors.TestCardNotAccepted):
        recall(vault, accepted=real)


def test_the_key_is_not_asked_about_a_stored_card_that_looks_like_no_test_card(vault: FakeCardVault) -> None:
    vault.cards[TOKEN] = StoredCard(replace(SUMMARY, last4="0000"), b"ciphertext", KEPT_UNTIL)
    token_mac.faults.arm("mac", KeyServiceUnavailable("KMS: Throttling"))
    assert recall(vault)["test_card"] is False
    with pytest.raises(KeyServiceUnavailable):
        token_mac.mac(b"")


def test_a_stored_card_of_a_brand_that_is_no_longer_accepted_is_refused(vault: FakeCardVault) -> None:
    with pytest.raises(BrandNotAccepted):
        recall(vault, accepted=Acceptance(BRANDS - {"visa"}, test_cards=True))


def test_a_stored_card_is_charged_in_a_currency_that_exists(vault: FakeCardVault) -> None:
    with pytest.raises(UnknownCurrency):
        recall(vault, currency="ZZZ")


ALLOWING = replace(EVERYTHING, return_origins=(RETURN_ORIGIN,))


def test_what_is_said_of_the_authentication_is_the_payments() -> None:
    options = {"return_url": RETURN_URL, "three_d_secure": "required", "exemption": "low_value"}
    assert tokenize(REQUEST | options, accepted=ALLOWING)["payment"].items() >= options.items()


def test_a_return_url_that_the_deployment_does_not_know_is_rejected(vault: FakeCardVault) -> None:
    elsewhere = REQUEST | {"return_url": "https://evil.example/back"}
    with pytest.raises(ReturnUrlNotAllowed):
        tokenize(elsewhere, accepted=ALLOWING)
    with pytest.raises(ReturnUrlNotAllowed):
        recalled(elsewhere | {"token": TOKEN}, vault, accepted=ALLOWING)


@pytest.mark.parametrize(
    "url", ["https://shop.example/4000056655665556", "https://shop.example/?x=4000-0566-5566-5556"]
)
def test_a_return_url_has_no_card_number(url: str) -> None:
    with pytest.raises(CardNumberInText, match="return_url"):
        tokenize(REQUEST | {"return_url": url}, accepted=ALLOWING)


@pytest.mark.parametrize(
    ("field", "value"), [("return_url", RETURN_URL), ("three_d_secure", "required"), ("exemption", "low_value")]
)
def test_a_payment_that_the_merchant_makes_alone_challenges_nobody(field: str, value: str) -> None:
    by_merchant = {"token": TOKEN, "initiator": "merchant", "reason": "recurring"}
    request = {"amount_minor": 1999, "currency": "USD"} | by_merchant
    validate("tokenize", {"payment_id": "payment-of-ours-1", "request": request})
    with pytest.raises(InvalidInput):
        validate("tokenize", {"payment_id": "payment-of-ours-1", "request": request | {field: value}})

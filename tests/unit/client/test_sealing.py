"""What both clients seal, with which keys, and what they reject. tests/unit/functions/…/test_jwe.py opens it."""

import hashlib
import subprocess
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey

from client import (
    AccessDenied,
    CardData,
    CardNotSealed,
    CardSummary,
    KeyUsedForAnother,
    NoAnswer,
    NotSent,
    Payment,
    PaymentsClient,
    RequestRefused,
    SealingKey,
    TooManyRequests,
    fingerprint,
    seal,
)
from tests.browser import JavaScriptError, seal_in_browser
from tests.samples import CARD_DATA, HOLDER, PAN, SEALED, SUMMARY, UNLISTED_PAN
from tests.scripted_api import ScriptedApi
from tests.sealers import header_in, issued_key


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


PEM, OTHER_PEM = (pem(rsa.generate_private_key(65537, 2048)) for _ in range(2))
SMALL = [pem(rsa.generate_private_key(65537, bits)) for bits in (1024, 2040)]
KEY = {"kid": "key-1", "alg": "RSA-OAEP-256", "enc": "A256GCM", "pem": PEM}
PIN = fingerprint(PEM)
_, SINGLE_USE_KEY = issued_key()
KEYS = {"static": KEY, "single-use": SINGLE_USE_KEY}

Client = Callable[..., str]
Refused = (ValueError, JavaScriptError)
our_clients = pytest.mark.parametrize("client", [seal, seal_in_browser], ids=["back end", "browser"])


@our_clients
def test_a_card_is_sealed_with_the_pinned_key(client: Client) -> None:
    assert client(CARD_DATA, "pay-1", KEY, fingerprint=PIN).count(".") == 4


def test_a_fingerprint_equals_that_of_other_tools() -> None:
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"],  # noqa: S607
        input=PEM.encode(),
        capture_output=True,
        check=True,
    ).stdout
    assert hashlib.sha256(der).hexdigest() == PIN


@our_clients
@pytest.mark.parametrize(
    ("changes", "pin", "complaint"),
    [
        ({"pem": OTHER_PEM}, PIN, "not the one whose fingerprint is pinned"),
        ({}, fingerprint(OTHER_PEM), "not the one whose fingerprint is pinned"),
        ({}, PIN[:-1], "not the one whose fingerprint is pinned"),
        ({}, "", "not the one whose fingerprint is pinned"),
        ({"pem": SMALL[0]}, None, "less than 2048 bits"),
        ({"pem": SMALL[1]}, None, "less than 2048 bits"),
        ({"pem": pem(ec.generate_private_key(ec.SECP256R1()))}, None, "not an RSA public key in PEM"),
        ({"pem": pem(ed25519.Ed25519PrivateKey.generate())}, None, "not an RSA public key in PEM"),
        ({"pem": ""}, None, "not an RSA public key in PEM"),
        ({"pem": PEM[:100]}, None, "not an RSA public key in PEM"),
    ],
    ids=[
        "another",
        "another's pin",
        "half a pin",
        "an empty pin",
        "1024",
        "2040",
        "EC",
        "Ed25519",
        "none",
        "half a key",
    ],
)
def test_a_card_is_sealed_with_no_other_key(
    client: Client, changes: dict[str, str], pin: str | None, complaint: str
) -> None:
    with pytest.raises(Refused, match=complaint):
        client(CARD_DATA, "pay-1", KEY | changes, fingerprint=pin)


@our_clients
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("field", ["securityCode", "cvv", "CVC", "cid", "note"])
def test_no_other_field_is_sealed(client: Client, key: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused, match="perhaps a security_code") as raised:
        client(CARD_DATA | {field: "737"}, "pay-1", key)
    assert "737" not in str(raised.value)


@our_clients
def test_a_security_code_is_sealed_with_a_single_use_key_and_with_no_other(client: Client) -> None:
    card = CARD_DATA | {"security_code": "737"}
    assert client(card, "pay-1", SINGLE_USE_KEY).count(".") == 4
    with pytest.raises(Refused, match="Only a single-use key") as raised:
        client(card, "pay-1", KEY)
    assert "737" not in str(raised.value)


def jwk(curve: ec.EllipticCurve, **changes: str) -> dict[str, str]:
    """A key of another curve, which calls itself one of P-256."""
    point = ECKey.import_key(pem(ec.generate_private_key(curve))).as_dict(private=False)
    return {"kty": "EC", "crv": "P-256", "x": str(point["x"]), "y": str(point["y"])} | changes


@our_clients
@pytest.mark.parametrize(
    "other",
    [
        jwk(ec.SECP256R1(), crv="P-384"),
        jwk(ec.SECP256R1(), kty="OKP"),
        jwk(ec.SECP256R1(), x="AAAA"),
        jwk(ec.SECP256R1(), y=jwk(ec.SECP256R1())["y"]),
        jwk(ec.SECP384R1()),
        {"kty": "EC", "crv": "P-256", "x": SINGLE_USE_KEY["jwk"]["x"]},
        {},
        None,
    ],
    ids=["P-384", "OKP", "a small x", "another's y", "of another curve", "no y", "nothing", "none"],
)
def test_no_other_single_use_key_is_sealed_with(client: Client, other: dict[str, str] | None) -> None:
    with pytest.raises(Refused, match="not a P-256 public key in JWK"):
        client(CARD_DATA, "pay-1", SINGLE_USE_KEY | {"jwk": other})


@our_clients
@pytest.mark.parametrize("changes", [{"alg": "ECDH-ES+A256KW"}, {"alg": "dir"}, {"alg": None}, {"enc": "A128GCM"}])
def test_a_key_for_another_algorithm_is_not_sealed_with(client: Client, changes: dict[str, str | None]) -> None:
    with pytest.raises(Refused, match="must be for ECDH-ES or RSA-OAEP-256, and A256GCM"):
        client(CARD_DATA, "pay-1", SINGLE_USE_KEY | changes)


@our_clients
def test_who_pins_a_key_seals_with_no_single_use_key(client: Client) -> None:
    with pytest.raises(Refused, match="not the one whose fingerprint is pinned"):
        client(CARD_DATA, "pay-1", SINGLE_USE_KEY, fingerprint=PIN)


@our_clients
def test_a_refusal_repeats_nothing_of_the_card(client: Client) -> None:
    with pytest.raises(Refused) as raised:
        client(CARD_DATA | {PAN: HOLDER}, "pay-1", KEY)
    assert PAN not in str(raised.value)
    assert HOLDER not in str(raised.value)


def client_of(api: ScriptedApi, pin: str | None) -> PaymentsClient:
    credentials = Credentials("AKIDEXAMPLE", "secret")
    return PaymentsClient(api.url, "us-east-1", credentials, sealing_key_fingerprint=pin)


def test_the_client_finds_the_pinned_key_among_all_keys(api: ScriptedApi) -> None:
    keys = {"keys": [KEY | {"kid": "key-2", "pem": OTHER_PEM}, KEY]}
    api.script((200, keys), (200, keys))
    assert client_of(api, PIN).sealing_key() == SealingKey(**KEY)
    assert client_of(api, None).sealing_key().kid == "key-2"


ISSUED = (201, SINGLE_USE_KEY)
NO_SUCH_CALL = (404, {"error": {"code": "not_found", "message": "There is no such route."}})
NOT_ALLOWED = (403, {"error": {"code": "forbidden", "message": "The request is not signed."}})
STARTED = (202, {"payment_id": "payment-of-order-1001", "status": "processing"})
CARD = CardData(PAN, "12/44", HOLDER, "737")


def pay(payments: PaymentsClient, card: CardData = CARD) -> Payment:
    return payments.pay(amount_minor=1999, currency="USD", card=card, idempotency_key="payment-of-order-1001")


def test_the_client_seals_with_the_key_of_the_payment(api: ScriptedApi) -> None:
    api.script(ISSUED, STARTED, ISSUED, STARTED)
    client = client_of(api, None)
    pay(client)
    client.store_card(CARD, idempotency_key="payment-of-order-1001")
    assert api.routes == [("POST", "/keys"), ("POST", "/payments"), ("POST", "/keys"), ("POST", "/cards")]
    assert {call.headers["Idempotency-Key"] for call in api.calls} == {"payment-of-order-1001"}
    assert [call.json for call in api.calls[::2]] == [{}, {}]
    for call in api.calls[1::2]:
        assert header_in(call.json["card_data"])["kid"] == SINGLE_USE_KEY["kid"]


def test_a_single_use_key_says_until_when_it_may_be_used(api: ScriptedApi) -> None:
    api.script((201, SINGLE_USE_KEY | {"more": "than today"}))
    key = client_of(api, None).issue_key("payment-of-order-1001")
    assert key.expires_at == datetime.fromisoformat(SINGLE_USE_KEY["expires_at"])
    assert (key.kid, key.alg, key.enc, key.jwk) == (SINGLE_USE_KEY["kid"], "ECDH-ES", "A256GCM", SINGLE_USE_KEY["jwk"])


@pytest.mark.parametrize("refusal", [NO_SUCH_CALL, NOT_ALLOWED], ids=["no such call", "not in the policy"])
def test_an_api_without_single_use_keys_gets_a_card_under_its_static_one(
    api: ScriptedApi, refusal: tuple[int, Any]
) -> None:
    api.script(refusal, (200, {"keys": [KEY]}), STARTED)
    pay(client_of(api, None), CardData(PAN, "12/44", HOLDER))
    assert api.routes == [("POST", "/keys"), ("GET", "/keys"), ("POST", "/payments")]
    assert header_in(api.calls[-1].json["card_data"])["alg"] == "RSA-OAEP-256"


def test_who_pins_a_static_key_asks_for_no_other(api: ScriptedApi) -> None:
    api.script((200, {"keys": [KEY]}), STARTED)
    pay(client_of(api, PIN), CardData(PAN, "12/44", HOLDER))
    assert api.routes == [("GET", "/keys"), ("POST", "/payments")]


@pytest.mark.parametrize(
    ("pin", "answers", "what_to_do"),
    [(PIN, [], "pins none"), (None, [NOT_ALLOWED], "permission to POST /keys")],
    ids=["pinned", "not pinned"],
)
def test_where_there_is_no_static_key_the_error_says_how_to_seal(
    api: ScriptedApi, pin: str | None, answers: list[Any], what_to_do: str
) -> None:
    api.script(*answers, (200, {"keys": []}))
    with pytest.raises(CardNotSealed, match=what_to_do):
        pay(client_of(api, pin), CardData(PAN, "12/44", HOLDER))


@pytest.mark.parametrize("pin", [PIN, None], ids=["pinned", "an API without others"])
def test_a_security_code_is_not_sent_under_a_static_key(api: ScriptedApi, pin: str | None) -> None:
    api.script(*[NO_SUCH_CALL] * (pin is None), (200, {"keys": [KEY]}))
    with pytest.raises(CardNotSealed, match="Only a single-use key") as raised:
        pay(client_of(api, pin))
    assert "737" not in str(raised.value)
    assert api.calls[-1].method == "GET"


@pytest.mark.parametrize(
    ("keys", "pin"),
    [
        ([KEY | {"pem": OTHER_PEM}], PIN),
        ([KEY | {"pem": "x"}], PIN),
        ([], PIN),
        ([], None),
        ([KEY | {"pem": "x"}], None),
    ],
    ids=["another", "no key, pinned", "none, pinned", "none", "no key"],
)
def test_the_client_sends_no_card_if_the_key_is_not_trusted(
    api: ScriptedApi, keys: list[dict[str, str]], pin: str | None
) -> None:
    api.script(*[NO_SUCH_CALL] * (pin is None), (200, {"keys": keys}))
    with pytest.raises(CardNotSealed):
        pay(client_of(api, pin), CardData(PAN, "12/44", HOLDER))
    assert api.routes[-1] == ("GET", "/keys")


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        (
            [(400, {"error": {"code": "invalid_idempotency_key", "message": "It must be a UUID."}})],
            RequestRefused,
        ),
        ([(429, {"error": {"code": "too_many_requests", "message": "Too many requests."}})] * 4, TooManyRequests),
        ([(503, {"error": {"code": "service_unavailable", "message": "Nothing is known."}})] * 4, NoAnswer),
        ([NOT_ALLOWED, NOT_ALLOWED], AccessDenied),
    ],
    ids=["refused", "busy", "out of order", "nothing allowed"],
)
def test_where_no_key_is_to_be_had_no_card_is_sent(
    payments: PaymentsClient, api: ScriptedApi, answers: list[Any], error: type[Exception]
) -> None:
    api.script(*answers)
    with pytest.raises(error):
        pay(payments)
    assert ("POST", "/payments") not in api.routes


def test_a_key_of_a_payment_that_has_ended_leads_to_that_payment(payments: PaymentsClient, api: ScriptedApi) -> None:
    exists = (409, {"error": {"code": "payment_exists", "message": "This Idempotency-Key was used before."}})
    ended = {"payment_id": "payment-of-order-1001", "status": "captured", "amount_minor": 1999, "currency": "USD"}
    api.script(exists, (200, ended), exists, (200, ended | {"amount_minor": 1998}))
    assert pay(payments).status == "captured"
    with pytest.raises(KeyUsedForAnother):
        pay(payments)
    assert ("POST", "/payments") not in api.routes


def test_a_key_under_which_this_card_was_stored_leads_to_it_and_another_card_s_does_not(
    payments: PaymentsClient, api: ScriptedApi
) -> None:
    exists = (409, {"error": {"code": "payment_exists", "message": "This Idempotency-Key was used before."}})
    stored = {"payment_id": "payment-of-order-1001", "status": "stored", "card": SUMMARY.to_dict()}
    api.script(*[exists, (200, stored)] * 2, exists, (200, stored | {"card": None}))
    summary = CardSummary.from_json(SUMMARY.to_dict())
    assert payments.store_card(CARD, idempotency_key="payment-of-order-1001").card == summary
    with pytest.raises(KeyUsedForAnother):
        payments.store_card(CardData(UNLISTED_PAN, "12/44", HOLDER), idempotency_key="payment-of-order-1001")
    with pytest.raises(KeyUsedForAnother):
        payments.store_card(CARD, idempotency_key="payment-of-order-1001")
    assert ("POST", "/cards") not in api.routes


def test_a_security_code_is_in_no_text(api: ScriptedApi) -> None:
    assert "737" not in repr(CARD)
    for code in ("73", "73737", "7 37", "a37", ""):
        with pytest.raises(NotSent, match="security_code must be 3 or 4 digits"):
            pay(client_of(api, None), CardData(PAN, "12/44", HOLDER, code))
    with pytest.raises(NotSent, match="security_code must be of the type str") as raised:
        pay(client_of(api, None), CardData(PAN, "12/44", HOLDER, 737))  # type: ignore[arg-type]
    assert "737" not in str(raised.value)
    assert api.calls == []


SAFE = [
    "https://api.test/v1",
    "HTTPS://api.test",
    "http://127.0.0.1:4566/v1",
    "http://127.1.2.3",
    "http://localhost:80",
]
UNSAFE = [
    "http://api.test/v1",
    "HTTP://api.test/v1",
    "http://127.0.0.1.api.test/v1",
    "http://localhost.api.test/v1",
    "http://localhost@api.test/v1",
    "http://localhost:80@api.test/v1",
    "http://localhost\\@api.test/v1",
    "http://10.0.0.1/v1",
    "http://0.0.0.0/v1",
    "http://[::2]/v1",
    "http://",
    "https://",
    "ftp://localhost/v1",
    "//api.test/v1",
    "api.test/v1",
    "",
]


@pytest.mark.parametrize("url", [*SAFE, "http://[::1]:4566/v1"])
def test_a_client_calls_only_https_or_its_own_machine(url: str) -> None:
    PaymentsClient(url, "us-east-1", Credentials("AKIDEXAMPLE", "secret"))


@pytest.mark.parametrize("url", UNSAFE)
def test_a_client_sends_nothing_in_the_clear_over_a_network(url: str) -> None:
    with pytest.raises(ValueError, match="must begin with https://"):
        PaymentsClient(url, "us-east-1", Credentials("AKIDEXAMPLE", "secret"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(payments: PaymentsClient, api: ScriptedApi, status: int) -> None:
    other = ScriptedApi()
    api.headers = {"Location": f"{other.url}/payments"}
    api.script(*[(status, {})] * 4)
    with pytest.raises(NoAnswer, match=f"HTTP {status}"):
        payments.pay(amount_minor=1999, currency="USD", card=SEALED)
    assert other.calls == []
    assert len(api.calls) == 4
    other.server_close()

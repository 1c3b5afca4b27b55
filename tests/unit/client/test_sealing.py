"""What both clients seal, with which keys, and what they reject. tests/unit/functions/…/test_jwe.py opens it."""

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client import CardData, CardNotSealed, NoAnswer, PaymentsClient, SealingKey, fingerprint, seal
from tests.browser import JavaScriptError, seal_in_browser
from tests.samples import CARD_DATA, HOLDER, PAN, SEALED
from tests.scripted_api import ScriptedApi


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


OURS, ANOTHER = (pem(rsa.generate_private_key(65537, 2048)) for _ in range(2))
SMALL = [pem(rsa.generate_private_key(65537, bits)) for bits in (1024, 2040)]
KEY = {"kid": "key-1", "alg": "RSA-OAEP-256", "enc": "A256GCM", "pem": OURS}
PIN = fingerprint(OURS)

Client = Callable[..., str]
Refused = (ValueError, JavaScriptError)
our_clients = pytest.mark.parametrize("client", [seal, seal_in_browser], ids=["back end", "browser"])


@our_clients
def test_a_card_is_sealed_with_the_pinned_key(client: Client) -> None:
    assert client(CARD_DATA, "pay-1", KEY, fingerprint=PIN).count(".") == 4


def test_a_fingerprint_equals_that_of_other_tools() -> None:
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"],  # noqa: S607
        input=OURS.encode(),
        capture_output=True,
        check=True,
    ).stdout
    assert hashlib.sha256(der).hexdigest() == PIN


@our_clients
@pytest.mark.parametrize(
    ("changes", "pin", "complaint"),
    [
        ({"pem": ANOTHER}, PIN, "not the one whose fingerprint is pinned"),
        ({}, fingerprint(ANOTHER), "not the one whose fingerprint is pinned"),
        ({}, PIN[:-1], "not the one whose fingerprint is pinned"),
        ({}, "", "not the one whose fingerprint is pinned"),
        ({"pem": SMALL[0]}, None, "less than 2048 bits"),
        ({"pem": SMALL[1]}, None, "less than 2048 bits"),
        ({"pem": pem(ec.generate_private_key(ec.SECP256R1()))}, None, "not an RSA public key in PEM"),
        ({"pem": pem(ed25519.Ed25519PrivateKey.generate())}, None, "not an RSA public key in PEM"),
        ({"pem": ""}, None, "not an RSA public key in PEM"),
        ({"pem": OURS[:100]}, None, "not an RSA public key in PEM"),
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
@pytest.mark.parametrize(
    "field", ["security_code", "securityCode", "cvv", "CVV", "cvv2", "cvc", "cvc2", "csc", "cid", "cav2", "cvn", "note"]
)
def test_a_security_code_is_not_sealed_whatever_it_is_called(client: Client, field: str) -> None:
    with pytest.raises(Refused, match="No security code is taken") as raised:
        client(CARD_DATA | {field: "737"}, "pay-1", KEY)
    assert "737" not in str(raised.value)


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
    keys = {"keys": [KEY | {"kid": "key-2", "pem": ANOTHER}, KEY]}
    api.script((200, keys), (200, keys))
    assert client_of(api, PIN).sealing_key() == SealingKey(**KEY)
    assert client_of(api, None).sealing_key().kid == "key-2"


@pytest.mark.parametrize(
    ("keys", "pin"),
    [([KEY | {"pem": ANOTHER}], PIN), ([KEY | {"pem": "x"}], PIN), ([], PIN), ([], None), ([KEY | {"pem": "x"}], None)],
    ids=["another", "no key, pinned", "none, pinned", "none", "no key"],
)
def test_the_client_sends_no_card_if_the_key_is_not_trusted(
    api: ScriptedApi, keys: list[dict[str, str]], pin: str | None
) -> None:
    api.script((200, {"keys": keys}))
    with pytest.raises(CardNotSealed):
        client_of(api, pin).pay(amount_minor=1999, currency="USD", card=CardData(PAN, "12/44", HOLDER))
    assert api.asked == [("GET", "/keys")]


def test_a_card_in_the_client_has_no_field_for_a_security_code() -> None:
    with pytest.raises(TypeError):
        CardData(PAN, "12/44", HOLDER, cvc="737")  # type: ignore[call-arg]
    assert set(asdict(CardData(PAN, "12/44", HOLDER))) == {"card_number", "expiry_date", "card_holder"}


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

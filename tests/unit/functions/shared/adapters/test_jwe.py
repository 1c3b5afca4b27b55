"""Sealed cards made by our client, by an independent JOSE library, and by an attacker."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from joserfc import jwe
from joserfc.jwk import OctKey, RSAKey

from client import seal
from functions.shared.adapters.jwe import STATIC, JweCardOpener, StaticKeys
from functions.shared.domain.errors import (
    InvalidSealedCard,
    KeyServiceUnavailable,
    PaymentError,
    SealedCardTampered,
    SealedForAnotherPayment,
    SealingNotSupported,
    UnknownSealingKey,
)
from tests.browser import BROWSER, JavaScriptError, seal_in_browser
from tests.samples import CARD_DATA, UNLISTED_PAN
from tests.tampering import encoded, flipped, with_header, with_segment

PRIVATE_KEY = rsa.generate_private_key(65537, 2048)  # The KMS key is RSA_4096; here the size only affects the time
PEM = (
    PRIVATE_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
KEY = {"kid": "key-1", "alg": "RSA-OAEP-256", "enc": "A256GCM", "pem": PEM}
EC_PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
HEADER = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "key-1", "payment_id": "pay-1"}


class Kms:
    """KMS Decrypt with an RSA key, by the API reference."""

    class exceptions:  # noqa: N801
        class InvalidCiphertextException(ClientError):
            pass

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.error: ClientError | None = None

    def decrypt(self, *, KeyId: str, CiphertextBlob: bytes, EncryptionAlgorithm: str) -> dict[str, bytes]:  # noqa: N803
        assert EncryptionAlgorithm == "RSAES_OAEP_SHA_256"
        self.calls.append(KeyId)
        if self.error:
            raise self.error
        try:
            oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
            return {"Plaintext": PRIVATE_KEY.decrypt(CiphertextBlob, oaep)}
        except (ValueError, UnsupportedAlgorithm):
            error: Any = {"Error": {"Code": "InvalidCiphertextException", "Message": ""}}
            raise self.exceptions.InvalidCiphertextException(error, "Decrypt") from None


def opener(kms: Kms | None = None) -> JweCardOpener:
    return JweCardOpener({STATIC: StaticKeys(kms or Kms(), {"key-1", "key-0"})})  # type: ignore[arg-type]


def by_joserfc(header: dict[str, Any] = HEADER, key: Any = None) -> str:
    registry = jwe.JWERegistry(algorithms=[header["alg"], header["enc"], *([header["zip"]] if "zip" in header else [])])
    registry.strict_check_header = False
    plaintext = json.dumps(CARD_DATA)
    return jwe.encrypt_compact(header, plaintext, key or RSAKey.import_key(PEM), registry=registry)


Client = Callable[[dict[str, str], str, dict[str, str]], str]
our_clients = pytest.mark.parametrize("client", [seal, seal_in_browser], ids=["back end", "browser"])


@our_clients
@pytest.mark.parametrize("holder", [CARD_DATA["card_holder"], "Renée Łukasz-Đặng", "山田 太郎 🂡"])
def test_a_card_sealed_by_our_client_opens_for_its_payment(client: Client, holder: str) -> None:
    card_data = CARD_DATA | {"card_holder": holder}
    assert json.loads(opener().open(client(card_data, "pay-1", KEY), "pay-1").content) == card_data


@pytest.mark.parametrize("header", [{}, {"typ": "JWE"}, {"typ": "JOSE", "cty": "json"}, {"cty": "application/json"}])
def test_a_card_sealed_by_another_library_opens_for_its_payment(header: dict[str, str]) -> None:
    assert json.loads(opener().open(by_joserfc(HEADER | header), "pay-1").content) == CARD_DATA


UUID = "c56a4180-65aa-42ec-a945-5fd21dec0538"


@pytest.mark.parametrize("written", [UUID.upper(), UUID.replace("-", "")])
def test_a_card_sealed_for_a_uuid_opens_for_the_payment_of_any_of_its_spellings(written: str) -> None:
    sealed = seal(CARD_DATA, written, KEY)
    assert json.loads(opener().open(sealed, UUID).content) == CARD_DATA
    with pytest.raises(SealedForAnotherPayment):
        opener().open(sealed, "c56a4180-65aa-42ec-a945-5fd21dec0539")


@our_clients
def test_the_same_card_sealed_twice_shares_nothing_but_the_header(client: Client) -> None:
    first, second = (client(CARD_DATA, "pay-1", KEY).split(".") for _ in range(2))
    assert [part == other for part, other in zip(first, second, strict=True)] == [True, False, False, False, False]


NO_KEY = "Error: The sealing key must be for ECDH-ES or RSA-OAEP-256, and A256GCM."


@pytest.mark.parametrize(
    ("card_data", "payment_id", "key", "message"),
    [
        (None, "pay-1", KEY, "TypeError: The card must be an object."),
        ([CARD_DATA], "pay-1", KEY, "TypeError: The card must be an object."),
        (CARD_DATA["card_number"], "pay-1", KEY, "TypeError: The card must be an object."),
        (CARD_DATA, None, KEY, "TypeError: The payment id must be a string that is not empty."),
        (CARD_DATA, "", KEY, "TypeError: The payment id must be a string that is not empty."),
        (CARD_DATA, 1, KEY, "TypeError: The payment id must be a string that is not empty."),
        (CARD_DATA, "pay-1", None, NO_KEY),
        (CARD_DATA, "pay-1", KEY | {"alg": "RSA-OAEP"}, NO_KEY),
        (CARD_DATA, "pay-1", KEY | {"enc": "A128GCM"}, NO_KEY),
        (CARD_DATA, "pay-1", KEY | {"pem": EC_PEM}, "Error: The sealing key is not an RSA public key in PEM."),
        (CARD_DATA, "pay-1", KEY | {"pem": "not a key"}, "Error: The sealing key is not an RSA public key in PEM."),
    ],
)
def test_the_browser_s_client_says_what_it_cannot_seal_with(
    card_data: Any, payment_id: Any, key: dict[str, str] | None, message: str
) -> None:
    with pytest.raises(JavaScriptError) as raised:
        seal_in_browser(card_data, payment_id, key)
    assert str(raised.value) == message


def test_a_page_that_did_not_come_over_https_gets_an_error_that_says_so() -> None:
    without_crypto = tuple(name for name in BROWSER if name != "crypto")
    with pytest.raises(JavaScriptError, match="Serve it over https"):
        seal_in_browser(CARD_DATA, "pay-1", KEY, without_crypto)


@our_clients
def test_our_client_is_understood_by_another_library(client: Client) -> None:
    registry = jwe.JWERegistry(algorithms=["RSA-OAEP-256", "A256GCM"])
    registry.strict_check_header = False
    opened = jwe.decrypt_compact(
        client(CARD_DATA, "pay-1", KEY),
        RSAKey.import_key(
            PRIVATE_KEY.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        ),
        registry=registry,
    )
    assert json.loads(opened.plaintext or b"") == CARD_DATA


def test_a_card_sealed_with_the_key_served_before_still_opens() -> None:
    kms = Kms()
    sealed = seal(CARD_DATA, "pay-1", KEY | {"kid": "key-0"})
    assert json.loads(opener(kms).open(sealed, "pay-1").content) == CARD_DATA
    assert kms.calls == ["key-0"]


SEALED = seal(CARD_DATA, "pay-1", KEY)


@pytest.mark.parametrize(
    ("sealed", "error"),
    [
        (with_segment(SEALED, 4, flipped), SealedCardTampered),
        (with_segment(SEALED, 4, lambda tag: tag[:12]), SealedCardTampered),
        (with_segment(SEALED, 3, flipped), SealedCardTampered),
        (with_segment(SEALED, 2, flipped), SealedCardTampered),
        (with_segment(SEALED, 1, flipped), SealedCardTampered),
        (with_segment(SEALED, 1, lambda key: key[:100]), SealedCardTampered),
        (with_header(SEALED, HEADER | {"typ": "JWE"}), SealedCardTampered),
        (with_header(SEALED, HEADER | {"alg": "none"}), SealingNotSupported),
        (with_header(SEALED, HEADER | {"alg": "RSA1_5"}), SealingNotSupported),
        (with_header(SEALED, HEADER | {"alg": "RSA-OAEP"}), SealingNotSupported),
        (with_header(SEALED, HEADER | {"alg": "dir"}), SealingNotSupported),
        (with_header(SEALED, HEADER | {"enc": "A128GCM"}), SealingNotSupported),
        (with_header(SEALED, HEADER | {"enc": "A256CBC-HS512"}), SealingNotSupported),
        (with_header(SEALED, HEADER | {"zip": "DEF"}), SealingNotSupported),
        (with_header(SEALED, HEADER | {"crit": ["exp"], "exp": 1}), SealingNotSupported),
        *(
            (with_header(SEALED, HEADER | {name: value}), SealingNotSupported)
            for name in ("typ", "cty")
            for value in (UNLISTED_PAN, int(UNLISTED_PAN), {"n": UNLISTED_PAN}, [UNLISTED_PAN], None, "", "jwe", "JWT")
        ),
        *(
            (with_header(SEALED, HEADER | {name: UNLISTED_PAN}), SealingNotSupported)
            for name in ("x5c", "x5t", "jku", "jwk", "apu", "apv", "epk", "p2s", "iat", "Typ", UNLISTED_PAN)
        ),
        *((with_header(SEALED, HEADER | {"typ": typ, "cty": "json"}), SealedCardTampered) for typ in ("JOSE", "JWE")),
        (by_joserfc(HEADER | {"zip": "DEF"}), SealingNotSupported),
        (by_joserfc(HEADER | {"alg": "dir"}, OctKey.generate_key(256)), SealingNotSupported),
        (by_joserfc(HEADER | {"enc": "A128GCM"}), SealingNotSupported),
        (seal(CARD_DATA, "pay-1", KEY | {"kid": "key-9"}), UnknownSealingKey),
        (with_header(SEALED, HEADER | {"kid": ["key-1"]}), UnknownSealingKey),
        (with_header(SEALED, {name: HEADER[name] for name in ("alg", "enc", "payment_id")}), UnknownSealingKey),
        (seal(CARD_DATA, "pay-2", KEY), SealedForAnotherPayment),
        (with_header(SEALED, {name: HEADER[name] for name in ("alg", "enc", "kid")}), SealedForAnotherPayment),
        (SEALED.rsplit(".", 1)[0], InvalidSealedCard),
        (SEALED + ".AAAA", InvalidSealedCard),
        (SEALED.replace(".", "..", 1), InvalidSealedCard),
        (SEALED[:-1] + "=", InvalidSealedCard),
        (SEALED + "\n", InvalidSealedCard),
        (with_header(SEALED, ["alg"]), InvalidSealedCard),
        (".".join([encoded(b'{"alg": "none", "alg": "RSA-OAEP-256"}'), *SEALED.split(".")[1:]]), InvalidSealedCard),
        *(
            (".".join([encoded(header), *SEALED.split(".")[1:]]), InvalidSealedCard)
            for header in (b"not json", b"[" * 6000, b'{"a": NaN}', b'{"kid": "\\ud800"}', b"\xff", b"9" * 5000)
        ),
        ("", InvalidSealedCard),
        ("....", InvalidSealedCard),
    ],
)
def test_a_sealed_card_that_is_not_as_it_must_be_is_refused_by_its_own_error(
    sealed: str, error: type[PaymentError]
) -> None:
    with pytest.raises(error) as raised:
        opener().open(sealed, "pay-1")
    assert type(raised.value) is error


def test_no_key_is_used_before_the_header_is_one_of_ours() -> None:
    kms = Kms()
    for header in ({"alg": "RSA1_5"}, {"kid": "key-9"}, {"payment_id": "pay-2"}):
        with pytest.raises(PaymentError):
            opener(kms).open(with_header(SEALED, HEADER | header), "pay-1")
    assert kms.calls == []


def test_a_key_service_that_is_busy_is_no_fault_of_the_card() -> None:
    kms = Kms()
    kms.error = ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "Decrypt")
    with pytest.raises(KeyServiceUnavailable):
        opener(kms).open(SEALED, "pay-1")

"""The search finds a card in every encoding, and nothing else."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stack.sweep import Canary, Leak, Place, leaks, new_pan

CANARY, OTHER = Canary("canary", new_pan()), Canary("other", new_pan())
PLACE = Place("file", "somewhere")
texts = st.text(st.characters(exclude_categories=["Nd", "Cs"]), max_size=50)


def by_fours(separator: str) -> Callable[[str], str]:
    return lambda secret: separator.join(secret[start : start + 4] for start in range(0, len(secret), 4))


def in_script(zero: str) -> Callable[[str], str]:
    return lambda secret: "".join(chr(ord(zero) + int(digit)) for digit in secret)


def in_base64(encode: Callable[[bytes], bytes], before: int) -> Callable[[str], str]:
    """The secret between other bytes, in each of base64's three alignments."""
    return lambda secret: encode(b"\xff" * before + secret.encode() + b'", "').decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "in lower case": str.lower,
    "reversed": lambda secret: secret[::-1],
    "hex": lambda secret: secret.encode().hex(),
    "hex in capitals": lambda secret: secret.encode().hex().upper(),
    "hex with an odd digit before it": lambda secret: "f" + secret.encode().hex(),
    "URL-encoded": lambda secret: "".join(f"%{ord(character):02X}" for character in secret),
    "URL-encoded in JSON": lambda secret: json.dumps({"url": "".join(f"%{ord(letter):02x}" for letter in secret)}),
    "escaped as JSON may": lambda secret: "".join(f"\\u{ord(character):04x}" for character in secret),
    "escaped as Python may": lambda secret: "".join(f"\\x{ord(character):02x}" for character in secret),
    **{f"base64, {n} before": in_base64(base64.b64encode, n) for n in range(3)},
    **{f"base64 for URLs, {n} before": in_base64(base64.urlsafe_b64encode, n) for n in range(3)},
    "base64 of nothing else": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 without padding": lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
    "base64 in JSON as botocore logs it": lambda secret: repr(
        {"body": json.dumps({"Plaintext": base64.b64encode(json.dumps({"n": secret}).encode()).decode()}).encode()}
    ),
    "base64 of base64": lambda secret: base64.b64encode(base64.b64encode(secret.encode())).decode(),
    "base64 of URL-encoded": lambda secret: base64.b64encode(quote(f"é{secret}").encode()).decode(),
}
OF_NUMBERS: dict[str, Callable[[str], str]] = {
    "spaced": by_fours(" "),
    "dashed": by_fours("-"),
    "a list": lambda secret: json.dumps([int(digit) for digit in secret]),
    "spaced and reversed": lambda secret: by_fours(" ")(secret)[::-1],
    "spaced in base64": lambda secret: base64.b64encode(by_fours(" ")(secret).encode()).decode(),
    "dashed in hex": lambda secret: by_fours("-")(secret).encode().hex(),
    "with three characters between": by_fours(" - "),
    "in single digits with brackets": lambda secret: ")(".join(secret),
    "in Bengali digits": in_script("০"),
    "in mathematical digits": in_script("𝟘"),
    "in mathematical digits in JSON": lambda secret: json.dumps(in_script("𝟘")(secret)),
    "in mathematical digits in JSON in JSON": lambda secret: json.dumps(json.dumps(json.dumps(in_script("𝟘")(secret)))),
    "in keycaps": lambda secret: "".join(f"{digit}\ufe0f\u20e3" for digit in secret),
    "in keycaps in JSON": lambda secret: json.dumps("".join(f"{digit}\ufe0f\u20e3" for digit in secret)),
    "with zero-width spaces": lambda secret: "\u200b".join(secret),
    "after more digits": lambda secret: f"20261123 {secret}",
}


@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("encoding", ENCODINGS | OF_NUMBERS)
@given(before=texts, after=texts)
def test_a_number_is_found(encoding: str, before: str, after: str) -> None:
    text = before + (ENCODINGS | OF_NUMBERS)[encoding](CANARY.pan) + after
    assert leaks([(PLACE, text)], [CANARY, OTHER]) == {Leak(PLACE, "canary", "number")}


@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("encoding", ENCODINGS)
@given(before=texts, after=texts)
def test_a_holders_name_is_found(encoding: str, before: str, after: str) -> None:
    text = before + ENCODINGS[encoding](CANARY.holder) + after
    assert leaks([(PLACE, text)], [CANARY, OTHER]) == {Leak(PLACE, "canary", "holder")}


@given(texts)
def test_permitted_card_data_is_no_leak(text: str) -> None:
    written = f"{text}{CANARY.pan[:6]}******{CANARY.pan[-4:]}{text}"
    assert leaks([(PLACE, written)], [CANARY, OTHER]) == set()


@pytest.mark.parametrize(
    "text",
    [
        '{"security_code": "0841"}',
        "cvc=0841",
        "['0841']",
        'code": 0841}',
        '"' + base64.b64encode(b'"0841"').decode() * 2,
    ],
)
def test_a_security_code_is_found(text: str) -> None:
    canary = Canary("canary", new_pan(), security_code="0841")
    assert leaks([(PLACE, text)], [canary]) == {Leak(PLACE, "canary", "security code")}


@pytest.mark.parametrize("text", ["0841", '"08410"', '"0842"', "12:00:00.0841", "code 08412", "4a7c-0841-9e"])
def test_other_digits_are_no_security_code(text: str) -> None:
    assert leaks([(PLACE, text)], [Canary("canary", new_pan(), security_code="0841")]) == set()

"""Invalid input, and valid input at its limits: the expected answer to each request, and the resulting payment.

Each row is one request. `make acceptance` sends them to real deployments, and the local stack's tests send them too.
Headers are sent unchanged, which higher-level HTTP clients would not do.
"""

import base64
import gzip
import http.client
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SIGV4_TIMESTAMP
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from client.transport import SignerAtTime
from tools.deployment.stack import Stack, new_payment_id
from tools.trials.acceptance.run import accepted_status

CARD_DATA = {"card_number": "4242424242424242", "expiry_date": "12/30", "card_holder": "John Doe"}
PAYMENT = {"amount_minor": 1999, "currency": "USD", "card_data": CARD_DATA}
TEST_NUMBER = CARD_DATA["card_number"]
# Stands for a real card number: it passes the Luhn check (Stripe publishes it) and is not on our list of test cards.
NUMBER = "4000056655665556"
SPACED = " ".join(re.findall("....", NUMBER))
FULL_WIDTH = "".join(chr(ord(digit) + 0xFEE0) for digit in NUMBER)
ARABIC = "".join(chr(ord(digit) + 0x0630) for digit in NUMBER)
BENGALI = "".join(chr(ord(digit) + 0x09B6) for digit in NUMBER)
MATHEMATICAL = "".join(chr(ord(digit) + 0x1D7A8) for digit in NUMBER)
KEYCAPS = "".join(f"{digit}\ufe0f\u20e3" for digit in NUMBER)
# Looks like a sealed card, but no key can open it.
SEALED = ".".join(["eyJ" + "a" * 200, "a" * 683, "a" * 16, "a" * 120, "a" * 22])
PAYMENT_TEXT = json.dumps(PAYMENT)
MEBIBYTE = 1024 * 1024

Sign = Callable[[Stack, AWSRequest], None]


def signed(
    signing_key: str | None = None,
    access_key_id: str | None = None,
    service: str = "execute-api",
    region: str | None = None,
    minutes: float = 0,
) -> Sign:
    """Create a function that signs like the stack's own caller, except for the given values."""

    def sign(stack: Stack, request: AWSRequest) -> None:
        own = stack.session().get_credentials()
        assert own is not None
        credentials = Credentials(access_key_id or own.access_key, signing_key or own.secret_key, own.token)
        auth = SignerAtTime(credentials, service, region or stack.region)
        auth.timestamp = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime(SIGV4_TIMESTAMP)
        auth.add_auth(request)

    return sign


def unsigned(stack: Stack, request: AWSRequest) -> None:
    """Leaves the request as it is."""


def signed_for_another_body(stack: Stack, request: AWSRequest) -> None:
    other = AWSRequest(request.method, request.url, data=b"{}")
    signed()(stack, other)
    for name, value in other.headers.items():
        request.headers[name] = value


@dataclass(frozen=True, slots=True)
class Row:
    """One request and its expected result."""

    name: str
    body: Any = field(default_factory=lambda: PAYMENT)
    """Bytes are sent unchanged, other values as JSON. A function creates the body from the payment's id."""
    status: int = 400
    code: str | None = "invalid_request"
    final_status: str | tuple[str, ...] | None = None
    """The final status of the payment or the stored card, followed by its error if any; several if it depends on the
    gateway; None if neither may exist."""
    method: str = "POST"
    path: str = "/payments"
    key: str | bytes | None = field(default_factory=new_payment_id)
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    sign: Sign = field(default_factory=signed)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a row's request, and the final payment if there is one."""

    status: int
    headers: Mapping[str, str]
    text: str
    payment: Mapping[str, Any] | None = None

    def differences(self, row: Row) -> list[str]:
        """The differences between this outcome and the row."""
        differences = (
            [] if self.status == row.status else [f"the status is {self.status}, not {row.status}: {self.text}"]
        )
        final_status = " ".join(filter(None, (self.payment["status"], self.payment["error"]))) if self.payment else None
        expected = row.final_status if isinstance(row.final_status, tuple) else (row.final_status,)
        if final_status not in expected:
            differences.append(f"it ended as {final_status}, not {row.final_status}")
        if row.code:
            differences += self._error_differences(row.code)
        return differences

    def _error_differences(self, code: str) -> Iterator[str]:
        try:
            body = json.loads(self.text)
            error = body["error"]
        except (ValueError, KeyError, TypeError):
            yield f"the answer is no error of ours: {self.text}"
            return
        if (set(body), set(error)) != ({"error"}, {"code", "message"}) or error["code"] != code:
            yield f"the error is not {code}: {self.text}"
        if re.search(r"\d{4}|[jJ]ohn|arn:", self.text):
            yield f"the error repeats what was sent: {self.text}"
        beginnings = r"Missing card data\.|Seal this card\.|There is a card number in |[a-z_]+ must "
        if code == "invalid_request" and not re.match(beginnings, error["message"]):
            yield f"the message does not begin with what it is mostly about: {self.text}"


def accepted(
    name: str,
    body: Any = PAYMENT,
    final_status: str | tuple[str, ...] = "captured",
    path: str = "/payments",
    **options: Any,
) -> Row:
    return Row(name, body, accepted_status(path), None, final_status, path=path, **options)


def forbidden(name: str, sign: Sign, **options: Any) -> Row:
    return Row(name, status=403, code="forbidden", sign=sign, **options)


def payment_with(**changes: Any) -> dict[str, Any]:
    """The payment with these fields changed; a field set to None is omitted."""
    return {name: value for name, value in (PAYMENT | changes).items() if value is not None}


def escaped(text: str) -> str:
    """Encode each character as a JSON escape sequence."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


# --- The card, for both POST /payments and POST /cards. A number in the clear must be that of a published test card.

REFUSED_CARD_DATA: dict[str, Any] = {
    "a number that is no test card's": CARD_DATA | {"card_number": NUMBER},
    "a test number with another check digit": CARD_DATA | {"card_number": TEST_NUMBER[:-1] + "1"},
    "a test number as an integer": CARD_DATA | {"card_number": int(TEST_NUMBER)},
    "a number as an integer": CARD_DATA | {"card_number": int(NUMBER)},
    "a number as a float": CARD_DATA | {"card_number": float(NUMBER)},
    "a number with spaces": CARD_DATA | {"card_number": SPACED},
    "a test number with spaces": CARD_DATA | {"card_number": " ".join(re.findall("....", TEST_NUMBER))},
    "a number with dashes": CARD_DATA | {"card_number": SPACED.replace(" ", "-")},
    "a number in full-width digits": CARD_DATA | {"card_number": FULL_WIDTH},
    "a number in Arabic-Indic digits": CARD_DATA | {"card_number": ARABIC},
    "a test number and a zero-width space": CARD_DATA | {"card_number": "\u200b" + TEST_NUMBER},
    "a test number and a zero-width joiner": CARD_DATA | {"card_number": TEST_NUMBER + "\u200d"},
    "a test number and a line break": CARD_DATA | {"card_number": TEST_NUMBER + "\n"},
    "a test number and a space": CARD_DATA | {"card_number": " " + TEST_NUMBER},
    "a test number and a real one": CARD_DATA | {"card_number": f"{TEST_NUMBER},{NUMBER}"},
    "an array of numbers": CARD_DATA | {"card_number": [NUMBER]},
    "an array of test numbers": CARD_DATA | {"card_number": [TEST_NUMBER]},
    "an object for a number": CARD_DATA | {"card_number": {"card_number": NUMBER}},
    "null for a number": CARD_DATA | {"card_number": None},
    "an empty number": CARD_DATA | {"card_number": ""},
    "an empty number, and a number for an expiry date": CARD_DATA | {"card_number": "", "expiry_date": NUMBER},
    "an empty number, and a number for a holder": CARD_DATA | {"card_number": "", "card_holder": NUMBER},
    "no number": {name: value for name, value in CARD_DATA.items() if name != "card_number"},
    "no expiry date": {name: value for name, value in CARD_DATA.items() if name != "expiry_date"},
    "no holder": {name: value for name, value in CARD_DATA.items() if name != "card_holder"},
    "a number in a field of its own": CARD_DATA | {"pan": NUMBER},
    "a number under a name in capitals": CARD_DATA | {"CARD_NUMBER": NUMBER},
    "a security code": CARD_DATA | {"cvc": "123"},
    "card data in card data": CARD_DATA | {"card_data": CARD_DATA | {"card_number": NUMBER}},
    "an array of card data": [CARD_DATA],
    "card data as JSON in a string": json.dumps(CARD_DATA),
    "a number for card data": int(NUMBER),
    "a number in a string for card data": NUMBER,
    "null for card data": None,
    "empty card data": {},
    "month 00": CARD_DATA | {"expiry_date": "00/30"},
    "month 13": CARD_DATA | {"expiry_date": "13/30"},
    "a year of four digits": CARD_DATA | {"expiry_date": "12/2030"},
    "an expiry date and a line break": CARD_DATA | {"expiry_date": "12/30\n"},
    "an expiry date in full-width digits": CARD_DATA | {"expiry_date": "１２/３０"},
    "a number for an expiry date": CARD_DATA | {"expiry_date": NUMBER},
    "an empty holder": CARD_DATA | {"card_holder": ""},
    "a holder of 65 characters": CARD_DATA | {"card_holder": "x" * 65},
    "a holder that is no text": CARD_DATA | {"card_holder": ["John Doe"]},
    "a number for a holder": CARD_DATA | {"card_holder": NUMBER},
    "a number with spaces in the holder": CARD_DATA | {"card_holder": f"John {SPACED} Doe"},
    "a holder with a line break": CARD_DATA | {"card_holder": "John\nDoe"},
    "a holder with half a surrogate pair": CARD_DATA | {"card_holder": "John \ud800"},
    "a word": "card",
    "a JWE of four segments": "a.b.c.d",
    "a JWE of six segments": "a.b.c.d.e.f",
    "a JWE with an empty segment": "YQ..YQ.YQ.YQ",
    "a JWE with padding": "YQ==.YQ.YQ.YQ.YQ",
    "a JWE in plain base64": "Y+Q.Y/Q.YQ.YQ.YQ",
    "a JWE that is not ASCII": SEALED[:-1] + "é",
    "a JWE and a line break": SEALED + "\n",
    "a JWE and a space": SEALED + " ",
    "a JWE whose segments are too short": "eyJhbGciOiJub25lIn0.YQ.YQ.YQ.YQ",
    "a JWE whose segments are too long": SEALED.replace("a" * 683, "a" * 684),
    "a JWE whose header is no object": "W" + SEALED,
    "a JWE whose header is of 5 kB": "eyJ" + "a" * 5000 + SEALED[203:],
    "a JWE whose header is deep": encoded(b"[" * 600) + SEALED[203:],
    "a JWE of 5846 characters": SEALED[:-23] + "a" * (5846 - len(SEALED)) + SEALED[-23:],
    "a number as a segment": f"{NUMBER}.a.a.a.a",
    "a number as the last segment": f"eyJ.a.a.a.{NUMBER}",
    "a number in a segment": SEALED.replace("a" * len(NUMBER), NUMBER, 1),
    "a number with dashes in a segment": SEALED.replace("a" * len(SPACED), SPACED.replace(" ", "-"), 1),
    "a number with underscores in a segment": SEALED.replace("a" * len(SPACED), SPACED.replace(" ", "_"), 1),
    "a JWE as JSON": {"protected": "YQ", "ciphertext": "YQ"},
}

# JSON that no library produces. If two members have the same name, only the last one counts and is passed on.
OTHER_FIELDS = '"expiry_date": "12/30", "card_holder": "John Doe"'

UNUSUAL_ACCEPTED: dict[str, str] = {
    "a number before a test number": f'{{"card_number": "{NUMBER}", "card_number": "{TEST_NUMBER}", {OTHER_FIELDS}}}',
    "two card data, the first with a number": (
        f'{{"card_number": "{NUMBER}", {OTHER_FIELDS}}}, '
        f'"card_data": {{"card_number": "{TEST_NUMBER}", {OTHER_FIELDS}}}'
    ),
    "a test number in unicode escapes": f'{{"card_number": "{escaped(TEST_NUMBER)}", {OTHER_FIELDS}}}',
}

UNUSUAL_REFUSED: dict[str, str] = {
    "a number after a test number": f'{{"card_number": "{TEST_NUMBER}", "card_number": "{NUMBER}", {OTHER_FIELDS}}}',
    "a number after a test number, its name escaped": (
        f'{{"card_number": "{TEST_NUMBER}", "card\\u005fnumber": "{NUMBER}", {OTHER_FIELDS}}}'
    ),
    "two card data, the last with a number": (
        f'{{"card_number": "{TEST_NUMBER}", {OTHER_FIELDS}}}, '
        f'"card_data": {{"card_number": "{NUMBER}", {OTHER_FIELDS}}}'
    ),
    "a number after a sealed card": f'"{SEALED}", "card_data": {{"card_number": "{NUMBER}", {OTHER_FIELDS}}}',
    "a number in unicode escapes": f'{{"card_number": "{escaped(NUMBER)}", {OTHER_FIELDS}}}',
    "a number as a float with an exponent": f'{{"card_number": {NUMBER[0]}.{NUMBER[1:]}e15, {OTHER_FIELDS}}}',
    "a number that is a huge one": f'{{"card_number": 1e400, {OTHER_FIELDS}}}',
    "a number that is none": f'{{"card_number": NaN, {OTHER_FIELDS}}}',
    "a test number with a raw line break": f'{{"card_number": "{TEST_NUMBER}\n", {OTHER_FIELDS}}}',
    "a number below 900 arrays": f'{{"card_number": {"[" * 900}"{NUMBER}"{"]" * 900}, {OTHER_FIELDS}}}',
    "a number below 100,000 arrays": f'{{"card_number": {"[" * 100_000}"{NUMBER}"{"]" * 100_000}, {OTHER_FIELDS}}}',
}


def raw_body(path: str, card_data: str) -> bytes:
    leading_fields = '"amount_minor": 1999, "currency": "USD", ' if path == "/payments" else ""
    return f'{{{leading_fields}"card_data": {card_data}}}'.encode()


def body_with_card(path: str, card_data: Any) -> dict[str, Any]:
    return (PAYMENT if path == "/payments" else {}) | {"card_data": card_data}


def with_jwe_header(header: str) -> Callable[[str], Any]:
    """Create payments with a JWE that has this header; %s stands for the payment's id. No key is tried on these."""
    return lambda payment_id: payment_with(
        card_data=".".join([encoded(header.replace("%s", payment_id).encode()), *SEALED.split(".")[1:]])
    )


OUTCOMES = {"/payments": "captured", "/cards": "stored"}

CARDS = [
    *(
        Row(f"{path}: {name}", body_with_card(path, card_data), path=path)
        for path in OUTCOMES
        for name, card_data in REFUSED_CARD_DATA.items()
    ),
    *(
        Row(f"{path}: {name}", raw_body(path, card_data), path=path)
        for path in OUTCOMES
        for name, card_data in UNUSUAL_REFUSED.items()
    ),
    *(
        accepted(f"{path}: {name}", raw_body(path, card_data), final_status, path=path)
        for path, final_status in OUTCOMES.items()
        for name, card_data in UNUSUAL_ACCEPTED.items()
    ),
    accepted("a holder of one character", payment_with(card_data=CARD_DATA | {"card_holder": "X"})),
    accepted("a holder of 64 characters", payment_with(card_data=CARD_DATA | {"card_holder": "x" * 64})),
    accepted(
        "a holder of 64 emoji",
        body_with_card("/cards", CARD_DATA | {"card_holder": "😀" * 64}),
        "stored",
        path="/cards",
    ),
    accepted(
        "a holder with quotes", payment_with(card_data=CARD_DATA | {"card_holder": 'Zoë "O\'Brien" \\ 中 </script>'})
    ),
    accepted("a JWE whose header is no JSON", payment_with(card_data=SEALED), "rejected invalid_sealed_card"),
    accepted(
        "a JWE that is no base64",
        payment_with(card_data=SEALED[:-23] + "a" + SEALED[-23:]),
        "rejected invalid_sealed_card",
    ),
    accepted(
        "a JWE without encryption",
        with_jwe_header('{"alg": "none", "payment_id": "%s"}'),
        "rejected sealing_not_supported",
    ),
    accepted(
        "a JWE with a shared key", with_jwe_header('{"alg": "dir", "enc": "A256GCM"}'), "rejected sealing_not_supported"
    ),
    accepted(
        "a compressed JWE",
        with_jwe_header('{"alg": "RSA-OAEP-256", "enc": "A256GCM", "zip": "DEF", "payment_id": "%s"}'),
        "rejected sealing_not_supported",
    ),
    accepted("a JWE with two kid", with_jwe_header('{"kid": "a", "kid": "b"}'), "rejected invalid_sealed_card"),
    accepted("a JWE with a deep header", with_jwe_header('{"alg": ' + "[" * 600), "rejected invalid_sealed_card"),
    *(
        accepted(
            f"a JWE whose {name} is {value}",
            with_jwe_header(f'{{"alg": "RSA-OAEP-256", "enc": "A256GCM", "payment_id": "%s", "{name}": {value}}}'),
            "rejected sealing_not_supported",
        )
        for name, value in (("typ", "5"), ("typ", '{"a": 1}'), ("cty", '"text"'), ("cty", "null"), ("apu", '"a"'))
    ),
    accepted(
        "an expired test card", payment_with(card_data=CARD_DATA | {"expiry_date": "12/25"}), "rejected expired_card"
    ),
    accepted(
        "an expired test card to keep",
        {"card_data": CARD_DATA | {"expiry_date": "12/25"}},
        "stored",
        path="/cards",
    ),
    Row("a card to keep with a text for verify", {"card_data": CARD_DATA, "verify": "true"}, path="/cards"),
    Row("a card to keep with an amount", {"card_data": CARD_DATA, "amount_minor": 1}, path="/cards"),
    Row("a card to keep with an operation", {"card_data": CARD_DATA, "operation": "charge"}, path="/cards"),
    Row("no card to keep", {}, path="/cards"),
]

# --- The other fields

REFUSED_TEXT: dict[str, str] = {
    "nothing": "",
    "a number": NUMBER,
    "a number with spaces": SPACED,
    "a number with dashes in words": f"paid with {SPACED.replace(' ', '-')}, thanks",
    "a number with dots between all digits": ".".join(NUMBER),
    "a number with no-break spaces": SPACED.replace(" ", "\u00a0"),
    "a number with line separators": SPACED.replace(" ", "\u2028"),
    "a number with zero-width spaces": "\u200b".join(NUMBER),
    "a number in full-width digits": FULL_WIDTH,
    "a number in Arabic-Indic digits": ARABIC,
    "a number in Bengali digits": BENGALI,
    "a number in mathematical digits": MATHEMATICAL,
    "a number in keycaps": KEYCAPS,
    "a number in a word": f"x{NUMBER}y",
    "a number of 12 digits": "501800000009",
    "a NUL": "a\x00b",
    "a line break": "a\nb",
    "an escape": "\x1b[31m",
    "a delete": "a\x7f",
    "a C1 control": "a\x85b",
    "a byte order mark": "\ufeffa",
    "a right-to-left override": "a\u202eb",
    "a right-to-left isolate": "a\u2067b",
    "a replacement character": "caf\ufffd",
    "a high surrogate": "a\ud800",
    "a high surrogate in words": "a\ud800b",
    "a low surrogate": "\udc00a",
    "surrogates the wrong way round": "\udc00\ud800",
    "a pair and half of one": "😀\ud83d",
}

WRONG_AMOUNTS: dict[str, Any] = {"a string": "1999", "a boolean": True, "an array": [1999], "an object": {}}

FIELDS = [
    *(Row(f"no {name}", payment_with(**{name: None})) for name in PAYMENT),
    accepted("amount 1", payment_with(amount_minor=1)),
    accepted("amount 99999999", payment_with(amount_minor=99999999)),
    # The API accepts twelve digits, but not every gateway takes more than eight.
    accepted("amount 999999999999", payment_with(amount_minor=999999999999), ("captured", "reversed gateway_refused")),
    Row("amount 0", payment_with(amount_minor=0)),
    Row("amount -1", payment_with(amount_minor=-1)),
    Row("amount 1000000000000", payment_with(amount_minor=1000000000000)),
    Row("amount of 2^63", payment_with(amount_minor=2**63)),
    Row("amount with cents", payment_with(amount_minor=19.99)),
    *(
        Row(f"amount {name}", PAYMENT_TEXT.replace("1999", literal).encode())
        for name, literal in {
            "1.5": "1.5",
            "1e-1": "1e-1",
            "1e12": "1e12",
            "1e400": "1e400",
            "-1e400": "-1e400",
            "of 5000 digits": "9" * 5000,
            "NaN": "NaN",
            "Infinity": "Infinity",
            "in hexadecimal": "0x10",
            "with a leading zero": "01999",
            "with a plus sign": "+1999",
            "in full-width digits": "１９９９",
            "and nothing": "",
        }.items()
    ),
    # Other notations of integers.
    *(
        accepted(f"amount {literal}", PAYMENT_TEXT.replace("1999", literal).encode())
        for literal in ("1999.0", "1.999e3")
    ),
    *(Row(f"amount as {name}", payment_with(amount_minor=value)) for name, value in WRONG_AMOUNTS.items()),
    Row("amount as null", PAYMENT | {"amount_minor": None}),
    *(
        Row(f"currency {currency!r}", payment_with(currency=currency))
        for currency in ("usd", "US", "USDX", "", "USD\n", "ＵＳＤ", 840, ["USD"])
    ),
    accepted("a currency that isn't", payment_with(currency="ZZZ"), "rejected unknown_currency"),
    *(Row(f"capture as {value!r}", payment_with(capture=value)) for value in ("true", 1, [True])),
    *(
        accepted(f"{name} as null", PAYMENT | {name: None})
        for name in ("capture", "save_card", "merchant_reference", "description", "token", "initiator", "reason")
    ),
    accepted("capture false", payment_with(capture=False), "authorized"),
    Row("a payment with a card as the merchant's", payment_with(initiator="merchant", reason="recurring")),
    *(
        Row(f"{name} of {what}", payment_with(**{name: text}))
        for name in ("merchant_reference", "description")
        for what, text in REFUSED_TEXT.items()
    ),
    *(
        Row(f"{name} as {value!r}", payment_with(**{name: value}))
        for name in ("merchant_reference", "description")
        for value in (int(NUMBER), [NUMBER], {"text": "a"}, True)
    ),
    accepted("text of one character", payment_with(merchant_reference="x", description="x")),
    accepted("text at its limits", payment_with(merchant_reference="x" * 64, description="x" * 140)),
    accepted("text at its limits in emoji", payment_with(merchant_reference="😀" * 64, description="😀" * 140)),
    Row("merchant_reference of 65 characters", payment_with(merchant_reference="x" * 65)),
    accepted("metadata", payment_with(metadata={"basket": "b-17", "shop": "Zürich 😀"})),
    accepted("metadata at its limits", payment_with(metadata={f"{'n' * 38}{n:02}": "😀" * 80 for n in range(20)})),
    accepted("no metadata", payment_with(metadata={})),
    *(
        Row(f"metadata {what}", payment_with(metadata=metadata))
        for what, metadata in {
            "of 21 names": {f"name_{n}": "a" for n in range(21)},
            "with a name of 41 characters": {"n" * 41: "a"},
            "with a name that begins with a digit": {"1a": "a"},
            "with a name that is none": {"a name": "a"},
            "with a text of 81 characters": {"a": "x" * 81},
            "with an empty text": {"a": ""},
            "with a number": {"a": 1},
            "with null": {"a": None},
            "in metadata": {"a": {"b": "c"}},
            "as a list": [{"a": "b"}],
            "as a text": "a=b",
        }.items()
    ),
    Row("description of 141 characters", payment_with(description="x" * 141)),
    *(
        accepted(f"a reference {text!r}", payment_with(merchant_reference=text, description=text))
        for text in (
            "5678901234567",
            "1764316800123",
            "RE-2026-11-28-000123",
            "2024112845321234",
            "order 123456789012",
            "2026-11-28T10:36:28.886347+00:00",
            "+57 300 123 4567",
            "DE89 3704 0044 0532 0130 00",
            "7B8F2AB5-3451-4013-9675-F6AD325B55DD",
            "1Z999AA10123456784",
        )
    ),
    Row("an unknown field", payment_with(surprise=1)),
    Row("a number in an unknown field", payment_with(pan=NUMBER)),
    Row("a number as an unknown field", payment_with(**{NUMBER: 1})),
    Row("a number for a token", payment_with(card_data=None, token=NUMBER)),
    Row("a number for a token beside a test card", payment_with(token=NUMBER)),
    Row("a payment_id", payment_with(payment_id="x" * 16)),
    Row("__proto__", payment_with(__proto__={"amount_minor": 1})),
    Row("two amounts, the last one bad", PAYMENT_TEXT[:-1].encode() + b', "amount_minor": 0}'),
    accepted("two amounts, the first one bad", b'{"amount_minor": 0, ' + PAYMENT_TEXT[1:].encode()),
]

# --- Bodies

LATIN_1 = json.dumps(payment_with(description="café")).replace("\\u00e9", "é").encode("latin-1")

BODIES = [
    *(
        Row(f"body {body[:24]!r}", body)
        for body in (
            b"",
            b" ",
            b"{",
            b"{}",
            b"[]",
            b"null",
            b"true",
            b"1",
            b'"hello"',
            b"card",
            b"'a'",
            b"{a: 1}",
            b"\x00",
        )
    ),
    Row("an array of payments", [PAYMENT]),
    Row("JSON in a string", json.dumps(PAYMENT)),
    Row("two payments", PAYMENT_TEXT.encode() * 2),
    Row("a comment", PAYMENT_TEXT.encode() + b" // thanks"),
    Row("a comma too many", PAYMENT_TEXT[:-1].encode() + b",}"),
    Row("single quotes", PAYMENT_TEXT.replace('"', "'").encode()),
    Row("invalid UTF-8", LATIN_1),
    Row("overlong UTF-8", PAYMENT_TEXT.encode().replace(b"USD", b"US\xc1\x84")),
    Row("a surrogate in UTF-8", json.dumps(payment_with(description="x")).encode().replace(b'"x"', b'"\xed\xa0\x80"')),
    Row("UTF-16", PAYMENT_TEXT.encode("utf-16")),
    Row("a byte order mark", b"\xef\xbb\xbf" + PAYMENT_TEXT.encode()),
    Row("gzip", gzip.compress(PAYMENT_TEXT.encode())),
    Row("100,000 arrays", b"[" * 100_000 + b"]" * 100_000),
    Row("100,000 objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    Row("100,000 open arrays", b"[" * 100_000),
    Row("a description of 256 KiB", payment_with(description="x" * 256 * 1024)),
    Row("a holder of 9 MiB", payment_with(card_data=CARD_DATA | {"card_holder": "x" * 9 * MEBIBYTE})),
    accepted("256 KiB of white space", PAYMENT_TEXT.encode() + b" " * 256 * 1024),
    accepted("10 MiB with white space", PAYMENT_TEXT.encode().ljust(10 * MEBIBYTE)),
    Row("10 MiB and a byte", PAYMENT_TEXT.encode().ljust(10 * MEBIBYTE + 1), 413, "request_too_large"),
    Row("11 MiB to keep", b" " * 11 * MEBIBYTE, 413, "request_too_large", path="/cards"),
    *(
        Row(f"{what} as {content_type}", body, 415, "unsupported_media_type", headers={"Content-Type": content_type})
        for what, body in {"XML": b"<card_number>" + NUMBER.encode() + b"</card_number>", "JSON": PAYMENT}.items()
        for content_type in (
            "application/xml",
            "text/plain",
            "text/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json-patch+json",
            "application",
        )
    ),
    Row("XML as JSON", b"<card/>"),
    # API Gateway treats a missing media type as application/json.
    accepted("no media type", headers={}),
    Row("XML without a media type", b"<card/>", headers={}),
    accepted("a charset", headers={"Content-Type": "application/json; charset=utf-8"}),
]

# --- The Idempotency-Key

HOSTILE_KEYS: dict[str, str | bytes] = {
    "of 15 characters": "x" * 15,
    "of 65 characters": "x" * 65,
    "of 8 kB": "x" * 8000,
    "with a quote": 'a"b' * 8,
    "that ends the JSON": '","input":"{}","x":"',
    "with apostrophes": "'" * 20,
    "with backslashes": "\\" * 20,
    "with an escape": "\\u0041" * 4,
    "of JNDI": "${jndi:ldap://x}....",
    "of VTL": "$util.escapeJavaScript",
    "of a VTL directive": "#set($name = 'abcdefgh')",
    "of a context variable": "$context.identity.caller",
    "with a path": "../../../../../../x",
    "with an escaped path": "..%2f..%2f..%2f..%2f",
    "with spaces": "key with spaces in it",
    "with a tab": "key-with-\t-a-tab-in-it",
    "with a folded line": "key-with-a-line\r\n -break-in-it",
    "with an escaped line break": "key-with-a-line%0Abreak",
    "of an ARN": "arn:aws:states:::x:y:z",
    "of stars": "*" * 20,
    "of markup": "<script>alert(1)</script>",
    "of SQL": "x' OR '1'='1' --        ",
    "in Latin-1": "clé-d-idempotence-1".encode("latin-1"),
    "in UTF-8": "clé-d-idempotence-1".encode(),
    "in full-width digits": FULL_WIDTH.encode(),
    "of two": "first-key-0123456, second-key-012345",
    "of a card number": NUMBER,
    "of a test card number": TEST_NUMBER,
    "of a card number with dashes": SPACED.replace(" ", "-"),
    "of a card number of 19 digits": "6205500000000000004",
    "of a Mastercard number from the series 2": "2223003122003222",
    "with a card number behind a word": f"order-{NUMBER}",
    "with a card number before a word": f"{NUMBER}_retry_1",
    "with a card number behind a letter": f"x{NUMBER}",
    "of 16 digits": "1" * 16,
    "of 20 digits": "2" * 20,
}

unique = next(key for key in iter(lambda: uuid.uuid4().hex, "") if not re.search("[0-9]{6}", key * 2))

KEYS = [
    *(
        Row(
            f"{path}: a key {what}", body_with_card(path, CARD_DATA), 400, "invalid_idempotency_key", path=path, key=key
        )
        for path in OUTCOMES
        for what, key in HOSTILE_KEYS.items()
    ),
    Row("no key", code="missing_idempotency_key", key=None),
    Row("an empty key", code="missing_idempotency_key", key=""),
    Row("no key to keep a card", {"card_data": CARD_DATA}, code="missing_idempotency_key", key=None, path="/cards"),
    Row(
        "a key in the query string",
        code="missing_idempotency_key",
        key=None,
        path=f"/payments?Idempotency-Key={unique}",
    ),
    accepted("another key in the query string", path="/payments?Idempotency-Key=a-key-of-nobody-1"),
    accepted("a key of 16 characters", key=f"k{unique[:15]}"),
    accepted("a key of 64 characters", key=f"{unique}{unique}"),
    accepted("a key of every kind of character", key=f"Az_-09_{unique}"),
    accepted("a UUID in capitals", key=str(uuid.uuid4()).upper()),
    accepted("a UUID without dashes", key=uuid.uuid4().hex),
    accepted("a key of dashes", key=f"----------------{unique}"),
]

# --- Operations on payments

REFUSED_AMOUNTS: dict[str, Any] = {
    "0": {"amount_minor": 0},
    "-1": {"amount_minor": -1},
    "1000000000000": {"amount_minor": 10**12},
    "of 2^63": {"amount_minor": 2**63},
    "with cents": {"amount_minor": 5.5},
    "in a string": {"amount_minor": "500"},
    "in an array": {"amount_minor": [500]},
    "true": {"amount_minor": True},
    "and a currency": {"amount_minor": 500, "currency": "USD"},
    "and a payment": {"amount_minor": 500, "payment_id": unique},
    "and an operation": {"amount_minor": 500, "operation": "void"},
    "as a number of a card": {NUMBER: NUMBER},
    "and a reason with a number": {"amount_minor": 500, "reason": NUMBER},
}
NON_OBJECTS = (b"[]", b"null", b"500", b'"all"', b"{", b"amount_minor=500", b"\x00")
INVALID_PAYMENT_IDS = {
    "a card number": NUMBER,
    "a card number with dashes": SPACED.replace(" ", "-"),
    "one character": "x",
    "15 characters": "x" * 15,
    "65 characters": "x" * 65,
    "2043 characters": "x" * 2043,
    "quotes": "%22%2C%22x%22%3A%22................",
    "a line break": "payment-of-ours-%0A-1",
    "VTL": "%24%7Bcontext.accountId%7D................",
}
OPERATION_KINDS = ("refunds", "captures", "voids")

OPERATIONS = [
    *(
        Row(f"{kind} of {what}", body, path=f"/payments/{unique}/{kind}")
        for kind in OPERATION_KINDS
        for what, body in REFUSED_AMOUNTS.items()
    ),
    Row("a void of an amount", {"amount_minor": 500}, path=f"/payments/{unique}/voids"),
    *(
        Row(f"{kind} with {body!r}", body, path=f"/payments/{unique}/{kind}")
        for kind in OPERATION_KINDS
        for body in NON_OBJECTS
    ),
    *(
        Row(f"{kind} of {what}", {}, path=f"/payments/{payment_id}/{kind}")
        for kind in OPERATION_KINDS
        for what, payment_id in INVALID_PAYMENT_IDS.items()
    ),
    *(
        Row(
            f"a refund under a key {what}",
            {},
            400,
            "invalid_idempotency_key",
            path=f"/payments/{unique}/refunds",
            key=key,
        )
        for what, key in HOSTILE_KEYS.items()
    ),
    *(
        Row(f"{kind} without a key", {}, code="missing_idempotency_key", path=f"/payments/{unique}/{kind}", key=None)
        for kind in OPERATION_KINDS
    ),
    *(
        Row(
            f"{kind} in XML",
            b"<all/>",
            415,
            "unsupported_media_type",
            path=f"/payments/{unique}/{kind}",
            headers={"Content-Type": "application/xml"},
        )
        for kind in OPERATION_KINDS
    ),
    *(forbidden(f"{kind} unsigned", unsigned, body={}, path=f"/payments/{unique}/{kind}") for kind in OPERATION_KINDS),
    *(
        Row(f"{method} {kind}", b"", 404, "not_found", method=method, path=f"/payments/{unique}/{kind}", key=None)
        for kind in OPERATION_KINDS
        for method in ("GET", "PUT", "DELETE")
    ),
    Row("a chargeback", {}, 404, "not_found", path=f"/payments/{unique}/chargebacks"),
]

# --- Tokens of stored cards

TOKENS = [
    Row(f"a token {what}", payment_with(card_data=None, token=token))
    for what, token in {
        "too short": "tok_" + "a" * 51,
        "too long": "tok_" + "a" * 53,
        "in capitals": "TOK_" + "A" * 52,
        "of other characters": "tok_" + "1" * 52,
        "without its beginning": "a" * 56,
        "in an array": ["tok_" + "a" * 52],
        "that is null": {},
        "and a line break": "tok_" + "a" * 51 + "\n",
    }.items()
]

# --- Routes and signatures

ROUTES = [
    *(
        Row(f"{method} {path}", b"", 404, "not_found", method=method, path=path, key=None)
        for method, path in (
            ("PUT", "/payments"),
            ("DELETE", "/payments"),
            ("GET", "/cards"),
            ("PATCH", "/cards"),
            ("PUT", "/keys"),
            ("POST", "/payments/no-payment-of-ours"),
            ("GET", "/nowhere"),
            ("GET", "/"),
            ("POST", "/payments/x/y/z"),
            ("PUT", "/cards/x/y/z"),
            ("GET", "/PAYMENTS/x"),
            ("OPTIONS", "/payments"),
        )
    ),
    Row("a payment to nowhere", status=404, code="not_found", path="/payment"),
    Row("a payment in XML to nowhere", b"<card/>", 404, "not_found", path="/x", headers={"Content-Type": "text/xml"}),
    Row("a key as a path", b"", 404, "payment_not_found", method="GET", path=f"/payments/{unique}0", key=None),
    *(
        Row(f"{text} as a payment", b"", 404, "payment_not_found", method="GET", path=f"/payments/{text}", key=None)
        for text in (NUMBER, f"x{NUMBER}", f"order-{NUMBER}", SPACED.replace(" ", "_"), f"tok_{NUMBER}")
    ),
    *(
        Row(
            f"{method} x{NUMBER} as a card",
            b"",
            404,
            "card_not_found",
            method=method,
            path=f"/cards/x{NUMBER}",
            key=None,
        )
        for method in ("GET", "DELETE")
    ),
    *(
        Row(f"a search by {query}", b"", 400, "invalid_request", method="GET", path=f"/payments?{query}", key=None)
        for query in (
            *(f"{NUMBER}=1", f"reference={NUMBER}", f"status={NUMBER}", f"cursor={NUMBER}", f"from={NUMBER}"),
            *("status=processing", "from=yesterday", "limit=0", "limit=101", "merchant_reference="),
        )
    ),
    *(
        Row(f"{method} {path}: {what}", b"", 404, code, method=method, path=f"{path}/{item}", key=None)
        for method, path, code in (
            ("GET", "/payments", "payment_not_found"),
            ("GET", "/cards", "card_not_found"),
            ("DELETE", "/cards", "card_not_found"),
        )
        for what, item in INVALID_PAYMENT_IDS.items()
    ),
]

SIGNATURES = [
    *(
        forbidden(f"{what}: {method} {path}", sign, method=method, path=path)
        for what, sign in {"unsigned": unsigned, "a wrong secret": signed(signing_key="wrong")}.items()
        for method, path in (
            ("POST", "/payments"),
            ("POST", "/cards"),
            ("GET", "/payments"),
            ("GET", "/payments/x"),
            ("GET", "/cards/x"),
            ("DELETE", "/cards/x"),
            ("POST", "/keys"),
            ("GET", "/keys"),
            ("GET", "/nowhere"),
            ("GET", "/"),
        )
    ),
    # pragma: allowlist nextline secret
    Row("an unknown key id", status=403, code="refused", sign=signed(access_key_id="AKIAIOSFODNN7EXAMPLE")),
    forbidden("a signature for another service", signed(service="s3")),
    forbidden("a signature for another region", signed(region="eu-west-1")),
    forbidden("a signature for another body", signed_for_another_body),
    forbidden("a signature of 6 minutes ago", signed(minutes=-6)),
    forbidden("a signature of yesterday", signed(minutes=-24 * 60)),
    forbidden("a signature of 6 minutes from now", signed(minutes=6)),
    accepted("a signature of 4 minutes ago", sign=signed(minutes=-4)),
    Row(
        "a bearer token",
        status=403,
        code="refused",
        sign=unsigned,
        headers={"Content-Type": "application/json", "Authorization": "Bearer x"},
    ),
    forbidden(
        "an unsigned bad payment",
        unsigned,
        body=payment_with(card_data=CARD_DATA | {"card_number": NUMBER}),
        path="/payments",
    ),
]

TABLE = [*CARDS, *FIELDS, *BODIES, *KEYS, *OPERATIONS, *TOKENS, *ROUTES, *SIGNATURES]


def send(stack: Stack, row: Row) -> Outcome:
    """Send a row's request. Only the mandatory headers are signed, so all others can have any value."""
    body = row.body(row.key) if callable(row.body) else row.body
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = AWSRequest(row.method, stack.api_url + row.path, data=data)
    row.sign(stack, request)
    headers: dict[str, Any] = {**dict(request.headers), **row.headers}
    if row.key is not None:
        headers["Idempotency-Key"] = row.key
    url = urlsplit(stack.api_url)
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connect(url.netloc, timeout=60)
    try:
        connection.request(row.method, url.path + row.path, data, headers)
        answer = connection.getresponse()
        return Outcome(answer.status, dict(answer.getheaders()), answer.read().decode(errors="replace"))
    finally:
        connection.close()

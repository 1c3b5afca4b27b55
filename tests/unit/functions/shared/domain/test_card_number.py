"""The rule for free text: what it must refuse, what it must accept, and its error rate."""

import random
import re
import string
import unicodedata
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.shared.domain.card_number import (
    brand_of,
    card_numbers,
    looks_like_a_card_number,
    passes_luhn,
    refused_fields,
)
from tests.samples import TEST_CARDS, UNLISTED_PAN

SPACED = " ".join(re.findall("....", UNLISTED_PAN))

# (prefix, length) of each brand's usual cards, independent of the product's table.
CARDS = [
    *(
        ("4", 16),
        ("51", 16),
        ("55", 16),
        ("2221", 16),
        ("2720", 16),
        ("34", 15),
        ("37", 15),
        ("3528", 16),
        ("3589", 16),
    ),
    *(("36", 14), ("300", 14), ("38", 14), ("6011", 16), ("644", 16), ("65", 16), ("62", 16), ("62", 19), ("81", 16)),
    *(("62", 14), ("62", 15), ("8172", 16), ("6074", 16), ("6521500", 16), ("2200", 16), ("2204", 19), ("9792", 16)),
    *(
        ("504175", 16),
        ("606282", 16),
        ("506099", 19),
        ("1", 15),
        ("1800", 15),
        ("2131", 15),
        ("9860", 16),
        ("8600", 16),
    ),
    *(("9704", 16), ("9704", 19), ("9112", 16), ("5614", 16)),
    *(("5018", 12), ("5020", 12), ("6304", 12), ("6759", 12), ("6761", 12), ("5018", 16), ("6759", 18), ("6799", 19)),
]
SEPARATORS = [*"./,:*+()'_- \u00a0\u2028\n\t|#~=\"\\•–—·", ") (", " - ", "...", "\r\n", " / ", "", "", "", ""]
INVISIBLE = ["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\ufe0f", "\ufe0f\u20e3", "\u0336", "\u034f", "\u3164"]
ZEROS = [*"0٠۰०০๐０𝟎𝟘𝟢𝟬𝟶"]
"""The digit zero of some scripts, which one to nine follow."""


def card(dice: random.Random) -> str:
    prefix, length = dice.choice(CARDS)
    number = prefix + "".join(dice.choices(string.digits, k=length - 1 - len(prefix)))
    return next(number + digit for digit in string.digits if passes_luhn(number + digit))


def disguised(number: str, dice: random.Random) -> str:
    """The number in groups with separators, in another script, with invisible characters, and within words."""
    separators = [dice.choice(SEPARATORS)] if dice.random() < 0.7 else SEPARATORS
    zero, invisible = dice.choice(ZEROS), dice.choice(INVISIBLE) if dice.random() < 0.3 else ""
    size = dice.choice([1, 2, 3, 4, 5, 6, 19])
    text = "".join(
        (dice.choice(separators) if place and place % size == 0 else "") + chr(ord(zero) + int(digit)) + invisible
        for place, digit in enumerate(number)
    )
    before = dice.choice(["", "card ", "x", "Karte: ", "order", "12 ", "RE-2026 no ", "№", "💳", "paid (", "1, "])
    return before + text + dice.choice(["", " exp 12/30", "y", "!", " 99", ") thanks", f" {SPACED}"])


def iban(dice: random.Random, country: str, account: str) -> str:
    check = 98 - int("".join(str(int(each, 36)) for each in f"{account}{country}00")) % 97
    text = f"{country}{check:02}{account}"
    return dice.choice([text, " ".join(re.findall(".{1,4}", text))])


def ordinary(dice: random.Random) -> str:
    """A text as shops write them."""

    def digits(count: int) -> str:
        return "".join(dice.choices(string.digits, k=count))

    def day() -> datetime:
        return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(
            seconds=dice.randrange(10**8), microseconds=dice.randrange(10**6)
        )

    def identifier() -> uuid.UUID:
        return uuid.UUID(int=dice.getrandbits(128), version=4)

    kinds: list[Callable[[], str]] = [
        lambda: str(dice.randrange(10**12, 10**13)),
        lambda: f"{day().timestamp() * 1000:.0f}",
        lambda: f"RE-{day():%Y-%m-%d}-{digits(6)}",
        lambda: f"{day():%Y%m%d}{digits(8)}",
        lambda: f"Invoice {day():%d.%m.%Y} no. {digits(7)}, customer {digits(5)}",
        lambda: f"INV/{day():%Y/%m}/{digits(5)} and INV/{day():%Y/%m}/{digits(5)}",
        lambda: f"+49 {digits(3)} {digits(7)}",
        lambda: f"+1 ({digits(3)}) {digits(3)}-{digits(4)}",
        lambda: f"+44 20 {digits(4)} {digits(4)}, mobile 0{digits(4)} {digits(6)}",
        lambda: f"+57 3{digits(2)} {digits(3)} {digits(4)}",
        lambda: iban(dice, "DE", digits(18)),
        lambda: iban(dice, "AT", digits(16)),
        lambda: iban(dice, "FI", digits(14)),
        lambda: iban(dice, "GB", f"NWBK{digits(14)}"),
        lambda: "1Z" + "".join(dice.choices(string.ascii_uppercase + string.digits, k=16)),
        lambda: digits(12),
        lambda: f"00340434{digits(12)}",
        lambda: f"RR{digits(9)}DE",
        lambda: f"30{dice.choice('2345')}-{digits(7)}-{digits(7)}",
        lambda: str(identifier()),
        lambda: str(identifier()).upper(),
        lambda: f"order {identifier().hex}",
        lambda: day().isoformat(),
        lambda: f"{day()} to {day()}",
        lambda: f"{day():%d.%m.%Y %H:%M:%S}",
        lambda: f"{dice.randint(1, 9)} x {digits(3)}.{digits(2)} EUR, {dice.randint(1, 9)},{digits(3)}.{digits(2)} USD",
    ]
    return dice.choice(kinds)()


def test_of_10000_disguised_cards_none_is_missed() -> None:
    dice = random.Random(2026)  # noqa: S311
    texts = [disguised(card(dice), dice) for _ in range(10_000)]
    assert [text for text in texts if not looks_like_a_card_number(text)] == []


def test_of_10000_ordinary_texts_at_most_one_in_200_is_refused() -> None:
    dice = random.Random(2026)  # noqa: S311
    refused = [text for text in (ordinary(dice) for _ in range(10_000)) if looks_like_a_card_number(text)]
    assert len(refused) <= 50, refused


@pytest.mark.parametrize("number", [*TEST_CARDS, UNLISTED_PAN])
def test_a_published_number_is_one_wherever_it_stands(number: str) -> None:
    for text in (number, f"x{number}", f"order{number}y", f"12 {number}", f"{number} {number}", "\u0662 " + number):
        assert looks_like_a_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        SPACED,
        f"card {SPACED} exp 12/30",
        "3782-822463-10005",
        "3782 822463 10005",
        "501800000009",
        "5018 0000 0009",
        "4️⃣0️⃣0️⃣0️⃣0️⃣5️⃣6️⃣6️⃣5️⃣5️⃣6️⃣6️⃣5️⃣5️⃣5️⃣6️⃣",
        "４０００-０５６６-５５６６-５５５６",
        "④⓪⓪⓪⓪⑤⑥⑥⑤⑤⑥⑥⑤⑤⑤⑥",
        "4 0 0 0 0 5 6 6 5 5 6 6 5 5 5 6",
        "4000\u20280566\u20285566\u20285556",
        f"7b8f2ab5-3451-4013-9675-f6ad325b55dd {UNLISTED_PAN}",
        f"2026-11-28T10:00:00Z {UNLISTED_PAN}",
        f"DE89 3704 0044 0532 0130 00 {UNLISTED_PAN}",
    ],
)
def test_a_disguise_is_seen_through(text: str) -> None:
    assert looks_like_a_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order-1001",
        "5678901234567",
        "1764316800123",
        "RE-2026-11-28-000123",
        "2024112845321234",
        "2026-11-28T10:36:28.886347+00:00",
        "2026-11-12 23:13:28.886347+01:00",
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "AT61 1904 3002 3457 3201",
        "7b8f2ab5-3451-4013-9675-f6ad325b55dd",
        "49291234-5678-4015-8000-000000000000",
        "49291234567840158000000000000000",
        f"{UNLISTED_PAN}0",  # a group of 17 digits is another number
        f"9{UNLISTED_PAN}",
        UNLISTED_PAN[:-1] + "7",  # Luhn says no
        "4000 0566 5566 55 and 56",  # a letter between two groups
        "4000 ---- 0566 ---- 5566 ---- 5556",  # more than three characters
        "4929000000006",  # 13 digits: such Visa cards no longer exist
    ],
)
def test_what_is_no_card_number_passes(text: str) -> None:
    assert not looks_like_a_card_number(text)


def test_the_positions_of_the_numbers_are_returned() -> None:
    text = f"é {SPACED}, x{UNLISTED_PAN}!"
    assert [text[start:end] for start, end in card_numbers(text)] == [SPACED, UNLISTED_PAN]


@given(
    text=st.lists(st.sampled_from([UNLISTED_PAN, SPACED, *string.printable, "\0", "\x7f"]), max_size=12).map("".join)
)
def test_the_same_numbers_are_found_whether_or_not_a_text_is_ascii(text: str) -> None:
    assert card_numbers(f"{text} é") == card_numbers(f"{text} e")


def test_the_field_is_named_and_not_what_it_says() -> None:
    hidden = ({"a": SPACED}, {f"n {SPACED}": "a"}, {"a": SPACED[:9], "b": SPACED[9:]})
    assert [refused_fields({"metadata": metadata}) for metadata in hidden] == [["metadata"], ["metadata"], []]
    assert refused_fields({"description": f"paid by {SPACED}", "merchant_reference": "order-1", "holder": None}) == [
        "description"
    ]


@given(st.text(max_size=140))
def test_any_text_has_an_answer(text: str) -> None:
    for start, end in card_numbers(text):
        digits = [
            digit
            for each in unicodedata.normalize("NFKC", text[start:end])
            if (digit := unicodedata.digit(each, None)) is not None
        ]
        number = "".join(map(str, digits))
        assert passes_luhn(number)
        assert brand_of(number)


def test_a_long_text_takes_no_long_time() -> None:
    started = datetime.now(UTC)
    assert not looks_like_a_card_number("1 " * 10_000)
    assert not looks_like_a_card_number("DE" + "1" * 20_000)
    assert datetime.now(UTC) - started < timedelta(seconds=10)

"""What looks like a card number: the one rule for every text that people or gateways write.

It catches accidents and copy-paste, not secret writing. It needs the standard library alone, as the client has copies
of this file, of card_brands.json and of card_rules.json for itself (client/). The checkout's page goes by the
same two, in examples/checkout/page/rules.mjs.

Sources: ISO/IEC 7812-1 (structure, Luhn check digit); of prefixes and lengths: card_brands.json; of IBANs: ISO 13616-1
and SWIFT's IBAN registry, seen 2026-11-28. Of the lengths in these sources, 13 is left out: nobody has such a card any
more, and many an order number; and Maestro's 12 but for the blocks that had it.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# (brand, first and last issuer prefix, lengths). Narrow ranges stand before the wide ones that contain them.
_BRANDS: tuple[tuple[str, str, str, frozenset[int]], ...] = tuple(
    (each["brand"], first, last or first, frozenset(each["lengths"]))
    for each in json.loads(Path(__file__).with_name("card_brands.json").read_text())["brands"]
    for first, _, last in (prefixes.partition("-") for prefixes in each["begins"])
)
BRANDS = frozenset(brand for brand, *_ in _BRANDS)
"""Every brand that is known, by its code in the API."""

RULES: Mapping[str, Mapping[str, Any]] = json.loads(Path(__file__).with_name("card_rules.json").read_text())
_SHORTEST, _LONGEST = RULES["card_number"]["shortest"], RULES["card_number"]["longest"]
"""How many digits a card number may have."""

_BETWEEN_GROUPS: int = RULES["text"]["between_groups"]
"""At most this many characters, and no letter, may stand between two groups of digits of one number."""

_GROUP = re.compile("[0-9]+")
_UUID, _TIME, _IBAN_START = (re.compile(RULES["text"][name]) for name in ("uuid", "time", "iban_start"))
_IBAN_LENGTHS: Mapping[str, int] = RULES["text"]["iban_lengths"]
_HANGUL_FILLERS = {"\u115f", "\u1160"}
"""Letters to Unicode, and nothing to the eye."""


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of those before it."""
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def brand_of(number: str) -> str | None:
    """The card brand whose issuer range and length fit, or None."""
    for brand, first, last, lengths in _BRANDS:
        if first <= number[: len(first)] <= last and len(number) in lengths:
            return brand
    return None


def is_card_number(number: str) -> bool:
    """Whether it is digits alone, with a brand's prefix, one of that brand's lengths and the right check digit."""
    written = re.fullmatch(f"[0-9]{{{_SHORTEST},{_LONGEST}}}", number)
    return written is not None and passes_luhn(number) and brand_of(number) is not None


def looks_like_a_card_number(text: str) -> bool:
    """Whether there is one anywhere in the text."""
    return bool(card_numbers(text))


def refused_fields(texts: Mapping[str, str | None]) -> list[str]:
    """The names of the texts that look like a card number, to be told to whoever wrote them; never what they say."""
    return [name for name, text in texts.items() if text and looks_like_a_card_number(text)]


def card_numbers(text: str) -> list[tuple[int, int]]:
    """Where in the text card numbers begin and end.

    Digits of any script count; what is invisible or combines with the character before it does not, and neither do
    UUIDs, times and IBANs. A number is a run of whole groups of digits, with at most three characters and no letter
    between two of them, that has a brand's prefix, one of that brand's lengths, and the right check digit.
    """
    plain, positions = _normalised(text)
    groups = [group.span() for group in _GROUP.finditer(plain)]
    found = []
    for first, (start, _) in enumerate(groups):
        number = ""
        for last in range(first, len(groups)):
            begin, end = groups[last]
            between = plain[groups[last - 1][1] : begin] if number else ""
            number += plain[begin:end]
            if len(between) > _BETWEEN_GROUPS or any(map(str.isalpha, between)) or len(number) > _LONGEST:
                break
            if is_card_number(number):
                found.append((positions[start], positions[end - 1] + 1))
    return found


def _normalised(text: str) -> tuple[str, list[int]]:
    """The digits that the text shows, in ASCII, among its other characters; and where each of these stands in the text.

    UUIDs, times (ISO 8601) and IBANs are crossed out.
    """
    shown = [
        (str(unicodedata.digit(character, character)), position)
        for position, original in enumerate(text)
        for character in unicodedata.normalize("NFKC", original)
        if not _is_invisible(character)
    ]
    plain, positions = "".join(character for character, _ in shown), [position for _, position in shown]
    for other in (_UUID, _TIME):
        plain = other.sub(lambda found: "x" * len(found[0]), plain)
    for iban in _ibans(plain):
        plain = plain.replace(iban, "x" * len(iban))
    return plain, positions


def is_blank(text: str) -> bool:
    """Whether there is nothing in it to be seen."""
    return all(character.isspace() or _is_invisible(character) for character in unicodedata.normalize("NFKC", text))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cf", "Mn", "Mc", "Me") or character in _HANGUL_FILLERS


def _ibans(text: str) -> Iterator[str]:
    """The IBANs in it, in groups of four or in one: of their country's length, and with the right check digits."""
    for start in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(start[0][:2], 0)
        iban = re.compile(rf"(?: ?[0-9A-Z]){{{length}}}(?![0-9A-Za-z])").match(text, start.start())
        if length and iban:
            characters = iban[0].replace(" ", "")
            if int("".join(str(int(character, 36)) for character in characters[4:] + characters[:4])) % 97 == 1:
                yield iban[0]

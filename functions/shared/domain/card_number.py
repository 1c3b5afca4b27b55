"""Detection of card numbers, by one rule for every text that people or gateways write.

The rule catches accidents and copy-paste, not deliberate obfuscation. This module needs only the standard library,
because the client has its own copies of it, of card_brands.json and of card_rules.json (client/). The checkout page
uses the same two JSON files in examples/checkout/page/rules.mjs.

Sources: ISO/IEC 7812-1 for the structure and the Luhn check digit; card_brands.json for prefixes and lengths; ISO
13616-1 and SWIFT's IBAN registry, seen 2026-11-28, for IBANs. Two lengths in these sources are left out: 13, as no such
card is in use any more while many order numbers have 13 digits, and Maestro's 12, except in the blocks that used it.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# (brand, first and last issuer prefix, lengths). A narrow range comes before a wide one that contains it.
_BRANDS: tuple[tuple[str, str, str, frozenset[int]], ...] = tuple(
    (entry["brand"], first, last or first, frozenset(entry["lengths"]))
    for entry in json.loads(Path(__file__).with_name("card_brands.json").read_text())["brands"]
    for first, _, last in (prefixes.partition("-") for prefixes in entry["begins"])
)
BRANDS = frozenset(brand for brand, *_ in _BRANDS)
"""The API's codes of all known brands."""

RULES: Mapping[str, Mapping[str, Any]] = json.loads(Path(__file__).with_name("card_rules.json").read_text())
_MIN_DIGITS, _MAX_DIGITS = RULES["card_number"]["shortest"], RULES["card_number"]["longest"]
"""The smallest and largest number of digits in a card number."""

_MAX_SEPARATOR_LENGTH: int = RULES["text"]["between_groups"]
"""At most this many characters, and no letter, may stand between two groups of digits of one number."""

_GROUP = re.compile("[0-9]+")
_UUID, _TIME, _IBAN_START = (re.compile(RULES["text"][name]) for name in ("uuid", "time", "iban_start"))
_IBAN_LENGTHS: Mapping[str, int] = RULES["text"]["iban_lengths"]
_HANGUL_FILLERS = {"\u115f", "\u1160"}
"""Characters that Unicode classifies as letters, but that are invisible."""


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the digits before it."""
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def brand_of(number: str) -> str | None:
    """The card brand whose issuer range and length match the number, or None."""
    for brand, first, last, lengths in _BRANDS:
        if first <= number[: len(first)] <= last and len(number) in lengths:
            return brand
    return None


def is_card_number(number: str) -> bool:
    """Whether the text is all digits, with a brand's prefix, one of that brand's lengths and a valid check digit."""
    match = re.fullmatch(f"[0-9]{{{_MIN_DIGITS},{_MAX_DIGITS}}}", number)
    return match is not None and passes_luhn(number) and brand_of(number) is not None


def looks_like_a_card_number(text: str) -> bool:
    """Whether the text contains a card number anywhere."""
    return bool(card_numbers(text))


def refused_fields(texts: Mapping[str, str | Mapping[str, str] | None]) -> list[str]:
    """The names of the texts that contain a card number. An error message may quote the names, but not the texts.

    A text may also be a map of texts, in whose names and texts no number may be.
    """

    def is_refused(text: str | Mapping[str, str] | None) -> bool:
        if isinstance(text, Mapping):
            return any(looks_like_a_card_number(part) for pair in text.items() for part in pair)
        return text is not None and looks_like_a_card_number(text)

    return [name for name, text in texts.items() if is_refused(text)]


def card_numbers(text: str) -> list[tuple[int, int]]:
    """The start and end positions of the card numbers in the text.

    Digits of any script count. Invisible and combining characters are ignored, and so are UUIDs, times and IBANs. A
    number is a run of whole groups of digits, with at most three characters and no letter between two groups, that has
    a brand's prefix, one of that brand's lengths, and a valid check digit.
    """
    plain, positions = _normalised(text)
    groups = [group.span() for group in _GROUP.finditer(plain)]
    found = []
    for first, (start, _) in enumerate(groups):
        number = ""
        for last in range(first, len(groups)):
            begin, end = groups[last]
            separator = plain[groups[last - 1][1] : begin] if number else ""
            number += plain[begin:end]
            if len(separator) > _MAX_SEPARATOR_LENGTH or any(map(str.isalpha, separator)) or len(number) > _MAX_DIGITS:
                break
            if is_card_number(number):
                found.append((positions[start], positions[end - 1] + 1))
    return found


def _normalised(text: str) -> tuple[str, list[int]]:
    """The text's visible characters, with digits in ASCII, and the position of each of them in the original text.

    The letter x replaces every character of UUIDs, times (ISO 8601) and IBANs.
    """
    if text.isascii():  # All of it is visible, and normal. Most texts are, and take a third of the time.
        plain, positions = text, list(range(len(text)))
    else:
        visible = [
            (str(unicodedata.digit(character, character)), position)
            for position, original in enumerate(text)
            for character in unicodedata.normalize("NFKC", original)
            if not _is_invisible(character)
        ]
        plain, positions = "".join(character for character, _ in visible), [position for _, position in visible]
    for pattern in (_UUID, _TIME):
        plain = pattern.sub(lambda match: "x" * len(match[0]), plain)
    for iban in _ibans(plain):
        plain = plain.replace(iban, "x" * len(iban))
    return plain, positions


def is_blank(text: str) -> bool:
    """Whether the text has no visible character."""
    return all(character.isspace() or _is_invisible(character) for character in unicodedata.normalize("NFKC", text))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cf", "Mn", "Mc", "Me") or character in _HANGUL_FILLERS


def _ibans(text: str) -> Iterator[str]:
    """The IBANs in the text, with or without single spaces, of their country's length and with valid check digits."""
    for start in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(start[0][:2], 0)
        iban = re.compile(rf"(?: ?[0-9A-Z]){{{length}}}(?![0-9A-Za-z])").match(text, start.start())
        if length and iban:
            characters = iban[0].replace(" ", "")
            if int("".join(str(int(character, 36)) for character in characters[4:] + characters[:4])) % 97 == 1:
                yield iban[0]

"""What looks like a card number: the one rule for every text that people or gateways write.

It catches accidents and copy-paste, not secret writing. It needs the standard library alone, as the client has copies
of this file and of card_brands.json for itself (examples/client/).

Sources: ISO/IEC 7812-1 (structure, Luhn check digit); of prefixes and lengths: card_brands.json; of IBANs: ISO 13616-1
and SWIFT's IBAN registry, seen 2026-11-28. Of the lengths in these sources, 13 is left out: nobody has such a card any
more, and many an order number; and Maestro's 12 but for the blocks that had it.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

# (brand, first and last issuer prefix, lengths). Narrow ranges stand before the wide ones that contain them.
_BRANDS: tuple[tuple[str, str, str, frozenset[int]], ...] = tuple(
    (each["brand"], first, last or first, frozenset(each["lengths"]))
    for each in json.loads(Path(__file__).with_name("card_brands.json").read_text())["brands"]
    for first, _, last in (prefixes.partition("-") for prefixes in each["begins"])
)
BRANDS = frozenset(brand for brand, *_ in _BRANDS)
"""Every brand that is known, by its code in the API."""

_SHORTEST, _LONGEST = 12, 19
"""How many digits a card number may have."""

_BETWEEN_GROUPS = 3
"""So many characters may stand between two groups of digits of one number; none of them is a letter."""

_GROUP = re.compile("[0-9]+")
_UUID = re.compile(
    "(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32})(?![0-9A-Za-z])"
)
_TIME = re.compile(
    r"(?<![0-9])(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]"
    r"(?::[0-5][0-9](?:[.,][0-9]{1,9})?)?(?: ?[+-][01][0-9]:?[0-5][0-9])?(?![0-9])"
)
_IBAN_START = re.compile("(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}")
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        "([A-Z]{2})([0-9]{2})",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
        "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
        "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
        "YE30",
    )
}
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

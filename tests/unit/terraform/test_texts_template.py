"""The API's template and the functions recognize the same card numbers in free text."""

import json
import random
import re

import pytest

from functions.shared.domain.card_number import _BRANDS, brand_of
from tests.mapping_templates import READINGS, Message, answering, starting
from tests.samples import CARD_DATA, UNLISTED_PAN
from tests.unit.functions.shared.domain.test_card_number import card, disguised, ordinary

PAY, STORE = starting("payments"), starting("cards")


def input_of(body: dict[str, object], template: str = PAY, absent: str | None = "") -> str:
    """The execution input that the template renders from a body."""
    text, _ = Message(json.dumps(body)).rendered(template, absent)
    return str(json.loads(text)["input"])


def paying(text: str) -> dict[str, object]:
    return {"amount_minor": 1999, "currency": "USD", "card_data": CARD_DATA, "description": text}


def test_a_brand_has_the_same_prefixes_and_lengths_in_template_and_functions() -> None:
    [pattern] = map(re.compile, re.findall(r"#set\(\$card_number = '(.+)'\)", PAY))
    edges = {edge for _, *ends, _ in _BRANDS for prefix in map(int, ends) for edge in (prefix - 1, prefix, prefix + 1)}
    prefixes = [f"{prefix:04}" for prefix in range(10_000)] + [str(edge) for edge in edges if edge >= 10_000]
    numbers = [prefix.ljust(length, "0") for prefix in prefixes for length in range(11, 21)]
    assert [number for number in numbers if bool(pattern.fullmatch(number)) != bool(brand_of(number))] == []


def test_of_500_disguised_cards_none_is_passed_on() -> None:
    dice = random.Random(2026)  # noqa: S311
    texts = [disguised(card(dice), dice) for _ in range(500)]
    assert [text for text in texts if input_of(paying(text)) != "card_number_in_description"] == []


def test_of_1000_ordinary_texts_at_most_one_in_200_is_refused() -> None:
    dice = random.Random(2026)  # noqa: S311
    texts = [ordinary(dice) for _ in range(1000)]
    refused = [text for text in texts if json.dumps(text, separators=(",", ":")) not in input_of(paying(text))]
    assert len(refused) <= 5, refused


@pytest.mark.parametrize("absent", READINGS)
@pytest.mark.parametrize("field", ["merchant_reference", "description"])
def test_a_payment_is_refused_by_the_name_of_the_field(field: str, absent: str | None) -> None:
    body = paying("order-1001") | {field: f"card {UNLISTED_PAN}"}
    assert input_of(body, absent=absent) == f"card_number_in_{field}"


@pytest.mark.parametrize("absent", READINGS)
@pytest.mark.parametrize(
    "metadata", [{"a": f"card {UNLISTED_PAN}"}, {f"n{UNLISTED_PAN}": "a"}, {f"_{UNLISTED_PAN}": "a"}]
)
def test_metadata_is_text_too(metadata: dict[str, str], absent: str | None) -> None:
    assert input_of(paying("order-1001") | {"metadata": metadata}, absent=absent) == "card_number_in_metadata"


def test_numbers_in_different_metadata_are_no_card_number() -> None:
    metadata = {"a": UNLISTED_PAN[:8], "b": UNLISTED_PAN[8:], f"n{UNLISTED_PAN[:4]}": UNLISTED_PAN[4:]}
    assert json.loads(input_of(paying("order-1001") | {"metadata": metadata}))["metadata"] == metadata


@pytest.mark.parametrize("each", ["a" * 80, "a1" * 40, "1." * 40, "1a" * 40])
def test_the_most_metadata_needs_no_more_iterations_than_a_loop_may_have(each: str) -> None:
    metadata = {f"name_{n:02}" + "1a" * 16: each for n in range(20)}
    assert json.loads(input_of(paying("order-1001") | {"metadata": metadata}))["metadata"] == metadata


@pytest.mark.parametrize("longest", ["a" * 990, "a1" * 495, "1." * 495, "....1" * 198])
def test_the_longest_text_needs_no_more_iterations_than_a_loop_may_have(longest: str) -> None:
    url = "https://shop.example/" + longest + "/2"
    assert json.dumps(url) in input_of(paying("order-1001") | {"return_url": url})


@pytest.mark.parametrize("absent", READINGS)
@pytest.mark.parametrize("template", [PAY, STORE])
def test_a_holder_is_text_too(template: str, absent: str | None) -> None:
    body = paying("order-1001") | {"card_data": CARD_DATA | {"card_holder": UNLISTED_PAN}}
    assert input_of(body, template, absent) == "card_number_in_card_holder"


@pytest.mark.parametrize("absent", READINGS)
def test_the_answer_names_the_field_even_if_step_functions_repeats_the_input(absent: str | None) -> None:
    message = (
        "Invalid State Machine Execution Input: 'com.fasterxml.jackson.core.JsonParseException: Unrecognized token {}"
    )
    error = {"__type": "com.amazonaws.swf.service.v2.model#InvalidExecutionInput", "message": message}
    for field in ("merchant_reference", "description", "card_holder"):
        answer = error | {"message": message.format(f"card_number_in_{field}")}
        text, override = Message(json.dumps(answer)).rendered(answering("payments", "refused"), absent)
        assert override["status"] == 400
        assert json.loads(text)["error"] == {
            "code": "invalid_request",
            "message": f"There is a card number in {field}, or what looks like one. Leave it out.",
        }
    text, _ = Message(json.dumps(error | {"message": "no"})).rendered(answering("payments", "refused"), absent)
    assert json.loads(text)["error"]["message"].startswith("Missing card data.")

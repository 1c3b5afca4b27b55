"""Bad input, and good input at its limits: the answer to each row of the table, and its effects.

All rows are sent first; then each is checked.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from functions.shared.domain.shapes import canonical_id
from tests.stack.driver import Driver
from tools.deployment.stack import Stack
from tools.trials.acceptance.hostile import (
    CARD_DATA,
    FULL_WIDTH,
    NUMBER,
    REFUSED_TEXT,
    SEALED,
    SPACED,
    TABLE,
    TEST_NUMBER,
    Outcome,
    Row,
    payment_with,
    send,
)


@pytest.fixture(scope="module")
def before(stack: Stack) -> set[str]:
    """The executions that started before the table was sent."""
    return Driver(stack).executions()


@pytest.fixture(scope="module")
def outcomes(stack: Stack, before: set[str]) -> dict[str, Outcome]:
    """The result of each row, by its name."""
    driver = Driver(stack)

    def outcome(row: Row) -> Outcome:
        outcome = send(stack, row)
        return replace(outcome, payment=driver.ended(str(row.key))) if outcome.status in (201, 202) else outcome

    with ThreadPoolExecutor(2) as pool:
        return {row.name: came for row, came in zip(TABLE, pool.map(outcome, TABLE), strict=True)}


def test_the_rows_names_are_unique() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_request_is_answered_and_ends_as_its_row_says(outcomes: dict[str, Outcome], row: Row) -> None:
    assert outcomes[row.name].differences(row) == []


def test_the_rows_started_only_the_executions_that_they_name(
    driver: Driver, outcomes: dict[str, Outcome], before: set[str]
) -> None:
    assert driver.executions() - before == {canonical_id(str(row.key)) for row in TABLE if row.status == 202}


def test_no_number_reached_an_execution(driver: Driver, outcomes: dict[str, Outcome]) -> None:
    for row in TABLE:
        if row.status == 202:
            execution = driver.execution(canonical_id(str(row.key)))
            assert execution is not None
            assert NUMBER not in execution["input"], row.name


def test_an_amount_of_twelve_digits_is_captured(driver: Driver) -> None:
    assert driver.paid(amount_minor=999999999999)["captured_minor"] == 999999999999


def test_text_in_any_script_is_shown_as_it_was_sent(driver: Driver) -> None:
    reference = "é 中文 שלום 👩‍👩‍👧 '\"\\/ <b> ${x}"
    assert driver.paid(merchant_reference=reference)["merchant_reference"] == reference


BY_HAND: dict[str, tuple[dict[str, Any], str]] = {
    "a number": (payment_with(card_data=CARD_DATA | {"card_number": NUMBER}), "card_data_must_be_sealed"),
    "a number with spaces": (payment_with(card_data=CARD_DATA | {"card_number": SPACED}), "invalid_card_number"),
    "a number in full-width digits": (
        payment_with(card_data=CARD_DATA | {"card_number": FULL_WIDTH}),
        "invalid_card_number",
    ),
    "a test number and a line break": (
        payment_with(card_data=CARD_DATA | {"card_number": TEST_NUMBER + "\n"}),
        "invalid_card_number",
    ),
    "a number as an integer": (payment_with(card_data=CARD_DATA | {"card_number": int(NUMBER)}), "invalid_input"),
    "a number beside a test number": (payment_with(card_data=CARD_DATA | {"pan": NUMBER}), "invalid_input"),
    "a number for card data": (payment_with(card_data=NUMBER), "invalid_input"),
    "a number in the holder": (payment_with(card_data=CARD_DATA | {"card_holder": SPACED}), "card_number_in_text"),
    **{
        f"{what} in the {name}": (payment_with(**{name: text}), "card_number_in_text")
        for what, text in REFUSED_TEXT.items()
        if what.startswith("a number")
        for name in ("merchant_reference", "description")
    },
    "a control character": (payment_with(description="a\x00b"), "invalid_input"),
    "half a surrogate pair": (payment_with(merchant_reference="a\ud800"), "invalid_input"),
    "an empty reference": (payment_with(merchant_reference=""), "invalid_input"),
    "a JWE and a line break": (payment_with(card_data=SEALED + "\n"), "invalid_input"),
    "a number as a segment": (payment_with(card_data=f"{NUMBER}.a.a.a.a"), "invalid_input"),
}


@pytest.fixture(scope="module")
def by_hand(stack: Stack) -> dict[str, str]:
    """The payment ids of executions that were started without the API."""
    return {name: Driver(stack).start_by_hand(request) for name, (request, _) in BY_HAND.items()}


@pytest.mark.parametrize("name", BY_HAND)
def test_what_the_api_would_refuse_is_rejected_when_started_by_hand(
    driver: Driver, by_hand: dict[str, str], name: str
) -> None:
    payment = driver.ended(by_hand[name])
    assert (payment["status"], payment["error"]) == ("rejected", BY_HAND[name][1])
    assert driver.charges(by_hand[name]) == []

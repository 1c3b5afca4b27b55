from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from functions.screen.rules import Facts, Rules, RulesError, Screening, load_rules
from functions.screen.screen_payment import screen_payment
from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import InternalError, LedgerUnavailable
from functions.shared.domain.payment import PaymentRequest
from tests.fakes import LEDGER_DOWN, FakeVelocityCounter
from tests.samples import FINGERPRINT, REQUEST, STARTED_AT, STORE, SUMMARY

REAL_CARD = CardSummary(None, FINGERPRINT, "visa", "400005", "5556", "12/44")
ALLOWED: dict[str, Any] = {"action": "allow", "rule": None, "decline_code": None, "flags": []}


class RememberingRules(Rules):
    """Rules that say nothing, and remember what they were asked."""

    asked: Facts

    def screen(self, facts: Facts) -> Screening:
        RememberingRules.asked = facts
        return Screening()


@pytest.fixture
def counter() -> FakeVelocityCounter:
    return FakeVelocityCounter()


def screen(
    counter: FakeVelocityCounter,
    payment_id: str = "pay-1",
    payment: PaymentRequest = REQUEST,
    card: CardSummary = REAL_CARD,
    started_at: str = STARTED_AT,
    rules: Rules | None = None,
    *,
    test_card: bool = False,
) -> dict[str, Any]:
    return screen_payment(
        payment_id,
        payment,
        card,
        started_at,
        test_card=test_card,
        rules=rules or load_rules(),
        velocity_counter=counter,
    )


def test_an_ordinary_payment_is_allowed(counter: FakeVelocityCounter) -> None:
    assert screen(counter) == ALLOWED


def test_a_payment_that_a_rule_denies_says_which_in_its_decline_code(counter: FakeVelocityCounter) -> None:
    assert screen(counter, payment=replace(REQUEST, amount_minor=99_999_999)) == {
        "action": "deny",
        "rule": "amount_cap",
        "decline_code": "screened:amount_cap",
        "flags": ["amount_high"],
    }


def test_a_flag_denies_nothing(counter: FakeVelocityCounter) -> None:
    assert screen(counter, payment=replace(REQUEST, amount_minor=1_000_000)) == ALLOWED | {"flags": ["amount_high"]}


def test_the_rules_are_asked_with_all_that_is_known_of_the_payment(counter: FakeVelocityCounter) -> None:
    screen(counter, "pay-0", replace(REQUEST, currency="EUR"), started_at="2026-11-22T12:00:00.000Z")
    screen(counter, rules=RememberingRules(1, {}, ()), started_at="2026-11-23T01:30:00.000+02:00")
    assert RememberingRules.asked == Facts(
        amount_minor=1999,
        currency="USD",
        brand="visa",
        bin="400005",
        fingerprint=FINGERPRINT,
        hour=23,
        test_card=False,
        payments_1h=1,
        payments_24h=2,
        amount_minor_1h=1999,
        amount_minor_24h=1999,
    )


@pytest.mark.parametrize("test_card", [True, False])
def test_a_test_card_is_one_that_tokenize_knew_by_its_number_whatever_it_looks_like(
    counter: FakeVelocityCounter, test_card: bool
) -> None:
    for card in (SUMMARY, REAL_CARD):
        screen(counter, card=card, rules=RememberingRules(1, {}, ()), test_card=test_card)
        assert RememberingRules.asked.test_card is test_card


def test_a_card_that_is_only_stored_is_allowed_and_not_counted(counter: FakeVelocityCounter) -> None:
    blocked = replace(REAL_CARD, bin="620550")
    assert screen(counter, payment=STORE, card=blocked) == ALLOWED
    assert counter.payments == {}


def test_a_payment_that_is_screened_again_is_counted_once_and_ends_the_same(counter: FakeVelocityCounter) -> None:
    for n in range(19):
        screen(counter, f"pay-{n}")
    assert [screen(counter, "the 20th")["action"] for _ in range(3)] == ["allow"] * 3
    assert [screen(counter, "the 21st")["rule"] for _ in range(3)] == ["velocity_payments"] * 3


def test_a_payment_that_was_denied_counts_too(counter: FakeVelocityCounter) -> None:
    for n in range(21):
        screen(counter, f"pay-{n}", card=replace(REAL_CARD, bin="620550"))
    assert screen(counter, "pay-21")["rule"] == "velocity_payments"


def test_an_hour_later_the_card_may_pay_again(counter: FakeVelocityCounter) -> None:
    for n in range(20):
        screen(counter, f"pay-{n}", started_at="2026-11-23T09:04:59.999Z")
    assert screen(counter, "still", started_at="2026-11-23T10:04:59.999Z")["rule"] == "velocity_payments"
    assert screen(counter, "again", started_at="2026-11-23T10:05:00.000Z")["action"] == "allow"


def test_however_many_pay_at_once_nobody_slips_through(counter: FakeVelocityCounter) -> None:
    with ThreadPoolExecutor(16) as pool:
        screened = list(pool.map(lambda n: screen(counter, f"pay-{n}"), range(200)))
    denied = [each["rule"] for each in screened if each["action"] == "deny"]
    assert len(denied) >= 180
    assert set(denied) == {"velocity_payments"}


def test_a_counter_that_does_not_answer_is_left_to_the_state_machine(counter: FakeVelocityCounter) -> None:
    counter.faults.arm("count", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        screen(counter)


def test_a_rule_that_can_not_be_computed_is_an_internal_error_that_names_it(counter: FakeVelocityCounter) -> None:
    class BrokenRules(Rules):
        def screen(self, facts: Facts) -> Screening:
            raise RulesError("rule one: arithmetic error: division by zero.")

    with pytest.raises(InternalError, match=r"^rule one: arithmetic error: division by zero\.$"):
        screen(counter, rules=BrokenRules(1, {}, ()))

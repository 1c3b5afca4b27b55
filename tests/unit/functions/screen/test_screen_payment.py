from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from functions.screen.rules import Facts, Rules, RulesError, Screening, load_rules
from functions.screen.screen_payment import screen_payment
from functions.shared.adapters.table.velocity import DynamoDbVelocityCounter
from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import InternalError, LedgerUnavailable
from functions.shared.domain.payment import PaymentRequest, StoreRequest
from functions.shared.ports import VelocityCounter
from tests.fakes import LEDGER_DOWN, FakeVelocityCounter
from tests.mocked_aws import COUNTERS_TABLE, new_id
from tests.samples import FINGERPRINT, REQUEST, STARTED_AT, STORE, SUMMARY, payment

REAL_CARD = CardSummary(None, FINGERPRINT, "visa", "400005", "5556", "12/44")
CALLER = "arn:aws:iam::123456789012:role/shop"
ALLOWED: dict[str, Any] = {"action": "allow", "rule": None, "decline_code": None, "flags": [], "challenges": []}


class RememberingRules(Rules):
    """Rules that match nothing, and record the facts that they were given."""

    facts: Facts

    def screen(self, facts: Facts) -> Screening:
        RememberingRules.facts = facts
        return Screening()


def other_card(n: int) -> CardSummary:
    """One of many cards of the same bank."""
    return replace(REAL_CARD, fingerprint=f"fp_{n}", last4=f"{n:04}")


def any_card(like: CardSummary, **changes: str) -> CardSummary:
    """Another card, which looks like this one but for the changes."""
    return replace(like, fingerprint=f"fp_{new_id()}", **changes)


@pytest.fixture
def counter() -> FakeVelocityCounter:
    return FakeVelocityCounter()


def screen(
    counter: VelocityCounter,
    payment_id: str = "pay-1",
    request: PaymentRequest | StoreRequest = REQUEST,
    card: CardSummary = REAL_CARD,
    started_at: str = STARTED_AT,
    rules: Rules | None = None,
    *,
    test_card: bool = False,
) -> dict[str, Any]:
    return screen_payment(
        payment_id,
        request,
        card,
        started_at,
        test_card=test_card,
        rules=rules or load_rules(),
        velocity_counter=counter,
    )


def test_an_ordinary_payment_is_allowed(counter: FakeVelocityCounter) -> None:
    assert screen(counter) == ALLOWED


def test_a_payment_that_a_rule_denies_says_which_in_its_decline_code(counter: FakeVelocityCounter) -> None:
    assert screen(counter, request=replace(REQUEST, amount_minor=99_999_999)) == {
        "action": "deny",
        "rule": "amount_cap",
        "decline_code": "screened:amount_cap",
        "flags": ["amount_high"],
        "challenges": [],
    }


def test_a_flag_denies_nothing(counter: FakeVelocityCounter) -> None:
    assert screen(counter, request=replace(REQUEST, amount_minor=1_000_000)) == ALLOWED | {"flags": ["amount_high"]}


def test_the_rules_are_asked_with_all_that_is_known_of_the_payment(counter: FakeVelocityCounter) -> None:
    screen(counter, "pay-0", replace(REQUEST, currency="EUR"), started_at="2026-11-22T12:00:00.000Z")
    screen(counter, "pay-2", replace(REQUEST, caller=CALLER), other_card(1), started_at="2026-11-22T23:10:00.000Z")
    screen(
        counter,
        request=replace(REQUEST, caller=CALLER),
        rules=RememberingRules(1, {}, ()),
        started_at="2026-11-23T01:30:00.000+02:00",
    )
    assert RememberingRules.facts == Facts(
        operation="charge",
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
        card_expiry_dates_1h=1,
        lookalike_cards_1h=1,
        reference_cards_1h=2,
        reference_declines_1h=0,
        bin_cards_1h=2,
        bin_declines_1h=0,
        caller_cards_1h=2,
        caller_declines_1h=0,
    )


@pytest.mark.parametrize("test_card", [True, False])
def test_a_test_card_is_one_that_tokenize_knew_by_its_number_whatever_it_looks_like(
    counter: FakeVelocityCounter, test_card: bool
) -> None:
    for card in (SUMMARY, REAL_CARD):
        screen(counter, card=card, rules=RememberingRules(1, {}, ()), test_card=test_card)
        assert RememberingRules.facts.test_card is test_card


def test_a_card_that_is_only_stored_is_screened_and_counted_like_a_payment(counter: FakeVelocityCounter) -> None:
    assert screen(counter, request=STORE) == ALLOWED
    assert screen(counter, request=STORE, card=replace(REAL_CARD, bin="620550"))["rule"] == "bin_blocked"
    for n in range(19):
        assert screen(counter, f"store-{n}", STORE) == ALLOWED
    assert screen(counter, "store-19", STORE)["rule"] == "velocity_payments"
    assert screen(counter, "pay-20")["rule"] == "velocity_payments"


class TestCardTesting:
    def test_of_40_cards_on_one_order_10_are_let_through(self, counter: FakeVelocityCounter) -> None:
        screened = [screen(counter, f"pay-{n}", card=other_card(n)) for n in range(40)]
        assert [each["rule"] for each in screened] == [*[None] * 10, *["reference_cards"] * 30]
        assert screen(counter, "another order", replace(REQUEST, merchant_reference="order-2"))["action"] == "allow"

    def test_without_a_reference_the_caller_and_the_bin_are_flagged(self, counter: FakeVelocityCounter) -> None:
        request = replace(REQUEST, merchant_reference=None, caller=CALLER)
        screened = [screen(counter, f"pay-{n}", request, other_card(n)) for n in range(40)]
        assert {each["action"] for each in screened} == {"allow"}
        flags = [each["flags"] for each in screened]
        assert flags == [*[[]] * 20, *[["bin_cards"]] * 10, *[["bin_cards", "caller_cards"]] * 10]

    def test_of_15_declines_on_one_order_the_gateway_makes_5(self, counter: FakeVelocityCounter) -> None:
        rules: list[str | None] = []
        for n in range(15):
            rules.append(screen(counter, f"pay-{n}")["rule"])
            if not rules[-1]:
                declined = payment(f"pay-{n}", "declined", decline_code="do_not_honor")
                counter.count_decline(declined)
                counter.count_decline(declined)
        assert rules == [*[None] * 5, *["reference_declines"] * 10]

    def test_of_24_expiry_dates_of_a_card_4_are_let_through(self, counter: FakeVelocityCounter) -> None:
        months = [f"{month:02}/{year}" for year in (30, 31) for month in range(1, 13)]
        dated = [replace(REAL_CARD, expiry=month) for month in months]
        # Each for a separate order, or only stored.
        requests = [each for n in range(12) for each in (replace(REQUEST, merchant_reference=f"order-{n}"), STORE)]
        screened = [screen(counter, f"pay-{n}", requests[n], card) for n, card in enumerate(dated)]
        assert [each["rule"] for each in screened][:6] == [*[None] * 4, *["card_expiry_dates"] * 2]
        assert {each["action"] for each in screened[4:]} == {"deny"}

    def test_who_tries_the_digits_between_the_first_six_and_the_last_four_gets_four_tries(
        self, counter: FakeVelocityCounter
    ) -> None:
        cards = [replace(REAL_CARD, fingerprint=f"fp_{n}") for n in range(100)]
        screened = [screen(counter, f"store-{n}", STORE, card) for n, card in enumerate(cards)]
        assert [each["rule"] for each in screened] == [*[None] * 4, *["lookalike_cards"] * 96]

    def test_however_many_come_at_once_nobody_slips_through(self, counter: FakeVelocityCounter) -> None:
        with ThreadPoolExecutor(16) as pool:
            screened = list(pool.map(lambda n: screen(counter, f"pay-{n}", card=other_card(n)), range(100)))
        assert sum(each["action"] == "allow" for each in screened) <= 10

    def test_published_test_cards_are_tried_as_often_as_anybody_likes(self, counter: FakeVelocityCounter) -> None:
        screened = [
            screen(counter, f"pay-{n}", card=replace(SUMMARY, fingerprint=f"fp_{n}"), test_card=True) for n in range(40)
        ]
        assert screened == [ALLOWED] * 40


class TestGuessing:
    """Whoever may charge a stored card, but doesn't know its number, tries candidates with its first six and last four
    digits. No answer tells which one is right."""

    @pytest.fixture(params=["fake", "dynamodb"])
    def counter(self, request: pytest.FixtureRequest) -> VelocityCounter:
        if request.param == "fake":
            return FakeVelocityCounter()
        return DynamoDbVelocityCounter(request.getfixturevalue("aws").dynamodb, COUNTERS_TABLE)

    @pytest.fixture
    def stored(self) -> CardSummary:
        """A stored card of a bank that no other test uses."""
        return any_card(REAL_CARD, bin=new_id())

    def test_the_right_guess_is_denied_by_the_same_rule_as_the_wrong_ones(
        self, counter: VelocityCounter, stored: CardSummary
    ) -> None:
        order = replace(REQUEST, merchant_reference=new_id())
        for card in (stored, *(any_card(stored, last4=f"{n:04}") for n in range(9))):
            screen(counter, new_id(), order, card)  # one more is too many, but not the stored one once more
        for _ in range(21):
            screen(counter, new_id(), replace(REQUEST, amount_minor=99_999_999), stored)
        assert screen(counter, new_id(), card=stored)["rule"] == "velocity_payments"
        for _ in range(4):
            screen(counter, new_id(), STORE, any_card(stored))
        for request in (STORE, REQUEST, order):
            wrong, right = (screen(counter, new_id(), request, guess) for guess in (any_card(stored), stored))
            assert wrong == right
            assert right["decline_code"] == "screened:lookalike_cards"

    def test_no_later_answer_tells_whether_a_denied_guess_was_right(
        self, counter: VelocityCounter, stored: CardSummary
    ) -> None:
        def after_guess(guess: CardSummary, of: CardSummary) -> list[str | None]:
            order = replace(REQUEST, merchant_reference=new_id())
            for card in (of, *(any_card(of, last4=f"{n:04}") for n in range(8))):
                screen(counter, new_id(), order, card)
            for _ in range(4):
                screen(counter, new_id(), STORE, any_card(of))
            # Counted by its number, the right one would exceed the card's amount of the day, and add none to the order.
            assert screen(counter, new_id(), replace(order, amount_minor=2_999_999), guess)["action"] == "deny"
            on_order = screen(counter, new_id(), order, any_card(of, last4="9999"))
            by_token = screen(counter, new_id(), REQUEST, of, "2026-11-23T23:00:00.000Z")
            return [on_order["rule"], by_token["rule"]]

        other = any_card(stored, bin=new_id())
        assert after_guess(stored, of=stored) == after_guess(any_card(other), of=other) == ["reference_cards", None]


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

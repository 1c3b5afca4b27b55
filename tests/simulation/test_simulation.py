"""The rules hold under random failures, and the simulation would detect a violation."""

import random
from typing import get_args

import pytest

from functions.shared.domain.operation import OperationType
from functions.shared.domain.payment import Status
from tests.simulation.mutants import MUTANTS, ROOT, Mutant, find
from tests.simulation.world import Run, simulate
from tests.workflow.definition import DEFINITIONS

FIXED_SEEDS = range(200)
FRESH_SEEDS = 100


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return [simulate(seed) for seed in FIXED_SEEDS]


def explain(run: Run) -> str:
    return f"{[broken.what for broken in run.broken]}: make simulate SEED={run.seed}"


def test_the_rules_hold_under_any_failures(runs: list[Run]) -> None:
    assert not [explain(run) for run in runs if run.broken]


def test_the_rules_hold_for_new_seeds() -> None:
    first = random.SystemRandom().randrange(10**9)
    for seed in range(first, first + FRESH_SEEDS):
        run = simulate(seed)
        assert not run.broken, explain(run)


def test_every_state_and_every_outcome_is_reached(runs: list[Run]) -> None:
    told = {what for run in runs for _, _, what in run.trace}
    # Reconcile only compares a day's sides, and moves no money.
    machines = DEFINITIONS.keys() - {"reconcile"}
    states = {f"{machine}: {state}" for machine in machines for state in DEFINITIONS[machine]["States"]}
    # The rules deny a card that is only stored once many were tried, and these worlds have few.
    assert states - told <= {"store_card: CardDeclined"}
    statuses = {status for run in runs for status in run.statuses}
    # Weeks later no doubt is left, and what nobody captured has expired.
    assert statuses == {*get_args(Status), "rejected"} - {"in_doubt", "authorized", "stored"}
    operations = {operation for run in runs for operation in run.operations}
    assert operations == {f"{kind} {end}" for kind in get_args(OperationType) for end in ("succeeded", "rejected")}


def test_the_same_seed_gives_the_same_run(runs: list[Run]) -> None:
    assert simulate(7) == runs[7]
    assert simulate(7).trace != runs[8].trace


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_code_that_each_mutant_breaks_still_exists(mutant: Mutant) -> None:
    assert [(ROOT / file).read_text().count(old) for file, old, _ in mutant.edits] == [1] * len(mutant.edits)


@pytest.mark.parametrize(
    "name",
    [
        "attribute_not_exists is dropped",
        "every attempt has an idempotency key of its own",
        "a charge of another amount is recorded",
        "what one refund has reserved another may have too",
        "every attempt at a refund has a reference of its own",
        "an operation without an answer is called refused",
        "nobody looks for executions that no event told of",
        "a payment that cannot be seen yet is none",
        "a look that comes late looks after something",
        "a refusal is believed though the look is an old one",
        "the gateway is asked for a payment that the books know",
        "the gateway is asked for an operation that has ended",
        "a card is held over another one",
        "a card is held after the payment's end",
        "nothing keeps what was erased from coming back",
        "the key is not erased with the card",
        "what has ended is remembered for a year",
        "the card is erased before the payment is recorded",
        "Persist erases nothing",
        "Erase erases nothing",
        "Compensate erases nothing",
        "Resolve erases nothing",
        "Keep erases nothing",
        "a key is issued after the payment's end",
        "a key may be used for ever",
        "a security code is encrypted with its card",
        "the gateway is not told the security code",
        "a private half is kept in the clear",
        "a security code is good for any payment",
        "Charge charges whatever card is held",
        "a charge by its token brings an erased card back",
    ],
)
def test_a_mutant_is_found(name: str) -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)
    assert find(mutant, runs=200)


def test_a_product_that_is_not_broken_survives() -> None:
    assert find(Mutant("sound", ()), runs=20) is None

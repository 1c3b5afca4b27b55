"""Each fault at each place that it can strike, once and always, in simulated time."""

from functools import cache

import pytest

from tests.faults.cases import CASES, ON_THE_STACK, ONLY_SIMULATED, Case
from tests.faults.document import document
from tests.faults.simulation import observe
from tools.deployment.paths import BUILD, ROOT

observed = cache(observe)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_simulated_fault_ends_as_expected_and_breaks_no_rule(case: Case) -> None:
    observation = observed(case)
    expected: tuple[str, tuple[str, ...], list[str]] = (case.expected, case.expected_charges, [])
    assert (str(observation.outcome), observation.outcome.charges, observation.broken) == expected


def test_every_fault_strikes_on_the_stack_too_and_at_every_place() -> None:
    def kinds(cases: list[Case]) -> set[object]:
        return {(case.fault, case.is_resolving) for case in cases} | {(case.place, case.operation) for case in cases}

    assert kinds(ON_THE_STACK) == kinds([case for case in CASES if case.place not in ONLY_SIMULATED])
    assert {case.times for case in ON_THE_STACK} == {"once", "always"}


def test_the_page_says_what_was_observed() -> None:
    page = BUILD / "faults.md"
    BUILD.mkdir(exist_ok=True)
    page.write_text(document({case: str(observed(case).outcome) for case in CASES}))
    written = (ROOT / "docs" / "faults.md").read_text()
    assert written == page.read_text(), "It is renewed by: cp build/faults.md docs/faults.md"

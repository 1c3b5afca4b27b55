"""Each fault at each place that it can hit, once and always."""

import pytest

from cli.paths import BUILD, ROOT
from cli.stack import Stack
from tests import invariants
from tests.faults.bench import Bench
from tests.faults.cases import CASES, Case
from tests.faults.conftest import Observations
from tests.faults.document import document


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_ends_as_expected(observations: Observations, case: Case) -> None:
    _, outcome = observations[case].result()
    assert (str(outcome), outcome.charges) == (case.expected, case.expected_charges)


def test_no_fault_loses_doubles_or_guesses_money(fault_stack: Stack, observations: Observations) -> None:
    cases = {observed.result()[0]: case for case, observed in observations.items() if not observed.exception()}
    assert [(str(cases.get(str(of))), what) for of, what in invariants.broken(fault_stack, cases)] == []


def test_a_status_moves_only_along_the_diagram(bench: Bench, observations: Observations) -> None:
    for observed in observations.values():
        observed.exception()
    assert {of: moves for of, statuses in bench.seen.items() if (moves := invariants.unlawful(statuses))} == {}


def test_the_page_says_what_was_observed(observations: Observations) -> None:
    if observations.keys() != set(CASES):
        pytest.skip("a part of the matrix makes no page")
    page = BUILD / "faults.md"
    page.write_text(document({case: str(observations[case].result()[1]) for case in CASES}))
    written = (ROOT / "docs" / "faults.md").read_text()
    assert written == page.read_text(), "It is renewed by: cp build/faults.md docs/faults.md"

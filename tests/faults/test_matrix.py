"""Each kind of fault at each kind of place, and at least one fault at each place, on the running stack."""

import pytest

from tests import invariants
from tests.faults.bench import Bench
from tests.faults.cases import ON_THE_STACK, Case
from tests.faults.conftest import Observations
from tools.deployment.stack import Stack


@pytest.mark.parametrize("case", ON_THE_STACK, ids=str)
def test_a_fault_ends_as_expected(observations: Observations, case: Case) -> None:
    _, outcome = observations[case].result()
    assert (str(outcome), outcome.charges) == (case.expected, case.expected_charges)


def test_no_fault_loses_doubles_or_guesses_money(fault_stack: Stack, observations: Observations) -> None:
    cases = {
        observed.result()[0]: case
        for case, observed in observations.items()
        if not observed.exception() and case.operation != "store"  # which moves no money, and leaves no record
    }
    assert [(str(cases.get(str(of))), what) for of, what in invariants.broken(fault_stack, cases)] == []


def test_a_status_moves_only_along_the_diagram(bench: Bench, observations: Observations) -> None:
    for observed in observations.values():
        observed.exception()
    assert {of: moves for of, statuses in bench.seen.items() if (moves := invariants.unlawful(statuses))} == {}

"""docs/faults.md, from what was observed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.faults.cases import (
    AWS_FAULTS,
    FUNCTION_FAULTS,
    GATEWAY_CALLS,
    GATEWAY_FAULTS,
    MOVED_BEFORE,
    MOVES,
    ON_THE_STACK,
    OPERATION_CALLS,
    OUTAGES,
    Case,
)

INTRODUCTION = """\
# What goes wrong, and how it ends

Each fault was put at each place that it can hit, and the payment was followed to its end. This page is written by the
tests that do it (`tests/faults`). They also check, for each of these payments, that its entries balance, that it was
charged at most once and undone at most once, that the ledger has what the gateway has, that its status moved only as it
may, and that what is asked for once more changes nothing.

Every case ran in the simulation: the product's handlers, adapters and state machines, on a clock that does not wait,
with Lambda, DynamoDB, KMS and the gateway simulated. Where a cell is **bold**, the case ran on the running stack too,
over HTTP and in real time, and ended the same: each fault while a payment or an operation is under way, each that can
strike there while a doubt is looked into, and one at least at each place.

A cell says how the payment ends if the fault strikes **once** (one attempt of the state), and after the dot how it ends
if the fault **stays** until the execution is over; one outcome where both are the same.

| outcome | at the gateway | in the ledger |
|---|---|---|
| captured | one charge | captured, once |
| rejected | never called | nothing: the execution says it |
| reversed | one charge, undone | reversed, with entries there and back |
| reversed, never charged | no charge, and none can come any more | reversed |
| in_doubt → … | not known yet | in doubt; once the fault was gone, `resolve` brought it to what follows the arrow |

A fault waits for the payment in the state that it is to hit. Compensate is reached by a poisoned Persist, so with a
captured charge that nothing recorded; Look and Resolve (of the state machine `resolve`) by an execution that was
stopped by hand on its way into Persist, or, where they are to reverse, into Charge. In the column of several states the
fault stays through all of them. Of `stopped_during` only the end is shown: the function that goes on and the look into
the doubt run at the same time. With Compensate even the end is chance, captured or reversed: the one that records first
wins, and the gateway is left as it says.
"""

OPERATIONS = """\
## An operation fails

The same, of refunds of a part of a captured payment, and of captures and voids of an authorization where that is the
gateway's call. A cell says how the operation ends.

| outcome | at the gateway | in the ledger |
|---|---|---|
| succeeded | done once | done once, with its entry |
| rejected | never asked | rejected; or not there, and the execution says it |
| in_doubt → … | not known yet | in doubt if it was reserved; `resolve` brought it to what follows the arrow |
| pending → … | taken on, and not done yet | processing; `resolve` looked until it had ended |

Look and Resolve are reached by an execution that was stopped by hand on its way into Perform. What had not been
reserved when its execution ended is rejected, and what had been is asked for again, and done. Where there is a dash,
the fault can't strike, would tell nothing new, or, with `stopped_during` in Reserve, either end is chance.
"""

STATES = ("Tokenize", "Screen", "Encrypt", "Charge", "Persist", "Compensate", "Look", "Resolve")
OPERATION_STATES = ("Reserve", "Perform", "Settle", "Look", "Resolve")
# title: the faults, where they strike a payment, and where an operation
SECTIONS = {
    "A function fails": (FUNCTION_FAULTS, STATES, OPERATION_STATES),
    "AWS fails": (AWS_FAULTS, (*STATES, *OUTAGES), OPERATION_STATES),
    "The gateway fails": (GATEWAY_FAULTS, tuple(GATEWAY_CALLS), tuple(OPERATION_CALLS)),
    "Somebody moves the money in the gateway's dashboard": (MOVES, (), tuple(MOVED_BEFORE)),
}


def document(outcomes: Mapping[Case, str]) -> str:
    """The page, from each case's outcome."""
    payments = {case: outcome for case, outcome in outcomes.items() if case.operation is None}
    operations = {case: outcome for case, outcome in outcomes.items() if case.operation}
    return "\n".join([INTRODUCTION, *_payments(payments), OPERATIONS, *_operations(operations)])


def _payments(outcomes: Mapping[Case, str]) -> Iterator[str]:
    for title, (faults, places, _) in SECTIONS.items():
        if not places:
            continue
        yield f"## {title}\n"
        yield from _meanings(faults)
        yield from _matrix(faults, places, outcomes)


def _operations(outcomes: Mapping[Case, str]) -> Iterator[str]:
    for title, (faults, payment_places, places) in SECTIONS.items():
        struck = {case.fault for case in outcomes if case.place in places}
        yield f"### {title}\n"
        if not payment_places:
            yield from _meanings(faults)
        yield from _matrix([fault for fault in faults if fault in struck], places, outcomes)


def _meanings(faults: Mapping[str, str]) -> Iterator[str]:
    yield from _table(["fault", "what it does"], [[f"`{name}`", meaning] for name, meaning in faults.items()])


def _matrix(faults: Iterable[str], places: Sequence[str], outcomes: Mapping[Case, str]) -> Iterator[str]:
    cells: dict[tuple[str, str], dict[str, bool]] = {}
    for case, outcome in outcomes.items():
        cell = cells.setdefault((case.fault, case.place), {})
        cell[outcome] = cell.get(outcome, False) or case in ON_THE_STACK
    marked = {
        of: " · ".join(f"**{outcome}**" if on_the_stack else outcome for outcome, on_the_stack in cell.items())
        for of, cell in cells.items()
    }
    rows = [[f"`{fault}`", *(marked.get((fault, place), "–") for place in places)] for fault in faults]
    yield from _table(["", *places], rows)


def _table(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield from (f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))
    yield ""

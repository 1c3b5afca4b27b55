"""docs/faults.md, from what was observed."""

from collections.abc import Iterator, Mapping

from tests.faults.cases import AWS_FAULTS, FUNCTION_FAULTS, GATEWAY_CALLS, GATEWAY_FAULTS, OUTAGES, Case

INTRODUCTION = """\
# What goes wrong, and how it ends

Each fault was put at each place that it can hit, on the running stack, and the payment was followed to its end. This
page is written by the tests that do it (`tests/faults`). They also check, for each of these payments, that its entries
balance, that it was charged at most once and undone at most once, that the ledger has what the gateway has, that its
status moved only as it may, and that the same key leads to the same payment.

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

STATES = ("Tokenize", "Encrypt", "Charge", "Persist", "Compensate", "Look", "Resolve")
SECTIONS = {
    "A function fails": (FUNCTION_FAULTS, STATES),
    "AWS fails": (AWS_FAULTS, (*STATES, *OUTAGES)),
    "The gateway fails": (GATEWAY_FAULTS, tuple(GATEWAY_CALLS)),
}


def document(outcomes: Mapping[Case, str]) -> str:
    """The page, from each case's outcome."""
    return "\n".join([INTRODUCTION, *(line for title in SECTIONS for line in _section(title, outcomes))])


def _section(title: str, outcomes: Mapping[Case, str]) -> Iterator[str]:
    faults, places = SECTIONS[title]
    yield f"## {title}\n"
    yield from _table(["fault", "what it does"], [[f"`{name}`", meaning] for name, meaning in faults.items()])
    cells: dict[tuple[str, str], dict[str, None]] = {}
    for case, outcome in outcomes.items():
        cells.setdefault((case.fault, case.place), {})[outcome] = None
    rows = [[f"`{fault}`", *(" · ".join(cells.get((fault, place), "–")) for place in places)] for fault in faults]
    yield from _table(["", *places], rows)


def _table(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield from (f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))
    yield ""

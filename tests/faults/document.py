"""Generates docs/faults.md from the observed outcomes."""

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
    STORE_CALLS,
    STORE_EXPECTED,
    Case,
)

INTRODUCTION = """\
# What goes wrong, and how it ends

The tests in `tests/faults` inject each fault at each place that it can strike, follow the payment to its end, and
generate this page. For each payment they also check that its entries balance, that it was charged at most once and
reversed at most once, that the ledger agrees with the gateway, that its status changed only along the allowed
transitions, and that repeating a request changes nothing.

Every case runs in the simulation, which executes the product's handlers, adapters and state machines on a simulated
clock, with Lambda, DynamoDB, KMS and the gateway simulated. A case in **bold** also runs on a real local stack, over
HTTP and in real time, with the same outcome. On the stack, each fault strikes during a payment or an operation and, if
it can, while a doubt is resolved; and each place has at least one fault.

A cell has the payment's outcome if the fault strikes **once** (one attempt of the state) and, after the dot, its
outcome if the fault **stays** until the execution has ended; or a single outcome if both are the same.

| outcome | at the gateway | in the ledger |
|---|---|---|
| captured | one charge | captured, once |
| declined | never called | declined, once |
| declined, not authenticated | a charge that is declined, which nobody can approve any more | declined, once |
| rejected | never called | no record; the execution has the reason |
| reversed | one charge, reversed | reversed, with entries and their reversals |
| reversed, never charged | no charge, and none can follow | reversed |
| in_doubt → … | not known yet | in doubt; after the fault, `resolve` reached the outcome after the arrow |

Some states are reached only if something else happens first. For Deny, a rule denies the payment. For AwaitCustomer,
Resume (the function that looks for answers every minute) and Confirm, the issuer asks the customer, who approves as
soon as the payment waits; for the cancellation in Confirm the customer leaves, and for that in Charge nobody can be
asked. For Erase, Tokenize is poisoned, which rejects the payment. For Compensate, Persist is poisoned, which leaves a
captured charge without a record. For Look and Resolve (in the state machine `resolve`), somebody stops the execution as
it enters Persist or, if they should reverse the charge, as it enters Charge. In a column of several states the fault
stays through all of them. For `stopped_during` only the final outcome is shown, since the function continues while the
doubt is resolved. In Compensate, even that outcome varies: whichever records first, captured or reversed, decides, and
the gateway ends up the same.
"""

OPERATIONS = """\
## An operation fails

These tests inject the same faults into partial refunds of captured payments, and into captures and voids of
authorizations where the place is that call of the gateway. A cell has the operation's outcome.

| outcome | at the gateway | in the ledger |
|---|---|---|
| succeeded | done once | done once, with its entry |
| rejected | never called | rejected; or no record, and the execution has the reason |
| in_doubt → … | not known yet | in doubt if it was reserved; `resolve` reached the outcome after the arrow |
| pending → … | accepted, not done yet | processing; `resolve` polled until it had ended |

For Look and Resolve, somebody stops the execution as it enters Perform. An operation that was not reserved when its
execution ended is rejected; a reserved one is sent to the gateway again, and carried out. A dash means that the fault
can't strike there or would show nothing new; or, for `stopped_during` in Reserve, that the outcome varies.
"""

CARDS = """\
## A card is stored without a payment

These tests inject the same faults while a card is stored and verified. A cell has the answer that the caller gets. If
it says that the card is not stored, the caller sends the same request again, after the fault.

| outcome | what it means |
|---|---|
| stored | the answer is the stored card |
| not stored → stored | the answer is an error; to the same request, after the fault, it is the stored card |

For RecallCard, the card was stored before, and the request is repeated.
"""

STATES = (
    *("Tokenize", "Screen", "Deny", "Encrypt", "Charge", "AwaitCustomer", "Resume", "Confirm"),
    *("Persist", "Erase", "Compensate", "Look", "Resolve"),
)
OPERATION_STATES = ("Reserve", "Perform", "Settle", "Look", "Resolve")
# title: the faults, the places where they strike a payment, and the places where they strike an operation
SECTIONS = {
    "A function fails": (FUNCTION_FAULTS, STATES, OPERATION_STATES),
    "AWS fails": (AWS_FAULTS, (*STATES, *OUTAGES), OPERATION_STATES),
    "The gateway fails": (GATEWAY_FAULTS, tuple(GATEWAY_CALLS), tuple(OPERATION_CALLS)),
    "Somebody moves the money in the gateway's dashboard": (MOVES, (), tuple(MOVED_BEFORE)),
}


def document(outcomes: Mapping[Case, str]) -> str:
    """Return the page for these outcomes."""
    payments = {case: outcome for case, outcome in outcomes.items() if case.operation is None}
    cards = {case: outcome for case, outcome in outcomes.items() if case.operation == "store"}
    operations = {case: outcome for case, outcome in outcomes.items() if case not in {**payments, **cards}}
    return "\n".join([INTRODUCTION, *_payments(payments), OPERATIONS, *_operations(operations), CARDS, *_cards(cards)])


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


def _cards(outcomes: Mapping[Case, str]) -> Iterator[str]:
    states = [place for place in STORE_EXPECTED if place not in STORE_CALLS]
    for faults, places in ((FUNCTION_FAULTS | AWS_FAULTS, states), (GATEWAY_FAULTS, list(STORE_CALLS))):
        struck = {case.fault for case in outcomes if case.place in places}
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

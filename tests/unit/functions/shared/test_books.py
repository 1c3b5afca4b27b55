"""The books after random histories: any operations on a payment, in any order and number."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from functions.resolve.resolve_operation import resolve_operation
from functions.shared.domain.errors import GatewayOutcomeUnknown
from functions.shared.domain.ledger import JournalEntry, capture_entry, in_doubt_entry
from functions.shared.domain.operation import Operation, OperationRequest, OperationType
from functions.shared.domain.payment import Payment
from functions.shared.ports import Execution, RecordedPayment
from functions.shared.use_cases.perform_operation import Performed, Reserved, perform_operation
from functions.shared.use_cases.settle_operation import settle_operation
from tests.balances import Balances, balances
from tests.fakes import FakeExecutions, FakeGateway, FakeLedger, only
from tests.samples import LATER, card, order, payment

HISTORIES = 600
AMOUNT_MINOR = 1000
GATEWAY = ("asset:gateway:sparkle", "USD")
NO_ANSWER = GatewayOutcomeUnknown("No answer.")
UNKNOWN = Performed(reason="GatewayOutcomeUnknown")


@dataclass(frozen=True)
class Step:
    """A requested operation, each step of which may be repeated.

    `lost`: no answer arrives and lookups fail, whether the gateway carried it out (`done`) or not. `failed`: a refund
    fails later. `resolved`: its doubt is resolved at once.
    """

    type: OperationType
    amount_minor: int | None
    lost: bool
    done: bool
    failed: bool
    times: int
    resolved: bool


steps = st.builds(
    Step,
    st.sampled_from(["refund", "refund", "refund", "capture", "void"]),
    st.one_of(st.none(), st.integers(1, AMOUNT_MINOR + 100)),
    lost=st.booleans(),
    done=st.booleans(),
    failed=st.booleans(),
    times=st.integers(1, 3),
    resolved=st.booleans(),
)


@dataclass
class Books:
    """One payment at the gateway and in the ledger."""

    captured: bool
    gateway: FakeGateway = field(default_factory=FakeGateway)
    ledger: FakeLedger = field(default_factory=FakeLedger)

    def __post_init__(self) -> None:
        ask = self.gateway.charge if self.captured else self.gateway.authorize
        charge = ask(order(amount_minor=AMOUNT_MINOR), card(), "pay-1-charge")
        new_payment = payment(
            status="captured" if self.captured else "authorized",
            amount_minor=AMOUNT_MINOR,
            captured_minor=AMOUNT_MINOR if self.captured else 0,
            charge_id=charge.charge_id,
        )
        entries = [capture_entry("sparkle", AMOUNT_MINOR, "USD")] if self.captured else []
        self.ledger.record(*new_payment.post(*entries))

    @property
    def recorded(self) -> RecordedPayment:
        return self.ledger.records["pay-1"]

    @property
    def balances(self) -> Balances:
        return balances(self.recorded.journal)

    def operation(self, operation_id: str) -> Operation:
        operation = self.recorded.payment.operation(operation_id)
        assert operation
        return operation

    def do(self, step: Step, operation_id: str) -> None:
        before = self.recorded
        reserved = before.payment.reserve(
            OperationRequest(operation_id, "pay-1", step.type, step.amount_minor, LATER), LATER
        )
        for _ in range(step.times):
            self.ledger.record(reserved)
        if self.operation(operation_id).status == "rejected":
            assert self.recorded.entries == before.entries
            assert money(before.payment) == money(self.recorded.payment)
            return
        performed = self.perform(step, operation_id)
        for _ in range(step.times):
            settle_operation("pay-1", operation_id, performed, ledger=self.ledger, now=LATER)
        if step.failed and step.type == "refund" and performed.charge and not performed.reason:
            refunded = self.balances
            self.fail(operation_id)
            back = self.operation(operation_id).amount_minor or 0
            assert self.balances.get(GATEWAY, 0) == refunded.get(GATEWAY, 0) + back
        if step.resolved:
            self.resolve(operation_id)

    def perform(self, step: Step, operation_id: str) -> Performed:
        operation, charge_id = self.operation(operation_id), self.recorded.payment.charge_id
        assert operation.amount_minor
        assert charge_id
        request = Reserved("pay-1", operation_id, step.type, operation.amount_minor, "USD", charge_id)
        if step.lost:
            self.gateway.faults.arm(step.type, NO_ANSWER, done=step.done)
            self.gateway.faults.arm("find", NO_ANSWER)
        try:
            return [
                perform_operation(request, gateways=only(self.gateway), ledger=self.ledger) for _ in range(step.times)
            ][-1]
        except GatewayOutcomeUnknown:
            return UNKNOWN

    def fail(self, operation_id: str) -> None:
        """The gateway could not deliver the refund."""
        recorded = self.recorded
        (posted,) = (e for e in recorded.entries if e.entry.source == operation_id and e.entry.kind == "refund")
        back = recorded.payment.fail_refund(self.operation(operation_id), LATER)
        self.ledger.record(*back.post(posted.entry.reverse(posted.number, "refund_failed", "re_1")))
        refund = self.gateway.charges["pay-1"].refund(operation_id)
        assert refund
        self.gateway.show_refund("pay-1", refund.amount_minor, "failed", operation_id, refund.refund_id)

    def resolve(self, operation_id: str) -> None:
        """Look it up until it is no longer in doubt."""
        operation = self.operation(operation_id)
        request = {"operation": operation.type, "payment_id": "pay-1", "amount_minor": operation.amount_minor}
        execution = Execution(False, "OperationInDoubt", None, request, LATER, LATER)
        resolve_operation(
            operation_id,
            gateways=only(self.gateway),
            ledger=self.ledger,
            executions=FakeExecutions(**{operation_id: execution}),
            payments=FakeExecutions(),
            now=LATER,
        )

    def at_the_gateway(self) -> int:
        """The payment's balance at the gateway."""
        charge = self.gateway.charges["pay-1"]
        given_back = sum(refund.amount_minor for refund in charge.refunds if refund.status == "succeeded")
        return charge.captured_minor - given_back


def money(record: Payment) -> tuple[object, ...]:
    return (
        record.status,
        record.captured_minor,
        record.refunded_minor,
        record.refundable_minor,
        record.entry_count,
        record.journal_hash,
    )


def assert_in_order(recorded: RecordedPayment) -> None:
    """Entries balance, the chain is intact, the record matches its entries, and each doubt was resolved once."""
    record, totals = recorded.payment, balances(recorded.journal)
    assert sum(totals.values()) == 0
    assert all(posted.is_intact for posted in recorded.entries)
    assert [posted.number for posted in recorded.entries] == list(range(1, record.entry_count + 1))
    assert not recorded.entries or recorded.entries[-1].hash == record.journal_hash
    assert totals.get(("asset:gateway:sparkle", "USD"), 0) == record.captured_minor - record.refunded_minor
    assert 0 <= record.refunded_minor <= record.captured_minor <= AMOUNT_MINOR
    assert record.refundable_minor >= 0
    assert sum(each.type != "refund" and each.status == "succeeded" for each in record.operations) <= 1


@settings(max_examples=HISTORIES)
@given(captured=st.booleans(), history=st.lists(steps, max_size=8))
def test_the_books_balance_over_any_history_and_in_the_end_are_the_gateways(
    captured: bool, history: list[Step]
) -> None:
    books = Books(captured)
    for n, step in enumerate(history):
        books.do(step, f"op-{n}")
        assert_in_order(books.recorded)
    for operation in books.recorded.payment.operations:
        books.resolve(operation.operation_id)
        assert_in_order(books.recorded)
    record = books.recorded.payment
    assert record.in_doubt_since is None
    assert ("suspense:in_doubt", "USD") not in books.balances
    assert books.at_the_gateway() == record.captured_minor - record.refunded_minor


entries = st.lists(st.integers(1, 10**8), min_size=1, max_size=6).map(
    lambda amounts: [
        capture_entry("sparkle", amount, "USD") if n % 2 else in_doubt_entry(amount, "JPY")
        for n, amount in enumerate(amounts)
    ]
)


@settings(max_examples=HISTORIES)
@given(entries)
def test_a_reversal_restores_the_balances_exactly(journal: list[JournalEntry]) -> None:
    for number, entry in enumerate(journal, start=1):
        without = [*journal[: number - 1], *journal[number:]]
        assert balances([*journal, entry.reverse(number)]) == balances(without)

"""The ports in memory, for the use cases' tests. Contract tests hold them to what their adapters do."""

import hashlib
import hmac
import secrets
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from functions.shared.domain.card import Card, CardSummary
from functions.shared.domain.charge import Charge, ChargeStatus, Order, Reversal, ReversalResult
from functions.shared.domain.errors import (
    GatewayOutcomeUnknown,
    GatewayRefused,
    KeyUnusable,
    LedgerConflict,
    LedgerUnavailable,
    PaymentError,
)
from functions.shared.domain.ledger import JournalEntry
from functions.shared.domain.payment import Payment
from functions.shared.ports import Doubts, Execution, RecordedPayment, StoredCard, Velocity
from tests.samples import CARD_RETENTION_DAYS, TEST_CARDS


@dataclass
class Faults:
    """What goes wrong next, by operation: an error raised before the deed, or, the answer lost, after it."""

    _armed: defaultdict[tuple[str, bool], deque[Exception]] = field(default_factory=lambda: defaultdict(deque))

    def arm(self, operation: str, error: Exception, *, done: bool = False, times: int = 1) -> None:
        self._armed[operation, done].extend([error] * times)

    def before(self, operation: str) -> None:
        self._raise(operation, False)

    def after(self, operation: str) -> None:
        self._raise(operation, True)

    def _raise(self, operation: str, done: bool) -> None:
        if self._armed[operation, done]:
            raise self._armed[operation, done].popleft()


class FakeCardCipher:
    """`CardCipher` whose ciphertext is a random name of what it keeps."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._kept: dict[bytes, tuple[bytes, dict[str, str]]] = {}

    def encrypt(self, plaintext: bytes, context: dict[str, str]) -> bytes:
        self.faults.before("encrypt")
        ciphertext = secrets.token_bytes(32)
        self._kept[ciphertext] = (plaintext, dict(context))
        return ciphertext

    def decrypt(self, ciphertext: bytes, context: dict[str, str]) -> bytes:
        self.faults.before("decrypt")
        plaintext, bound_to = self._kept.get(ciphertext, (b"", None))
        if bound_to != context:
            raise KeyUnusable("The ciphertext and its context do not fit.")
        return plaintext


class FakeTokenMac:
    """`TokenMac` with a key in memory."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._key = secrets.token_bytes(32)

    def mac(self, message: bytes) -> bytes:
        self.faults.before("mac")
        return hmac.digest(self._key, message, hashlib.sha256)


class FakeGateway:
    """`PaymentGateway` that knows the published test cards, keeps its promises, and fails when told to."""

    name = "sparkle"

    def __init__(self) -> None:
        self.charges: dict[str, Charge] = {}
        self.calls: list[str] = []
        self.idempotency_keys: list[str] = []
        self.faults = Faults()
        self._reversals: dict[str, ReversalResult] = {}
        self._answers: dict[str, tuple[tuple[Order, bool, str], Charge]] = {}

    def charge(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._create(order, card, idempotency_key, capture=True)

    def authorize(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._create(order, card, idempotency_key, capture=False)

    def find_by_reference(self, reference: str) -> Charge | None:
        self._called("find")
        self.faults.after("find")
        return self.charges.get(reference)

    def reverse(self, reference: str) -> Reversal:
        self._called("reverse")
        if reference not in self._reversals:
            self._reversals[reference] = self._undo(reference)
        self.faults.after("reverse")
        return Reversal(self._reversals[reference], self.charges.get(reference))

    def _create(self, order: Order, card: Card, idempotency_key: str, *, capture: bool) -> Charge:
        self.idempotency_keys.append(idempotency_key)
        self._called("charge")
        asked = (order, capture, card.pan)
        earlier, charge = self._answers.get(idempotency_key, (asked, None))
        if earlier != asked:
            raise GatewayRefused("The key was used for another request.")
        if charge is None:
            charge = self._book(order, card, capture)
            self._answers[idempotency_key] = (asked, charge)
        self.faults.after("charge")
        return charge

    def _book(self, order: Order, card: Card, capture: bool) -> Charge:
        if order.reference in self._reversals:
            raise GatewayRefused("The reference was reversed.")
        if order.reference in self.charges:
            raise GatewayOutcomeUnknown("The reference was charged under another key.")
        decline_code = TEST_CARDS[card.pan].get("decline_code")
        approved: ChargeStatus = "captured" if capture else "authorized"
        charge = Charge(
            charge_id=f"ch_{secrets.token_hex(6)}",
            reference=order.reference,
            status="declined" if decline_code else approved,
            amount_minor=order.amount_minor,
            currency=order.currency,
            captured_minor=order.amount_minor if capture and not decline_code else 0,
            decline_code=decline_code,
        )
        self.charges[order.reference] = charge
        return charge

    def _undo(self, reference: str) -> ReversalResult:
        charge = self.charges.get(reference)
        if charge is None:
            return "tombstoned"
        if charge.status == "declined":
            return "declined"
        self.charges[reference] = replace(charge, status="voided", captured_minor=0)
        return "voided"

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        self.faults.before(operation)


class FakeLedger:
    """`Ledger` in a dictionary."""

    def __init__(self) -> None:
        self.records: dict[str, RecordedPayment] = {}
        self.faults = Faults()

    def record(self, payment: Payment, entries: Sequence[JournalEntry] = ()) -> None:
        self.faults.before("record")
        there = self.records.get(payment.payment_id)
        version, kept = (there.payment.version, there.entries) if there else (0, ())
        first = payment.entry_count - len(entries)
        if payment.version == version + 1 and first == len(kept):
            self.records[payment.payment_id] = RecordedPayment(payment, (*kept, *entries))
        elif (
            there is None
            or replace(there.payment, updated_at=payment.updated_at) != payment
            or kept[first:] != tuple(entries)
        ):
            raise LedgerConflict("The ledger holds another record of this payment.")
        self.faults.after("record")

    def payment(self, payment_id: str) -> Payment | None:
        recorded = self.find(payment_id)
        return recorded.payment if recorded else None

    def find(self, payment_id: str) -> RecordedPayment | None:
        self.faults.before("find")
        return self.records.get(payment_id)

    def doubts(self) -> Doubts:
        self.faults.before("doubts")
        doubtful = [there.payment for there in self.records.values() if there.payment.status == "in_doubt"]
        return Doubts(len(doubtful), min((payment.updated_at for payment in doubtful), default=None))


class FakeCardVault:
    """`CardVault` in a dictionary."""

    def __init__(self) -> None:
        self.cards: dict[str, StoredCard] = {}
        self.kept_at: dict[str, str] = {}
        self.faults = Faults()

    def keep(self, card: StoredCard, at: str) -> None:
        self.faults.before("keep")
        if self.kept_at.get(card.summary.token, at) <= at:
            self.cards[card.summary.token] = card
            self.kept_at[card.summary.token] = at

    def summary(self, token: str, at: str) -> CardSummary | None:
        self.faults.before("summary")
        card = self.cards.get(token)
        if card is None:
            return None
        age = datetime.fromisoformat(at) - datetime.fromisoformat(self.kept_at[token])
        return card.summary if age < timedelta(days=CARD_RETENTION_DAYS) else None

    def erase(self, token: str) -> bool:
        self.faults.before("erase")
        self.kept_at.pop(token, None)
        return self.cards.pop(token, None) is not None


class FakeVelocityCounter:
    """`VelocityCounter` that remembers every payment of every card."""

    def __init__(self) -> None:
        self.payments: defaultdict[str, dict[str, tuple[datetime, int, str]]] = defaultdict(dict)
        self.faults = Faults()

    def count(self, token: str, payment_id: str, amount_minor: int, currency: str, started_at: str) -> Velocity:
        self.faults.before("count")
        started = datetime.fromisoformat(started_at)
        self.payments[token].setdefault(payment_id, (started, amount_minor, currency))
        payments = list(self.payments[token].values())

        def since(window: timedelta) -> tuple[int, int]:
            begin = (started - window).timestamp() // 300 * 300
            amounts = [(amount, of) for at, amount, of in payments if at.timestamp() >= begin]
            return len(amounts), sum(amount for amount, of in amounts if of == currency)

        (in_an_hour, amount_in_an_hour), (in_a_day, amount_in_a_day) = (
            since(timedelta(hours=1)),
            since(timedelta(days=1)),
        )
        return Velocity(in_an_hour, in_a_day, amount_in_an_hour, amount_in_a_day)


class FakeExecutions:
    """`Executions` by a dictionary; `error` is raised instead of an answer if it is set."""

    def __init__(self, **executions: Execution) -> None:
        self.executions = executions
        self.error: PaymentError | None = None

    def find(self, payment_id: str) -> Execution | None:
        if self.error:
            raise self.error
        return self.executions.get(payment_id)


LEDGER_DOWN = LedgerUnavailable("The ledger is down.")

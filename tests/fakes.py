"""Implements the ports in memory for the use cases' tests. Contract tests hold these fakes to their adapters'
behaviour."""

import hashlib
import hmac
import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from threading import Lock
from typing import Any, TypeVar

from functions.shared.adapters.gateways.registry import ConfiguredGateways
from functions.shared.domain.anchor import Anchor, Line, part_hash
from functions.shared.domain.card import Card, CardSummary
from functions.shared.domain.charge import (
    AUTHENTICATION_EXPIRED,
    AUTHENTICATION_FAILED,
    Abilities,
    Authentication,
    Charge,
    ChargeStatus,
    Order,
    Refund,
    RefundStatus,
    Refused,
    Reversal,
    ReversalResult,
    StoredCredential,
    Verification,
)
from functions.shared.domain.dispute import Dispute, held_minor
from functions.shared.domain.errors import (
    GatewayOutcomeUnknown,
    GatewayRefused,
    KeyUnusable,
    LedgerConflict,
    LedgerUnavailable,
    PaymentError,
    QueueUnavailable,
    SealingKeyUsed,
)
from functions.shared.domain.event import EVENT_TYPES, Event, payment_event
from functions.shared.domain.gateway_event import GatewayEvent, InvalidEvent
from functions.shared.domain.ledger import PostedEntry
from functions.shared.domain.payment import DeclinedCard, Payment, PaymentRequest, Status, StoreRequest
from functions.shared.domain.settlement import Break, SettlementLine, SettlementPage
from functions.shared.ports import (
    AccountPosting,
    CustomerWait,
    DayTotals,
    Doubts,
    Execution,
    ExecutionSummary,
    Gateways,
    HeldCard,
    PaymentGateway,
    Position,
    RecordedPayment,
    SealingKey,
    StoredCard,
    StoredOnRequest,
    Velocity,
)
from tests.aws_facts import facts
from tests.samples import ABLE, EXPIRES_AT, LATER, NOW, TEST_CARDS, WRONG_SECURITY_CODE

VISIBILITY = facts("visibility_timeout")


@dataclass
class Faults:
    """The next failure of each operation: an error before the operation takes effect, or after it, as if the answer
    were lost."""

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
    """`CardCipher` whose ciphertext is a random name for the stored card."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._plaintexts: dict[bytes, tuple[bytes, dict[str, str]]] = {}

    def encrypt(self, plaintext: bytes, context: dict[str, str]) -> bytes:
        self.faults.before("encrypt")
        ciphertext = secrets.token_bytes(32)
        self._plaintexts[ciphertext] = (plaintext, dict(context))
        return ciphertext

    def decrypt(self, ciphertext: bytes, context: dict[str, str]) -> bytes:
        self.faults.before("decrypt")
        plaintext, bound_to = self._plaintexts.get(ciphertext, (b"", None))
        if bound_to != context:
            raise KeyUnusable("The ciphertext and its context do not fit.")
        return plaintext


class FakeMac:
    """`Mac` with a key in memory."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._key = secrets.token_bytes(32)

    def mac(self, message: bytes) -> bytes:
        self.faults.before("mac")
        return hmac.digest(self._key, message, hashlib.sha256)


class FakePaymentIndex:
    """`PaymentIndex` of a ledger in memory."""

    def __init__(self, ledger: "FakeLedger") -> None:
        self._ledger = ledger

    def on(
        self, day: str, status: Status | None, since: str, until: str, *, oldest_first: bool = False
    ) -> Iterator[Position]:
        matching = (each for each in self._payments(since, until) if each.created_at[:10] == day)
        return self._in_order((each for each in matching if status in (None, each.status)), oldest_first)

    def with_reference(self, reference: str, since: str, until: str) -> Iterator[Position]:
        matching = (each for each in self._payments(since, until) if each.merchant_reference == reference)
        return self._in_order(matching, oldest_first=False)

    def _payments(self, since: str, until: str) -> Iterator[Payment]:
        recorded = (record.payment for record in self._ledger.records.values())
        return (payment for payment in recorded if since <= payment.created_at <= until)

    @staticmethod
    def _in_order(payments: Iterable[Payment], oldest_first: bool) -> Iterator[Position]:
        positions = (Position(payment.created_at, payment.payment_id) for payment in payments)
        return iter(sorted(positions, reverse=not oldest_first))


class FakeWritten:
    """`Written` with lines in memory, by day."""

    shards = 2

    def __init__(self) -> None:
        self.by_day: dict[str, list[Line]] = {}

    def lines(self, day: str, shard: int) -> Iterator[Line]:
        return iter(self.by_day.get(day, [])[shard :: self.shards])


class FakeAnchors:
    """`Anchors` in memory."""

    def __init__(self) -> None:
        self.kept: list[tuple[Anchor, bytes]] = []
        self.parts: dict[str, bytes] = {}

    def last(self) -> Anchor | None:
        return self.kept[-1][0] if self.kept else None

    def keep_part(self, part: bytes) -> None:
        self.parts[part_hash(part)] = part

    def keep(self, anchor: Anchor, mac: bytes) -> bool:
        if anchor.number <= len(self.kept):
            return False
        self.kept.append((anchor, mac))
        return True


Answer = TypeVar("Answer")


def only(*gateways: PaymentGateway) -> Gateways:
    """A deployment with these gateways."""
    return ConfiguredGateways(gateways)


class FakeGateway:
    """`PaymentGateway` that knows the published test cards, keeps its promises, and fails on request."""

    def __init__(self, name: str = "sparkle", abilities: Abilities = ABLE) -> None:
        self.name, self.abilities = name, abilities
        self.charges: dict[str, Charge] = {}
        """The charges by reference, unless it was forgotten."""
        self._forgotten: dict[str, Charge] = {}
        """The charges by their own ids."""
        self.calls: list[str] = []
        self.idempotency_keys: list[str] = []
        self.stored_credentials: dict[str, StoredCredential | None] = {}
        """What each charge said of the stored card, by reference."""
        self.faults = Faults()
        self.orders: dict[str, Order] = {}
        """What was asked for, by reference."""
        self._challenged: dict[str, tuple[Card, bool]] = {}
        """Which card to charge once its holder has passed the challenge, and whether to capture, by reference."""
        self.refund_status: RefundStatus = "succeeded"
        self.reports: dict[str, list[SettlementLine]] = {}
        self._reversals: dict[str, ReversalResult] = {}
        self._answers: dict[str, tuple[object, Any]] = {}

    def charge(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._create(order, card, idempotency_key, capture=True)

    def authorize(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._create(order, card, idempotency_key, capture=False)

    def verify(self, reference: str, card: Card, idempotency_key: str) -> Verification:
        def deed() -> Verification:
            decline_code = self._decline_code(card)
            return Verification(reference, decline_code, None if decline_code else secrets.token_hex(6))

        return self._answer_once("verify", (reference, card), idempotency_key, deed)

    def capture(self, charge_id: str, amount_minor: int, currency: str, idempotency_key: str) -> Charge | Refused:
        def deed() -> Charge | Refused:
            charge = self._charge(charge_id)
            if charge.status != "authorized":
                return Refused("invalid_state")
            if amount_minor > charge.amount_minor:
                return Refused("amount_exceeds_authorized")
            return self._put(replace(charge, status="captured", captured_minor=amount_minor, captured_at=NOW))

        return self._answer_once("capture", (charge_id, amount_minor, currency), idempotency_key, deed)

    def void(self, charge_id: str, idempotency_key: str) -> Charge | Refused:
        def deed() -> Charge | Refused:
            charge = self._charge(charge_id)
            return (
                self._put(replace(charge, status="voided"))
                if charge.status == "authorized"
                else Refused("invalid_state")
            )

        return self._answer_once("void", charge_id, idempotency_key, deed)

    def refund(
        self, charge_id: str, amount_minor: int, currency: str, reference: str, idempotency_key: str
    ) -> Charge | Refused:
        def deed() -> Charge | Refused:
            charge = self._charge(charge_id)
            if charge.refund(reference):
                raise GatewayOutcomeUnknown("The reference was used under another key.")
            if charge.status not in ("captured", "partially_refunded", "refunded"):
                return Refused("invalid_state")
            left_minor = charge.captured_minor - sum(
                each.amount_minor for each in charge.refunds if each.status != "failed"
            )
            if amount_minor > left_minor:
                return Refused("amount_exceeds_captured")
            if amount_minor > left_minor - held_minor(charge.disputes):
                return Refused("payment_disputed")
            return self.show_refund(charge.reference, amount_minor, self.refund_status, reference)

        return self._answer_once("refund", (charge_id, amount_minor, currency, reference), idempotency_key, deed)

    def show_refund(
        self,
        reference: str,
        amount_minor: int,
        status: RefundStatus = "succeeded",
        refund_reference: str | None = None,
        refund_id: str | None = None,
    ) -> Charge:
        """Show a refund of the charge with that reference, whoever made it; or the next status of a refund with this
        id."""
        charge = self.charges[reference]
        refund = Refund(refund_id or f"re_{secrets.token_hex(5)}", refund_reference, status, amount_minor, NOW)
        refunds = {each.refund_id: each for each in charge.refunds} | {refund.refund_id: refund}
        refunded_minor = sum(each.amount_minor for each in refunds.values() if each.status == "succeeded")
        ends: dict[int, ChargeStatus] = {0: "captured", charge.captured_minor: "refunded"}
        charge_status = ends.get(refunded_minor, "partially_refunded")
        return self._put(replace(charge, refunds=tuple(refunds.values()), status=charge_status))

    def dispute(self, reference: str, amount_minor: int | None = None, *, won: bool | None = None) -> Charge:
        """The cardholder disputes the charge with that reference, or the bank decides the dispute."""
        charge = self.charges[reference]
        if won is None:
            amount_minor = amount_minor or charge.captured_minor
            opened = Dispute(f"dp_{secrets.token_hex(5)}", "open", amount_minor, "fraudulent", NOW)
            return self.show(reference, disputes=(*charge.disputes, opened))
        *others, dispute = charge.disputes
        ended = replace(dispute, status="won" if won else "lost", ended_at=LATER)
        return self.show(reference, disputes=(*others, ended))

    def show(self, reference: str, **changes: Any) -> Charge:
        """Show the charge with that reference as changed by somebody else."""
        return self._put(replace(self.charges[reference], **changes))

    def answer_challenge(self, reference: str, *, approve: bool) -> None:
        """The customer passes the challenge of the charge that waits, or fails it."""
        card, capture = self._challenged[reference]
        waiting = self.charges[reference]
        assert waiting.status == "action_required"
        if approve:
            ended = self._decided(waiting, self._decline_code(card), capture=capture)
            self._put(replace(ended, authentication=Authentication("authenticated", "2.2.0", True)))
        else:
            ended = self._decided(waiting, AUTHENTICATION_FAILED, capture=capture)
            self._put(replace(ended, authentication=Authentication("failed", "2.2.0", False)))

    def cancel_authentication(self, charge_id: str) -> Charge:
        self._called("cancel_authentication")
        charge = self._charge(charge_id)
        if charge.status == "action_required":
            charge = self._put(self._decided(charge, AUTHENTICATION_EXPIRED, capture=False))
        self.faults.after("cancel_authentication")
        return charge

    def find_by_reference(self, order: Order) -> Charge | None:
        self._called("find")
        self.faults.after("find")
        return self.charges.get(order.reference)

    def find(self, charge_id: str) -> Charge | None:
        self._called("find")
        self.faults.after("find")
        return self._by_id().get(charge_id)

    def _by_id(self) -> dict[str, Charge]:
        return {charge.charge_id: charge for charge in (*self.charges.values(), *self._forgotten.values())}

    def forget(self, reference: str) -> None:
        """Forget the reference and its keys, as gateways do after a while."""
        if charge := self.charges.pop(reference, None):
            self._forgotten[charge.charge_id] = charge
        self._reversals.pop(reference, None)
        for key in [key for key in self._answers if key.startswith(reference)]:
            del self._answers[key]

    def settlement(self, day: str, page: str | None, limit: int) -> SettlementPage:
        """A page of `reports`, or an empty day's page."""
        self._called("settlements")
        lines, start = self.reports.get(day, []), int(page or 0)
        totals = {
            currency: (
                sum(line.amount_minor for line in lines if line.currency == currency),
                sum(line.fee_minor for line in lines if line.currency == currency),
            )
            for currency in {line.currency for line in lines}
        }
        more = str(start + limit) if start + limit < len(lines) else None
        return SettlementPage(tuple(lines[start : start + limit]), len(lines), totals, more)

    def reverse(self, order: Order) -> Reversal:
        self._called("reverse")
        reference = order.reference
        if reference not in self._reversals:
            self._reversals[reference] = self._undo(reference)
        self.faults.after("reverse")
        return Reversal(self._reversals[reference], self.charges.get(reference))

    def _create(self, order: Order, card: Card, idempotency_key: str, *, capture: bool) -> Charge:
        result = self._answer_once(
            "charge", (order, capture, card), idempotency_key, lambda: self._book(order, card, capture)
        )
        assert isinstance(result, Charge)
        return result

    def _answer_once(self, operation: str, request: object, idempotency_key: str, deed: Callable[[], Answer]) -> Answer:
        """Return the earlier answer to the key, or else carry out the deed."""
        self.idempotency_keys.append(idempotency_key)
        self._called(operation)
        earlier, answer = self._answers.get(idempotency_key, (request, None))
        if earlier != request:
            raise GatewayRefused("The key was used for another request.")
        result: Answer = deed() if answer is None else answer
        self._answers[idempotency_key] = (request, result)
        self.faults.after(operation)
        return result

    def _charge(self, charge_id: str) -> Charge:
        try:
            return self._by_id()[charge_id]
        except KeyError:
            raise GatewayRefused("There is no such charge.") from None

    def _put(self, charge: Charge) -> Charge:
        if charge.charge_id in self._forgotten:
            self._forgotten[charge.charge_id] = charge
        else:
            self.charges[charge.reference] = charge
        return charge

    def _book(self, order: Order, card: Card, capture: bool) -> Charge:
        if order.reference in self._reversals:
            raise GatewayRefused("The reference was reversed.")
        if order.reference in self.charges:
            raise GatewayOutcomeUnknown("The reference was charged under another key.")
        charge_id = f"ch_{secrets.token_hex(5)}"
        charge = Charge(
            gateway=self.name,
            charge_id=charge_id,
            reference=order.reference,
            status="action_required",
            amount_minor=order.amount_minor,
            currency=order.currency,
            captured_minor=0,
            redirect_url=f"https://acs.example/challenge/{charge_id}",
        )
        self.orders[order.reference] = order
        self._challenged[order.reference] = card, capture
        self.stored_credentials[order.reference] = order.stored_credential
        if TEST_CARDS[card.pan]["outcome"] != "challenged" and order.three_d_secure != "required":
            charge = self._decided(charge, self._decline_code(card), capture=capture)
        return self._put(charge)

    def _decided(self, charge: Charge, decline_code: str | None, *, capture: bool) -> Charge:
        approved: ChargeStatus = "captured" if capture else "authorized"
        return replace(
            charge,
            status="declined" if decline_code else approved,
            captured_minor=charge.amount_minor if capture and not decline_code else 0,
            decline_code=decline_code,
            captured_at=NOW if capture and not decline_code else None,
            expires_at=None if capture or decline_code else EXPIRES_AT,
            network_transaction_id=None if decline_code else secrets.token_hex(6),
            redirect_url=None,
        )

    def _decline_code(self, card: Card) -> str | None:
        wrong_code = "incorrect_cvc" if card.security_code == WRONG_SECURITY_CODE else None
        return TEST_CARDS[card.pan].get("decline_code") or wrong_code

    def _undo(self, reference: str) -> ReversalResult:
        charge = self.charges.get(reference)
        if charge is None:
            return "tombstoned"
        if charge.status == "action_required":
            charge = self._put(self._decided(charge, AUTHENTICATION_EXPIRED, capture=False))
        if charge.status == "declined":
            return "declined"
        if any(dispute.status == "open" for dispute in charge.disputes):
            raise GatewayOutcomeUnknown("The cardholder has disputed the charge.")
        if charge.disputes:
            if left_minor := charge.captured_minor - held_minor(charge.disputes):
                self.show_refund(reference, left_minor)
            return "refunded"
        self._put(replace(charge, status="voided", captured_minor=0, captured_at=None))
        return "voided"

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        self.faults.before(operation)


class FakeLedger:
    """`Ledger` in a dictionary. It stores cards in a vault."""

    def __init__(self, card_vault: "FakeCardVault | None" = None) -> None:
        self.records: dict[str, RecordedPayment] = {}
        self.events: list[Event] = []
        self.card_vault = card_vault or FakeCardVault()
        self.faults = Faults()

    def record(
        self,
        payment: Payment,
        entries: Sequence[PostedEntry] = (),
        card: StoredCard | None = None,
        *,
        previous: Payment | None = None,
    ) -> None:
        self.faults.before("record")
        existing = self.records.get(payment.payment_id)
        version, old_entries = (existing.payment.version, existing.entries) if existing else (0, ())
        start = payment.entry_count - len(entries)
        if payment.version == version + 1 and start == len(old_entries):
            self.records[payment.payment_id] = RecordedPayment(payment, (*old_entries, *entries))
            self.events.append(payment_event(payment, previous))
            if card:
                assert card.summary.token
                self.card_vault.cards[card.summary.token] = card
        elif (
            existing is None
            or not existing.payment.is_same_as(payment)
            or existing.journal[start:] != tuple(posted.entry for posted in entries)
        ):
            raise LedgerConflict("The ledger holds another record of this payment.")
        self.faults.after("record")

    def payment(self, payment_id: str) -> Payment | None:
        recorded = self.find(payment_id)
        return recorded.payment if recorded else None

    def find(self, payment_id: str) -> RecordedPayment | None:
        self.faults.before("find")
        return self.records.get(payment_id)

    def statuses(self, payment_ids: Collection[str]) -> dict[str, Status]:
        self.faults.before("statuses")
        return {
            payment_id: record.payment.status
            for payment_id, record in self.records.items()
            if payment_id in payment_ids
        }

    def payments(self, payment_ids: Collection[str]) -> dict[str, Payment]:
        self.faults.before("payments")
        return {payment_id: record.payment for payment_id, record in self.records.items() if payment_id in payment_ids}

    def entries(self, numbers: Collection[tuple[str, int]]) -> dict[tuple[str, int], PostedEntry]:
        self.faults.before("entries")
        return {
            (payment_id, posted.number): posted
            for payment_id, record in self.records.items()
            for posted in record.entries
            if (payment_id, posted.number) in numbers
        }

    def awaiting_gateway(self, page: str | None) -> tuple[list[str], str | None]:
        """Return one payment a page."""
        self.faults.before("awaiting_gateway")
        open_ = sorted(each for each, record in self.records.items() if record.payment.awaits_gateway)
        following = [each for each in open_ if each > (page or "")]
        return following[:1], following[0] if len(following) > 1 else None

    def doubts(self) -> Doubts:
        self.faults.before("doubts")
        doubtful = [since for record in self.records.values() if (since := record.payment.in_doubt_since)]
        return Doubts(len(doubtful), min(doubtful, default=None))


class FakeBooks:
    """`Books` over a ledger in memory."""

    shards = 4

    def __init__(self, ledger: FakeLedger) -> None:
        self.closed: dict[str, DayTotals] = {}
        self._ledger = ledger

    def postings(self, account: str, day: str, shards: Sequence[int] | None = None) -> Iterator[AccountPosting]:
        yield from sorted(self._postings(account, day, shards), key=attrgetter("posted_at", "payment_id", "number"))

    def _postings(self, account: str, day: str, shards: Sequence[int] | None) -> Iterator[AccountPosting]:
        for payment_id, recorded in self._ledger.records.items():
            if shards is not None and len(payment_id) % self.shards not in shards:
                continue
            for posted in recorded.entries:
                for posting in posted.entry.postings:
                    if posting.account == account and posted.posted_at.startswith(day):
                        entry = posted.entry
                        yield AccountPosting(
                            payment_id, posted.number, entry.kind, entry.source, posted.posted_at, posting
                        )

    def close(self, day: str, totals: DayTotals, at: str) -> None:
        self.closed[day] = totals

    def closed_days(self, first_day: str, last_day: str) -> dict[str, DayTotals]:
        return {day: totals for day, totals in self.closed.items() if first_day <= day <= last_day}


class FakeBreaks:
    """`Breaks` in a dictionary: for each break, the last run that found it, and whether it is still open."""

    def __init__(self) -> None:
        self.found: dict[Break, str] = {}
        self.resolved: set[Break] = set()

    def record(self, found_break: Break, run: str, at: str) -> None:
        self.found[found_break] = run
        self.resolved.discard(found_break)

    def found_in_run(self, day: str, run: str) -> list[Break]:
        return [each for each, of in self.found.items() if (each.day, of) == (day, run)]

    def resolve_not_found(self, day: str, run: str, at: str) -> None:
        self.resolved |= {each for each, of in self.found.items() if each.day == day and of != run}


class FakeCardVault:
    """`CardVault` in a dictionary."""

    def __init__(self) -> None:
        self.cards: dict[str, StoredCard] = {}
        self.requests: dict[str, tuple[str, str, str, str | None]] = {}
        """The token, the time, the end and the sealed card's hash of each request to store a card, by its key."""
        self.faults = Faults()

    def keep(self, key: str, card: StoredCard, at: str, sealed_hash: str | None = None) -> None:
        self.faults.before("keep")
        assert card.summary.token
        if key not in self.requests and card.summary.token not in self.cards:
            self.cards[card.summary.token] = card
            self.requests[key] = card.summary.token, at, card.until, sealed_hash
        else:
            stored = self.stored_on_request(key, at)
            if stored is None or stored.card != card.summary:
                raise LedgerConflict("The key has stored another card, or one that was erased since.")
        self.faults.after("keep")

    def stored_on_request(self, key: str, at: str) -> StoredOnRequest | None:
        token, created_at, until, sealed_hash = self.requests.get(key, ("", "", "", None))
        return StoredOnRequest(self.summary(token, at), created_at, sealed_hash) if at < until else None

    def renew(self, token: str, until: str, network_transaction_id: str | None = None) -> None:
        self.faults.before("renew")
        card = self.cards.get(token)
        if card and card.until <= until:
            first_id = card.network_transaction_id or network_transaction_id
            self.cards[token] = replace(card, until=until, network_transaction_id=first_id)

    def summary(self, token: str, at: str) -> CardSummary | None:
        card = self._card(token, at)
        return card.summary if card else None

    def find(self, token: str, at: str) -> HeldCard | None:
        card = self._card(token, at)
        return HeldCard(card.ciphertext, network_transaction_id=card.network_transaction_id) if card else None

    def _card(self, token: str, at: str) -> StoredCard | None:
        self.faults.before("read")
        card = self.cards.get(token)
        return card if card and at < card.until else None

    def erase(self, token: str, at: str) -> bool:
        self.faults.before("erase")
        return self.cards.pop(token, None) is not None


class FakeSealingKeys:
    """`SealingKeys` without keys: it issues public halves, and opens nothing."""

    def __init__(self) -> None:
        self.issued: dict[str, SealingKey] = {}
        self.ended: set[str] = set()
        self.faults = Faults()

    def issue(self, payment_id: str, at: str) -> SealingKey:
        self.faults.before("issue")
        if payment_id in self.ended:
            raise SealingKeyUsed("The payment has ended.")
        kid, x, y = (secrets.token_urlsafe(32) for _ in range(3))
        return self.issued.setdefault(payment_id, SealingKey(kid, x, y, EXPIRES_AT))

    def private_key(self, payment_id: str, kid: str, at: str) -> bytes:
        raise AssertionError("The cards of these tests are sealed to no single-use key.")


class FakeCustomerWaits:
    """`CustomerWaits` in dictionaries."""

    def __init__(self) -> None:
        self.waits: dict[str, CustomerWait] = {}
        self.task_tokens: dict[str, str] = {}
        self.ended: set[str] = set()
        """The payments that have ended, and so wait for nobody any more."""
        self.faults = Faults()

    def begin(self, payment_id: str, task_token: str, wait: CustomerWait) -> None:
        self.faults.before("begin")
        if payment_id in self.ended:
            raise LedgerConflict("The payment has ended.")
        self.waits[payment_id], self.task_tokens[payment_id] = wait, task_token
        self.faults.after("begin")

    def find(self, payment_id: str) -> CustomerWait | None:
        self.faults.before("find")
        return self.waits.get(payment_id)

    def task_token(self, payment_id: str) -> str | None:
        self.faults.before("task_token")
        return self.task_tokens.get(payment_id)

    def waiting(self) -> Iterator[str]:
        self.faults.before("waiting")
        yield from list(self.waits)

    def end(self, payment_id: str) -> None:
        self.faults.before("end")
        self.waits.pop(payment_id, None)
        self.task_tokens.pop(payment_id, None)
        self.faults.after("end")


class FakeHeldCards:
    """`HeldCards` in a dictionary, beside the waits for customers."""

    def __init__(self, customer_waits: FakeCustomerWaits | None = None) -> None:
        self.customer_waits = customer_waits or FakeCustomerWaits()
        self.cards: dict[str, HeldCard] = {}
        self.ended = self.customer_waits.ended
        self.keyless: set[str] = set()
        self.faults = Faults()

    def hold(self, payment_id: str, card: HeldCard, at: str) -> HeldCard:
        self.faults.before("hold")
        if payment_id in self.ended:
            raise LedgerConflict("The payment has ended.")
        held_card = self.cards.setdefault(payment_id, card)
        self.faults.after("hold")
        return held_card

    def find(self, payment_id: str) -> HeldCard | None:
        self.faults.before("find")
        return self.cards.get(payment_id)

    def erase(self, payment_id: str, at: str) -> None:
        self.faults.before("erase")
        self.cards.pop(payment_id, None)
        self.customer_waits.end(payment_id)
        self.ended.add(payment_id)
        self.faults.after("erase")

    def erase_key(self, payment_id: str) -> None:
        self.faults.before("erase_key")
        self.keyless.add(payment_id)


@dataclass
class Attempt:
    """An attempt as the velocity counter saw it."""

    started: datetime
    of: PaymentRequest | StoreRequest
    by: CardSummary
    admitted: bool = False


class FakeVelocityCounter:
    """`VelocityCounter` that remembers every attempt and every decline, by the payment's id, the start and, of an
    attempt, the card's fingerprint."""

    def __init__(self) -> None:
        self.attempts: dict[tuple[str, str, str], Attempt] = {}
        self.declines: dict[tuple[str, str], Payment | DeclinedCard] = {}
        self.faults = Faults()
        self._lock = Lock()

    def count(
        self,
        payment_id: str,
        payment: PaymentRequest | StoreRequest,
        card: CardSummary,
        started_at: str,
        admits: Callable[[int], bool],
    ) -> Velocity:
        self.faults.before("count")
        attempt = Attempt(datetime.fromisoformat(started_at), payment, card)
        with self._lock:
            return self._count(self.attempts.setdefault((payment_id, started_at, card.fingerprint), attempt), admits)

    def _count(self, attempt: Attempt, admits: Callable[[int], bool]) -> Velocity:
        begin = _floor(attempt.started - timedelta(hours=1), 1200)

        def cards(name: str) -> int:
            return len(
                {
                    each.by.fingerprint if each.admitted or name == "lookalike" else key
                    for key, each in self.attempts.items()
                    if each.started.timestamp() >= begin
                    and _is_same(name, (attempt.of, attempt.by), (each.of, each.by))
                }
            )

        def declines(name: str) -> int:
            return sum(
                _is_same(name, (attempt.of, attempt.by), (each, each.card))
                for each in self.declines.values()
                if each.card and datetime.fromisoformat(each.created_at).timestamp() >= begin
            )

        def since(window: timedelta) -> list[Attempt]:
            begin = _floor(attempt.started - window, 300)
            of_card = (each for each in self.attempts.values() if each.by.fingerprint == attempt.by.fingerprint)
            return [each for each in of_card if each.admitted and each.started.timestamp() >= begin]

        def amount(attempts: list[Attempt]) -> int:
            return sum(each.of.amount_minor for each in attempts if each.of.currency == attempt.of.currency)

        attempt.admitted = admits(cards("lookalike"))
        hour, day = (since(timedelta(hours=n)) if attempt.admitted else [attempt] for n in (1, 24))
        return Velocity(
            payments_1h=len(hour),
            payments_24h=len(day),
            amount_minor_1h=amount(hour),
            amount_minor_24h=amount(day),
            card_expiry_dates_1h=len({each.by.expiry for each in hour}),
            lookalike_cards_1h=cards("lookalike"),
            reference_cards_1h=cards("reference"),
            reference_declines_1h=declines("reference"),
            bin_cards_1h=cards("bin"),
            bin_declines_1h=declines("bin"),
            caller_cards_1h=cards("caller"),
            caller_declines_1h=declines("caller"),
        )

    def count_decline(self, declined: Payment | DeclinedCard) -> None:
        self.faults.before("count_decline")
        self.declines[declined.payment_id, declined.created_at] = declined


def _floor(at: datetime, seconds: int) -> float:
    return at.timestamp() // seconds * seconds


def _is_same(
    name: str,
    one: tuple[PaymentRequest | StoreRequest, CardSummary],
    other: tuple[PaymentRequest | StoreRequest | Payment | DeclinedCard, CardSummary],
) -> bool:
    """Whether both have the same reference, BIN, caller, or first six and last four digits. A missing value matches
    nothing."""

    def value(of: PaymentRequest | StoreRequest | Payment | DeclinedCard, by: CardSummary) -> object:
        return {
            "reference": of.merchant_reference,
            "caller": of.caller,
            "bin": by.bin,
            "lookalike": (by.bin, by.last4),
        }[name]

    return value(*one) is not None and value(*one) == value(*other)


class FakeExecutions:
    """`Executions` from a dictionary. If `error` is set, it is raised instead of an answer."""

    def __init__(self, **executions: Execution) -> None:
        self.executions = executions
        self.page_size = 1000
        self.resumed: list[str] = []
        """The task tokens of the executions that were resumed."""
        self.error: PaymentError | None = None

    def find(self, name: str) -> Execution | None:
        if self.error:
            raise self.error
        return self.executions.get(name)

    def page(self, token: str | None, status: str | None = None) -> tuple[list[ExecutionSummary], str | None]:
        if self.error:
            raise self.error
        summaries = [
            ExecutionSummary(name, _status(execution), execution.started_at, execution.stopped_at)
            for name, execution in self.executions.items()
            if status in (None, _status(execution))
        ]
        summaries.sort(key=lambda each: each.stopped_at or each.started_at, reverse=True)
        start = int(token or 0)
        end = start + self.page_size
        return summaries[start:end], str(end) if end < len(summaries) else None

    def resume(self, task_token: str) -> None:
        if self.error:
            raise self.error
        self.resumed.append(task_token)


def _status(execution: Execution) -> str:
    if execution.running:
        return "RUNNING"
    return {None: "SUCCEEDED", "States.Timeout": "TIMED_OUT", "Stopped": "ABORTED"}.get(execution.error, "FAILED")


class FakeStateMachine:
    """`StateMachine` that records the requests by the executions' names."""

    def __init__(self) -> None:
        self.started: dict[str, dict[str, Any]] = {}

    def start(self, name: str, request: Mapping[str, Any]) -> bool:
        is_new = name not in self.started
        self.started.setdefault(name, dict(request))
        return is_new


class FakeEventReader:
    """`EventReader` of the events by their bodies. Any other body is forged."""

    def __init__(self) -> None:
        self.events: dict[bytes, GatewayEvent | None] = {}
        self.headers: Mapping[str, str] = {}
        self.error: PaymentError | None = None

    def read(self, headers: Mapping[str, str], body: bytes, now: str) -> GatewayEvent | None:
        if self.error:
            raise self.error
        self.headers = headers
        if body not in self.events:
            raise InvalidEvent("It is not signed.")
        return self.events[body]


class FakeEvents:
    """`Events` in a list, in which each place is `("#", its index)`."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.faults = Faults()

    def read(self, places: Collection[tuple[str, str]]) -> list[Event]:
        self.faults.before("read")
        return [self.events[int(index)] for _, index in places if int(index) < len(self.events)]

    def before(self, event: Event, after: str) -> Iterator[Event]:
        self.faults.before("before")
        of_subject = [each for each in self.events if each.subject == event.subject]
        earlier = [each for each in of_subject if after < each.sequence < event.sequence]
        return iter(sorted(earlier, key=attrgetter("sequence")))


class FakeEventBus:
    """`EventBus` in a list."""

    def __init__(self) -> None:
        self.published: list[Event] = []
        self.faults = Faults()

    def publish(self, events: Sequence[Event]) -> None:
        self.faults.before("publish")
        self.published += events
        self.faults.after("publish")


class FakeDeliveries:
    """`Deliveries` in a dictionary."""

    def __init__(self) -> None:
        self.accepted: dict[tuple[str, str], str] = {}
        self.faults = Faults()

    def last(self, endpoint: str, event: Event) -> str:
        self.faults.before("last")
        return self.accepted.get((endpoint, event.subject), "")

    def delivered(self, endpoint: str, event: Event, at: str) -> None:
        self.faults.before("delivered")
        self.accepted[endpoint, event.subject] = max(self.accepted.get((endpoint, event.subject), ""), event.sequence)


class FakeWebhook:
    """`Webhook` with a list of what the endpoint has accepted. `answers` are the errors, if any, of its next posts."""

    def __init__(self) -> None:
        self.accepted: list[Event] = []
        self.answers: list[Exception | None] = []

    def post(self, event: Event, now: str) -> None:
        if self.answers and (error := self.answers.pop(0)):
            raise error
        self.accepted.append(event)


class FakeDeliveryQueue:
    """`DeliveryQueue` with lists of its calls. It refuses what SQS would refuse at the last moment that the message is
    the caller's: once its queue's own visibility timeout (terraform/sqs.tf) has passed since it was received."""

    VISIBILITY_SECONDS = 180

    def __init__(self) -> None:
        self.postponed: list[tuple[str, int]] = []
        self.dead_letters: list[str] = []
        self.faults = Faults()

    def postpone(self, receipt: str, seconds: int) -> None:
        self.faults.before("postpone")
        if self.VISIBILITY_SECONDS + seconds > VISIBILITY["at_most_seconds_since_receive"]:
            raise QueueUnavailable(f"SQS: {VISIBILITY['code']}")
        self.postponed.append((receipt, seconds))

    def set_aside(self, message: str) -> None:
        self.dead_letters.append(message)


@dataclass
class FakeWebhookEndpoint:
    """`WebhookEndpoint` that wants every event, unless `types` says otherwise."""

    name: str = "shop"
    types: Collection[str] = EVENT_TYPES
    webhook: FakeWebhook = field(default_factory=FakeWebhook)
    queue: FakeDeliveryQueue = field(default_factory=FakeDeliveryQueue)


class FakeEventQueue:
    """`EventQueue` in a list."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, GatewayEvent]] = []
        self.error: PaymentError | None = None

    def send(self, gateway: str, event: GatewayEvent) -> None:
        if self.error:
            raise self.error
        self.sent.append((gateway, event))


class FakeAttendance:
    """`Attendance` in a set."""

    def __init__(self) -> None:
        self.attended: set[tuple[str, str]] = set()
        self.until: str | None = None
        self.faults = Faults()

    def attend(self, machine: str, name: str, at: str) -> None:
        self.faults.before("attend")
        self.attended.add((machine, name))

    def unattended(self, machine: str, names: Collection[str]) -> set[str]:
        return {name for name in names if (machine, name) not in self.attended}

    def checked_until(self) -> str | None:
        return self.until

    def check_until(self, moment: str) -> None:
        self.until = moment


LEDGER_DOWN = LedgerUnavailable("The ledger is down.")

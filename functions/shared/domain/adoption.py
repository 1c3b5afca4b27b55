"""The charge as the gateway shows it is evidence, whoever caused a movement: the books adopt what they don't know yet.

Merchants capture, void and refund in their gateway's dashboard, authorizations expire there, refunds fail days later.
Each such movement becomes an operation of its own, with `source` `gateway`, and is posted to the journal. So is what a
dispute moves.

A snapshot of a charge may be older than the record. A movement missing from the snapshot is therefore never undone, and
the later of two states wins: an authorization is captured or voided, a capture may be voided, a refund is pending,
then succeeds, then fails, and a dispute is open, then lost, then won. Adopting the same snapshot twice, or an older one
after a newer one, thus changes nothing.

What one look shows of a charge with very many new movements is adopted in several writes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from functions.shared.domain.charge import Charge, Refund, RefundStatus
from functions.shared.domain.dispute import Dispute
from functions.shared.domain.errors import GatewayMismatch
from functions.shared.domain.hashed_name import hashed_name
from functions.shared.domain.ledger import (
    EntryKind,
    JournalEntry,
    PostedEntry,
    capture_entry,
    clear_suspense,
    dispute_entry,
    dispute_lost_entry,
    entries_in_effect,
    refund_entry,
)
from functions.shared.domain.operation import Operation, OperationType
from functions.shared.domain.payment import Payment

ADOPTABLE_STATUSES = frozenset({"authorized", "captured", "partially_refunded", "refunded"})
"""The statuses in which a charge may still move. A payment in doubt needs evidence of its outcome first."""

MAX_STEPS = 12
"""An adoption ends after this many steps, and the next one goes on. A transaction writes at most 100 items
(TransactWriteItems, API reference), and a step at most seven: an operation, and two entries with two postings each."""

_STEPS: tuple[RefundStatus | None, ...] = (None, "pending", "succeeded", "failed")


def adopted_id(type: OperationType, gateway_id: str) -> str:
    """The id of an operation that nobody requested from us, derived from the gateway's id and so always the same."""
    return f"gateway-{hashed_name(f'{type} {gateway_id}')}"


def adopt(
    payment: Payment, journal: Iterable[PostedEntry], charge: Charge, now: str, *, settling: str | None = None
) -> tuple[Payment, tuple[PostedEntry, ...]]:
    """Return the payment, in the same version, with the movements that its charge shows, and the entries to add.

    `journal` holds the entries posted before. An open operation of ours ends if the charge shows that it was done, or
    that it can no longer be done. After MAX_STEPS, the other movements are left to the next call; the refund by the
    operation `settling` is never among them. Raises GatewayMismatch for a charge that can't be the payment's.
    """
    if payment.status not in ADOPTABLE_STATUSES:
        return payment, ()
    if charge.charge_id != payment.charge_id or not charge.is_for(
        payment.payment_id, payment.amount_minor, payment.currency
    ):
        raise GatewayMismatch("The gateway shows another charge than the payment's.")
    adoption = _Adoption(payment, charge, now, tuple(journal))
    if payment.status == "authorized" and charge.captured_minor:
        adoption.capture()
    for refund in sorted(charge.refunds, key=lambda refund: refund.reference != settling):
        if adoption.has_room:
            adoption.refund(refund)
    for dispute in charge.disputes:
        if adoption.has_room:
            adoption.dispute(dispute)
    if charge.status == "voided" and adoption.has_room:
        adoption.void()
    adoption.check()
    adopted = adoption.payment
    expires_at = charge.expires_at if adopted.status == "authorized" else None
    return replace(adopted, version=payment.version, expires_at=expires_at), adoption.posted


def adopt_undone(
    payment: Payment, journal: Iterable[PostedEntry], undoing: Operation, charge: Charge, now: str
) -> tuple[Payment, tuple[PostedEntry, ...]]:
    """Adopt a second charge of the payment, which exists only to be undone, and return the same as `adopt`.

    The operation that undoes the charge succeeds once the charge is undone, and is pending while the gateway shows its
    refund. Raises GatewayMismatch for any other charge.
    """
    if charge.charge_id != undoing.charge_id:
        raise GatewayMismatch("The gateway shows another charge than the one to be undone.")
    if not undoing.is_open:
        return payment, ()
    adoption = _Adoption(payment, charge, now, tuple(journal))
    if charge.is_undone:
        adoption.complete_undoing(undoing)
    elif charge.refund(undoing.operation_id):
        adoption.pend(undoing)
    return replace(adoption.payment, version=payment.version), adoption.posted


@dataclass(slots=True)
class _Adoption:
    """A payment on its way to what its charge shows."""

    payment: Payment
    charge: Charge
    now: str
    journal: tuple[PostedEntry, ...]
    posted: tuple[PostedEntry, ...] = ()
    steps: int = 0

    @property
    def has_room(self) -> bool:
        return self.steps < MAX_STEPS

    def capture(self) -> None:
        charge = self.charge
        operation = self._requested("capture", charge.captured_minor) or self._adopted_operation(
            "capture", charge.charge_id, charge.captured_minor, charge.captured_at or self.now
        )
        self._reject_other_operations(operation)
        entry = capture_entry(charge.gateway, charge.captured_minor, charge.currency, operation.operation_id)
        self._settle(operation, entry)

    def void(self) -> None:
        payment, charge = self.payment, self.charge
        amount_minor = payment.captured_minor or payment.amount_minor or 0
        operation = self._requested("void", amount_minor) or self._adopted_operation(
            "void", charge.charge_id, amount_minor, self.now
        )
        self._reject_other_operations(operation)
        # The gateway has reversed the capture as well, if there was one. That of a second charge is undone by itself.
        captured = [
            posted
            for posted in entries_in_effect(self.journal)
            if posted.entry.kind == "capture" and posted.entry.source not in payment.other_charges
        ]
        self._settle(
            operation,
            *(posted.entry.reverse(posted.number, source=operation.operation_id) for posted in captured),
        )
        self.payment = replace(self.payment, captured_minor=0, error=charge.void_reason)

    def refund(self, refund: Refund) -> None:
        operation = self.payment.operation(refund.reference or "")
        if operation is None or (operation.type, operation.amount_minor) != ("refund", refund.amount_minor):
            if operation and operation.is_open:
                # A refund with our reference but another amount or type is not the one we requested.
                self._reject(operation, GatewayMismatch.code())
            operation = self.payment.operation(adopted_id("refund", refund.refund_id)) or self._adopted_operation(
                "refund", refund.refund_id, refund.amount_minor, refund.created_at
            )
        if _STEPS.index(refund.status) <= _STEPS.index(_step(operation)):
            return
        charge = self.charge
        match refund.status:
            case "pending":
                self.pend(operation)
            case "succeeded":
                entry = refund_entry(charge.gateway, refund.amount_minor, charge.currency, operation.operation_id)
                self._settle(operation, entry)
            case "failed" if operation.status == "succeeded":
                (refunded,) = (
                    posted
                    for posted in entries_in_effect(self.journal)
                    if (posted.entry.kind, posted.entry.source) == ("refund", operation.operation_id)
                )
                reversal = refunded.entry.reverse(refunded.number, "refund_failed")
                self._post(self.payment.fail_refund(operation, self.now), [reversal])
            case "failed":
                self._reject(operation, "refund_failed")

    def dispute(self, dispute: Dispute) -> None:
        recorded, charge = self.payment.dispute(dispute.dispute_id), self.charge
        if recorded and recorded.amount_minor != dispute.amount_minor:
            raise GatewayMismatch("The gateway shows another disputed amount than it did.")
        if not dispute.is_later_than(recorded):
            return
        moved = charge.gateway, dispute.amount_minor, charge.currency, dispute.dispute_id
        if recorded is None:
            opened = replace(dispute, status="open", ended_at=None)
            self._post(self.payment.with_dispute(opened, self.now), [dispute_entry(*moved)])
        if dispute.status == "open":
            return
        ended = self.payment.with_dispute(replace(dispute, ended_at=dispute.ended_at or self.now), self.now)
        if dispute.status == "lost":
            self._post(ended, [dispute_lost_entry(*moved)])
            return
        # Whatever stands of it is undone, and of one that was lost before, the loss too.
        kinds: dict[EntryKind, EntryKind] = {"dispute": "dispute_won", "dispute_lost": "reversal"}
        self._post(
            ended,
            [
                posted.entry.reverse(posted.number, kinds[posted.entry.kind])
                for posted in entries_in_effect(self.journal)
                if posted.entry.kind in kinds and posted.entry.source == dispute.dispute_id
            ],
        )

    def pend(self, operation: Operation) -> None:
        pending = self.payment.end(operation, "processing", None, self.now, pending=True)
        self._post(pending, clear_suspense(self.journal, operation.operation_id))

    def complete_undoing(self, operation: Operation) -> None:
        charge, entries = self.charge, list[JournalEntry]()
        if operation.type == "refund":
            amount_minor = operation.amount_minor or 0
            entries.append(refund_entry(charge.gateway, amount_minor, charge.currency, operation.operation_id))
        self._settle(operation, *entries)

    def check(self) -> None:
        """Raise GatewayMismatch if the movements don't add up to the charge's own amounts."""
        payment, charge = self.payment, self.charge
        if payment.captured_minor and charge.captured_minor not in (0, payment.captured_minor):
            raise GatewayMismatch("The gateway shows another captured amount than it did.")
        if not 0 <= payment.refunded_minor <= payment.captured_minor:
            raise GatewayMismatch("The gateway shows more refunds than it captured.")
        if payment.disputed_minor > payment.captured_minor:
            raise GatewayMismatch("The gateway shows more disputed than it captured.")

    def _requested(self, type: OperationType, amount_minor: int) -> Operation | None:
        """Our open operation of this type and amount, if there is one."""
        requested = (type, amount_minor, True)
        operations = (operation for operation in self.payment.operations if operation.charge_id is None)
        return next(
            (
                operation
                for operation in operations
                if (operation.type, operation.amount_minor, operation.is_open) == requested
            ),
            None,
        )

    def _adopted_operation(self, type: OperationType, gateway_id: str, amount_minor: int, at: str) -> Operation:
        return Operation(
            operation_id=adopted_id(type, gateway_id),
            type=type,
            amount_minor=amount_minor,
            status="processing",
            error=None,
            created_at=at,
            updated_at=self.now,
            source="gateway",
        )

    def _reject_other_operations(self, completed: Operation) -> None:
        """Reject the other open operations: a charge is captured or voided only once, and not refunded once voided."""
        for operation in self.payment.operations:
            if operation.is_open and operation.charge_id is None and operation.operation_id != completed.operation_id:
                self._reject(operation, "invalid_state")

    def _reject(self, operation: Operation, error: str) -> None:
        rejected = self.payment.end(operation, "rejected", error, self.now)
        self._post(rejected, clear_suspense(self.journal, operation.operation_id))

    def _settle(self, operation: Operation, *entries: JournalEntry) -> None:
        suspense = clear_suspense(self.journal, operation.operation_id)
        self._post(self.payment.settle(operation, self.now), [*suspense, *entries])

    def _post(self, payment: Payment, entries: Sequence[JournalEntry]) -> None:
        self.payment, posted = payment.post(*entries)
        self.journal += posted
        self.posted += posted
        self.steps += 1


def _step(operation: Operation) -> RefundStatus | None:
    """The refund's recorded progress. A refund rejected for any reason but `refund_failed` was never made."""
    if operation.error == "refund_failed":
        return "failed"
    if operation.status == "succeeded":
        return "succeeded"
    return "pending" if operation.pending else None

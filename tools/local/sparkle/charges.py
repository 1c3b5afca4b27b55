"""The bank's books: every charge ever made, in memory, and the operations on charges.

Amounts are integers in the currency's ISO 4217 minor unit. The books keep a card's brand and last four digits, not its
number.
"""

import json
import re
import secrets
import string
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from iso4217 import Currency

from functions.shared.domain.times import end_of_day, iso
from tools.local.sandbox.challenge import Challenge, amount_for_people
from tools.local.sparkle.errors import (
    AmountExceedsAuthorized,
    AmountExceedsCaptured,
    ChargeDisputed,
    ChargeNotFound,
    InvalidRequest,
    InvalidState,
    ReferenceAlreadyCharged,
    ReferenceReversed,
    RefundNotFound,
    RefundReferenceUsed,
)
from tools.local.sparkle.settlements import SettlementLine

# Sparkle counts these in hundredths, though no one can pay fractions of their main unit: docs/sparkle.yaml.
_IN_HUNDREDTHS = ("ISK", "UGX")

Clock = Callable[[], datetime]
Event = dict[str, Any]

_AUTHORIZED_FOR = timedelta(days=7)
DISPUTE_FEE_MINOR = 1500
"""Whatever the currency; 15 whole units where these are counted in hundredths."""

_TEST_CARDS: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parents[3] / "functions" / "shared" / "contracts" / "test_cards.json").read_text()
)


_WRONG_SECURITY_CODES = ("000", "0000")


def utc_now() -> datetime:
    """Return the current time, timezone-aware, in UTC."""
    return datetime.now(UTC)


_AUTHENTICATED = {"result": "authenticated", "version": "2.2.0", "liability_shift": True}
_FAILED = {"result": "failed", "version": "2.2.0", "liability_shift": False}
_EXEMPT = {"result": "exempt", "version": None, "liability_shift": False}


@dataclass(frozen=True, slots=True)
class Card:
    """What the bank keeps of a card, without its number and security code. `decline_code` is None if the bank approves
    its charges; with `wants_authentication`, the bank wants the customer to be authenticated first."""

    brand: str | None
    last4: str
    decline_code: str | None
    wants_authentication: bool = False

    @classmethod
    def from_number(cls, number: str, security_code: str | None = None) -> "Card":
        """Look up a card: a published test card gets its documented result, and any other card is approved, unless its
        security code has only zeros.

        Raises InvalidRequest (`invalid_card_number`) if the number fails the Luhn check.
        """
        if not _passes_luhn(number):
            raise InvalidRequest("card.number is not a card number.", reason="invalid_card_number")
        test_card = _TEST_CARDS.get(number, {})
        wrong_code = "incorrect_cvc" if security_code in _WRONG_SECURITY_CODES else None
        wants_authentication = test_card.get("outcome") == "challenged"
        return cls(
            test_card.get("brand"), number[-4:], test_card.get("decline_code") or wrong_code, wants_authentication
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """What remains to be done with a charge once its customer is authenticated, and where the customer is sent then."""

    card: Card
    capture: bool
    approved_minor: int
    return_url: str | None


@dataclass(frozen=True, slots=True)
class ChargeRefund:
    """A refund as its charge lists it. `refund_reference` is the caller's own name for it, or None."""

    id: str
    refund_reference: str | None
    status: str
    amount_minor: int
    created_at: str


@dataclass(frozen=True, slots=True)
class ChargeDispute:
    """A dispute as its charge lists it. While it is `open`, and once it is `lost`, the amount is not the caller's."""

    id: str
    status: str
    amount_minor: int
    reason: str
    opened_at: str
    ended_at: str | None


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge at one moment, with the API's fields. A change creates a new value.

    `expires_at` is when an authorization ends if it is not captured; then `void_reason` is `expired`.
    """

    id: str
    reference: str
    status: str
    amount_minor: int
    currency: str
    captured_minor: int
    refunded_minor: int
    refunds: tuple[ChargeRefund, ...]
    disputed_minor: int
    disputes: tuple[ChargeDispute, ...]
    fee_minor: int | None
    card_brand: str | None
    card_last4: str
    decline_code: str | None
    void_reason: str | None
    created_at: str
    captured_at: str | None
    expires_at: str | None
    network_transaction_id: str | None
    stored_credential: Mapping[str, str] | None
    next_action: Mapping[str, str] | None
    authentication: Mapping[str, Any] | None

    @property
    def unrefunded_minor(self) -> int:
        """The captured amount less all refunds that have not failed."""
        return self.captured_minor - sum(each.amount_minor for each in self.refunds if each.status != "failed")

    @property
    def refundable_minor(self) -> int:
        """The amount that can still be refunded: what is neither refunded nor disputed."""
        return self.unrefunded_minor - self.disputed_minor

    def with_dispute(self, dispute: ChargeDispute) -> "Charge":
        """Return the charge with the dispute added or replaced."""
        disputes = {each.id: each for each in self.disputes} | {dispute.id: dispute}
        disputed_minor = sum(each.amount_minor for each in disputes.values() if each.status != "won")
        return replace(self, disputes=tuple(disputes.values()), disputed_minor=disputed_minor)

    def with_refund(self, refund: ChargeRefund) -> "Charge":
        """Return the charge with the refund added or replaced. Only refunds that succeeded count as refunded."""
        refunds = {each.id: each for each in self.refunds} | {refund.id: refund}
        refunded_minor = sum(each.amount_minor for each in refunds.values() if each.status == "succeeded")
        status = {0: "captured", self.captured_minor: "refunded"}.get(refunded_minor, "partially_refunded")
        return replace(self, refunds=tuple(refunds.values()), refunded_minor=refunded_minor, status=status)


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund as the API shows it by itself. `charge` is the refunded charge, with this refund."""

    id: str
    charge_id: str
    reference: str
    refund_reference: str | None
    status: str
    amount_minor: int
    currency: str
    created_at: str
    charge: Charge

    @classmethod
    def of(cls, charge: Charge, refund: ChargeRefund) -> "Refund":
        return cls(
            id=refund.id,
            charge_id=charge.id,
            reference=charge.reference,
            refund_reference=refund.refund_reference,
            status=refund.status,
            amount_minor=refund.amount_minor,
            currency=charge.currency,
            created_at=refund.created_at,
            charge=charge,
        )


@dataclass(frozen=True, slots=True)
class Verification:
    """The answer to the question whether a card is good, with the API's fields. No money is held or moved."""

    id: str
    reference: str
    status: str
    card_brand: str | None
    card_last4: str
    decline_code: str | None
    network_transaction_id: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class Reversal:
    """The result of a timeout reversal; `charge` is None if the reference had no charge."""

    reference: str
    result: str
    charge: Charge | None


@dataclass(slots=True)
class ChargeBook:
    """Charges by id and by reference, refunds, reversals, and settlement lines by day. Safe to share between threads.

    A captured charge settles when its UTC day ends: until then a reversal voids it, and afterwards it refunds it. An
    authorization expires after seven days. The books' time is the clock's, shifted by `offset`.
    """

    clock: Clock = utc_now
    offset: timedelta = timedelta()
    report: Callable[[Event], object] | None = None
    """Is given each event, as `docs/sparkle.yaml` describes it, while the books are locked."""
    _charges: dict[str, Charge] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)
    _attempts: dict[str, Attempt] = field(default_factory=dict)
    """The attempts that a customer was asked about, by the id of the charge."""
    _refunded: dict[str, str] = field(default_factory=dict)
    """Maps a refund's id to the id of its charge."""
    _reversals: dict[str, str] = field(default_factory=dict)
    _lines: defaultdict[str, dict[tuple[str, str], SettlementLine]] = field(default_factory=lambda: defaultdict(dict))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def charge(
        self,
        reference: str,
        amount_minor: int,
        currency: str,
        card: Card,
        capture: bool = True,
        *,
        partially: bool = False,
        stored_credential: Mapping[str, str] | None = None,
        three_d_secure: str = "automatic",
        exemption: str | None = None,
        return_url: str | None = None,
        challenges: str = "",
    ) -> Charge:
        """Charge a card, or only authorize the amount. A declined charge is recorded too, with the status `declined`.

        With `partially`, the bank approves half of the amount, so only half is captured or authorized. A charge whose
        customer has to be authenticated first is `action_required`; `challenges` is the URL of the challenges' page,
        without the charge's id.

        Raises ReferenceReversed, ReferenceAlreadyCharged.
        """
        with self._lock:
            if reference in self._reversals:
                raise ReferenceReversed
            if reference in self._ids:
                raise ReferenceAlreadyCharged
            approved_minor = max(1, amount_minor // 2) if partially else amount_minor
            charge = Charge(
                id=_new_id("ch"),
                reference=reference,
                status="action_required",
                amount_minor=amount_minor if capture else approved_minor,
                currency=currency,
                captured_minor=0,
                refunded_minor=0,
                refunds=(),
                disputed_minor=0,
                disputes=(),
                fee_minor=None,
                card_brand=card.brand,
                card_last4=card.last4,
                decline_code=None,
                void_reason=None,
                created_at=self.now(),
                captured_at=None,
                expires_at=None,
                network_transaction_id=None,
                stored_credential=stored_credential,
                next_action=None,
                authentication=_EXEMPT if exemption else None,
            )
            self._ids[reference] = charge.id
            attempt = Attempt(card, capture, approved_minor, return_url)
            # A customer who is absent can't be authenticated, and need not be.
            is_present = stored_credential is None or stored_credential["initiator"] == "customer"
            if not is_present or not (card.wants_authentication or three_d_secure == "required"):
                return self._attempt(charge, attempt)
            charge = replace(charge, authentication=None)
            if three_d_secure == "none":
                return self._decline(charge, "authentication_required")
            self._attempts[charge.id] = attempt
            return self._put(replace(charge, next_action={"redirect_url": challenges + charge.id}))

    def challenge(self, charge_id: str) -> Challenge | None:
        """Find the challenge of a charge's customer, open or answered."""
        with self._lock:
            if charge_id not in self._attempts:
                return None
            charge, return_url = self.get(charge_id), self._attempts[charge_id].return_url
            amount = amount_for_people(charge.amount_minor, charge.currency)
            return Challenge(amount, charge.card_last4, return_url, charge.status == "action_required")

    def end_challenge(self, charge_id: str, *, passed: bool) -> Charge:
        """Let the customer pass or fail the challenge. Raises ChargeNotFound, InvalidState."""
        with self._lock:
            charge = self.get(charge_id)
            if charge.status != "action_required":
                raise InvalidState(f"A charge that is {charge.status} waits for no customer.")
            if not passed:
                return self._decline(replace(charge, authentication=_FAILED), "authentication_failed")
            return self._attempt(replace(charge, authentication=_AUTHENTICATED), self._attempts[charge_id])

    def cancel_authentication(self, charge_id: str) -> Charge:
        """Decline a charge that waits for its customer, and return the charge as it is now. Raises ChargeNotFound."""
        with self._lock:
            charge = self.get(charge_id)
            if charge.status != "action_required":
                return charge
            return self._decline(charge, "authentication_expired")

    def _attempt(self, charge: Charge, attempt: Attempt) -> Charge:
        """Ask the bank for the money."""
        if attempt.card.decline_code:
            return self._decline(charge, attempt.card.decline_code)
        authorized = replace(
            charge,
            status="authorized",
            expires_at=None if attempt.capture else self.now(_AUTHORIZED_FOR),
            network_transaction_id=self._network_transaction_id(charge.card_brand),
            next_action=None,
        )
        if not attempt.capture:
            return self._put(authorized, "charge.authorized")
        self._put(authorized)
        return self.capture(charge.id, attempt.approved_minor)

    def _decline(self, charge: Charge, decline_code: str) -> Charge:
        declined = replace(charge, status="declined", decline_code=decline_code, next_action=None)
        return self._put(declined, "charge.declined")

    def verify(self, reference: str, card: Card) -> Verification:
        """Ask whether the card is good. The book forgets the answer, as no money depends on it."""
        return Verification(
            id=_new_id("ve"),
            reference=reference,
            status="declined" if card.decline_code else "verified",
            card_brand=card.brand,
            card_last4=card.last4,
            decline_code=card.decline_code,
            network_transaction_id=None if card.decline_code else self._network_transaction_id(card.brand),
            created_at=self.now(),
        )

    def get(self, charge_id: str) -> Charge:
        """Get the charge with this id. Raises ChargeNotFound."""
        with self._lock:
            if charge_id not in self._charges:
                raise ChargeNotFound
            charge = self._charges[charge_id]
            if charge.status == "authorized" and charge.expires_at and charge.expires_at <= self.now():
                return self.expire(charge_id)
            return charge

    def find(self, reference: str) -> Charge | None:
        """Find the charge, even a declined one, with the caller's reference."""
        with self._lock:
            charge_id = self._ids.get(reference)
            return self.get(charge_id) if charge_id else None

    def forget(self, reference: str) -> None:
        """Forget which charge and reversal belong to this reference, as gateways do after a while.

        The charge still exists, its money stays moved, and it can be found by its own id.
        """
        with self._lock:
            self._ids.pop(reference, None)
            self._reversals.pop(reference, None)

    def all(self) -> list[Charge]:
        """Return all charges, the oldest first."""
        with self._lock:
            return [self.get(charge_id) for charge_id in self._charges]

    def capture(self, charge_id: str, amount_minor: int | None = None) -> Charge:
        """Capture the authorized amount or a part of it, which is possible only once, and release the rest.

        Raises ChargeNotFound, InvalidState, AmountExceedsAuthorized.
        """
        with self._lock:
            charge = self.get(charge_id)
            if charge.status != "authorized":
                raise InvalidState(f"A charge that is {charge.status} can't be captured.")
            captured_minor = charge.amount_minor if amount_minor is None else amount_minor
            if captured_minor > charge.amount_minor:
                raise AmountExceedsAuthorized
            now, fee_minor = self.now(), _fee(captured_minor, charge.currency)
            self._add_line("charge", charge, captured_minor, now, fee_minor=fee_minor)
            captured = replace(
                charge, status="captured", captured_minor=captured_minor, fee_minor=fee_minor, captured_at=now
            )
            return self._put(captured, "charge.captured")

    def void(self, charge_id: str) -> Charge:
        """Release an authorization that was not captured. Raises ChargeNotFound, InvalidState."""
        with self._lock:
            charge = self.get(charge_id)
            if charge.status != "authorized":
                raise InvalidState(f"A charge that is {charge.status} can't be voided.")
            return self._put(replace(charge, status="voided"), "charge.voided")

    def expire(self, charge_id: str) -> Charge:
        """Release an authorization that was not captured in time. Raises ChargeNotFound, InvalidState."""
        with self._lock:
            charge = self._charges.get(charge_id)
            if charge is None:
                raise ChargeNotFound
            if charge.status != "authorized":
                raise InvalidState(f"A charge that is {charge.status} can't expire.")
            return self._put(replace(charge, status="voided", void_reason="expired"), "charge.expired")

    def refund(
        self,
        charge_id: str,
        amount_minor: int | None = None,
        refund_reference: str | None = None,
        *,
        status: str = "succeeded",
    ) -> Refund:
        """Refund the rest of the captured amount, or a part of it. The fee is not refunded.

        With the status `pending` it stays so until `succeed_refund` or `fail_refund`; with `failed` it fails at once.

        Raises ChargeNotFound, RefundReferenceUsed, InvalidState, ChargeDisputed, AmountExceedsCaptured.
        """
        with self._lock:
            charge = self.get(charge_id)
            if refund_reference is not None and self.refunds(charge_id, refund_reference):
                raise RefundReferenceUsed
            if charge.status not in ("captured", "partially_refunded", "refunded"):
                raise InvalidState(f"A charge that is {charge.status} can't be refunded.")
            refund_minor = charge.refundable_minor if amount_minor is None else amount_minor
            if not 0 < refund_minor <= charge.refundable_minor:
                is_disputed = charge.disputed_minor and max(1, refund_minor) <= charge.unrefunded_minor
                raise ChargeDisputed if is_disputed else AmountExceedsCaptured
            refund = ChargeRefund(_new_id("re"), refund_reference, status, refund_minor, created_at=self.now())
            self._refunded[refund.id] = charge.id
            return self._put_refund(charge, refund)

    def succeed_refund(self, refund_id: str) -> Refund:
        """Let a pending refund succeed: the money moves. Raises RefundNotFound, InvalidState."""
        return self._end_refund(refund_id, "succeeded", allowed=("pending",))

    def fail_refund(self, refund_id: str) -> Refund:
        """Let a refund fail, since the bank could not deliver the money: it no longer counts as refunded.

        Raises RefundNotFound, InvalidState.
        """
        return self._end_refund(refund_id, "failed", allowed=("pending", "succeeded"))

    def refunds(self, charge_id: str, refund_reference: str | None = None) -> list[Refund]:
        """Return a charge's refunds, oldest first, or only the one with this reference, each with the present charge.

        Raises ChargeNotFound.
        """
        with self._lock:
            charge = self.get(charge_id)
            matching = [each for each in charge.refunds if refund_reference in (None, each.refund_reference)]
            return [Refund.of(charge, refund) for refund in matching]

    def dispute(
        self, charge_id: str, outcome: str = "open", amount_minor: int | None = None, reason: str = "fraudulent"
    ) -> Charge:
        """Let the cardholder open a dispute, or the bank decide the oldest open one, which is opened first if there is
        none.

        Raises ChargeNotFound, InvalidState, AmountExceedsCaptured.
        """
        with self._lock:
            charge = self.get(charge_id)
            open_dispute = next((each for each in charge.disputes if each.status == "open"), None)
            if outcome == "open" or open_dispute is None:
                charge = self._open_dispute(charge, amount_minor, reason)
                open_dispute = charge.disputes[-1]
            return charge if outcome == "open" else self._end_dispute(charge, open_dispute, outcome)

    def _open_dispute(self, charge: Charge, amount_minor: int | None, reason: str) -> Charge:
        """Take back the rest of the captured amount, or a part of it."""
        if charge.status not in ("captured", "partially_refunded", "refunded"):
            raise InvalidState(f"A charge that is {charge.status} can't be disputed.")
        disputed_minor = charge.refundable_minor if amount_minor is None else amount_minor
        if not 0 < disputed_minor <= charge.refundable_minor:
            raise AmountExceedsCaptured
        dispute = ChargeDispute(_new_id("dp"), "open", disputed_minor, reason, self.now(), ended_at=None)
        charge = self._put(charge.with_dispute(dispute))
        self._add_line("dispute", charge, -disputed_minor, self.now(), fee_minor=DISPUTE_FEE_MINOR, dispute=dispute)
        self._report("dispute.opened", charge, dispute_id=dispute.id)
        return charge

    def _end_dispute(self, charge: Charge, dispute: ChargeDispute, outcome: str) -> Charge:
        """If the dispute is won, the money returns, and the fee does not."""
        ended = replace(dispute, status=outcome, ended_at=self.now())
        charge = self._put(charge.with_dispute(ended))
        if outcome == "won":
            self._add_line("dispute_reversal", charge, dispute.amount_minor, self.now(), dispute=ended)
        self._report(f"dispute.{outcome}", charge, dispute_id=dispute.id)
        return charge

    def reverse(self, reference: str) -> Reversal:
        """Ensure that a reference moves no money, now or later. A repeated reversal returns the same result.

        Raises ChargeDisputed while a dispute of the charge is open.
        """
        with self._lock:
            charge = self.find(reference)
            if reference not in self._reversals and charge and any(each.status == "open" for each in charge.disputes):
                raise ChargeDisputed
            if reference not in self._reversals:
                self._reversals[reference] = self._undo(charge)
            elif charge and charge.refundable_minor:
                # A refund has failed since the reversal.
                self.refund(charge.id)
            return Reversal(reference, self._reversals[reference], self.find(reference))

    def _network_transaction_id(self, brand: str | None) -> str:
        """Make up an id in the form of the card's network."""
        if brand == "mastercard":
            # A network code and six characters, and the day of the settlement.
            return "MCC" + secrets.token_hex(3).upper() + self.now()[5:10].replace("-", "")
        return "".join(secrets.choice(string.digits) for _ in range(15))

    def settlements(self, day: date) -> list[SettlementLine]:
        """Return the lines of one UTC day, in order. They may change until the day is over."""
        with self._lock:
            return list(self._lines.get(day.isoformat(), {}).values())

    def _undo(self, charge: Charge | None) -> str:
        if charge is None:
            return "tombstoned"
        if charge.status in ("declined", "action_required"):
            self.cancel_authentication(charge.id)
            return "declined"
        if charge.status in ("voided", "refunded"):
            return "already_reversed"
        if charge.status == "authorized":
            self.void(charge.id)
            return "voided"
        captured_on = _day(charge.captured_at or "")
        if not charge.disputes and charge.refundable_minor == charge.captured_minor and captured_on >= _day(self.now()):
            del self._lines[captured_on]["charge", charge.id]
            voided = replace(charge, status="voided", captured_minor=0, fee_minor=None, captured_at=None)
            self._put(voided, "charge.voided")
            return "voided"
        if charge.refundable_minor:
            self.refund(charge.id)
        return "refunded"

    def _end_refund(self, refund_id: str, status: str, allowed: Collection[str]) -> Refund:
        with self._lock:
            if refund_id not in self._refunded:
                raise RefundNotFound
            charge = self.get(self._refunded[refund_id])
            refund = next(each for each in charge.refunds if each.id == refund_id)
            if refund.status not in allowed:
                raise InvalidState(f"A refund that is {refund.status} can't be {status} any more.")
            return self._put_refund(charge, replace(refund, status=status), previous_status=refund.status)

    def _put_refund(self, charge: Charge, refund: ChargeRefund, previous_status: str | None = None) -> Refund:
        """Record the refund's status in its charge, and add a settlement line if money moved."""
        charge = self._put(charge.with_refund(refund))
        if refund.status == "succeeded":
            self._add_line("refund", charge, -refund.amount_minor, self.now(), refund=refund)
        elif previous_status == "succeeded":
            self._add_line("refund_failed", charge, refund.amount_minor, self.now(), refund=refund)
        if refund.status != "pending":
            self._report(f"refund.{refund.status}", charge, refund.id)
        return Refund.of(charge, refund)

    def _put(self, charge: Charge, event_type: str | None = None) -> Charge:
        self._charges[charge.id] = charge
        if event_type:
            self._report(event_type, charge)
        return charge

    def _report(self, type: str, charge: Charge, refund_id: str | None = None, dispute_id: str | None = None) -> None:
        if self.report is None:
            return
        self.report(
            {
                "id": _new_id("ev"),
                "type": type,
                "created_at": self.now(),
                "charge_id": charge.id,
                "charge_created_at": charge.created_at,
                "reference": charge.reference,
                "refund_id": refund_id,
                "dispute_id": dispute_id,
            }
        )

    def _add_line(
        self,
        kind: str,
        charge: Charge,
        amount_minor: int,
        moved_at: str,
        *,
        fee_minor: int = 0,
        refund: ChargeRefund | None = None,
        dispute: ChargeDispute | None = None,
    ) -> None:
        subject, day = refund or dispute or charge, _day(moved_at)
        self._lines[day][kind, subject.id] = SettlementLine(
            id=subject.id,
            charge_id=charge.id,
            reference=charge.reference,
            refund_reference=refund.refund_reference if refund else None,
            type=kind,
            amount_minor=amount_minor,
            fee_minor=fee_minor,
            currency=charge.currency,
            settled_at=end_of_day(day),
        )

    def now(self, later: timedelta = timedelta()) -> str:
        """Return the books' time plus `later` as the API shows it: RFC 3339, UTC, with milliseconds."""
        return iso(self.clock() + self.offset + later)


def check_currency(code: str) -> None:
    """Raise InvalidRequest (`unknown_currency`) unless this is an ISO 4217 currency that has a minor unit."""
    try:
        exponent = Currency(code).exponent
    except ValueError:
        exponent = None
    if exponent is None:
        raise InvalidRequest("currency is not an ISO 4217 currency with a minor unit.", reason="unknown_currency")


def check_amount(amount_minor: int | None, currency: str) -> None:
    """Raise InvalidRequest (`invalid_field`) unless the amount can be paid in this currency."""
    if amount_minor is not None and amount_minor % _smallest_unit(currency):
        raise InvalidRequest(f"amount_minor in {currency} must be whole hundreds.", reason="invalid_field")


def _new_id(kind: str) -> str:
    """Make an id without twelve digits in a row, so that it can't be mistaken for a card number."""
    names = iter(lambda: f"{kind}_{secrets.token_hex(12)}", "")
    return next(name for name in names if not re.search("[0-9]{12}", name))


def _day(timestamp: str) -> str:
    return timestamp[:10]


def _fee(captured_minor: int, currency: str) -> int:
    """Return 2.9 % of the captured amount, rounded half up."""
    smallest = _smallest_unit(currency)
    return (captured_minor * 29 + 500 * smallest) // (1000 * smallest) * smallest


def _smallest_unit(currency: str) -> int:
    """Return the smallest amount that can be paid, in minor units."""
    return 100 if currency in _IN_HUNDREDTHS else 1


def _passes_luhn(number: str) -> bool:
    doubled = str.maketrans("0123456789", "0246813579")
    return sum(map(int, number[-1::-2] + number[-2::-2].translate(doubled))) % 10 == 0

"""The bank's book: every charge there ever was, in memory, and what may be done to it.

Amounts are integers in the currency's ISO 4217 minor unit. Of a card, its brand and last four
digits are kept.
"""

import json
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from iso4217 import Currency

from local.sparkle.errors import (
    AmountExceedsAuthorized,
    AmountExceedsCaptured,
    ChargeNotFound,
    InvalidRequest,
    InvalidState,
    ReferenceAlreadyCharged,
    ReferenceReversed,
    RefundNotFound,
    RefundReferenceUsed,
)
from local.sparkle.settlements import SettlementLine

# Sparkle counts these in hundredths, which nobody can pay: docs/sparkle.yaml.
_IN_HUNDREDTHS = ("ISK", "UGX")

Clock = Callable[[], datetime]

_TEST_CARDS: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parents[2] / "functions" / "shared" / "contracts" / "test_cards.json").read_text()
)


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Card:
    """What the bank knows of a card once its number is forgotten. `decline_code` is None if it approves."""

    brand: str | None
    last4: str
    decline_code: str | None

    @classmethod
    def from_number(cls, number: str) -> "Card":
        """A published test card does what it is known for; any other that passes Luhn is approved.

        Raises InvalidRequest (`invalid_card_number`).
        """
        if not _passes_luhn(number):
            raise InvalidRequest("card.number is no card number.", reason="invalid_card_number")
        known = _TEST_CARDS.get(number, {})
        return cls(known.get("brand"), number[-4:], known.get("decline_code"))


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge as it is at one moment, in the shape that the API shows. A change makes a new value."""

    id: str
    reference: str
    status: str
    amount_minor: int
    currency: str
    captured_minor: int
    refunded_minor: int
    fee_minor: int | None
    card_brand: str | None
    card_last4: str
    decline_code: str | None
    created_at: str
    captured_at: str | None


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back. `refund_reference` is the caller's own name for it, and `charge` the charge right after it."""

    id: str
    charge_id: str
    reference: str
    refund_reference: str | None
    status: str
    amount_minor: int
    currency: str
    created_at: str
    charge: Charge


@dataclass(frozen=True, slots=True)
class Reversal:
    """What a timeout reversal came to; `charge` is None where there was nothing to undo."""

    reference: str
    result: str
    charge: Charge | None


@dataclass(slots=True)
class ChargeBook:
    """Charges by id and by reference, refunds, reversals, settlement lines by day. Safe to share between threads.

    A captured charge settles when its UTC day ends: until then a reversal voids it, after that it refunds it. The
    book's time is the clock's, shifted by `offset`.
    """

    clock: Clock = utc_now
    offset: timedelta = timedelta()
    _charges: dict[str, Charge] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)
    _refunds: dict[str, Refund] = field(default_factory=dict)
    _refund_ids: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _reversals: dict[str, str] = field(default_factory=dict)
    _lines: defaultdict[str, dict[tuple[str, str], SettlementLine]] = field(default_factory=lambda: defaultdict(dict))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def charge(self, reference: str, amount_minor: int, currency: str, card: Card, capture: bool = True) -> Charge:
        """Charge, or only authorize, a card. A decline is a charge too, with status `declined`.

        Raises ReferenceReversed, ReferenceAlreadyCharged.
        """
        with self._lock:
            if reference in self._reversals:
                raise ReferenceReversed
            if reference in self._ids:
                raise ReferenceAlreadyCharged
            charge = Charge(
                id=f"ch_{secrets.token_hex(12)}",
                reference=reference,
                status="declined" if card.decline_code else "authorized",
                amount_minor=amount_minor,
                currency=currency,
                captured_minor=0,
                refunded_minor=0,
                fee_minor=None,
                card_brand=card.brand,
                card_last4=card.last4,
                decline_code=card.decline_code,
                created_at=self.now(),
                captured_at=None,
            )
            self._ids[reference] = charge.id
            self._charges[charge.id] = charge
            return self.capture(charge.id) if capture and not card.decline_code else charge

    def get(self, charge_id: str) -> Charge:
        """The charge with this id. Raises ChargeNotFound."""
        with self._lock:
            if charge_id not in self._charges:
                raise ChargeNotFound
            return self._charges[charge_id]

    def find(self, reference: str) -> Charge | None:
        """The charge with the caller's own reference, declined ones included."""
        with self._lock:
            charge_id = self._ids.get(reference)
            return self._charges[charge_id] if charge_id else None

    def forget(self, reference: str) -> None:
        """Find nothing by this reference any more, as gateways do after a while: neither a charge nor a reversal.

        The charge stays, with its money, and is known by its own id.
        """
        with self._lock:
            self._ids.pop(reference, None)
            self._reversals.pop(reference, None)

    def all(self) -> list[Charge]:
        """Every charge, oldest first."""
        with self._lock:
            return list(self._charges.values())

    def capture(self, charge_id: str, amount_minor: int | None = None) -> Charge:
        """Take what was authorized, or less of it, once; the rest is released.

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
            return self._put(
                replace(
                    charge,
                    status="captured",
                    captured_minor=captured_minor,
                    fee_minor=fee_minor,
                    captured_at=now,
                )
            )

    def void(self, charge_id: str) -> Charge:
        """Release what was authorized and not captured. Raises ChargeNotFound, InvalidState."""
        with self._lock:
            charge = self.get(charge_id)
            if charge.status != "authorized":
                raise InvalidState(f"A charge that is {charge.status} can't be voided.")
            return self._put(replace(charge, status="voided"))

    def refund(self, charge_id: str, amount_minor: int | None = None, refund_reference: str | None = None) -> Refund:
        """Give back what is left of the captured amount, or a part of it. The fee is not given back.

        Raises ChargeNotFound, RefundReferenceUsed, InvalidState, AmountExceedsCaptured.
        """
        with self._lock:
            charge = self.get(charge_id)
            if refund_reference is not None and self.refunds(charge_id, refund_reference):
                raise RefundReferenceUsed
            if charge.status not in ("captured", "partially_refunded", "refunded"):
                raise InvalidState(f"A charge that is {charge.status} can't be refunded.")
            left_minor = charge.captured_minor - charge.refunded_minor
            refund_minor = left_minor if amount_minor is None else amount_minor
            if not 0 < refund_minor <= left_minor:
                raise AmountExceedsCaptured
            charge = self._add_refunded(charge, refund_minor)
            refund = Refund(
                id=f"re_{secrets.token_hex(12)}",
                charge_id=charge.id,
                reference=charge.reference,
                refund_reference=refund_reference,
                status="succeeded",
                amount_minor=refund_minor,
                currency=charge.currency,
                created_at=self.now(),
                charge=charge,
            )
            self._refunds[refund.id] = refund
            self._refund_ids[charge_id].append(refund.id)
            self._add_line("refund", charge, -refund_minor, refund.created_at, refund=refund)
            return refund

    def fail_refund(self, refund_id: str) -> Refund:
        """What the bank could not deliver comes back: the charge is as if this refund had not been made.

        Raises RefundNotFound, InvalidState.
        """
        with self._lock:
            if refund_id not in self._refunds:
                raise RefundNotFound
            refund = self._refunds[refund_id]
            if refund.status == "failed":
                raise InvalidState("A refund that is failed can't fail again.")
            charge = self._add_refunded(self.get(refund.charge_id), -refund.amount_minor)
            refund = self._refunds[refund_id] = replace(refund, status="failed", charge=charge)
            self._add_line("refund_failed", charge, refund.amount_minor, self.now(), refund=refund)
            return refund

    def refunds(self, charge_id: str, refund_reference: str | None = None) -> list[Refund]:
        """A charge's refunds, oldest first, or just the one with this reference; each with the charge as it is now.

        Raises ChargeNotFound.
        """
        with self._lock:
            charge = self.get(charge_id)
            refunds = [replace(self._refunds[each], charge=charge) for each in self._refund_ids.get(charge_id, [])]
            return [refund for refund in refunds if refund_reference in (None, refund.refund_reference)]

    def reverse(self, reference: str) -> Reversal:
        """Make sure that no money stays moved for a reference, now or later. Again gives the same result."""
        with self._lock:
            charge = self.find(reference)
            if reference not in self._reversals:
                self._reversals[reference] = self._undo(charge)
            elif charge and charge.status in ("captured", "partially_refunded"):
                # A refund has failed since.
                self.refund(charge.id)
            return Reversal(reference, self._reversals[reference], self.find(reference))

    def settlements(self, day: date) -> list[SettlementLine]:
        """The lines of one UTC day, in order. Until the day is over they may still change."""
        with self._lock:
            return list(self._lines.get(day.isoformat(), {}).values())

    def _undo(self, charge: Charge | None) -> str:
        if charge is None:
            return "tombstoned"
        if charge.status == "declined":
            return "declined"
        if charge.status in ("voided", "refunded"):
            return "already_reversed"
        if charge.status == "authorized":
            self.void(charge.id)
            return "voided"
        captured_on = _day(charge.captured_at or "")
        if charge.refunded_minor == 0 and captured_on >= _day(self.now()):
            del self._lines[captured_on]["charge", charge.id]
            self._put(replace(charge, status="voided", captured_minor=0, fee_minor=None, captured_at=None))
            return "voided"
        self.refund(charge.id)
        return "refunded"

    def _add_refunded(self, charge: Charge, amount_minor: int) -> Charge:
        refunded_minor = charge.refunded_minor + amount_minor
        status = {0: "captured", charge.captured_minor: "refunded"}.get(refunded_minor, "partially_refunded")
        return self._put(replace(charge, status=status, refunded_minor=refunded_minor))

    def _put(self, charge: Charge) -> Charge:
        self._charges[charge.id] = charge
        return charge

    def _add_line(
        self,
        kind: str,
        charge: Charge,
        amount_minor: int,
        moved_at: str,
        *,
        fee_minor: int = 0,
        refund: Refund | None = None,
    ) -> None:
        moved, day = refund or charge, _day(moved_at)
        self._lines[day][kind, moved.id] = SettlementLine(
            id=moved.id,
            charge_id=charge.id,
            reference=charge.reference,
            refund_reference=refund.refund_reference if refund else None,
            type=kind,
            amount_minor=amount_minor,
            fee_minor=fee_minor,
            currency=charge.currency,
            settled_at=f"{day}T23:59:59.999Z",
        )

    def now(self) -> str:
        """The book's time as the API shows it: RFC 3339, UTC, milliseconds."""
        return (self.clock() + self.offset).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_currency(code: str) -> None:
    """Raise InvalidRequest (`unknown_currency`) unless this is an ISO 4217 currency that has a minor unit."""
    try:
        exponent = Currency(code).exponent
    except ValueError:
        exponent = None
    if exponent is None:
        raise InvalidRequest("currency is no ISO 4217 currency with a minor unit.", reason="unknown_currency")


def check_amount(amount_minor: int | None, currency: str) -> None:
    """Raise InvalidRequest (`invalid_field`) unless it can be paid in this currency."""
    if amount_minor is not None and amount_minor % _smallest(currency):
        raise InvalidRequest(f"amount_minor in {currency} must be whole hundreds.", reason="invalid_field")


def _day(timestamp: str) -> str:
    return timestamp[:10]


def _fee(captured_minor: int, currency: str) -> int:
    """2.9 % of what was captured, half up."""
    smallest = _smallest(currency)
    return (captured_minor * 29 + 500 * smallest) // (1000 * smallest) * smallest


def _smallest(currency: str) -> int:
    """What can be paid at least."""
    return 100 if currency in _IN_HUNDREDTHS else 1


def _passes_luhn(number: str) -> bool:
    doubled = str.maketrans("0123456789", "0246813579")
    return sum(map(int, number[-1::-2] + number[-2::-2].translate(doubled))) % 10 == 0

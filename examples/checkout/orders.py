"""The shop's orders, in memory. A real shop keeps them in its database."""

import secrets
import threading
from dataclasses import asdict, dataclass
from typing import Any

from client import Payment

# The statuses in which the customer was not charged, and may try again.
UNPAID = ("declined", "rejected", "reversed")


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    quantity: int
    price_minor: int


@dataclass(slots=True)
class Order:
    """The items bought, and the number of the current attempt to pay for them.

    The ids of payments and refunds depend only on the order and the attempt. So an attempt has one payment, whatever
    the customer clicks or reloads and whatever gets lost; and the next attempt begins only once the one before has
    failed for good.
    """

    order_id: str
    items: tuple[Item, ...]
    currency: str
    attempt: int = 1
    refund_requested: bool = False

    @property
    def amount_minor(self) -> int:
        return sum(item.quantity * item.price_minor for item in self.items)

    @property
    def payment_id(self) -> str:
        return f"{self.order_id}-{self.attempt}"

    @property
    def refund_id(self) -> str:
        return f"{self.payment_id}-refund"

    def is_settled_by(self, payment: Payment) -> bool:
        """Whether nothing more is to be expected of the payment than it shows."""
        refund = payment.operation(self.refund_id)
        refund_ended = refund is not None and refund.status not in ("processing", "in_doubt")
        return payment.status != "in_doubt" and (refund_ended or not self.refund_requested)

    def to_json(self) -> dict[str, Any]:
        items = [asdict(item) for item in self.items]
        return {"order_id": self.order_id, "items": items, "amount_minor": self.amount_minor, "currency": self.currency}


BASKET = (Item("Ethiopia Guji, 1 kg", 1, 2950), Item("Colombia Huila, 250 g", 2, 950))


class Orders:
    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._payments_told: dict[str, tuple[str, Payment]] = {}
        self._lock = threading.Lock()

    def tell(self, payment_id: str, sequence: str, payment: Payment) -> None:
        """Keep a payment's latest event. Events come at least once; an older one has no news."""
        with self._lock:
            last_sequence, _ = self._payments_told.get(payment_id, ("", payment))
            if sequence > last_sequence:
                self._payments_told[payment_id] = sequence, payment

    def last_told(self, payment_id: str) -> Payment | None:
        """The payment as of the last event, or None before the first."""
        entry = self._payments_told.get(payment_id)
        return entry[1] if entry else None

    def create(self) -> Order:
        """Create an order. Its id can't be guessed, since anyone who knows it may pay."""
        order = Order(secrets.token_urlsafe(16), BASKET, "USD")
        self._orders[order.order_id] = order
        return order

    def find(self, order_id: str) -> Order | None:
        return self._orders.get(order_id)

    def begin_attempt(self, order: Order, after: Payment) -> bool:
        """Begin the next attempt if this payment failed, and return whether it failed. Concurrent calls begin only one.

        In a database: `UPDATE … SET attempt = attempt + 1 WHERE order_id = … AND attempt = …`
        """
        if after.status not in UNPAID:
            return False
        with self._lock:
            if after.payment_id == order.payment_id:
                order.attempt += 1
        return True

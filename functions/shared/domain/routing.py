"""Which gateway takes a payment: the first route that matches, in the deployment's order.

The answer depends only on the payment and the routes. It is recorded with the payment, so that all that follows stays
with that gateway, whatever the routes say later.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Route:
    """The payments that a gateway takes: those in these currencies, with cards of these brands and with one of these
    prefixes (at most six digits); None stands for all. Of the payments that match, `percent` take the route."""

    gateway: str
    currencies: frozenset[str] | None = None
    brands: frozenset[str] | None = None
    bins: tuple[str, ...] | None = None
    percent: float = 100

    @classmethod
    def from_dict(cls, route: Mapping[str, Any]) -> "Route":
        """Read `{"gateway", "currencies", "brands", "bins", "percent"}`."""
        return cls(
            route["gateway"],
            currencies=None if route["currencies"] is None else frozenset(route["currencies"]),
            brands=None if route["brands"] is None else frozenset(route["brands"]),
            bins=None if route["bins"] is None else tuple(route["bins"]),
            percent=route["percent"],
        )

    def takes(self, payment_id: str, currency: str, brand: str, bin: str) -> bool:
        return (
            (self.currencies is None or currency in self.currencies)
            and (self.brands is None or brand in self.brands)
            and (self.bins is None or bin.startswith(self.bins))
            and _percentile(payment_id, self.gateway) < self.percent
        )


def route(routes: Iterable[Route], payment_id: str, *, currency: str, brand: str, bin: str) -> str:
    """The name of the gateway that takes the payment. The last route must be open to every payment."""
    return next(route.gateway for route in routes if route.takes(payment_id, currency, brand, bin))


def _percentile(payment_id: str, gateway: str) -> float:
    """A number from 0 to 100 (exclusive) that is always the same for a payment. It differs by gateway, so that a share
    of those that an earlier route has left over is a share of all kinds of payments."""
    digest = hashlib.sha256(f"{gateway} {payment_id}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32 * 100

"""The gateways of a deployment, each made by its adapter's package.

A gateway's name is that of its package here, of its row in Terraform's variable `gateways`, and part of its account's
name in the ledger.
"""

from collections.abc import Iterable
from importlib import import_module
from operator import attrgetter
from typing import Any

from functions.shared.domain.charge import Charge, Order, Reversal
from functions.shared.domain.errors import GatewayNotConfigured, GatewayOutcomeUnknown
from functions.shared.domain.payment import Payment
from functions.shared.ports import ChargeLookUp, PaymentGateway


def adapter(name: str) -> Any:
    """The package of the gateway's adapter. `docs/extending/gateway.md` says what it contains."""
    return import_module(f"functions.shared.adapters.gateways.{name}")


class ConfiguredGateways:
    """`Gateways` of a deployment."""

    def __init__(self, gateways: Iterable[PaymentGateway]) -> None:
        self._by_name = {gateway.name: gateway for gateway in sorted(gateways, key=attrgetter("name"))}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def named(self, name: str) -> PaymentGateway:
        if name not in self._by_name:
            raise GatewayNotConfigured("The payment's gateway is not among this deployment's gateways.")
        return self._by_name[name]

    def of(self, payment: Payment) -> PaymentGateway:
        if payment.gateway:
            return self.named(payment.gateway)
        gateways = tuple(self._by_name.values())
        if len(gateways) == 1:
            return gateways[0]
        assert payment.charge_id  # for a payment without a charge, there is `possible`
        for gateway in gateways:
            if gateway.find(payment.charge_id):
                return gateway
        raise GatewayOutcomeUnknown("No gateway shows the payment's charge.")

    def possible(self, payment: Payment) -> ChargeLookUp:
        return self.named(payment.gateway) if payment.gateway else _Every(tuple(self._by_name.values()))


class _Every:
    """The `ChargeLookUp` in several gateways, for an order that went to one of them, or to none."""

    def __init__(self, gateways: tuple[PaymentGateway, ...]) -> None:
        self._gateways = gateways

    def find_by_reference(self, order: Order) -> Charge | None:
        charges = (gateway.find_by_reference(order) for gateway in self._gateways)
        return next(filter(None, charges), None)

    def reverse(self, order: Order) -> Reversal:
        """Only once every gateway has confirmed it, nothing is left of the charge."""
        reversals = [gateway.reverse(order) for gateway in self._gateways]
        return next((reversal for reversal in reversals if reversal.charge), reversals[0])

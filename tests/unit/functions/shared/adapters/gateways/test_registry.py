from dataclasses import replace

import pytest

from functions.shared.adapters.gateways.registry import adapter
from functions.shared.domain.charge import Abilities
from functions.shared.domain.errors import GatewayNotConfigured, GatewayOutcomeUnknown, GatewayRefused
from functions.shared.ports import Gateways
from tests.fakes import FakeGateway, only
from tests.samples import card, order, payment

OLD = replace(payment(), gateway=None)
"""A payment of before its gateway was recorded."""
STOPPED = replace(payment("pay-1", "in_doubt"), gateway=None, charge_id=None)
"""A payment that was stopped, and may be at any gateway."""
EACH_HOLDER = pytest.mark.parametrize("holder", ["sparkle", "twinkle"])


@pytest.fixture
def sparkle() -> FakeGateway:
    return FakeGateway("sparkle")


@pytest.fixture
def twinkle() -> FakeGateway:
    return FakeGateway("twinkle")


@pytest.fixture
def gateways(sparkle: FakeGateway, twinkle: FakeGateway) -> Gateways:
    return only(twinkle, sparkle)


def test_gateways_are_in_the_order_of_their_names(gateways: Gateways) -> None:
    assert gateways.names == ("sparkle", "twinkle")


@EACH_HOLDER
def test_a_payment_stays_with_its_gateway(gateways: Gateways, holder: str) -> None:
    paid = replace(payment(), gateway=holder)
    assert gateways.of(paid).name == holder
    assert gateways.possible(paid) is gateways.named(holder)


def test_a_gateway_that_is_not_configured_any_more_is_named_as_the_reason(gateways: Gateways) -> None:
    orphan = replace(payment(), gateway="gone")
    for look in (gateways.of, gateways.possible):
        with pytest.raises(GatewayNotConfigured):
            look(orphan)


def test_the_only_gateway_has_all_payments_of_before_gateways_were_recorded(sparkle: FakeGateway) -> None:
    assert only(sparkle).of(OLD) is sparkle
    assert sparkle.calls == []


@EACH_HOLDER
def test_of_several_the_one_that_shows_the_charge_has_the_payment(
    gateways: Gateways, sparkle: FakeGateway, twinkle: FakeGateway, holder: str
) -> None:
    charge = {"sparkle": sparkle, "twinkle": twinkle}[holder].charge(order(), card(), "pay-1-charge")
    assert gateways.of(replace(OLD, charge_id=charge.charge_id)).name == holder


def test_while_none_shows_the_charge_nobody_has_it(gateways: Gateways) -> None:
    with pytest.raises(GatewayOutcomeUnknown):
        gateways.of(OLD)


@EACH_HOLDER
def test_a_payment_that_may_be_anywhere_is_found_where_it_is(
    gateways: Gateways, sparkle: FakeGateway, twinkle: FakeGateway, holder: str
) -> None:
    charge = {"sparkle": sparkle, "twinkle": twinkle}[holder].charge(order(), card(), "pay-1-charge")
    assert gateways.possible(STOPPED).find_by_reference(STOPPED.order) == charge
    assert gateways.possible(STOPPED).find_by_reference(order("pay-2")) is None


@EACH_HOLDER
def test_its_reversal_undoes_the_charge_and_keeps_a_late_one_out_everywhere(
    gateways: Gateways, sparkle: FakeGateway, twinkle: FakeGateway, holder: str
) -> None:
    by_name = {"sparkle": sparkle, "twinkle": twinkle}
    charge = by_name[holder].charge(order(), card(), "pay-1-charge")
    reversal = gateways.possible(STOPPED).reverse(STOPPED.order)
    assert (reversal.result, reversal.charge and reversal.charge.charge_id) == ("voided", charge.charge_id)
    [other] = [gateway for name, gateway in by_name.items() if name != holder]
    with pytest.raises(GatewayRefused):
        other.charge(order(), card(), "late")


@EACH_HOLDER
def test_while_one_of_them_does_not_confirm_it_nothing_is_reversed(
    gateways: Gateways, sparkle: FakeGateway, twinkle: FakeGateway, holder: str
) -> None:
    {"sparkle": sparkle, "twinkle": twinkle}[holder].faults.arm("reverse", GatewayOutcomeUnknown("No answer."))
    with pytest.raises(GatewayOutcomeUnknown):
        gateways.possible(STOPPED).reverse(STOPPED.order)


@pytest.mark.parametrize("name", ["sparkle", "stripe"])
def test_each_adapter_says_what_its_gateway_can_do_before_it_is_connected(name: str) -> None:
    assert isinstance(adapter(name).ABILITIES, Abilities)
    gateway = adapter(name).connect(
        "https://gateway.example",
        lambda: "key",
        connect_timeout_seconds=1,
        read_timeout_seconds=1,
        settings={},
        iso_minor_unit=lambda currency: 2,
        now=lambda: "2026-11-23T09:00:00.000Z",
        observe=lambda operation, seconds, succeeded: None,
    )
    assert (gateway.name, gateway.abilities) == (name, adapter(name).ABILITIES)

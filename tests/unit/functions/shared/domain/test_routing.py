from collections import Counter

import pytest

from functions.shared.domain.routing import Route, route
from tests.mocked_aws import new_id

REST = Route("sparkle")


def routed(*routes: Route, payment_id: str = "pay-1", currency: str = "USD", brand: str = "visa") -> str:
    return route(routes, payment_id, currency=currency, brand=brand, bin="424242")


@pytest.mark.parametrize(
    ("route", "matches"),
    [
        (Route("stripe"), True),
        (Route("stripe", currencies=frozenset({"EUR", "USD"})), True),
        (Route("stripe", currencies=frozenset({"EUR"})), False),
        (Route("stripe", brands=frozenset({"visa"})), True),
        (Route("stripe", brands=frozenset({"mastercard"})), False),
        (Route("stripe", bins=("51", "4242")), True),
        (Route("stripe", bins=("2424",)), False),
        (Route("stripe", currencies=frozenset({"USD"}), brands=frozenset({"mastercard"})), False),
        (Route("stripe", percent=0), False),
    ],
)
def test_the_first_route_that_matches_in_everything_takes_the_payment(route: Route, matches: bool) -> None:
    assert routed(route, REST) == ("stripe" if matches else "sparkle")


def test_a_route_is_read_as_the_deployment_writes_it() -> None:
    written = {"gateway": "stripe", "currencies": ["EUR"], "brands": None, "bins": ["4"], "percent": 50}
    assert Route.from_dict(written) == Route("stripe", frozenset({"EUR"}), None, ("4",), 50)


@pytest.mark.parametrize("percent", [1, 25, 50, 99])
def test_a_share_is_a_share_of_many_payments_and_always_the_same_of_one(percent: int) -> None:
    ids = [new_id() for _ in range(10_000)]
    gateways = [routed(Route("stripe", percent=percent), REST, payment_id=id) for id in ids]
    assert gateways == [routed(Route("stripe", percent=percent), REST, payment_id=id) for id in ids]
    # Five standard deviations: one run in two million fails.
    deviation = (10_000 * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(Counter(gateways)["stripe"] - 100 * percent) < 5 * deviation


def test_a_larger_share_takes_the_same_payments_and_more() -> None:
    ids = [new_id() for _ in range(1_000)]
    few, more = (
        {id for id in ids if routed(Route("stripe", percent=percent), REST, payment_id=id) == "stripe"}
        for percent in (10, 40)
    )
    assert few < more


def test_a_share_of_what_an_earlier_share_left_over_is_a_share_of_all_kinds_of_payments() -> None:
    routes = Route("stripe", percent=50), Route("twinkle", percent=50), REST
    counted = Counter(routed(*routes, payment_id=new_id()) for _ in range(10_000))
    assert abs(counted["twinkle"] - 2_500) < 250
    assert abs(counted["sparkle"] - 2_500) < 250

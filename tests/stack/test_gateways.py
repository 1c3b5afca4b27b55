"""A stack with two gateways, which share the payments: all that follows a payment goes to its own."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest

from functions.shared.domain.routing import Route, route
from tests import invariants
from tests.stack.conftest import deliver_events
from tests.stack.driver import SEEN_AFTER_SECONDS, Driver, payments
from tests.stack.own import WAIT_SCALE
from tools.deployment.paths import BUILD
from tools.deployment.polling import wait_for
from tools.deployment.stack import Stack, new_payment_id
from tools.local.machine import Machine, equal_shares
from tools.trials.soak import FAULTS, Memory

HOME = BUILD / "two-gateways-stack"
GATEWAYS = ("sparkle", "stripe")
ROUTES = [Route(each["gateway"], percent=each["percent"]) for each in equal_shares(GATEWAYS)]
# What happens at each gateway's dashboard: a capture of 10.00.
CAPTURES: Mapping[str, tuple[str, Any]] = {
    "sparkle": ("/v1/charges/{}/capture", {"json": {"amount_minor": 1000}}),
    "stripe": ("/v1/payment_intents/{}/capture", {"data": {"amount_to_capture": 1000}}),
}


# The faults with which the gateway charges the card and doesn't say so: a look shows it.
CHARGED = {"timeout_after", "slow", "garbage"}
# Those with which the gateway is still at work on the request when our attempts have ended.
UNDER_WAY = {"slow", "late"}
# Until a doubt is resolved takes half a minute, in which each of several threads looks.
LOOKS_EVERY_SECONDS = 3.0


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    machine = Machine(
        home=HOME,
        stack_file=HOME / "stack.json",
        gateways=GATEWAYS,
        usual_ports=False,
        emulator_environment={"SFN_WAIT_SCALE": str(WAIT_SCALE), "SFN_SEEN_AFTER_SECONDS": str(SEEN_AFTER_SECONDS)},
    )
    machine.down()
    deliver_events(machine.up(print), enabled=False)
    yield machine
    machine.down()


@pytest.fixture
def driver(machine: Machine) -> Iterator[Driver]:
    driver = Driver(Stack.load(machine.stack_file))
    yield driver
    driver.clear_faults()


def id_for(gateway: str) -> str:
    """The id of a payment that the gateway will take."""
    return next(
        each
        for each in (new_payment_id() for _ in count())
        if route(ROUTES, each, currency="USD", brand="visa", bin="424242") == gateway
    )


def paid(driver: Driver, gateway: str, **changes: Any) -> str:
    payment_id, answer = driver.pay(id_for(gateway), **changes)
    assert answer.status_code == 202, answer.text
    assert driver.ended(payment_id)["gateway"] == gateway
    return payment_id


def no_longer_in_doubt(driver: Driver, payment_id: str, within_seconds: float) -> str:
    """The payment's status once it is known."""
    settled = wait_for(
        lambda: driver.stack.payment(payment_id),
        within_seconds,
        pause_seconds=LOOKS_EVERY_SECONDS,
        until=lambda payment: payment["status"] != "in_doubt",
    )
    return str(settled["status"])


def charges(driver: Driver) -> list[dict[str, Any]]:
    """All charges, with their gateways' names."""
    return [
        charge | {"gateway": name}
        for name, sandbox in driver.stack.sandboxes.items()
        for charge in sandbox.call("GET", "/sandbox/charges").json()["charges"]
    ]


def charge_at(driver: Driver, gateway: str, payment_id: str) -> dict[str, Any]:
    """The payment's charge, which must be at this gateway and at no other."""
    [charge] = [each for each in charges(driver) if each["reference"] == payment_id]
    assert charge["gateway"] == gateway
    return charge


@pytest.mark.parametrize("gateway", GATEWAYS)
class TestAPayment:
    def test_its_operations_go_to_its_gateway(self, driver: Driver, gateway: str) -> None:
        operations = {
            "partially_refunded": (paid(driver, gateway), "refunds", {"amount_minor": 500}),
            "captured": (paid(driver, gateway, capture=False), "captures", {"amount_minor": 1500}),
            "voided": (paid(driver, gateway, capture=False), "voids", {}),
        }
        for status, (payment_id, kind, body) in operations.items():
            operation_id, _ = driver.post(f"/payments/{payment_id}/{kind}", body)
            assert driver.operation(payment_id, operation_id)["status"] == "succeeded"
            assert driver.stack.payment(payment_id)["status"] == status
            assert charge_at(driver, gateway, payment_id)["status"] == status
        refunded = operations["partially_refunded"][0]
        assert driver.account_totals(refunded)[f"asset:gateway:{gateway}"] == 1499

    def test_its_gateway_is_shown(self, machine: Machine, driver: Driver, gateway: str) -> None:
        assert gateway in payments(machine.stack_file, "inspect", paid(driver, gateway)).stdout

    def test_it_follows_what_its_gateway_tells(self, driver: Driver, gateway: str) -> None:
        expired, captured = (paid(driver, gateway, capture=False) for _ in range(2))
        sandbox, (path, body) = driver.stack.sandboxes[gateway], CAPTURES[gateway]
        headers = {"Idempotency-Key": new_payment_id()}
        for call in (
            partial(sandbox.call, "POST", f"/sandbox/charges/{charge_at(driver, gateway, expired)['id']}/expire"),
            partial(sandbox.call, "POST", path.format(charge_at(driver, gateway, captured)["id"]), **body),
        ):
            call(headers=headers).raise_for_status()
        assert driver.until(captured, "captured")["captured_minor"] == 1000
        assert driver.until(expired, "voided")["error"] == "expired"

    @pytest.mark.parametrize(("outcome", "owed"), [("won", 1999), ("lost", 0)])
    def test_it_is_not_refunded_while_it_is_disputed_or_once_that_is_lost(
        self, driver: Driver, gateway: str, outcome: str, owed: int
    ) -> None:
        payment_id, sandbox = paid(driver, gateway), driver.stack.sandboxes[gateway]
        path = f"/sandbox/charges/{charge_at(driver, gateway, payment_id)['id']}/dispute"

        def dispute(outcome: str) -> None:
            sandbox.call("POST", path, json={"outcome": outcome}).raise_for_status()

        def statuses() -> list[str]:
            return [each["status"] for each in driver.stack.payment(payment_id)["disputes"]]

        def refund() -> tuple[str, str | None]:
            operation_id, _ = driver.post(f"/payments/{payment_id}/refunds", {"amount_minor": 500})
            operation = driver.operation(payment_id, operation_id)
            return operation["status"], operation["error"]

        dispute("open")
        assert wait_for(lambda: statuses() == ["open"], 60, pause_seconds=1.0)
        payment = driver.stack.payment(payment_id)
        assert (payment["status"], payment["disputed_minor"]) == ("captured", 1999)
        assert driver.account_totals(payment_id) == {
            f"asset:gateway:{gateway}": 0,
            f"asset:disputed:{gateway}": 1999,
            "liability:merchant": -1999,
        }
        assert refund() == ("rejected", "payment_disputed")
        dispute(outcome)
        assert wait_for(lambda: statuses() == [outcome], 60, pause_seconds=1.0)
        assert driver.account_totals(payment_id) == {
            f"asset:gateway:{gateway}": owed,
            f"asset:disputed:{gateway}": 0,
            "liability:merchant": -owed,
        }
        assert refund() == (("succeeded", None) if outcome == "won" else ("rejected", "payment_disputed"))
        assert list(invariants.broken(driver.stack, [payment_id])) == []


class TestFaultsOfStripe:
    @pytest.mark.parametrize("times", [1, 1000])
    def test_none_loses_doubles_or_guesses_money(self, driver: Driver, times: int) -> None:
        ids = {fault: id_for("stripe") for fault in FAULTS}

        def ended(fault: str, payment_id: str) -> str:
            driver.set_fault(payment_id, "charge", fault, times=times, seconds=30)
            driver.pay(payment_id)
            driver.ended(payment_id)
            return no_longer_in_doubt(driver, payment_id, 60)

        with ThreadPoolExecutor(len(FAULTS)) as pool:
            statuses = dict(zip(ids, pool.map(ended, ids.keys(), ids.values()), strict=True))
        driver.clear_faults()
        assert set(statuses.values()) <= {"captured", "reversed"}
        if times > 1:
            assert {fault for fault, status in statuses.items() if status == "captured"} == CHARGED
        assert list(invariants.broken(driver.stack, list(ids.values()))) == []

    @pytest.mark.parametrize("operation", ["find", "reverse"])
    def test_nor_does_one_of_a_call_behind_a_charge_that_gives_no_answer(self, driver: Driver, operation: str) -> None:
        ids = {fault: id_for("stripe") for fault in FAULTS}

        def ended(fault: str, payment_id: str) -> str:
            driver.set_fault(payment_id, "charge", "timeout_before", times=1000, seconds=30)
            driver.set_fault(payment_id, operation, fault, times=1, seconds=30)
            driver.pay(payment_id)
            driver.ended(payment_id)
            return no_longer_in_doubt(driver, payment_id, 120)

        with ThreadPoolExecutor(len(FAULTS)) as pool:
            statuses = set(pool.map(ended, ids.keys(), ids.values()))
        driver.clear_faults()
        assert statuses == {"reversed"}
        assert list(invariants.broken(driver.stack, list(ids.values()))) == []

    def test_nor_does_one_of_the_call_that_creates_what_is_charged(self, driver: Driver) -> None:
        """While Stripe creates the intent, whoever repeats the call learns nothing. Here it takes longer than all
        attempts of the payment, and is over before `resolve` asks for the first time, which waits a twentieth of five
        minutes."""
        ids = {fault: id_for("stripe") for fault in FAULTS}

        def ended(fault: str, payment_id: str) -> str:
            create_fault = {"operation": "create", "fault": fault, "reference": payment_id, "times": 1, "seconds": 12}
            driver.stack.sandboxes["stripe"].call("POST", "/sandbox/faults", json=create_fault).raise_for_status()
            driver.pay(payment_id)
            driver.ended(payment_id)
            return no_longer_in_doubt(driver, payment_id, 60)

        with ThreadPoolExecutor(len(FAULTS)) as pool:
            statuses = dict(zip(ids, pool.map(ended, ids.keys(), ids.values()), strict=True))
        driver.clear_faults()
        assert statuses == {fault: "reversed" if fault in UNDER_WAY else "captured" for fault in FAULTS}
        assert list(invariants.broken(driver.stack, list(ids.values()))) == []

    @pytest.mark.parametrize(("kind", "capture"), [("refund", True), ("capture", False), ("void", False)])
    def test_an_operation_is_done_once_whatever_fault_it_meets(self, driver: Driver, kind: str, capture: bool) -> None:
        def ended(fault: str) -> tuple[str, str]:
            payment_id = paid(driver, "stripe", capture=capture)
            driver.set_fault(payment_id, kind, fault, times=1, seconds=30)
            operation_id, _ = driver.post(f"/payments/{payment_id}/{kind}s", {})
            operation = driver.operation(payment_id, operation_id, ("succeeded", "rejected"), LOOKS_EVERY_SECONDS)
            return payment_id, operation["status"]

        with ThreadPoolExecutor(len(FAULTS)) as pool:
            statuses = dict(pool.map(ended, FAULTS))
        assert set(statuses.values()) == {"succeeded"}
        assert list(invariants.broken(driver.stack, list(statuses))) == []


def test_sample_events_and_a_soak_end_as_on_one_gateway(machine: Machine, driver: Driver) -> None:
    replayed = payments(machine.stack_file, "replay", "--concurrency", "8")
    assert replayed.returncode == 0, replayed.stdout
    soaked = payments(machine.stack_file, "soak", "40", "--seed", "14", "--concurrency", "6")
    assert soaked.returncode == 0, soaked.stdout
    assert "0 findings" in soaked.stdout
    assert {charge["gateway"] for charge in charges(driver)} == set(GATEWAYS)
    assert Memory.now(driver.stack).sandboxes > 0


DAYS_AGO = 20


@contextmanager
def days_ago(driver: Driver, days: int) -> Iterator[str]:
    """Put the gateways' clocks back; yields the day."""
    for sandbox in driver.stack.sandboxes.values():
        sandbox.call("POST", "/sandbox/clock", json={"offset_seconds": -86400 * days}).raise_for_status()
    try:
        yield day(days)
    finally:
        for sandbox in driver.stack.sandboxes.values():
            sandbox.call("DELETE", "/sandbox/clock").raise_for_status()


def day(days_ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days_ago)).strftime("%Y-%m-%d")


def test_each_gateway_s_report_is_reconciled_and_its_money_arrives(machine: Machine, driver: Driver) -> None:
    with days_ago(driver, DAYS_AGO):
        ids = {gateway: paid(driver, gateway) for gateway in GATEWAYS}
        lost = {gateway: paid(driver, gateway) for gateway in GATEWAYS}
        for gateway, payment_id in lost.items():
            charge, call = charge_at(driver, gateway, payment_id), driver.stack.sandboxes[gateway].call
            decided = {"outcome": "lost", "amount_minor": 700}
            call("POST", f"/sandbox/charges/{charge['id']}/dispute", json=decided).raise_for_status()
    # Stripe pays out the next morning.
    for which in (DAYS_AGO, DAYS_AGO - 1):
        run = payments(machine.stack_file, "reconcile", day(which))
        assert run.returncode == 0, run.stdout
    for gateway, payment_id in ids.items():
        assert driver.account_totals(payment_id) == {
            f"asset:gateway:{gateway}": 0,
            "liability:merchant": -1999,
            "asset:bank": 1941,
            "expense:fees": 58,
        }
    for gateway, payment_id in lost.items():
        assert driver.account_totals(payment_id) == {
            f"asset:gateway:{gateway}": 0,
            f"asset:disputed:{gateway}": 0,
            "liability:merchant": 700 - 1999,
            "asset:bank": 1941 - 700 - 1500,
            "expense:fees": 58 + 1500,
        }

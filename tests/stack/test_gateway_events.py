"""What happens at the gateway shows in the payment within seconds, since the gateway tells of it, and only then."""

import json
import time
from typing import Any

import pytest
import requests

from functions.shared.adapters.gateways.signatures import signature
from functions.shared.domain.times import iso
from tests.stack.driver import Driver
from tools.deployment.stack import Stack, new_payment_id
from tools.local.machine import Machine
from tools.local.sparkle.charges import utc_now

pytestmark = pytest.mark.usefixtures("sandbox_events")


def authorized(driver: Driver) -> tuple[str, str]:
    """The ids of an authorized payment and its charge."""
    payment = driver.paid(capture=False)
    [charge] = driver.charges(payment["payment_id"])
    return payment["payment_id"], charge["id"]


def at_the_dashboard(driver: Driver, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Idempotency-Key": new_payment_id()}
    answer = driver.stack.sandbox("POST", path, json=body or {}, headers=headers)
    answer.raise_for_status()
    content: dict[str, Any] = answer.json()
    return content


def test_what_somebody_does_at_the_gateway_s_dashboard_shows(driver: Driver) -> None:
    expired, captured, voided = (authorized(driver) for _ in range(3))
    refunded = driver.paid()["payment_id"]
    [charge] = driver.charges(refunded)
    at_the_dashboard(driver, f"/sandbox/charges/{expired[1]}/expire")
    at_the_dashboard(driver, f"/v1/charges/{captured[1]}/capture", {"amount_minor": 1000})
    at_the_dashboard(driver, f"/v1/charges/{voided[1]}/void")
    refund = at_the_dashboard(driver, f"/v1/charges/{charge['id']}/refunds", {"amount_minor": 500})
    assert driver.until(captured[0], "captured")["captured_minor"] == 1000
    driver.until(voided[0], "voided")
    assert driver.until(expired[0], "voided")["error"] == "expired"
    driver.until(refunded, "partially_refunded")
    at_the_dashboard(driver, f"/sandbox/refunds/{refund['id']}/fail")
    driver.until(refunded, "captured")


def send(machine: Machine, stack: Stack, body: bytes, secret: str | None = None, at: int | None = None) -> int:
    """Send an event as the gateway would; return the status."""
    seconds = str(at or int(time.time()))
    secret = secret or machine.event_secret("sparkle")
    headers = {"Sparkle-Signature": f"t={seconds},v1={signature(secret, seconds, body)}"}
    answer = requests.post(f"{stack.api_url}/gateway-events/sparkle", body, headers=headers, timeout=30)
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) == {"code", "message"}
    return answer.status_code


def event(driver: Driver, type: str = "charge.voided", **changes: Any) -> bytes:
    payment_id, charge_id = authorized(driver)
    fields = {"id": "ev_1", "type": type, "created_at": iso(utc_now()), "charge_id": charge_id, "reference": payment_id}
    return json.dumps(fields | changes).encode()


def test_only_the_gateway_s_own_events_are_taken(driver: Driver, machine: Machine, stack: Stack) -> None:
    body, now = event(driver), int(time.time())
    refused = [
        send(machine, stack, body, secret="a-secret-of-somebody-else"),  # pragma: allowlist secret
        send(machine, stack, body, at=now - 400),
        send(machine, stack, b"{}"),
    ]
    assert refused == [400, 400, 400]
    assert send(machine, stack, b" " * (256 * 1024 + 1)) == 413
    assert requests.post(f"{stack.api_url}/gateway-events/twinkle", b"{}", timeout=30).status_code == 404
    assert requests.get(f"{stack.api_url}/gateway-events/sparkle", timeout=30).status_code == 403
    assert send(machine, stack, json.dumps({"id": "ev_1", "type": "payout.paid"}).encode()) == 200


def test_an_event_is_a_hint_and_its_repetition_harmless(driver: Driver, machine: Machine, stack: Stack) -> None:
    lie = event(driver)
    payment_id = json.loads(lie)["reference"]
    before = driver.payment_items(payment_id)
    assert [send(machine, stack, lie) for _ in range(3)] == [200] * 3
    time.sleep(8)
    assert driver.payment_items(payment_id) == before

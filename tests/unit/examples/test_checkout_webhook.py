"""The shop's back end learns by webhook what became of a payment, whether or not a page is open."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook
from werkzeug.test import TestResponse

from client import PaymentsClient
from examples.checkout.app import create_app
from functions.shared.domain.event import Event, card_erased, payment_event
from tests.samples import LATER, NOW, OLD_WEBHOOK_SECRET, TEST_CARDS, WEBHOOK_SECRET, operation_request, payment
from tests.scripted_api import ScriptedApi
from tests.unit.examples.test_checkout import NO_PAYMENT, Shop, paid


class NotifiedShop(Shop):
    """A shop that is told of events."""

    @property
    def payment_id(self) -> str:
        return f"{self.order_id}-1"

    def deliver(self, event: Event, secret: str = WEBHOOK_SECRET, at: datetime | None = None) -> TestResponse:
        body, moment = event.to_cloud_event(), at or datetime.now(UTC)
        headers = {
            "webhook-id": event.event_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(secret).sign(event.event_id, moment, body),
        }
        return self.http.post("/webhooks", data=body, headers=headers)

    def payment(self, path: str = "/payment") -> Any:
        answer = self.get(path).json
        assert answer
        return answer["payment"]


@pytest.fixture
def shop(payments: PaymentsClient) -> NotifiedShop:
    return NotifiedShop(create_app(payments, TEST_CARDS, WEBHOOK_SECRET).test_client())


def test_after_an_event_the_shop_does_not_ask_the_api(api: ScriptedApi, shop: NotifiedShop) -> None:
    assert shop.deliver(payment_event(payment(shop.payment_id), None)).status_code == 204
    assert shop.payment()["status"] == shop.payment("")["status"] == "captured"
    assert api.calls == []


def test_without_an_event_the_shop_asks_the_api(api: ScriptedApi, shop: NotifiedShop) -> None:
    shop.deliver(payment_event(payment("of-another-order-1"), None))
    shop.deliver(card_erased("tok_1", NOW))
    api.script(NO_PAYMENT)
    assert shop.payment("") is None
    shop.deliver(payment_event(payment(shop.payment_id, "in_doubt"), None))
    api.script(paid(shop))
    assert shop.payment()["status"] == "captured"


def test_an_event_that_comes_again_or_late_changes_nothing(api: ScriptedApi, shop: NotifiedShop) -> None:
    doubtful = payment(shop.payment_id, "in_doubt")
    ended = doubtful.moved_to("reversed", updated_at=LATER)
    shop.deliver(payment_event(ended, doubtful))
    shop.deliver(payment_event(doubtful, None))
    assert shop.payment()["status"] == "reversed"


def test_a_refund_is_processing_until_its_event_says_more(api: ScriptedApi, shop: NotifiedShop) -> None:
    captured = payment(shop.payment_id)
    shop.deliver(payment_event(captured, None))
    api.script((202, {"status": "processing"}), paid(shop, operations=[]))
    answer = shop.post("/refund", {})
    assert answer.json
    assert answer.json["payment"]["refund"] == "processing"
    reserved = captured.reserve(operation_request(captured, "refund", 1999, f"{shop.payment_id}-refund"), LATER)
    shop.deliver(payment_event(reserved.settle(reserved.operations[0], LATER), reserved))
    calls = len(api.calls)
    assert shop.payment()["refund"] == "succeeded"
    assert len(api.calls) == calls


@pytest.mark.parametrize(
    ("secret", "age"),
    [(OLD_WEBHOOK_SECRET, timedelta()), (WEBHOOK_SECRET, timedelta(minutes=6))],
    ids=["another's", "old"],
)
def test_what_is_not_signed_now_by_the_deployment_is_refused(
    api: ScriptedApi, shop: NotifiedShop, secret: str, age: timedelta
) -> None:
    event = payment_event(payment(shop.payment_id), None)
    answer = shop.deliver(event, secret, datetime.now(UTC) - age)
    assert (answer.status_code, answer.json) == (400, {"error": {"code": "invalid_signature"}})
    api.script(NO_PAYMENT)
    assert shop.payment("") is None


def test_a_shop_without_a_secret_takes_no_events(payments: PaymentsClient) -> None:
    shop = NotifiedShop(create_app(payments, TEST_CARDS).test_client())
    assert shop.deliver(payment_event(payment(shop.payment_id), None)).status_code == 404


def test_fields_that_it_does_not_know_are_ignored(api: ScriptedApi, shop: NotifiedShop) -> None:
    event = payment_event(payment(shop.payment_id), None)
    newer = replace(event, data=json.loads(json.dumps(event.data)) | {"new": True})
    newer.data["payment"]["new"] = {"nested": 1}
    assert shop.deliver(newer).status_code == 204
    assert shop.payment()["status"] == "captured"

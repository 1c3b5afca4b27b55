"""Every function, its event, and what has to be recorded before."""

import json
from base64 import b64encode
from dataclasses import asdict, replace
from importlib import import_module
from typing import Any

from functions.encrypt.encrypt_data import encrypt_data
from functions.shared import runtime
from functions.shared.domain.event import payment_event
from functions.shared.domain.gateway_event import GatewayEvent
from functions.shared.domain.ledger import capture_entry
from functions.shared.ports import CardCipher, HeldCard, HeldCards
from tests.samples import (
    CARD_DATA,
    LATER,
    NOW,
    REQUEST,
    STARTED_AT,
    SUMMARY,
    TOKEN,
    TRANSACTION_ID,
    WAIT,
    card,
    charge_of,
    operation_request,
    payment,
)
from tests.unit.functions.conftest import WEBHOOK_QUEUE_ARN, World
from tools.deployment.paths import ROOT

HANDLERS: dict[str, runtime.Handler] = {
    file.parent.name: import_module(f"functions.{file.parent.name}.handler").handler
    for file in sorted((ROOT / "functions").glob("*/handler.py"))
}

OF_NO_PAYMENT = (
    "search",
    "anchor",
    "cards",
    "doubts",
    "follow_event",
    "receive_event",
    "reconcile",
    "resume",
    "publish",
    "deliver",
)
"""The functions whose events are not about one payment."""


TASK_TOKEN = "AQB4-task-token"

ACTION = json.dumps({"errorMessage": json.dumps({"gateway": "sparkle", "charge_id": "ch_1"})})
"""The cause of Charge's error, as Step Functions says it."""


def event_for(function: str, cipher: CardCipher, *, held_cards: HeldCards | None = None) -> dict[str, Any]:
    """A new, valid event about payment `payment-of-ours-1`. `cipher` is the one that the function will decrypt with,
    and `held_cards` will hold the card.

    Raises KeyError for a function without an event here.
    """
    encrypted = HeldCard(encrypt_data(card().to_card_data(), SUMMARY.encryption_context, cipher=cipher))
    if held_cards:
        held_cards.hold("payment-of-ours-1", encrypted, NOW)
    recorded = {
        "payment_id": "payment-of-ours-1",
        "started_at": STARTED_AT,
        "payment": REQUEST.to_dict(),
        "card": SUMMARY.to_dict(),
    }
    operation = {"payment_id": "payment-of-ours-1", "operation_id": "operation-of-ours-1"}
    request = {"amount_minor": 1999, "currency": "USD", "merchant_reference": "order-1001"}
    event = GatewayEvent("ev_1", "refund.failed", "ch_1", NOW, "payment-of-ours-1")
    events: dict[str, dict[str, Any]] = {
        "tokenize": {"payment_id": "payment-of-ours-1", "request": request | {"card_data": CARD_DATA}},
        "screen": recorded | {"test_card": True},
        "encrypt": {
            "payment_id": "payment-of-ours-1",
            "card": SUMMARY.to_dict(),
            "request": request | {"card_data": CARD_DATA},
        },
        "charge": {
            "payment_id": "payment-of-ours-1",
            "payment": REQUEST.to_dict(),
            "card": SUMMARY.to_dict(),
            "transaction_id": encrypted.transaction_id,
            "started_at": STARTED_AT,
            "gateway": "sparkle",
            "three_d_secure": "automatic",
        },
        "await_customer": {"payment_id": "payment-of-ours-1", "action": ACTION, "task_token": TASK_TOKEN},
        "confirm": recorded | {"action": ACTION},
        "resume": {},
        "persist": recorded
        | {
            "transaction_id": encrypted.transaction_id,
            "charge": {
                "outcome": "captured",
                "gateway": "sparkle",
                "charge_id": "ch_1",
                "decline_code": None,
                "shown": charge_of(payment("payment-of-ours-1")).to_dict(),
            },
            "flags": [],
        },
        "compensate": recorded
        | {
            "transaction_id": TRANSACTION_ID,
            "charge": {"outcome": "unknown"},
            "flags": [],
            "gateway": "sparkle",
            "error": "GatewayOutcomeUnknown",
        },
        "keep": {
            "payment_id": "payment-of-ours-1",
            "card": SUMMARY.to_dict(),
            "sealed_hash": None,
            "encrypted": {"ciphertext": b64encode(encrypted.ciphertext).decode()},
        },
        "verify": {
            "payment_id": "payment-of-ours-1",
            "started_at": STARTED_AT,
            "store_request": {"caller": None, "verify": True},
            "card": SUMMARY.to_dict(),
            "encrypted": {"ciphertext": b64encode(encrypted.ciphertext).decode()},
            "gateway": "sparkle",
        },
        "issue_key": {
            "headers": {"Idempotency-Key": "payment-of-ours-1"},
            "body": None,
            "requestContext": {"path": "/v1/keys"},
        },
        "status": {"httpMethod": "GET", "pathParameters": {"payment_id": "payment-of-ours-1"}},
        "cards": {"httpMethod": "GET", "pathParameters": {"token": TOKEN}},
        "doubts": {},
        "reserve": {
            "operation_id": "operation-of-ours-1",
            "requested_at": STARTED_AT,
            "request": {"operation": "refund", "payment_id": "payment-of-ours-1", "amount_minor": 500},
        },
        "perform": operation | {"type": "refund", "amount_minor": 500, "currency": "USD", "charge_id": "ch_1"},
        "settle": operation | {"performed": {"charge": None, "reason": "States.Timeout"}},
        "resolve": {"payment_id": "payment-of-ours-1", "operation_id": None, "ask_gateway": True},
        "reconcile": {"day": "2026-11-23", "run": "run-1", "started_at": STARTED_AT, "cursor": None},
        "anchor": {"day": "2026-11-23"},
        "search": {"queryStringParameters": {"merchant_reference": "order-1001"}},
        "receive_event": {
            "pathParameters": {"gateway": "sparkle"},
            "headers": {"Sparkle-Signature": "t=0,v1=0"},
            "body": "{}",
            "isBase64Encoded": False,
        },
        "follow_event": {
            "Records": [
                {
                    "messageId": "message-1",
                    "body": json.dumps({"gateway": "sparkle", "event": asdict(event)}),
                }
            ]
        },
        "publish": {"Records": [{"dynamodb": {"Keys": {"pk": {"S": "#"}, "sk": {"S": "0"}}}}]},
        "deliver": {
            "Records": [
                {
                    "messageId": "message-1",
                    "receiptHandle": "receipt-1",
                    "body": payment_event(payment("payment-of-ours-1"), None).to_cloud_event(),
                    "eventSourceARN": WEBHOOK_QUEUE_ARN,
                    "attributes": {"ApproximateReceiveCount": "1"},
                }
            ]
        },
    }
    return events[function]


def prepare(function: str, world: World) -> None:
    """Record what the function's event requires."""
    world.event_reader.events[b"{}"] = None
    if function in ("await_customer", "confirm"):
        waiting = charge_of(payment("payment-of-ours-1"), status="action_required", captured_minor=0)
        world.gateway.charges["payment-of-ours-1"] = replace(waiting, redirect_url=WAIT.redirect_url)
    if function in ("reserve", "perform", "settle", "resolve", "follow_event", "publish"):
        paid, entries = payment("payment-of-ours-1").post(capture_entry("sparkle", 1999, "USD"))
        world.ledger.record(paid, entries)
        world.gateway.charges[paid.payment_id] = charge_of(paid)
        if function in ("perform", "settle"):
            world.ledger.record(paid.reserve(operation_request(paid, "refund", 500, "operation-of-ours-1"), LATER))

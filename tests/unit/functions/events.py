"""What the state machine and API Gateway hand each function."""

from typing import Any, Literal

from functions.encrypt.encrypt_data import encrypt_card
from functions.shared.ports import CardCipher
from tests.samples import (
    CARD_DATA,
    PAN,
    REQUEST,
    STARTED_AT,
    SUMMARY,
    TOKEN,
    TRANSACTION_ID,
    card,
    payment,
    shown,
)

FunctionName = Literal["tokenize", "screen", "encrypt", "charge", "persist", "compensate", "status", "cards", "doubts"]


def event_for(function: FunctionName, cipher: CardCipher, pan: str = PAN) -> dict[str, Any]:
    """A new, valid event of payment `payment-of-ours-1`. `cipher` is the one that the function will decrypt with."""
    encrypted = encrypt_card(card(pan), SUMMARY.encryption_context, cipher=cipher)
    card_data = CARD_DATA | {"card_number": pan}
    recorded = {
        "payment_id": "payment-of-ours-1",
        "started_at": STARTED_AT,
        "payment": REQUEST.to_dict(),
        "card": SUMMARY.to_dict(),
    }
    request = {"amount_minor": 1999, "currency": "USD", "merchant_reference": "order-1001"}
    events: dict[FunctionName, dict[str, Any]] = {
        "tokenize": {"payment_id": "payment-of-ours-1", "request": request | {"card_data": card_data}},
        "screen": recorded | {"test_card": True},
        "encrypt": {
            "payment_id": "payment-of-ours-1",
            "card": SUMMARY.to_dict(),
            "request": request | {"card_data": card_data},
        },
        "charge": {
            "payment_id": "payment-of-ours-1",
            "payment": REQUEST.to_dict(),
            "card": SUMMARY.to_dict(),
            "ciphertext": encrypted["ciphertext"],
        },
        "persist": recorded
        | {
            "encrypted": encrypted,
            "charge": {
                "outcome": "captured",
                "gateway": "sparkle",
                "charge_id": "ch_1",
                "decline_code": None,
                "shown": shown(payment("payment-of-ours-1")).to_dict(),
            },
            "flags": [],
        },
        "compensate": recorded
        | {
            "transaction_id": TRANSACTION_ID,
            "charge": {"outcome": "unknown"},
            "flags": [],
            "error": "GatewayOutcomeUnknown",
        },
        "status": {"httpMethod": "GET", "pathParameters": {"payment_id": "payment-of-ours-1"}},
        "cards": {"httpMethod": "GET", "pathParameters": {"token": TOKEN}},
        "doubts": {},
    }
    return events[function]

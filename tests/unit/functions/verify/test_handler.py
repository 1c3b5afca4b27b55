import json
from base64 import b64decode, b64encode
from dataclasses import asdict
from hashlib import sha256
from typing import Any

import pytest

from functions.encrypt.encrypt_data import encrypt_card
from functions.shared.domain.charge import Verification
from functions.shared.domain.errors import GatewayMismatch, GatewayOutcomeUnknown, VerificationDeclined
from functions.shared.domain.payment import DeclinedCard
from functions.verify.handler import handler
from tests.aws_facts import facts
from tests.samples import (
    DECLINED_PAN,
    HOLDER,
    NETWORK_TRANSACTION_ID,
    PAN,
    SECURITY_CODE,
    STARTED_AT,
    SUMMARY,
    WRONG_SECURITY_CODE,
    card,
)
from tests.unit.functions.conftest import Output, World

CALLER = "arn:aws:iam::123456789012:user/shop"
KEY = "card-of-ours-0001"
UNKNOWN = GatewayOutcomeUnknown("No answer.")


def event(world: World, pan: str = PAN, security_code: str | None = None) -> dict[str, Any]:
    code = {"security_code": security_code} if security_code else {}
    encrypted = encrypt_card(card(pan, **code), SUMMARY.encryption_context, cipher=world.card_cipher)
    in_base64 = {name: b64encode(value).decode() for name, value in asdict(encrypted).items() if value}
    return {
        "payment_id": KEY,
        "started_at": STARTED_AT,
        "store_request": {"caller": CALLER, "verify": True},
        "card": SUMMARY.to_dict(),
        "encrypted": in_base64,
        "gateway": "sparkle",
    }


def test_a_good_card_goes_on_encrypted_with_the_networks_id_and_without_its_code(world: World, output: Output) -> None:
    verify_event = event(world, security_code=SECURITY_CODE)
    verified = handler(verify_event, None)
    assert verified.keys() == {"ciphertext", "network_transaction_id"}
    assert verified["ciphertext"] == verify_event["encrypted"]["ciphertext"]
    assert verified["network_transaction_id"]
    assert world.gateway.charges == {}
    assert PAN not in output.text
    assert HOLDER not in output.text


@pytest.mark.parametrize(
    ("pan", "code", "declined"),
    [(DECLINED_PAN, None, "insufficient_funds"), (PAN, WRONG_SECURITY_CODE, "incorrect_cvc")],
)
def test_a_declined_card_is_an_error_whose_message_says_why(
    world: World, output: Output, pan: str, code: str | None, declined: str
) -> None:
    with pytest.raises(VerificationDeclined) as raised:
        handler(event(world, pan, code), None)
    assert json.loads(str(raised.value)) == {"decline_code": declined}
    assert output.metrics()["CardDeclined"] == [1.0]
    assert world.velocity_counter.declines == {(KEY, STARTED_AT): DeclinedCard(KEY, SUMMARY, CALLER, STARTED_AT)}
    assert "errorMessage" in facts("lambda_errors")["cause_has"]  # that is where the API's template reads it


def test_every_attempt_has_one_key_so_that_a_lost_answer_is_given_again(world: World) -> None:
    verify_event = event(world)
    world.gateway.faults.arm("verify", UNKNOWN, done=True)
    with pytest.raises(GatewayOutcomeUnknown):
        handler(verify_event, None)
    first, second = handler(verify_event, None), handler(verify_event, None)
    assert first == second
    ciphertext = b64decode(verify_event["encrypted"]["ciphertext"])
    assert set(world.gateway.idempotency_keys) == {f"{KEY}-verification-{sha256(ciphertext).hexdigest()[:16]}"}


def test_a_security_code_that_was_corrected_is_verified_anew(world: World) -> None:
    with pytest.raises(VerificationDeclined):
        handler(event(world, security_code=WRONG_SECURITY_CODE), None)
    handler(event(world, security_code=SECURITY_CODE), None)
    assert len(set(world.gateway.idempotency_keys)) == 2


def test_another_card_under_a_key_that_has_stored_none_is_verified_by_itself(world: World) -> None:
    handler(event(world), None)
    with pytest.raises(VerificationDeclined):
        handler(event(world, DECLINED_PAN), None)


def test_the_answer_to_another_question_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.gateway, "verify", lambda *_: Verification("another-card", None, None))
    with pytest.raises(GatewayMismatch):
        handler(event(world), None)


@pytest.mark.parametrize(
    ("text", "network_id"), [(NETWORK_TRANSACTION_ID, NETWORK_TRANSACTION_ID), (f"0{PAN}", None), (None, None)]
)
def test_the_cards_own_number_is_no_networks_id(
    world: World, monkeypatch: pytest.MonkeyPatch, text: str | None, network_id: str | None
) -> None:
    monkeypatch.setattr(world.gateway, "verify", lambda *_: Verification(KEY, None, text))
    assert handler(event(world), None)["network_transaction_id"] == network_id

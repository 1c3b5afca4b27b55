import base64
import json

import pytest

from functions.encrypt.handler import handler
from functions.shared.domain.errors import InvalidCardNumber
from tests.samples import CARD_DATA, HOLDER, PAN, TOKEN
from tests.unit.functions.conftest import Output, World


def test_the_ciphertext_leaves_in_base64_and_the_card_does_not(world: World, output: Output) -> None:
    encrypted = handler({"payment_id": "pay-1", "token": TOKEN, "card_data": CARD_DATA}, None)
    ciphertext = base64.b64decode(encrypted["ciphertext"])
    assert json.loads(world.card_cipher.decrypt(ciphertext, {"token": TOKEN})) == CARD_DATA
    assert {line["payment_id"] for line in output.logs()} == {"pay-1"}
    assert PAN not in output.text + json.dumps(encrypted)
    assert HOLDER not in output.text + json.dumps(encrypted)


def test_a_card_number_that_is_none_is_not_encrypted(world: World, output: Output) -> None:
    wrong = CARD_DATA | {"card_number": "4242424242424241"}
    with pytest.raises(InvalidCardNumber):
        handler({"payment_id": "pay-1", "token": TOKEN, "card_data": wrong}, None)
    assert "4242424242424241" not in str(output.logs())

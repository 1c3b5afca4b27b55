import json
from typing import Any

import pytest

from functions.cards.handler import handler
from functions.shared.domain.errors import InvalidInput
from functions.shared.ports import StoredCard
from tests.fakes import LEDGER_DOWN
from tests.samples import KEPT_UNTIL, SUMMARY, TOKEN
from tests.unit.functions.conftest import Output, World


def event(method: str, token: str = TOKEN) -> dict[str, Any]:
    return {"httpMethod": method, "pathParameters": {"token": token}, "body": None}


def test_a_stored_card_is_shown_by_its_summary_alone(world: World, output: Output) -> None:
    world.card_vault.cards[TOKEN] = StoredCard(SUMMARY, b"ciphertext", KEPT_UNTIL)
    answer = handler(event("GET"), None)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == SUMMARY.to_dict()
    assert output.logs()[-1]["message"] == "cards done"


def test_a_deleted_card_is_gone(world: World, output: Output) -> None:
    world.card_vault.cards[TOKEN] = StoredCard(SUMMARY, b"ciphertext", KEPT_UNTIL)
    assert handler(event("DELETE"), None) == {
        "statusCode": 204,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": "",
    }
    assert world.card_vault.cards == {}
    assert [handler(event(method), None)["statusCode"] for method in ("GET", "DELETE")] == [404, 404]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_card_is_404(world: World, output: Output, method: str) -> None:
    answer = handler(event(method, "tok_unknown"), None)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (404, "card_not_found")


@pytest.mark.parametrize(("method", "operation"), [("GET", "read"), ("DELETE", "erase")])
def test_a_vault_that_is_down_is_503_and_not_404(world: World, output: Output, method: str, operation: str) -> None:
    world.card_vault.faults.arm(operation, LEDGER_DOWN)
    assert handler(event(method), None)["statusCode"] == 503


def test_no_other_method_is_taken(world: World, output: Output) -> None:
    with pytest.raises(InvalidInput):
        handler(event("POST"), None)

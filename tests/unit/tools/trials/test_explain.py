"""Mistakes in a body are explained by field and rule, without repeating its values."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.samples import CARD_DATA, SEALED, TOKEN, UNLISTED_PAN
from tools.cli.__main__ import app
from tools.trials.events import API_EVENTS, ApiEvent
from tools.trials.explain import SEAL, Call, explain

NOW = datetime(2026, 11, 28, tzinfo=UTC)
BODY: dict[str, Any] = {"amount_minor": 1999, "currency": "USD", "card_data": CARD_DATA}


BY_TOKEN = {"card_data": None, "token": TOKEN}
NOT_OF_A_CARD = ["initiator: must be of the type null", "reason: must be of the type null"]
NOT_SEALED = "card_data: must be a sealed card, five parts in base64url with dots between, or a test card's data"
OTHER_FIELD = (
    "the body: may have no field but card_data, token, amount_minor, currency, merchant_reference, description, "
    "metadata, capture, save_card, initiator, reason, three_d_secure, return_url, exemption"
)


def mistakes(changes: dict[str, Any], call: Call = Call.PAYMENTS) -> list[str]:
    """The payment's body with these fields changed; None omits a field."""
    body = {name: value for name, value in (BODY | changes).items() if value is not None}
    return explain(json.dumps(body).encode(), call, NOW)


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"amount_minor": 0}, ["amount_minor: must be at least 1"]),
        ({"amount_minor": 10**12}, ["amount_minor: must be at most 999999999999"]),
        ({"amount_minor": "1999"}, ["amount_minor: must be of the type integer"]),
        ({"amount_minor": None, "currency": "usd"}, ["amount_minor: is missing", "currency: must be like ^[A-Z]{3}$"]),
        ({"card_data": None}, ["card_data, token: one of them is needed, and not both"]),
        ({"token": TOKEN}, ["card_data, token: one of them is needed, and not both"]),
        ({"card_data": None, "token": "tok_a"}, ["token: must be like ^tok_[a-z2-7]{52}$"]),
        ({"card_data": CARD_DATA | {"card_number": UNLISTED_PAN}}, [SEAL]),
        ({"card_data": {"card_number": UNLISTED_PAN}}, ["expiry_date: is missing", "card_holder: is missing", SEAL]),
        (
            {"card_data": CARD_DATA | {"expiry_date": "13/30"}},
            ["card_data/expiry_date: must be like ^(0[1-9]|1[0-2])/[0-9]{2}$"],
        ),
        (
            {"card_data": CARD_DATA | {"expiry_date": "12/99"}},
            ["expiry_date: must not be further than 20 years from now"],
        ),
        ({"card_data": CARD_DATA | {"card_holder": " "}}, ["card_holder: must be a name of at most 64 characters"]),
        ({"card_data": CARD_DATA | {"card_holder": UNLISTED_PAN}}, ["card_holder: looks like a card number"]),
        (
            {"card_data": CARD_DATA | {"cvc": "123"}},
            ["card_data: may have no field but card_number, expiry_date, card_holder"],
        ),
        ({"card_data": f"{UNLISTED_PAN}.a.a.a.a"}, [NOT_SEALED]),
        ({"merchant_reference": "x" * 65}, ["merchant_reference: must have at most 64 characters"]),
        ({"metadata": {f"n{n}": "a" for n in range(21)}}, ["metadata: must have at most 20 names"]),
        ({"metadata": {"a": "x" * 81}}, ["metadata/a: must have at most 80 characters"]),
        ({"metadata": {"a": f"card {UNLISTED_PAN}"}}, ["metadata: looks like a card number"]),
        ({"metadata": {"a b": "x"}}, ["metadata: must be like ^[A-Za-z_][A-Za-z0-9_]{0,39}$"]),
        ({"merchant_reference": ""}, ["merchant_reference: must have at least 1 characters"]),
        ({"description": f"card {UNLISTED_PAN}"}, ["description: looks like a card number"]),
        ({"description": "a\nb"}, ["description: has a character that is refused, as a line break is"]),
        ({UNLISTED_PAN: 1}, [OTHER_FIELD]),
        ({"initiator": "shop"}, ["initiator: must be customer or merchant"]),
        ({"initiator": "merchant", "reason": "recurring"}, NOT_OF_A_CARD),
        (BY_TOKEN | {"initiator": "merchant"}, ["reason: is missing"]),
        (
            BY_TOKEN | {"initiator": "merchant", "reason": "habit"},
            ["reason: must be recurring or installment or unscheduled"],
        ),
        (BY_TOKEN | {"reason": "recurring"}, ["reason: must be of the type null"]),
    ],
    ids=repr,
)
def test_each_broken_rule_is_named_with_its_field(changes: dict[str, Any], broken: list[str]) -> None:
    assert sorted(mistakes(changes)) == sorted(broken)
    assert UNLISTED_PAN not in "".join(mistakes(changes))


GOOD = [
    {},
    {"card_data": SEALED},
    BY_TOKEN,
    BY_TOKEN | {"initiator": "customer"},
    BY_TOKEN | {"initiator": "merchant", "reason": "installment"},
]


@pytest.mark.parametrize("changes", GOOD, ids=repr)
def test_a_good_body_has_no_mistakes(changes: dict[str, Any]) -> None:
    assert mistakes(changes) == []


@pytest.mark.parametrize(
    ("call", "body", "broken"),
    [
        (Call.CARDS, b"{}", ["card_data: is missing"]),
        (Call.REFUNDS, b'{"amount_minor": 1.5}', ["amount_minor: must be of the type integer"]),
        (Call.CAPTURES, b"{}", []),
        (Call.VOIDS, b'{"amount_minor": 1}', ["the body: may have no field but none"]),
        (Call.PAYMENTS, b"[]", ["the body: must be of the type object"]),
        (Call.PAYMENTS, b'{"a": 1, "a": 2}', ["the body: must be JSON, and no field may be there twice"]),
        (Call.PAYMENTS, b"\xff", ["the body: must be JSON, and no field may be there twice"]),
    ],
)
def test_each_call_has_its_own_body(call: Call, body: bytes, broken: list[str]) -> None:
    assert explain(body, call, NOW) == broken


@pytest.mark.parametrize("file", sorted(API_EVENTS.glob("refused_*.json")), ids=lambda file: file.stem)
def test_every_sample_that_the_api_refuses_is_explained(file: Path) -> None:
    request = ApiEvent.load(file).request
    call = Call(request.path.rpartition("/")[2])
    assert explain(json.dumps(request.body).encode(), call, NOW)


def called(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, ["explain", *arguments], input=stdin, env={"COLUMNS": "200"})


def test_the_command_reads_a_file_and_fails_where_a_rule_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps(BODY))
    run = called(str(file))
    assert (run.exit_code, run.output.strip()) == (0, "The body breaks no rule that can be checked before it is sent.")
    file.write_text(json.dumps(BODY | {"card_data": CARD_DATA | {"card_number": UNLISTED_PAN}}))
    run = called(str(file))
    assert (run.exit_code, run.output.strip()) == (1, SEAL)
    run = called(str(file), "--json")
    assert (run.exit_code, json.loads(run.output)) == (1, {"call": "payments", "broken_rules": [SEAL]})
    assert called("--call", "voids", stdin=b"{}").exit_code == 0
    assert json.loads(called("--call", "voids", "--json", stdin=b"{}").output)["broken_rules"] == []
    assert "No such file or directory" in called(str(tmp_path / "none")).output

"""Which cards a deployment accepts, as Terraform configures its functions and its API."""

import json
import re
from typing import Any

import pytest

from tests.mapping_templates import card_number
from tests.mocked_terraform import Mocked, mocked
from tests.samples import ACCEPTED_BRANDS, TEST_CARDS
from tools.deployment.paths import TERRAFORM

OTHERWISE: dict[str, Any] = {"test_cards_accepted": True, "accepted_brands": ["mir", "visa"]}


@pytest.fixture(scope="module")
def states(deployed: Mocked, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Mocked]:
    return {"as_it_is": deployed, **mocked(tmp_path_factory.mktemp("states"), {"otherwise": OTHERWISE}, "apply")}


def environment(state: Mocked, function: str) -> dict[str, str]:
    [variables] = state.resources[f'aws_lambda_function.this["{function}"]']["environment"]
    return dict(variables["variables"])


def template(state: Mocked, route: str) -> str:
    return str(
        state.resources[f'aws_api_gateway_integration.start["{route}"]']["request_templates"]["application/json"]
    )


def test_tokenize_knows_the_accepted_brands(states: dict[str, Mocked]) -> None:
    assert environment(states["as_it_is"], "tokenize")["ACCEPTED_BRANDS"] == ",".join(ACCEPTED_BRANDS)
    assert environment(states["otherwise"], "tokenize")["ACCEPTED_BRANDS"] == "mir,visa"


def test_by_default_no_test_card_is_accepted_sealed_or_in_the_clear(
    states: dict[str, Mocked],
) -> None:
    assert environment(states["as_it_is"], "tokenize")["TEST_CARDS_ACCEPTED"] == "false"
    assert environment(states["otherwise"], "tokenize")["TEST_CARDS_ACCEPTED"] == "true"
    for route in ("payments", "cards"):
        cards = {case: re.findall(r"#set\(\$test_cards = (.*)\)", template(states[case], route)) for case in states}
        assert [json.loads(text) for text in cards["as_it_is"]] == [[]]
        assert [sorted(json.loads(text)) for text in cards["otherwise"]] == [sorted(TEST_CARDS)]


def test_the_template_looks_for_the_numbers_of_all_brands_accepted_or_not(states: dict[str, Mocked]) -> None:
    for case in ("as_it_is", "otherwise"):
        assert f"#set($card_number = '{card_number()}')" in template(states[case], "payments")


def test_only_production_refuses_test_cards() -> None:
    accepts = {file.stem: "test_cards_accepted = true" in re.sub(" +", " ", file.read_text()) for file in ENVIRONMENTS}
    assert accepts == {"dev": True, "local": True, "prod": False}


ENVIRONMENTS = sorted((TERRAFORM / "environments").glob("*.tfvars"))

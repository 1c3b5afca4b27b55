"""Which cards a deployment accepts, as Terraform configures its functions and its API."""

import json
import re

from tests.mapping_templates import card_number
from tests.mocked_terraform import Mocked
from tests.samples import ACCEPTED_BRANDS, TEST_CARDS
from tests.unit.terraform.conftest import environment
from tools.deployment.paths import TERRAFORM


def template(state: Mocked, route: str) -> str:
    return str(
        state.resources[f'aws_api_gateway_integration.start["{route}"]']["request_templates"]["application/json"]
    )


def test_tokenize_knows_the_accepted_brands(deployments: dict[str, Mocked]) -> None:
    assert environment(deployments["as_it_is"], "tokenize")["ACCEPTED_BRANDS"] == ",".join(ACCEPTED_BRANDS)
    assert environment(deployments["otherwise"], "tokenize")["ACCEPTED_BRANDS"] == "mir,visa"


def test_by_default_no_test_card_is_accepted_sealed_or_in_the_clear(
    deployments: dict[str, Mocked],
) -> None:
    assert environment(deployments["as_it_is"], "tokenize")["TEST_CARDS_ACCEPTED"] == "false"
    assert environment(deployments["otherwise"], "tokenize")["TEST_CARDS_ACCEPTED"] == "true"
    for route in ("payments", "cards"):
        cards = {
            case: re.findall(r"#set\(\$test_cards = (.*)\)", template(deployments[case], route)) for case in deployments
        }
        assert [json.loads(text) for text in cards["as_it_is"]] == [[]]
        assert [sorted(json.loads(text)) for text in cards["otherwise"]] == [sorted(TEST_CARDS)]


def test_the_template_looks_for_the_numbers_of_all_brands_accepted_or_not(deployments: dict[str, Mocked]) -> None:
    for case in ("as_it_is", "otherwise"):
        assert f"#set($card_number = '{card_number()}')" in template(deployments[case], "payments")


def test_only_production_refuses_test_cards() -> None:
    accepts = {file.stem: "test_cards_accepted = true" in re.sub(" +", " ", file.read_text()) for file in ENVIRONMENTS}
    assert accepts == {"dev": True, "local": True, "prod": False}


ENVIRONMENTS = sorted((TERRAFORM / "environments").glob("*.tfvars"))

from collections.abc import Iterator

import pytest

from tests.mocked_terraform import Mocked, mocked, provider_running


@pytest.fixture(scope="package")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One process of the AWS provider for all these tests."""
    with provider_running(tmp_path_factory.mktemp("provider")) as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="package")
def deployments(provider: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Mocked]:
    """The state after a deployment with only the required variables, and with other cards accepted and ten webhooks."""
    webhooks = {f"webhook-{number}": {"url": f"https://shop-{number}.example.com/webhooks"} for number in range(10)}
    otherwise = {"test_cards_accepted": True, "accepted_brands": ["mir", "visa"], "webhooks": webhooks}
    return mocked(tmp_path_factory.mktemp("deployments"), {"as_it_is": {}, "otherwise": otherwise}, "apply")


@pytest.fixture(scope="package")
def deployed(deployments: dict[str, Mocked]) -> Mocked:
    return deployments["as_it_is"]


def environment(state: Mocked, function: str) -> dict[str, str]:
    [variables] = state.resources[f'aws_lambda_function.this["{function}"]']["environment"]
    return dict(variables["variables"])

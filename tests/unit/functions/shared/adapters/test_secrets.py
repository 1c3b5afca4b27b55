from collections.abc import Iterator

import pytest

from functions.shared.adapters.secrets import SecretsManagerSecret
from functions.shared.domain.errors import SecretUnavailable
from tests.mocked_aws import API_KEY, SECRET_ID, MockedAws, new_id


@pytest.fixture
def requests(aws: MockedAws) -> Iterator[list[str]]:
    """One entry for each request to Secrets Manager."""
    calls: list[str] = []

    def note(model: object, **_: object) -> None:
        calls.append(model.name)  # type: ignore[attr-defined]

    aws.secretsmanager.meta.events.register("before-call.secrets-manager", note)
    yield calls
    aws.secretsmanager.meta.events.unregister("before-call.secrets-manager", note)


def test_the_secret_is_read_once_and_kept(aws: MockedAws, requests: list[str]) -> None:
    secret = SecretsManagerSecret(aws.secretsmanager, SECRET_ID)
    assert [secret(), secret()] == [API_KEY, API_KEY]
    assert requests == ["GetSecretValue"]


def test_a_secret_that_is_not_there_is_unavailable(aws: MockedAws) -> None:
    with pytest.raises(SecretUnavailable, match=r"^Secrets Manager: \w+$"):
        SecretsManagerSecret(aws.secretsmanager, new_id())()


def test_a_secret_without_a_value_is_unavailable_and_read_again(aws: MockedAws) -> None:
    aws.secretsmanager.create_secret(Name=(name := new_id()))
    secret = SecretsManagerSecret(aws.secretsmanager, name)
    with pytest.raises(SecretUnavailable):
        secret()
    aws.secretsmanager.put_secret_value(SecretId=name, SecretString="set since")  # pragma: allowlist secret
    assert secret() == "set since"


def test_a_secret_of_bytes_is_unavailable(aws: MockedAws) -> None:
    aws.secretsmanager.create_secret(Name=(name := new_id()), SecretBinary=b"bytes")
    with pytest.raises(SecretUnavailable):
        SecretsManagerSecret(aws.secretsmanager, name)()

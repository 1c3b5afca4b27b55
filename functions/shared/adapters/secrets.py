"""A secret from AWS Secrets Manager, cached for five minutes, so that rotation takes effect soon and costs stay low."""

from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import GetParameterError, SecretsProvider

from functions.shared import strict_json
from functions.shared.domain.errors import SecretUnavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

MAX_AGE_SECONDS = 300


class SecretsManagerSecret:
    """A callable that returns the secret's string. Raises SecretUnavailable."""

    def __init__(self, client: "SecretsManagerClient", secret_id: str) -> None:
        self._secrets = SecretsProvider(boto3_client=client)
        self._secret_id = secret_id

    def __call__(self) -> str:
        try:
            secret = self._secrets.get(self._secret_id, max_age=MAX_AGE_SECONDS)
        except GetParameterError as error:
            raise SecretUnavailable(f"Secrets Manager: {type(error.__context__).__name__}") from None
        if not isinstance(secret, str):
            raise SecretUnavailable("Secrets Manager: the secret is not a text.")
        return secret


def secrets_in(secret: str) -> list[str]:
    """The secrets in one that is a JSON list of texts: those in use during a rotation. Raises SecretUnavailable."""
    try:
        secrets = strict_json.loads(secret)
    except ValueError:
        secrets = None
    if not isinstance(secrets, list) or not all(isinstance(each, str) for each in secrets):
        raise SecretUnavailable("Secrets Manager: the secret is not a JSON list of texts.")
    return secrets

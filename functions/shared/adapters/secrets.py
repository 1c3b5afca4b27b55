"""A secret from AWS Secrets Manager, kept for five minutes: soon enough for a rotation, rare enough for the bill."""

from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from functions.shared.domain.errors import SecretUnavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

MAX_AGE_SECONDS = 300


class SecretsManagerSecret:
    """Call it to get the secret's string. Raises SecretUnavailable."""

    def __init__(self, client: "SecretsManagerClient", secret_id: str) -> None:
        self._provider = SecretsProvider(boto3_client=client)
        self._secret_id = secret_id

    def __call__(self) -> str:
        try:
            return str(self._provider.get(self._secret_id, max_age=MAX_AGE_SECONDS))
        except GetParameterError as error:
            cause = type(error.__cause__ or error).__name__
            raise SecretUnavailable(f"Secrets Manager: {cause}") from None

"""A secret from AWS Secrets Manager, cached for five minutes, so that rotation takes effect soon and costs stay low."""

import time
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from functions.shared.domain.errors import SecretUnavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

MAX_AGE_SECONDS = 300


class SecretsManagerSecret:
    """A callable that returns the secret's string. Raises SecretUnavailable."""

    def __init__(self, client: "SecretsManagerClient", secret_id: str) -> None:
        self._client = client
        self._secret_id = secret_id
        self._read: tuple[float, str] | None = None

    def __call__(self) -> str:
        if self._read is None or time.monotonic() > self._read[0] + MAX_AGE_SECONDS:
            try:
                secret = self._client.get_secret_value(SecretId=self._secret_id)["SecretString"]
            except (BotoCoreError, ClientError, KeyError) as error:
                raise SecretUnavailable(f"Secrets Manager: {type(error).__name__}") from None
            self._read = time.monotonic(), secret
        return self._read[1]

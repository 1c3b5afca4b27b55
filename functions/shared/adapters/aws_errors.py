"""The translation of AWS's errors to ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from functions.shared.domain.errors import Unavailable


@contextmanager
def raised_as(unavailable: type[Unavailable], service: str) -> Iterator[None]:
    """Raise every AWS error as this one. Only AWS's error code is kept, as the message may quote the request."""
    try:
        yield
    except ClientError as error:
        raise unavailable(f"{service}: {error.response['Error']['Code']}") from None
    except BotoCoreError as error:
        raise unavailable(f"{service}: {type(error).__name__}") from None

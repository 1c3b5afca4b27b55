"""Lambda's code from S3: if the object does not exist, MiniStack 1.5.33 creates an empty function or layer.

AWS refuses CreateFunction and PublishLayerVersion (tests/aws_facts/lambda_code_from_s3.yaml). This module does so too,
and also refuses UpdateFunctionCode.
"""

import functools
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

NO_SUCH_KEY_MESSAGE = (
    "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."
)


class _NoSuchKey(bytes):
    """Marks missing code; MiniStack's next step is to check whether it can read the code."""


def install() -> None:
    """Make MiniStack refuse code that does not exist."""
    fetch_code, reject_unreadable = lambda_svc._fetch_code_from_s3, lambda_svc._reject_unreadable_zip

    @functools.wraps(fetch_code)
    def fetch(bucket: str, key: str, version_id: str | None = None) -> bytes:
        code: bytes | None = fetch_code(bucket, key, version_id)
        return _NoSuchKey() if code is None else code

    @functools.wraps(reject_unreadable)
    def reject(code: bytes | None) -> Any:
        if isinstance(code, _NoSuchKey):
            return error_response_json("InvalidParameterValueException", NO_SUCH_KEY_MESSAGE, 400)
        return reject_unreadable(code)

    lambda_svc._fetch_code_from_s3 = fetch
    lambda_svc._reject_unreadable_zip = reject

"""Lambda's code from S3: MiniStack 1.5.33 makes an empty function or layer of an object that is not there.

AWS refuses CreateFunction and PublishLayerVersion then (tests/aws_facts/lambda_code_from_s3.yaml), and here
UpdateFunctionCode is refused like them.
"""

import functools
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

NOT_THERE = (
    "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."
)


class _NoSuchKey(bytes):
    """In place of the code, which MiniStack looks at next."""


def install() -> None:
    """Have MiniStack refuse code that is not there."""
    fetch_code, reject_unreadable = lambda_svc._fetch_code_from_s3, lambda_svc._reject_unreadable_zip

    @functools.wraps(fetch_code)
    def fetch(bucket: str, key: str, version_id: str | None = None) -> bytes:
        code: bytes | None = fetch_code(bucket, key, version_id)
        return _NoSuchKey() if code is None else code

    @functools.wraps(reject_unreadable)
    def reject(code: bytes | None) -> Any:
        if isinstance(code, _NoSuchKey):
            return error_response_json("InvalidParameterValueException", NOT_THERE, 400)
        return reject_unreadable(code)

    lambda_svc._fetch_code_from_s3 = fetch
    lambda_svc._reject_unreadable_zip = reject

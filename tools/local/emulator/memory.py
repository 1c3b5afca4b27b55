"""Remembers what MiniStack 1.5.33 works out again for each request.

Whether a condition for DynamoDB is well formed, and whether an action or an ARN fits a policy's pattern, depends on
their text alone; how large a package is unzipped, on its bytes. Each function would open the same layer: together a
second of a deployment.
"""

import functools
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import dynamodb, lambda_svc

_PURE: tuple[tuple[Any, str], ...] = (
    (dynamodb, "_condition_syntax_error"),
    (iam_evaluator, "fnmatch_iam"),
    (iam_evaluator, "fnmatch_iam_cs"),
    (lambda_svc, "_unzipped_size"),
)


def install() -> None:
    for module, name in _PURE:
        setattr(module, name, functools.lru_cache(maxsize=4096)(getattr(module, name)))

"""Remembers what MiniStack 1.5.33 works out again for each request.

Whether a condition for DynamoDB is well formed, and whether an action or an ARN fits a policy's pattern, depends on
their text alone; how large a package is unzipped, on its bytes. Each function would open the same layer: together a
second of a deployment.
"""

import functools
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import dynamodb, lambda_svc

# With the number of answers that are kept. Those about packages keep the packages, which may be large.
_PURE: tuple[tuple[Any, str, int], ...] = (
    (dynamodb, "_condition_syntax_error", 4096),
    (iam_evaluator, "fnmatch_iam", 4096),
    (iam_evaluator, "fnmatch_iam_cs", 4096),
    (lambda_svc, "_unzipped_size", 16),
)


def install() -> None:
    for module, name, kept in _PURE:
        setattr(module, name, functools.lru_cache(maxsize=kept)(getattr(module, name)))

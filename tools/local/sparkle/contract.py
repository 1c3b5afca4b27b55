"""Checks requests against `docs/sparkle.yaml`, so that the sandbox and its contract can't drift apart."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tools.local.sparkle.errors import InvalidRequest

_CONTRACT = Path(__file__).parents[3] / "docs" / "sparkle.yaml"

# JSON Schema counts 1.0 as an integer; an amount of money must not arrive as a float.
_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


@cache
def contract() -> dict[str, Any]:
    """Load the whole OpenAPI document."""
    document: dict[str, Any] = yaml.load(_CONTRACT.read_text(encoding="utf-8"), yaml.CSafeLoader)
    return document


@cache
def validator(schema: str) -> Any:
    """Return the jsonschema validator of the contract's component schema with this name."""
    # A registry is immutable: unless it is crawled here, every check would crawl it again.
    registry: Registry[Any] = Registry().with_resource("sparkle", DRAFT202012.create_resource(contract())).crawl()
    return _Validator({"$ref": f"sparkle#/components/schemas/{schema}"}, registry=registry)


def check(body: object, schema: str) -> None:
    """Raise InvalidRequest (`invalid_field`) unless the body fits; its message names fields and rules but no values."""
    if complaints := sorted(set(_complaints(validator(schema).iter_errors(body)))):
        raise InvalidRequest("; ".join(complaints) + ".", reason="invalid_field")


def _complaints(errors: Iterator[ValidationError]) -> Iterator[str]:
    for error in errors:
        field = ".".join(map(str, error.absolute_path)) or "request"
        expected: Any = error.validator_value
        match error.validator:
            case "required":
                yield f"{field} must have {', '.join(expected)}"
            case "additionalProperties":
                yield f"{field} has an unknown field"
            case "enum":
                yield f"{field} must be one of {', '.join(expected)}"
            case "type":
                yield f"{field} must be of type {expected}"
            case rule:
                yield f"{field} must have {rule} {expected}"

"""Explanations by jsonschema of why an instance violates its contract."""

from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.jsonschema import DRAFT4

from functions.shared import contracts


def explain(contract: str, instance: Any) -> str:
    """Name the place and the rule of a violation, never the value."""
    error = best_match(validator(contract).iter_errors(instance))
    return _explain(error) if error else "the input breaks the contract."


def validator(contract: str) -> Draft4Validator:
    """jsonschema's validator for `contracts/<contract>.json`."""
    registry: Registry[Any] = Registry().with_resource(
        "definitions", DRAFT4.create_resource(contracts.load("definitions"))
    )
    return Draft4Validator(contracts.load(contract), registry=registry)


def _explain(error: ValidationError) -> str:
    rule: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "required":
        missing = next(name for name in rule if name not in instance)
        return f"Missing {missing.replace('_', ' ')}."
    if error.validator == "oneOf" and error.context:
        return _explain(error.context[0])  # the error in the first, most usual alternative
    place = "/".join(map(str, error.absolute_path)) or "the input"
    if error.validator == "additionalProperties":
        return f"{place} has a field that the contract does not know."
    return f"{place} breaks the contract: {error.validator} {rule!r}."

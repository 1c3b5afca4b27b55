"""What is wrong with an instance that breaks its contract, as jsonschema finds it."""

from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.jsonschema import DRAFT4

from functions.shared import contracts


def explain(contract: str, instance: Any) -> str:
    """The place and the rule, never the value."""
    error = best_match(validator(contract).iter_errors(instance))
    return _explain(error) if error else "the input breaks the contract."


def validator(contract: str) -> Draft4Validator:
    """jsonschema's own for `contracts/<contract>.json`."""
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
        return _explain(error.context[0])  # the first is the usual way
    place = "/".join(map(str, error.absolute_path)) or "the input"
    if error.validator == "additionalProperties":
        return f"{place} has a field that the contract does not know."
    return f"{place} breaks the contract: {error.validator} {rule!r}."

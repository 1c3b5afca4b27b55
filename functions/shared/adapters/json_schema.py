"""Contracts checked by jsonschema."""

from functools import cache
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.jsonschema import DRAFT4

from functions.shared import contracts
from functions.shared.domain.errors import InvalidInput


def validate(contract: str, instance: Any) -> None:
    """Raise InvalidInput where the instance breaks `contracts/<contract>.json`.

    The message names the place and the rule, never the value: the value may be a card number.
    """
    error = best_match(_validator(contract).iter_errors(instance))
    if error is not None:
        raise InvalidInput(_explain(error))


def prepare(contract: str) -> None:
    """Make the contract's validator, which is kept."""
    _validator(contract)


@cache
def _validator(contract: str) -> Draft4Validator:
    # Crawled once: a registry is immutable, and would forget with every validation what it found in the last.
    registry: Registry[Any] = Registry().with_resource(
        "definitions", DRAFT4.create_resource(contracts.load("definitions"))
    )
    return Draft4Validator(contracts.load(contract), registry=registry.crawl())


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

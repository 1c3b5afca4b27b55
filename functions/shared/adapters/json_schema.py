"""Contracts checked by fastjsonschema: jsonschema takes three times as long to start."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from typing import Any

import fastjsonschema
from fastjsonschema import JsonSchemaValueException

from functions.shared import contracts
from functions.shared.domain.errors import InvalidInput


def validate(contract: str, instance: Any) -> None:
    """Raise InvalidInput where the instance breaks `contracts/<contract>.json`.

    The message names the place and the rule, never the value: the value may be a card number.
    """
    try:
        _validator(contract)(instance)
    except JsonSchemaValueException as error:
        raise InvalidInput(_explain(error)) from None


def prepare(contract: str) -> None:
    """Make the contract's validator, which is kept."""
    _validator(contract)


@cache
def _validator(contract: str) -> Callable[[Any], Any]:
    return _compiled(contracts.load(contract))


def _compiled(schema: Any) -> Callable[[Any], Any]:
    # Copies, as it writes into what it is given. `definitions#/card` refers to the file of that name.
    files = {"": lambda name: deepcopy(contracts.load(name))}
    compiled: Callable[[Any], Any] = fastjsonschema.compile(
        deepcopy(schema), handlers=files, use_default=False, use_formats=False
    )
    return compiled


def _explain(error: JsonSchemaValueException, path: Sequence[str] = ()) -> str:
    rule, definition = error.rule, error.rule_definition
    path = (*path, *error.path[1:])
    if rule in ("anyOf", "oneOf"):
        # What is of another kind altogether was not meant. Of the others, the first is the usual way.
        for found in filter(None, (_error(alternative, error.value) for alternative in definition)):
            if found.rule != "type" or len(found.path) > 1:
                return _explain(found, path)
    if rule == "required":
        missing = next(name for name in definition if name not in error.value)
        return f"Missing {missing.replace('_', ' ')}."
    place = "/".join(path) or "the input"
    if rule == "additionalProperties":
        return f"{place} has a field that the contract does not know."
    return f"{place} breaks the contract: {rule}{'' if isinstance(definition, dict) else f' {definition!r}'}."


def _error(schema: Any, instance: Any) -> JsonSchemaValueException | None:
    try:
        _compiled(schema)(instance)
    except JsonSchemaValueException as error:
        return error
    return None

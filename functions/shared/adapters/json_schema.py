"""Validation of contracts by fastjsonschema.

jsonschema explains the violations. Importing it takes longer than importing all of our own code, so a function imports
it only when there is a violation to explain.
"""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import cache
from importlib import import_module
from typing import Any

import fastjsonschema

from functions.shared import contracts
from functions.shared.domain.errors import InvalidInput


def validate(contract: str, instance: Any) -> None:
    """Raise InvalidInput if the instance violates `contracts/<contract>.json`.

    The message names the place and the rule, never the value: the value may be a card number.
    """
    try:
        _check(contract)(instance)
    except fastjsonschema.JsonSchemaValueException:
        from functions.shared.adapters.json_schema_errors import explain

        try:
            raise InvalidInput(explain(contract, instance)) from None
        except RecursionError:  # jsonschema writes the instance into messages that nobody sees
            raise InvalidInput("the input breaks the contract, and is nested too deeply to say where.") from None


def prepare(contract: str) -> None:
    """Load the contract's check and cache it."""
    _check(contract)


def source(contract: str) -> str:
    """Return the source of a module whose `validate` is the contract's check.

    The build packs it, so that a function's start imports the check instead of compiling it.
    """
    code: str = fastjsonschema.compile_to_code(_definition(contract), **_options())
    return code


@cache
def _check(contract: str) -> Callable[[Any], Any]:
    with suppress(ModuleNotFoundError):  # outside a package there is no such module
        packed: Callable[[Any], Any] = import_module(f"{contracts.__name__}.{contract}").validate
        return packed
    compiled: Callable[[Any], Any] = fastjsonschema.compile(_definition(contract), **_options())
    return compiled


def _definition(contract: str) -> Any:
    return deepcopy(contracts.load(contract))  # a copy, as fastjsonschema modifies its arguments


def _options() -> dict[str, Any]:
    # `definitions#/card` refers to the file of that name.
    return {"handlers": {"": _definition}, "use_default": False, "use_formats": False, "detailed_exceptions": False}

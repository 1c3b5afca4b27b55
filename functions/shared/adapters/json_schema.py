"""Validation of contracts by fastjsonschema.

jsonschema explains the violations. Importing it takes longer than importing all of our own code, so a function imports
it only when there is a violation to explain.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
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
    """Compile the contract's check and cache it."""
    _check(contract)


@cache
def _check(contract: str) -> Callable[[Any], Any]:
    # The loader returns copies, as fastjsonschema modifies its arguments. `definitions#/card` refers to the file of
    # that name.
    files = {"": lambda name: deepcopy(contracts.load(name))}
    check: Callable[[Any], Any] = fastjsonschema.compile(
        files[""](contract), handlers=files, use_default=False, use_formats=False, detailed_exceptions=False
    )
    return check

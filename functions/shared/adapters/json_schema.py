"""Contracts checked by fastjsonschema.

What breaks one is explained by jsonschema, which takes longer to import than all of our own code: a function pays for
that only where there is something to explain.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import fastjsonschema

from functions.shared import contracts
from functions.shared.domain.errors import InvalidInput


def validate(contract: str, instance: Any) -> None:
    """Raise InvalidInput where the instance breaks `contracts/<contract>.json`.

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
    """Make the contract's check, which is kept."""
    _check(contract)


@cache
def _check(contract: str) -> Callable[[Any], Any]:
    # Copies, as it writes into what it is given. `definitions#/card` refers to the file of that name.
    files = {"": lambda name: deepcopy(contracts.load(name))}
    check: Callable[[Any], Any] = fastjsonschema.compile(
        files[""](contract), handlers=files, use_default=False, use_formats=False, detailed_exceptions=False
    )
    return check

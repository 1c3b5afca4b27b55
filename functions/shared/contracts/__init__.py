"""JSON Schemas (draft 4, like API Gateway's models) of the functions' inputs, and the published test cards."""

import json
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


@cache
def load(name: str) -> Any:
    """The parsed contents of `<name>.json` in this folder."""
    return json.loads((_FOLDER / f"{name}.json").read_text())


def is_test_card(pan: str) -> bool:
    """Whether the number is a published test card's, the only kind that may come in the clear."""
    return pan in load("test_cards")

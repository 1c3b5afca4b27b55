"""Facts of AWS, each with its sources, that the emulator and the product are held to: one file a topic."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def facts(topic: str) -> Any:
    """What is under `facts` in `<topic>.yaml`."""
    return yaml.safe_load(Path(__file__).with_name(f"{topic}.yaml").read_text(encoding="utf-8"))["facts"]

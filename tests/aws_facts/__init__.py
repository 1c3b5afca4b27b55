"""Facts about AWS and their sources, in one YAML file per topic. Tests hold the emulator and the product to them."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def facts(topic: str) -> Any:
    """Return `facts` from `<topic>.yaml`."""
    return yaml.safe_load((Path(__file__).parent / f"{topic}.yaml").read_text(encoding="utf-8"))["facts"]

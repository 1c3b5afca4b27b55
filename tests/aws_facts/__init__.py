"""What AWS does, with where it was read or seen: one YAML file a topic. The emulator and the product are held to it."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def facts(topic: str) -> Any:
    """What `<topic>.yaml` has under `facts`."""
    return yaml.safe_load((Path(__file__).parent / f"{topic}.yaml").read_text(encoding="utf-8"))["facts"]

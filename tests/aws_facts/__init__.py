"""Facts about AWS that the product and the emulator are held to: a file a topic, each with its sources and dates."""

import functools
from pathlib import Path
from typing import Any

import yaml


@functools.cache
def facts(topic: str) -> Any:
    """What `<topic>.yaml` has under `facts`."""
    return yaml.safe_load((Path(__file__).parent / f"{topic}.yaml").read_text())["facts"]

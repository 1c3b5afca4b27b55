"""Where a Python function's modules come from."""

import os
import sys
from collections.abc import Sequence


def search_path(code: str, layers: Sequence[str], runtime_client: str) -> str:
    """PYTHONPATH as on AWS: the code first, then the layers (the one that takes precedence first), the runtime's own
    packages last."""
    site_packages = f"python/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    of_layers = (f"{layer}/{part}" for part in (site_packages, "python") for layer in layers)
    return os.pathsep.join([code, *of_layers, runtime_client])

"""Where a Python function's modules come from."""

import os
import sys
from collections.abc import Sequence


def search_path(code: str, layers: Sequence[str], runtime_client: str) -> str:
    """Return PYTHONPATH in the order of AWS: the code, the layers by descending precedence, and the runtime's own
    packages.
    """
    site_packages = f"python/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    layer_paths = (f"{layer}/{part}" for part in (site_packages, "python") for layer in layers)
    return os.pathsep.join([code, *layer_paths, runtime_client])

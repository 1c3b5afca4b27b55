"""The runtime of the functions. Handlers import this package and use its public names.

frame.py wraps every handler, factories.py creates the adapters, settings.py reads the deployment's settings, and
clock.py provides the time. The package exports each public name of these modules.
"""

from functions.shared.runtime.clock import *  # noqa: F403
from functions.shared.runtime.factories import *  # noqa: F403
from functions.shared.runtime.frame import *  # noqa: F403
from functions.shared.runtime.settings import *  # noqa: F403

"""Where the functions meet the world. Handlers import this package, and find all that they need of it by its name.

frame.py is around every handler, factories.py makes the adapters, settings.py reads what the deployment decides, and
clock.py has the time. Each public name in them is one of this package.
"""

from functions.shared.runtime.clock import *  # noqa: F403
from functions.shared.runtime.factories import *  # noqa: F403
from functions.shared.runtime.frame import *  # noqa: F403
from functions.shared.runtime.settings import *  # noqa: F403

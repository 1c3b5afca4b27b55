"""The stack of this test process, on free ports and in its own folder. `python -m tests.stack.own` starts it."""

import os

from tests.stack.driver import SEEN_AFTER_SECONDS
from tools.deployment.paths import BUILD
from tools.local.machine import Machine, wanted_gateways

# State machines wait and back off a twentieth of their time: long enough to see a doubt and to outlast a busy machine.
WAIT_SCALE = 0.05

# Each of pytest's workers has its own, since a test may remove a permission, count cards, or clear all faults.
_HOME = BUILD / "-".join(("test-stack", *filter(None, [os.environ.get("PYTEST_XDIST_WORKER")])))

MACHINE = Machine(
    home=_HOME,
    stack_file=_HOME / "stack.json",
    gateways=wanted_gateways(),
    usual_ports=False,
    emulator_environment={"SFN_WAIT_SCALE": str(WAIT_SCALE), "SFN_SEEN_AFTER_SECONDS": str(SEEN_AFTER_SECONDS)},
)

if __name__ == "__main__":
    MACHINE.up(print)

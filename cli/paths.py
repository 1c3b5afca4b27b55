"""Where things are in a checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
EVENTS = ROOT / "events"
FUNCTIONS = ROOT / "functions"
README = ROOT / "README.md"
REQUIREMENTS = ROOT / "requirements"
STATE_MACHINES = ROOT / "statemachine"
TERRAFORM = ROOT / "terraform"
STACK_FILE = BUILD / "stack.json"

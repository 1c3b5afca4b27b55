"""Where things are in a checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
EVENTS = ROOT / "events"
FUNCTIONS = ROOT / "functions"
REQUIREMENTS = ROOT / "requirements"
TERRAFORM = ROOT / "terraform"
STACK_FILE = BUILD / "stack.json"

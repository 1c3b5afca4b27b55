"""Paths of a checkout, and what an installed command without a checkout has of them."""

from pathlib import Path


class CheckoutError(Exception):
    """The command needs a checkout of the project; the message says so."""


_HERE = Path(__file__).resolve().parent
ROOT = _HERE.parents[1]
IS_CHECKOUT = (ROOT / "terraform").is_dir()

BUILD = ROOT / "build" if IS_CHECKOUT else Path("build")
EVENTS = ROOT / "events"
FUNCTIONS = ROOT / "functions"
# An installed command has its own copy.
DOCS = (ROOT if IS_CHECKOUT else _HERE) / "docs"
OPENAPI = DOCS / "openapi.yaml"
README = ROOT / "README.md"
REQUIREMENTS = ROOT / "requirements"
STATE_MACHINES = ROOT / "statemachine"
TERRAFORM = ROOT / "terraform"
STACK_FILE = BUILD / "stack.json"


def need_checkout() -> None:
    """Raises CheckoutError if the command is installed without the project's Terraform, events and local stack."""
    if not IS_CHECKOUT:
        raise CheckoutError("This needs a checkout of the project: run it there, with make or .venv/bin/payments.")

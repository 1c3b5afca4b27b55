"""Commands that generate parts of the repository from the project itself."""

import typer

from tools.cli.frame import clear_errors, console
from tools.cli.reference import REFERENCE, reference_text
from tools.console import mermaid
from tools.console.definition import Definition
from tools.deployment.definitions import definition
from tools.deployment.event_schemas import EVENT_SCHEMAS, event_schema_texts
from tools.deployment.paths import README
from tools.deployment.permissions import PERMISSIONS_FILE, permissions
from tools.local.machine import Machine

app = typer.Typer()


@app.command()
def picture() -> None:
    """Draw the README's diagram of the payment state machine from its definition."""
    with clear_errors(needs_checkout=True):
        drawn = Definition.from_asl(definition("payment"))
        README.write_text(mermaid.with_picture(README.read_text(), drawn))
    console.print(f"Wrote the picture in {README}", highlight=False)


@app.command()
def reference() -> None:
    """Generate docs/command.md from the command itself, and docs/events/ from the API description."""
    with clear_errors(needs_checkout=True):
        REFERENCE.write_text(reference_text())
        for file, text in event_schema_texts().items():
            file.write_text(text)
    console.print(f"Wrote {REFERENCE} and {EVENT_SCHEMAS}", highlight=False)


@app.command(name="permissions")
def write_permissions() -> None:
    """Generate docs/permissions.yaml, which lists who may do what, from the running local stack."""
    with clear_errors(needs_checkout=True):
        PERMISSIONS_FILE.write_text(permissions(Machine.from_environment().terraform()))
    console.print(f"Wrote {PERMISSIONS_FILE}. Review what changed: git diff", highlight=False)

"""`payments`, the project's command. `make help` lists the same by make target."""

import tomllib
from importlib import metadata
from typing import Annotated

import typer

from tools.cli import books, deployment, documents, estimates, machine, payments, trials, views, webhooks
from tools.deployment.paths import IS_CHECKOUT, ROOT

app = typer.Typer(name="payments", no_args_is_help=True)
for group in (machine, payments, trials, views, webhooks, books, estimates, deployment, documents):
    app.add_typer(group.app)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"payments {version()}")
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The card payment workflow: run it, try it, deploy it.

    Exit codes: 0 success · 1 done, but something is wrong, such as a finding or a declined payment · 2 wrong usage · 3
    failed · 130 interrupted by Ctrl-C. Make turns every exit code other than 0 into 2. Errors go to standard error.
    """


def version() -> str:
    """The checkout's version or, without a checkout, the installed package's."""
    if IS_CHECKOUT:
        return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
    return metadata.version("payments")


def main() -> None:
    app(prog_name="payments")


if __name__ == "__main__":
    main()

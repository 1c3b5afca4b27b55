"""`payments`, the project's one command. `make help` lists the same by target."""

import tomllib
from importlib import metadata
from typing import Annotated

import typer

from tools.cli import books, deployment, documents, estimates, looks, machine, payments, trials
from tools.deployment.paths import IS_CHECKOUT, ROOT

app = typer.Typer(name="payments", no_args_is_help=True)
for group in (machine, payments, trials, looks, books, estimates, deployment, documents):
    app.add_typer(group.app)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"payments {version()}")
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The card payment workflow: run it, try it, deploy it.

    Exit codes: 0 all is well · 1 something is not as it should be, a finding for instance, or a payment that was
    declined · 2 the command line is wrong · 3 it could not be done · 130 Ctrl-C. Make turns all but 0 into 2. Errors
    are on standard error.
    """


def version() -> str:
    """Of the checkout or, where there is none, of the package that is installed."""
    if IS_CHECKOUT:
        return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
    return metadata.version("payments")


def main() -> None:
    app(prog_name="payments")


if __name__ == "__main__":
    main()

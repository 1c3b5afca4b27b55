"""What payments cost, and which keys of the table grow hot."""

from typing import Annotated

import typer

from tools.cli.frame import clear_errors, console
from tools.deployment.paths import BUILD
from tools.estimates.cost import show as show_cost
from tools.estimates.scale import scale as simulate_scale
from tools.output import exit_unless

app = typer.Typer()


@app.command()
def cost(
    per_month: Annotated[int, typer.Argument(min=1, help="Captured payments a month.")] = 1_000_000,
    looks: Annotated[int, typer.Option(min=0, help="How often a client looks; the first look waits for the end.")] = 1,
) -> None:
    """Show what captured payments cost on AWS, by service, beside other ways to build the same."""
    with clear_errors(needs_checkout=True):
        show_cost(per_month, looks, BUILD / "cost.json", console)


@app.command()
def scale(
    payments: Annotated[int, typer.Argument(min=1000, help="How many payments.")] = 10_000_000,
    rate: Annotated[int, typer.Option(min=1, help="How many of them a second.")] = 10_000,
    skew: Annotated[float, typer.Option(min=0, help="Zipf's exponent of cards and merchants.")] = 1.0,
) -> None:
    """Simulate which keys of the table and its indexes take how much of the writes, and draw it."""
    exit_unless(simulate_scale(payments, rate, skew, BUILD, console))

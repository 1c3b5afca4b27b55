"""Estimates: what payments cost, and which keys of the table get hot."""

from typing import Annotated

import typer

from tools.cli.frame import JsonOption, clear_errors, prose_console
from tools.deployment.paths import BUILD
from tools.estimates.cost import show as show_cost
from tools.estimates.scale import scale as simulate_scale
from tools.output import exit_unless, print_json

app = typer.Typer()


@app.command()
def cost(
    per_month: Annotated[int, typer.Argument(min=1, help="How many payments are captured each month.")] = 1_000_000,
    looks: Annotated[
        int, typer.Option(min=0, help="How often a client reads each payment. The first read waits for the outcome.")
    ] = 1,
    as_json: JsonOption = False,
) -> None:
    """Estimate what captured payments cost on AWS, by service, and compare other designs."""
    with clear_errors(needs_checkout=True):
        estimate = show_cost(per_month, looks, BUILD / "cost.json", prose_console(as_json))
    if as_json:
        print_json(estimate)


@app.command()
def scale(
    payments: Annotated[int, typer.Argument(min=1000, help="How many payments to simulate.")] = 10_000_000,
    rate: Annotated[int, typer.Option(min=1, help="How many payments arrive each second.")] = 10_000,
    skew: Annotated[
        float, typer.Option(min=0, help="The Zipf exponent of how payments spread over cards and merchants.")
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Simulate and chart the share of writes that goes to the hottest keys of the table and its indexes."""
    result = simulate_scale(payments, rate, skew, BUILD, prose_console(as_json))
    if as_json:
        print_json(result)
    exit_unless(result["within_limit"])

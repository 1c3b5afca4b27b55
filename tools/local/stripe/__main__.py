"""`python -m tools.local.stripe --port 8788`: run the double, with its API key in the variable STRIPE_API_KEY."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask

from tools.local.sandbox.server import run
from tools.local.stripe.account import Account
from tools.local.stripe.app import create_app
from tools.local.stripe.localstripe import running_localstripe


@contextmanager
def running(api_key: str) -> Iterator[Flask]:
    """The double, with a localstripe behind it."""
    with running_localstripe() as localstripe:
        yield create_app(api_key, Account(localstripe))


if __name__ == "__main__":
    run("stripe", running)

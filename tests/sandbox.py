"""The gateways' sandboxes in this process, behind a real socket."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from flask import Flask

from tools.local.sandbox.server import SandboxServer
from tools.local.sparkle.app import create_app
from tools.local.stripe import app as stripe
from tools.local.stripe.account import Account
from tools.local.stripe.localstripe import running_localstripe


def running_sandbox(api_key: str) -> AbstractContextManager[str]:
    """Run a new sandbox within the context, which yields its URL."""
    return serving(create_app(api_key))


@contextmanager
def running_stripe(api_key: str) -> Iterator[str]:
    """Run a new double of Stripe within the context, which yields its URL."""
    with running_localstripe() as localstripe, serving(stripe.create_app(api_key, Account(localstripe))) as url:
        yield url


@contextmanager
def serving(gateway: Flask) -> Iterator[str]:
    """Serve a stand-in for a gateway in a thread within the context, and yield its URL."""
    server = SandboxServer(gateway)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="sandbox", daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join()

"""`python -m tools.local.stripe --port 8788`: run the double until SIGTERM or Ctrl-C.

The variable STRIPE_API_KEY holds the bearer key that it accepts; any user of the machine could read an argument.
"""

import argparse
import os
import signal
from contextlib import suppress

from tools.local.sandbox.server import SandboxServer
from tools.local.stripe.account import Account
from tools.local.stripe.app import create_app
from tools.local.stripe.localstripe import running_localstripe


def main() -> None:
    """Print the URL on a line, and serve."""
    parser = argparse.ArgumentParser(prog="python -m tools.local.stripe", description="A double of Stripe.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (the default)")
    arguments = parser.parse_args()
    api_key = os.environ.pop("STRIPE_API_KEY", "")
    if not api_key:
        parser.error("the variable STRIPE_API_KEY must hold the bearer key that it accepts")

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), running_localstripe() as localstripe:
        server = SandboxServer(create_app(api_key, Account(localstripe)), arguments.port)
        print(server.url, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()

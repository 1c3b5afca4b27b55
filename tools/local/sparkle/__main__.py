"""`python -m tools.local.sparkle --port 8787`: run the sandbox until SIGTERM or Ctrl-C.

The variable SPARKLE_API_KEY holds the bearer key that it accepts; any user of the machine could read an argument.
"""

import argparse
import os
import signal
from contextlib import suppress

from tools.local.sandbox.server import SandboxServer
from tools.local.sparkle.app import create_app


def main() -> None:
    """Print the URL on a line, and serve."""
    parser = argparse.ArgumentParser(prog="python -m tools.local.sparkle", description="The Sparkle gateway's sandbox.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (the default)")
    arguments = parser.parse_args()
    api_key = os.environ.pop("SPARKLE_API_KEY", "")
    if not api_key:
        parser.error("the variable SPARKLE_API_KEY must hold the bearer key that it accepts")

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        server = SandboxServer(create_app(api_key), arguments.port)
        print(server.url, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()

"""`python -m local.sparkle --port 8787 --api-key KEY`: the sandbox, until SIGTERM or Ctrl-C."""

import argparse
import signal
from contextlib import suppress

from local.sparkle.app import create_app
from local.sparkle.server import SandboxServer


def main() -> None:
    """Serve, having printed one line: the URL."""
    parser = argparse.ArgumentParser(prog="python -m local.sparkle", description="The Sparkle gateway's sandbox.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (the default)")
    parser.add_argument("--api-key", required=True, help="the bearer key that it accepts")
    arguments = parser.parse_args()

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        server = SandboxServer(create_app(arguments.api_key), arguments.port)
        print(server.url, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()

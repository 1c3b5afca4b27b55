"""`python -m tools.local.sparkle --port 8787`: run the sandbox, with its API key in the variable SPARKLE_API_KEY."""

from contextlib import nullcontext

from tools.local.sandbox.server import run
from tools.local.sparkle.app import create_app

if __name__ == "__main__":
    run("sparkle", lambda api_key: nullcontext(create_app(api_key)))

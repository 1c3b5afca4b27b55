"""`python -m tools.local.listener --port 8788`: run the listener, with its key in the variable LISTENER_API_KEY."""

from contextlib import nullcontext

from tools.local.listener.app import create_app
from tools.local.sandbox.server import run

if __name__ == "__main__":
    run("listener", lambda api_key: nullcontext(create_app(api_key)), "The webhook endpoint of a local stack.")

"""Runs microburst with each request's original Host header, since the signature covers it and the emulator verifies
that."""

import sys

from aiohttp import web
from microburst.cli import main
from microburst.forward import Upstream

outbound_headers = Upstream._outbound_headers


def with_its_host(self: Upstream, request: web.Request) -> dict[str, str]:
    return {**outbound_headers(self, request), "host": request.headers["Host"]}


if __name__ == "__main__":
    Upstream._outbound_headers = with_its_host
    sys.exit(main())

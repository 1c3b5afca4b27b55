"""Requests that somebody else's web page makes of a server on this machine.

A browser lets any page send requests to loopback addresses, and says so:

- `Origin` is the page's, wherever a page may change something or read the answer ("HTTP-network-or-cache fetch", Fetch
  Standard);
- `Sec-Fetch-Site` says how the page is related to the server, for an image's GET too, which has no Origin (Fetch
  Metadata Request Headers, W3C; loopback counts as a trustworthy URL);
- `Host` is the name in the URL: one of the attacker's own that has come to mean 127.0.0.1 ("DNS rebinding") would make
  the page and the server one origin.
"""

from typing import Protocol
from urllib.parse import urlsplit

_OUR_NAMES = {"127.0.0.1", "localhost", "::1"}


class Headers(Protocol):
    """A request's headers. Names are asked for in lower case."""

    def get(self, name: str, default: str, /) -> str: ...


def foreign(headers: Headers, *, has_pages: bool = False) -> str | None:
    """The header that shows a request to be a foreign page's, or None.

    Who `has_pages` may be linked to: such a link shows the page to whom the browser belongs, and to nobody else.
    """
    host = headers.get("host", "").lower()
    if _name(host) not in _OUR_NAMES:
        return "Host"
    if headers.get("origin", f"http://{host}") != f"http://{host}":
        return "Origin"
    follows_link = has_pages and headers.get("sec-fetch-dest", "") == "document"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not follows_link:
        return "Sec-Fetch-Site"
    return None


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None

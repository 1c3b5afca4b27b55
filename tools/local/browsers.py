"""Recognizes requests that a foreign web page makes to a server on this machine.

A browser lets any page send requests to loopback addresses, but its headers show where a request comes from:

- `Origin` is the page's origin. The browser sends it with every request by which a page may change something or read
  the answer ("HTTP-network-or-cache fetch", Fetch Standard).
- `Sec-Fetch-Site` says how the page is related to the server. It also comes with an image's GET, which has no Origin
  (Fetch Metadata Request Headers, W3C; loopback counts as a trustworthy URL).
- `Host` is the host name in the URL. An attacker may let a name of his own resolve to 127.0.0.1 ("DNS rebinding"), so
  that for the browser the page and the server have the same origin.
"""

from typing import Protocol
from urllib.parse import urlsplit

_OUR_NAMES = {"127.0.0.1", "localhost", "::1"}


class Headers(Protocol):
    """A request's headers, looked up by names in lower case."""

    def get(self, name: str, default: str, /) -> str: ...


def foreign(headers: Headers, *, has_pages: bool = False) -> str | None:
    """Return the name of the header that shows that a foreign page made the request, or None.

    With `has_pages`, other sites may link to the server's pages: a link shows the page only to the browser's user.
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

"""The addresses to which a customer's browser may return after a challenge."""

from collections.abc import Iterable
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LOOPBACK = frozenset({"127.0.0.1", "localhost"})


def is_allowed(url: str, origins: Iterable[str]) -> bool:
    """Whether the URL belongs to one of these origins, such as `https://shop.example`.

    An origin on this machine without a port allows every port: a server for a test takes the one that is free (RFC
    8252, section 7.3, does the same).
    """
    requested = _origin(url)
    return requested is not None and any(_matches(requested, _origin(origin)) for origin in origins)


Origin = tuple[str, str, int]


def _matches(requested: Origin, allowed: Origin | None) -> bool:
    if allowed is None:
        return False
    scheme, host, port = allowed
    any_port = host in _LOOPBACK and port == _DEFAULT_PORTS[scheme]
    return requested[:2] == (scheme, host) and (any_port or requested[2] == port)


def _origin(url: str) -> Origin | None:
    """The scheme, the host and the port; None for a URL that no browser should be sent to."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        return None
    return parts.scheme, parts.hostname, _DEFAULT_PORTS[parts.scheme] if port is None else port

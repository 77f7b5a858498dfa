"""Who may call a server of this machine through a browser: no page of somebody else, by whatever name."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit


def foreign_name(host: str, allowed: Collection[str] = (), *, any_address: bool = False) -> str | None:
    """The name in a ``Host`` header if the server may not be called by it, else None.

    A page can give its own name the address of this machine ("DNS rebinding"); browsers then send that name.

    Args:
        host: The header.
        allowed: Names, in small letters, that are accepted besides loopback's.
        any_address: Accept every IP address: a page cannot rebind one.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host
    if name == "localhost" or name in allowed:
        return None
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return None if any_address or address.is_loopback else name


def is_foreign_page(origin: str | None, host: str) -> bool:
    """Whether a request was sent by a page of another server.

    Args:
        origin: The header ``Origin``; programs send none.
        host: The header ``Host``.
    """
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc != host
    except ValueError:
        return True

"""Who may call a server of this machine through a browser: no page of somebody else, by whatever name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

# A name or an address and a port: no user before it, nothing behind the bracket of an address.
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::\d{1,5})?", re.ASCII)


def foreign_name(host: str, allowed: Collection[str] = (), *, any_address: bool = False) -> str | None:
    """The name in a ``Host`` header if the server may not be called by it, else None.

    A page can give its own name the address of this machine ("DNS rebinding"); browsers then send that name.

    Args:
        host: The header.
        allowed: Names, in small letters, that are accepted besides loopback's.
        any_address: Accept every IP address: a page cannot rebind one.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        return host
    name = (found[1] or found[2]).lower()
    if name == "localhost" or name in allowed:
        return None
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return None if any_address or address.is_loopback else name


def foreign_page(origins: Iterable[str], host: str) -> str | None:
    """The page of another server that sent a request; None if none did.

    Args:
        origins: All headers ``Origin``; programs send none.
        host: The header ``Host``.
    """
    for origin in origins:
        try:
            is_own = urlsplit(origin).netloc == host
        except ValueError:
            is_own = False
        if not is_own:
            return origin
    return None

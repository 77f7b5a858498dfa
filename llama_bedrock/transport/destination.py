"""Where requests go: one host, the proxy that leads there, whom to trust, and what a request begins with."""

from __future__ import annotations

from ssl import SSLContext
from urllib.parse import urlsplit

from llama_bedrock.transport.signing import SigningClient

KEEP_IDLE = 60.0
"""Seconds that a connection is kept for the next call: less than AWS's front doors and most firewalls do."""
ONE_PIECE_BYTES = 65536
"""Up to here head and body are sent together."""


class Destination:
    """One host.

    Args:
        url: A URL of the host.
        signing: Says which proxy leads there, and whom to trust.

    Attributes:
        tls: Whom to trust; None without TLS.
        host: Its name.
        host_header: As a request names it.
        dialled: Name and port that are connected to: the host's, or the proxy's.
        tunnel: What the proxy is asked before TLS begins; None where there is nothing to ask.
    """

    def __init__(self, url: str, signing: SigningClient) -> None:
        parts = urlsplit(url)
        self.tls: SSLContext | None = signing.ssl_context if parts.scheme == "https" else None
        self.host = parts.hostname or ""
        default = 443 if self.tls else 80
        port = parts.port or default
        bracketed = f"[{self.host}]" if ":" in self.host else self.host
        authority = f"{bracketed}:{port}"
        self.host_header = bracketed if port == default else authority
        proxy, self._proxy_headers = signing.proxy(url)
        self._proxy = urlsplit(proxy) if proxy else None
        self.dialled = self.host, port
        self.tunnel: bytes | None = None
        if self._proxy is not None:
            self.dialled = str(self._proxy.hostname), self._proxy.port or 80
            if self.tls is not None:
                headers = {"Host": authority, **self._proxy_headers}
                lines = [f"CONNECT {authority} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
                self.tunnel = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._authority = authority

    @property
    def has_tls_proxy(self) -> bool:
        """Whether the proxy itself is reached by TLS; other libraries can do that, this package cannot."""
        return self._proxy is not None and self._proxy.scheme != "http"

    def head(self, method: str, url: str, headers: dict[str, str], length: int) -> bytes:
        """Return a request up to its body.

        Raises:
            ValueError: A header holds a line break.
        """
        parts = urlsplit(url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        if self._proxy is not None and self.tls is None:
            target = f"http://{self.host_header}{target}"
            headers = headers | self._proxy_headers
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host_header}", f"Content-Length: {length}"]
        lines += [
            f"{name}: {value}"
            for name, value in headers.items()
            if name.lower() not in ("host", "content-length")
        ]
        text = "\r\n".join(lines)
        if text.count("\n") >= len(lines) or text.count("\r") >= len(lines):
            raise ValueError("a header of the request holds a line break")
        return f"{text}\r\n\r\n".encode()

    def check_tunnel(self, status: int) -> None:
        """Look at the proxy's answer to `tunnel`.

        Raises:
            ConnectionError: It refuses.
        """
        if status != 200:
            raise ConnectionError(f"the proxy answers {status} when asked to connect to {self._authority}")

"""HTTP to programs on this machine."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx


def client(timeout_seconds: float, base_url: str = "", socket: Path | None = None) -> httpx.Client:
    """Return a client that ignores the shell's proxies, over the unix socket `socket` if given.

    No certificate is trusted: nothing here speaks TLS, and loading the system's list costs more
    CPU than the question itself.
    """
    untrusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = httpx.HTTPTransport(
        verify=untrusting, trust_env=False, uds=None if socket is None else str(socket)
    )
    return httpx.Client(
        base_url=base_url,
        timeout=timeout_seconds,
        trust_env=False,
        verify=untrusting,
        transport=transport,
    )

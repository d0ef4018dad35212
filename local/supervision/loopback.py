"""HTTP to programs on this machine."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx


def client(timeout_seconds: float, base_url: str = "", socket: Path | None = None) -> httpx.Client:
    """Return a client without the shell's proxies, over the Unix socket `socket` if given.

    It trusts no certificates: nothing here uses TLS, and loading the system's certificates costs
    more CPU than a request.
    """
    no_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = httpx.HTTPTransport(
        verify=no_certificates, trust_env=False, uds=None if socket is None else str(socket)
    )
    return httpx.Client(
        base_url=base_url,
        timeout=timeout_seconds,
        trust_env=False,
        verify=no_certificates,
        transport=transport,
    )

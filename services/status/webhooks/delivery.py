"""Posts to a checked address over HTTP."""

import ipaddress
from urllib.parse import urlsplit, urlunsplit

import httpx

from services.status.webhooks.targets import Target

TIMEOUT_S = 10.0


class WebhookHttp:
    """Connects to the checked address, with the URL's name for TLS and the Host header. Follows no
    redirects and uses no proxy.
    """

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            # For each read; the caller sets the deadline of the request.
            timeout=TIMEOUT_S,
            # Connections are pooled by address, and several names may share one address.
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    async def post(self, target: Target, body: bytes, headers: dict[str, str]) -> int:
        """Posts and returns the status of the response, without reading its body. The caller sets
        the deadline.

        Raises:
            OSError: there was no response.
        """
        request = self._client.build_request(
            "POST",
            _pinned(target),
            content=body,
            headers={**headers, "Host": target.host},
            extensions={"sni_hostname": target.name},
        )
        try:
            response = await self._client.send(request, stream=True)
            await response.aclose()
        except httpx.HTTPError as failure:
            # Only its type: its text may have the URL, which may contain a secret of the receiver.
            raise ConnectionError(type(failure).__name__) from None
        return response.status_code


def _pinned(target: Target) -> str:
    """Returns the URL with the checked address instead of the name."""
    parts = urlsplit(target.url)
    address = (
        f"[{target.address}]"
        if isinstance(target.address, ipaddress.IPv6Address)
        else str(target.address)
    )
    return urlunsplit(
        (
            parts.scheme,
            address + (f":{parts.port}" if parts.port else ""),
            parts.path or "/",
            parts.query,
            "",
        )
    )

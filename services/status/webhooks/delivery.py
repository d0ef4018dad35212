"""Posting to a checked address over HTTP."""

import ipaddress
from urllib.parse import urlsplit, urlunsplit

import httpx

from services.status.webhooks.targets import Target

TIMEOUT_S = 10.0


class WebhookHttp:
    """Connects to the address that was checked, under the name that the URL has; follows no
    redirect and no proxy.
    """

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            # Of each single read: the caller sets a deadline for the whole.
            timeout=TIMEOUT_S,
            # Connections are pooled by address, and one address may stand for several names.
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def post(self, target: Target, body: bytes, headers: dict[str, str]) -> int:
        """Status of the answer, whose body is not read. The caller sets the deadline.

        Raises:
            OSError: there was no answer.
        """
        request = self._client.build_request(
            "POST",
            _pinned(target),
            content=body,
            headers={**headers, "Host": target.host},
            extensions={"sni_hostname": target.name},
        )
        try:
            answer = await self._client.send(request, stream=True)
            await answer.aclose()
        except httpx.HTTPError as failure:
            # Only the kind: its text may repeat the URL, in which a receiver may have put a secret.
            raise ConnectionError(type(failure).__name__) from None
        return answer.status_code


def _pinned(target: Target) -> str:
    """The URL with the checked address in the place of the name."""
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

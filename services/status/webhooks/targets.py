"""Checks webhook URLs against the allowed networks. A name is resolved once, all of its addresses are
checked, and the connection goes to a checked address, so that a changing DNS response (DNS
rebinding) has no effect.
"""

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.common import errors
from services.common.addresses import Address, HostNames, Network
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_URL_CHARS = 2000

LOOKUP_S = 5.0

_TUNNELS = [
    ipaddress.ip_network(net)
    for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
]
"""IPv6 networks whose addresses embed IPv4 addresses."""


@dataclass(frozen=True)
class Target:
    """A checked URL."""

    url: str
    host: str
    """The Host header: the name, with the port if it is not the default."""
    name: str
    address: Address


class Targets:
    """Checks URLs. `allowed`: private networks that webhooks may use. `lookups`: concurrency limit of
    name lookups."""

    def __init__(self, allowed: Sequence[Network], lookups: int) -> None:
        self._allowed = allowed
        self._names = HostNames(lookups)

    def close(self) -> None:
        """Cancels pending lookups and accepts no more."""
        self._names.close()

    async def check(self, url: str) -> Target:
        """Resolves a URL to an allowed address.

        Raises:
            SluiceError: WEBHOOK_TARGET_FORBIDDEN.
        """
        if len(url) > MAX_URL_CHARS:
            raise _forbidden("The URL is longer than 2,000 characters.")
        if any(not "!" <= char <= "~" for char in url):
            raise _forbidden("The URL may contain visible ASCII characters only.")
        try:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or parts.port == 0:
                raise ValueError(url)
        except ValueError:
            message = "The URL must start with https:// or http:// and may have a port."
            raise _forbidden(message) from None
        if not parts.hostname or parts.username is not None or parts.password is not None:
            raise _forbidden("The URL must have a host and no user.")
        addresses = await self._addresses(parts.hostname)
        for address in addresses:
            if not may_be_reached(address, self._allowed):
                raise _forbidden(
                    f"The host {parts.hostname} has the address {address}, which is not on the "
                    "public internet."
                )
        return Target(url, parts.netloc, parts.hostname, addresses[0])

    async def _addresses(self, host: str) -> list[Address]:
        try:
            async with asyncio.timeout(LOOKUP_S):
                found = await self._names.resolve(host)
        except OSError:  # TimeoutError is one.
            found = []
        if not found:
            raise _forbidden(f"The host {host} does not resolve to an address.")
        return [ipaddress.ip_address(text.partition("%")[0]) for text in found]


def may_be_reached(address: Address, allowed: Sequence[Network]) -> bool:
    """Returns whether an address is on the public internet or in an allowed network."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in allowed if network.version == address.version):
        return True
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in net for net in _TUNNELS if net.version == address.version)
    )


def _forbidden(message: str) -> errors.SluiceError:
    return errors.error(ErrorReason.ERROR_REASON_WEBHOOK_TARGET_FORBIDDEN, message, column="url")

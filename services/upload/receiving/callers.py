"""The client of an upload: a trusted gateway names it; for other callers it is their own address.

The services have no authentication yet, so a gateway is identified by its address. TRUSTED_GATEWAYS
has networks and host names, such as the name of a container or of a headless service.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from time import monotonic

from services.common import addresses, logs
from services.common.addresses import Address, Network

FRESH_S = 30.0
"""Seconds for which resolved addresses are used."""

RETRY_S = 1.0
"""Minimum seconds between two lookups, however many unknown callers there are."""

RESOLVE_S = 2.0
"""Timeout for resolving all names."""

Resolve = Callable[[str], Awaitable[Iterable[str]]]
"""Returns the addresses of a host name. Raises OSError if there are none."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
_ADDRESS = re.compile(r"[0-9./]+|.*:.*")


@dataclass(frozen=True)
class Trusted:
    """Callers that may name the client of an upload."""

    networks: tuple[Network, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, entries: Sequence[str]) -> "Trusted":
        """Parse networks in CIDR notation, addresses and host names.

        Raises:
            ValueError: an entry is none of these.
        """
        networks, names = [], []
        for entry in entries:
            try:
                if _ADDRESS.fullmatch(entry):
                    networks.append(ip_network(entry))
                    continue
            except ValueError as failure:
                raise ValueError(f"{entry!r} is neither a network nor a host name") from failure
            if not _NAME.fullmatch(entry):
                raise ValueError(f"{entry!r} is neither a network nor a host name")
            names.append(entry)
        return cls(tuple(networks), tuple(names))

    def __str__(self) -> str:
        return ",".join([*map(str, self.networks), *self.names])


class Callers:
    """Decides which client a call belongs to."""

    def __init__(self, trusted: Trusted, resolve: Resolve) -> None:
        self._trusted = trusted
        self._resolve = resolve
        self._resolved: frozenset[Address] = frozenset()
        self._resolved_at = self._attempted_at = float("-inf")
        self._resolving = asyncio.Lock()

    async def client(self, named: str, peer: str) -> str:
        """Return the client that the caller names, if it is trusted, or the caller's own address.

        For IPv6, the address is its /64 network. `peer` is gRPC's name of the caller.
        """
        address = addresses.of_peer(peer)
        own = addresses.client(address) if address else peer.partition(":")[0]
        if not named or named == own:
            return own
        if address is not None and await self._is_trusted(address):
            return named
        logs.get().warning("upload.client_not_believed", peer=own, named=named)
        return own

    async def _is_trusted(self, address: Address) -> bool:
        if addresses.is_in(address, self._trusted.networks):
            return True
        if not self._trusted.names:
            return False
        if not self._is_fresh(address):
            async with self._resolving:
                if not self._is_fresh(address) and monotonic() - self._attempted_at >= RETRY_S:
                    await self._resolve_names()
        return address in self._resolved

    def _is_fresh(self, address: Address) -> bool:
        return address in self._resolved and monotonic() - self._resolved_at < FRESH_S

    async def _resolve_names(self) -> None:
        """Resolve the trusted names. If DNS fails, the last addresses stay valid: otherwise all
        clients of a gateway would become one.
        """
        self._attempted_at = monotonic()
        try:
            async with asyncio.timeout(RESOLVE_S):
                found = await asyncio.gather(*map(self._resolve, self._trusted.names))
        except (OSError, TimeoutError) as failure:
            logs.get().warning("upload.gateways_not_resolved", reason=str(failure) or "timeout")
            return
        parsed = (addresses.parse(text) for texts in found for text in texts)
        self._resolved = frozenset(address for address in parsed if address is not None)
        self._resolved_at = self._attempted_at

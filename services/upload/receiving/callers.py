"""Whose an upload is. A gateway speaks for its clients; who is no gateway speaks for itself.

There is no sign-in between the services yet, so that a gateway is told by its address: one of a
network, or one that a host name has, such as the name of a container or of a headless service.
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
"""Seconds for which the addresses of a name are used before it is resolved again."""

RETRY_S = 1.0
"""Shortest time between two looks at the names, however many unknown callers there are."""

RESOLVE_S = 2.0
"""Longest that the resolution of all names may take."""

Resolve = Callable[[str], Awaitable[Iterable[str]]]
"""The addresses of a host name. Raises OSError where there are none."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
_ADDRESS = re.compile(r"[0-9./]+|.*:.*")


@dataclass(frozen=True)
class Trusted:
    """Those who may speak for others."""

    networks: tuple[Network, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, entries: Sequence[str]) -> "Trusted":
        """Of networks in CIDR notation, addresses and host names.

        Raises:
            ValueError: one is none of these.
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
    """Decides for each call whose it is."""

    def __init__(self, trusted: Trusted, resolve: Resolve) -> None:
        self._trusted = trusted
        self._resolve = resolve
        self._resolved: frozenset[Address] = frozenset()
        self._resolved_at = self._tried_at = float("-inf")
        self._resolving = asyncio.Lock()

    async def client(self, named: str, peer: str) -> str:
        """Whom the caller names, if it may, else the caller's own address (of IPv6 the /64
        network). `peer` is the caller as gRPC has it. The one place that decides it."""
        address = addresses.of_peer(peer)
        own = addresses.client(address) if address else peer.partition(":")[0]
        if not named or named == own:
            return own
        if address is not None and await self._may_speak(address):
            return named
        logs.get().warning("upload.client_not_believed", peer=own, named=named)
        return own

    async def _may_speak(self, address: Address) -> bool:
        if addresses.is_in(address, self._trusted.networks):
            return True
        if not self._trusted.names:
            return False
        if not self._knows(address):
            async with self._resolving:
                if not self._knows(address) and monotonic() - self._tried_at >= RETRY_S:
                    await self._look_up()
        return address in self._resolved

    def _knows(self, address: Address) -> bool:
        return address in self._resolved and monotonic() - self._resolved_at < FRESH_S

    async def _look_up(self) -> None:
        """Keeps the last answer where there is none now: a gateway that calls is not turned into
        one client because DNS is away."""
        self._tried_at = monotonic()
        try:
            async with asyncio.timeout(RESOLVE_S):
                found = await asyncio.gather(*map(self._resolve, self._trusted.names))
        except (OSError, TimeoutError) as failure:
            logs.get().warning("upload.gateways_not_resolved", reason=str(failure) or "timeout")
            return
        parsed = (addresses.parse(text) for texts in found for text in texts)
        self._resolved = frozenset(address for address in parsed if address is not None)
        self._resolved_at = self._tried_at

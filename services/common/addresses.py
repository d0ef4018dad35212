"""Network addresses: from headers, gRPC peers and host names, and which of them are one client."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import unquote

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CLIENT_PREFIX = 64
"""Bits of an IPv6 address that identify a client. Each machine chooses the other bits itself."""

_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")


class HostNames:
    """Resolves host names with the resolver of this machine, at most `lookups` at once.

    It has threads of its own: on the default executor, a lookup that hangs would block every other
    lookup of the process, including those of the database and the object store.
    """

    def __init__(self, lookups: int) -> None:
        self._threads = ThreadPoolExecutor(lookups, "host-names")

    def close(self) -> None:
        """Cancel waiting lookups; leave running ones to their threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def resolve(self, name: str) -> list[str]:
        """Return all addresses of a host name. The caller sets the timeout.

        Raises:
            OSError: there is none, or the resolver does not respond.
        """
        lookup = partial(socket.getaddrinfo, name, None, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, lookup)
        except UnicodeError as failure:
            raise OSError(f"{name} is not a host name") from failure
        return [str(entry[4][0]) for entry in found]


def parse(text: str) -> Address | None:
    """Parse an address with or without a port or brackets; None if it is not an address.

    An IPv4 address in IPv6 form (::ffff:192.0.2.1) is returned as IPv4.
    """
    text = text.strip()
    matched = _WITH_PORT.fullmatch(text)
    if matched:
        bracketed, plain = matched.groups()
        if bracketed is not None and ":" not in bracketed:
            return None
        text = bracketed or plain or ""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def of_peer(peer: str) -> Address | None:
    """Return the address in a gRPC peer such as ipv4:127.0.0.1:4711; None if it has none."""
    kind, _, rest = peer.partition(":")
    return parse(unquote(rest)) if kind in ("ipv4", "ipv6") else None


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks contains the address."""
    return any(address in network for network in networks)


def client(address: Address) -> str:
    """Return the name of the client at an address.

    For IPv6 this is the /64 network, because a host can use any address of its network.
    """
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((address, CLIENT_PREFIX), strict=False))

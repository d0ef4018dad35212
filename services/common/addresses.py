"""Network addresses as headers and peers write them, and which of them are one client."""

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import unquote

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CLIENT_PREFIX = 64
"""Bits of an IPv6 address that tell clients apart: the others are chosen by each machine itself."""

_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")


def parse(text: str) -> Address | None:
    """An address with or without a port, an IPv6 one with or without brackets; an IPv4 one in IPv6
    form as IPv4. None for anything else."""
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
    """The address in what gRPC calls a peer, such as ipv4:127.0.0.1:4711; None where it has
    none."""
    kind, _, rest = peer.partition(":")
    return parse(unquote(rest)) if kind in ("ipv4", "ipv6") else None


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks has the address."""
    return any(address in network for network in networks)


def client(address: Address) -> str:
    """The name of the client that has the address: of IPv6 its network of 64 bits, as whoever has
    one address of it has all of them."""
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((address, CLIENT_PREFIX), strict=False))

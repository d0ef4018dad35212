"""Identifies the client of a request, for limits and fair scheduling."""

import re
from collections.abc import Iterator, Sequence

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from services.common import addresses
from services.common.addresses import Network

ANONYMOUS = "anonymous"
"""The caller's name without authentication."""

_X_FORWARDED_FOR, _FORWARDED = "x-forwarded-for", "forwarded"

_PAIR = re.compile(
    r"""\s*+(?:([\w!#$%&'*+.^`|~-]++)=(?:"((?:[^"\\]|\\.)*+)"|([^\s";,=]*+)))?+\s*+([;,]|$)"""
)
"""A parameter of Forwarded (RFC 7239) and its separator. Possessive, so it never backtracks."""


def client_of(connection: HTTPConnection) -> str:
    """The authenticated caller, else the client's address. The only place that decides it."""
    caller: str = getattr(connection.state, "caller", ANONYMOUS)
    if caller != ANONYMOUS:
        return caller
    address: str = getattr(connection.state, "client", "")
    return address


class Proxies:
    """Reads the client's address from proxy headers, but only those of trusted proxies: any client
    can send them."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted

    def client(self, scope: Scope, headers: Headers) -> str:
        """The client's address (for IPv6, its /64 network); empty if there is none.

        Each proxy appends the address of its peer, so the chain is read backwards while it names
        trusted proxies. An entry that is not an address ends it at the proxy that wrote it.
        """
        host = scope["client"][0] if scope.get("client") else ""
        peer = addresses.parse(host)
        if peer is None:
            return str(host)
        found = peer
        if addresses.is_in(peer, self._trusted):
            chains = []
            if _X_FORWARDED_FOR in headers:
                chains.append(",".join(headers.getlist(_X_FORWARDED_FOR)).split(","))
            if _FORWARDED in headers:
                chains.append([*_forwarded(headers.getlist(_FORWARDED))])
            clients = {self._first_untrusted(peer, chain) for chain in chains}
            # A proxy writes one of the two headers and forwards the other unchanged: if they
            # differ, the client sent one of them.
            found = clients.pop() if len(clients) == 1 else peer
        return addresses.client(found)

    def _first_untrusted(self, peer: addresses.Address, chain: list[str]) -> addresses.Address:
        for hop in reversed(chain):
            address = addresses.parse(hop)
            if address is None:
                return peer
            peer = address
            if not addresses.is_in(peer, self._trusted):
                return peer
        return peer


def _forwarded(lines: list[str]) -> Iterator[str]:
    """The `for` of each element; empty for an element without one and for a malformed line."""
    for line in lines:
        found, at, hops = "", 0, []
        while at <= len(line):
            pair = _PAIR.match(line, at)
            if pair is None:
                hops.append("")
                break
            name, quoted, token, end = pair.groups()
            if name and name.lower() == "for":
                found = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            at = pair.end()
            if end != ";":
                hops.append(found)
                found = ""
            if not end:
                break
        yield from hops

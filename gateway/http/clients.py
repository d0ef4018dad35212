"""Who sends a request: what limits and shares of the pipeline are counted by."""

import re
from collections.abc import Iterator, Sequence

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from services.common import addresses
from services.common.addresses import Network

ANONYMOUS = "anonymous"
"""The caller's name where nobody has to sign in."""

_X_FORWARDED_FOR, _FORWARDED = "x-forwarded-for", "forwarded"

_PAIR = re.compile(
    r"""\s*+(?:([\w!#$%&'*+.^`|~-]++)=(?:"((?:[^"\\]|\\.)*+)"|([^\s";,=]*+)))?+\s*+([;,]|$)"""
)
"""A parameter of Forwarded (RFC 7239), and what ends it. Possessive: nothing is tried twice."""


def client_of(connection: HTTPConnection) -> str:
    """The name of the sign-in, else the client's address. The one place that decides it."""
    caller: str = getattr(connection.state, "caller", ANONYMOUS)
    if caller != ANONYMOUS:
        return caller
    address: str = getattr(connection.state, "client", "")
    return address


class Proxies:
    """Takes the client's address from the headers of proxies, but only of trusted ones: everybody
    can send these headers."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted

    def client(self, scope: Scope, headers: Headers) -> str:
        """The address that a request comes from (of IPv6 the /64 network); empty where there is
        none.

        Each proxy appends the address that it was called from, so the chain is read from its end,
        as long as it names trusted proxies. Where it names no address, the one that said so counts.
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
            ends = {self._end(peer, chain) for chain in chains}
            # A proxy writes one of the two headers and hands on the other as it came: where they
            # differ, one of them is the client's own.
            found = ends.pop() if len(ends) == 1 else peer
        return addresses.client(found)

    def _end(self, peer: addresses.Address, chain: list[str]) -> addresses.Address:
        for hop in reversed(chain):
            address = addresses.parse(hop)
            if address is None:
                return peer
            peer = address
            if not addresses.is_in(peer, self._trusted):
                return peer
        return peer


def _forwarded(lines: list[str]) -> Iterator[str]:
    """The `for` of each element; empty where an element has none, and for a line that is
    malformed."""
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

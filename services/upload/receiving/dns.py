"""Host names by the resolver of this machine."""

import asyncio
import socket
from collections.abc import Iterable


async def resolve(name: str) -> Iterable[str]:
    """Every address of a host name.

    Raises:
        OSError: it has none, or the resolver does not answer.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]

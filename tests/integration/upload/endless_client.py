"""A client that sends for ever, to be killed: python endless_client.py UPLOAD_ADDR STATUS_ADDR"""

import asyncio
import sys
from collections.abc import AsyncIterator

from sluice_client import SluiceClient


async def pieces() -> AsyncIterator[bytes]:
    sent = 0
    while True:
        yield bytes(1024 * 1024)
        sent += 1
        # The limit of the server must not end it first.
        await asyncio.sleep(0 if sent < 25 else 0.2)


async def main(upload: str, status: str) -> None:
    async with SluiceClient(upload, status, "127.0.0.1:9", "127.0.0.1:9") as client:
        await client.upload(pieces(), "sales", filename="endless.csv")


asyncio.run(main(*sys.argv[1:]))

"""A stream that breaks while its file is being read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import pytest
from grpc import aio

from sluice.upload.v1 import upload_pb2_grpc
from sluice_client.chunks import messages
from sluice_client.errors import SluiceClientError
from sluice_client.uploads import Uploads


class Breaking(upload_pb2_grpc.UploadServiceServicer):
    """Ends each stream as soon as the client reads on."""

    def __init__(self) -> None:
        self.reading = asyncio.Event()

    async def WriteUpload(self, requests: Any, context: Any) -> Any:
        await self.reading.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")


async def test_the_reading_is_over_when_the_failure_is_told() -> None:
    service, server = Breaking(), aio.server()  # type: ignore[abstract]
    upload_pb2_grpc.add_UploadServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        service.reading.set()
        # A slow disk: the stream has long ended when the piece is there.
        await asyncio.sleep(0.5)
        yield b"b"

    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(SluiceClientError) as failure:
            async with aclosing(pieces()) as read:  # type: ignore[type-var]
                await Uploads(channel)._write(
                    messages("11111111-1111-4111-8111-111111111111", read)
                )
    assert failure.value.code == "SERVICE_UNAVAILABLE"
    await server.stop(0)

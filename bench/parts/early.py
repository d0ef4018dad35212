"""Time from the last byte of a file to its verdict, through Inspect at a limited rate.

The service runs in this process and does not use the object store.
"""

import asyncio
import os
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter

from bench.support import harness
from services.common import errors
from services.common.serving import channels
from services.validation.app import build
from services.validation.settings import Settings
from sluice.validation.v1 import validation_pb2_grpc
from sluice.validation.v1.validation_pb2 import (
    InspectChunk,
    InspectFinish,
    InspectHeader,
    InspectRequest,
    Verdict,
)

BYTES_PER_S = 20_000_000
CHUNK_BYTES = 512 * 1024


async def measure(source: Path, without_time: Path, folder: Path) -> dict[str, float]:
    """Return the seconds from the last byte of `source` to the verdict, the share of `without_time`
    that was sent when its missing time column was reported, and the peak memory in MiB of service
    and child together.
    """
    async with AsyncExitStack() as stack:
        settings = Settings(
            bind_addr="127.0.0.1:0",
            spool_dir=Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder))),
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106  # the object store is not used
            aws_endpoint_url_s3="http://127.0.0.1:9",
            s3_bucket_name="none",
        )
        port = await build(stack, settings)
        channel = await stack.enter_async_context(channels.connect(f"127.0.0.1:{port}"))
        stub = validation_pb2_grpc.ValidationServiceStub(channel)
        watching = asyncio.create_task(harness.peak_of_children(os.getpid()))
        verdict_s = await _verdict_after_last_byte(stub, source)
        watching.cancel()
        share = await _share_until_finding(stub, without_time)
        return {
            "verdict_after_last_byte_s": verdict_s,
            "told_after_share": share,
            "inspect_rss_mib": round(await watching + harness.peak_mib(os.getpid())),
        }


class _Sending:
    """The messages of a file, at a limited rate."""

    def __init__(self, source: Path) -> None:
        self._source, self.size = source, source.stat().st_size
        self.sent = 0
        self.ended = 0.0

    async def messages(self) -> AsyncIterator[InspectRequest]:
        yield InspectRequest(
            header=InspectHeader(
                task_id=str(uuid.uuid4()), filename=self._source.name, file_size=self.size
            )
        )
        began = perf_counter()
        with self._source.open("rb") as file:
            while data := file.read(CHUNK_BYTES):
                await asyncio.sleep(max(0.0, began + self.sent / BYTES_PER_S - perf_counter()))
                self.sent += len(data)
                yield InspectRequest(chunk=InspectChunk(data=data))
        self.ended = perf_counter()
        yield InspectRequest(finish=InspectFinish(file_size=self.size))


async def _verdict_after_last_byte(
    stub: validation_pb2_grpc.ValidationServiceStub, source: Path
) -> float:
    sending = _Sending(source)
    async for answer in stub.Inspect(sending.messages()):
        if answer.WhichOneof("step") == "verdict":
            assert answer.verdict.verdict == Verdict.VERDICT_PASSED, answer.verdict.summary
            return perf_counter() - sending.ended
    raise RuntimeError("there was no verdict")


async def _share_until_finding(
    stub: validation_pb2_grpc.ValidationServiceStub, source: Path
) -> float:
    sending = _Sending(source)
    async for answer in stub.Inspect(sending.messages()):
        if (
            answer.WhichOneof("step") == "finding"
            and errors.code_of(answer.finding.problem.code) == "NO_TIME_COLUMN"
        ):
            assert answer.finding.certain
            return sending.sent / sending.size
    raise RuntimeError("the missing time column was not reported")

"""A line to the real S3 server that breaks, stalls and changes bits: what is stored is right, or
the upload has clearly failed.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest

from services.common import errors
from services.upload.storing import s3
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.upload.v1 import upload_pb2 as pb
from tests.integration.upload.faulty_wire import Hurt, Wire, wire
from tests.integration.upload.running import FINISH, MIB, Bucket, Running, chunks, header, refusal

DATA = random.Random(5).randbytes(20 * MIB)
HURTS: list[Hurt] = ["flip", "cut", "cut answer", "stall"]
FOR_EVER = 10**6
DEADLINE_S = 4.0

Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def line(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wire]:
    """The line between the service and the store."""
    monkeypatch.setattr(s3, "DATA_DEADLINE_S", DEADLINE_S)
    url = urlsplit(bucket.settings.aws_endpoint_url_s3 or "")
    async with wire((url.hostname or "", url.port or 80)) as made:
        yield made


@pytest.fixture
async def behind(start: Start, bucket: Bucket, line: Wire) -> Running:
    """The service at the far end of the line; it sweeps all the time."""
    return await start(
        bucket, aws_endpoint_url_s3=f"http://127.0.0.1:{line.port}", sweep_interval_s=0.2
    )


@pytest.mark.parametrize("resumable", [False, True], ids=["at once", "resumable"])
@pytest.mark.parametrize("hurt", HURTS)
async def test_a_line_that_hurts_once_is_outlasted_or_told(
    behind: Running, bucket: Bucket, line: Wire, hurt: Hurt, resumable: bool
) -> None:
    mode = UploadMode.UPLOAD_MODE_RESUMABLE if resumable else UploadMode.UPLOAD_MODE_ONE_SHOT
    upload = await behind.create(mode=mode)
    line.hurt, line.at, line.times = hurt, 3 * MIB, 1
    if hurt == "stall":
        # A request that hangs uses its deadline up; what is resumable goes on after it.
        error, _ = await refusal(behind.write([header(upload), *chunks(DATA), FINISH]))
        assert error.code == "STORAGE_UNAVAILABLE"
        assert "no answer within" in error.problem.message
        if not resumable:
            await behind.status.until(upload.upload_id, TaskState.TASK_STATE_FAILED)
            await bucket.until_empty()
            return
        from_here = (
            await behind.stub.GetUpload(pb.GetUploadRequest(upload_id=upload.upload_id))
        ).upload.committed_size
        done = await behind.write([header(upload, from_here), *chunks(DATA[from_here:]), FINISH])
    else:
        done = await behind.write([header(upload), *chunks(DATA), FINISH])
    assert line.done == 1
    assert done.state == TaskState.TASK_STATE_UPLOADED
    assert await bucket.read(upload.object_uri) == DATA
    await bucket.until_empty(of="multiparts")


@pytest.mark.parametrize("hurt", HURTS)
async def test_a_line_that_always_hurts_fails_the_upload_and_leaves_nothing(
    behind: Running, bucket: Bucket, line: Wire, hurt: Hurt
) -> None:
    upload = await behind.create()
    line.hurt, line.at, line.times = hurt, 3 * MIB, FOR_EVER
    error, _ = await refusal(behind.write([header(upload), *chunks(DATA), FINISH]))
    line.times = 0
    assert error.code == "STORAGE_UNAVAILABLE"
    ended = await behind.status.until(upload.upload_id, TaskState.TASK_STATE_FAILED)
    assert errors.code_of(ended.problem.code) == "STORAGE_UNAVAILABLE"
    await bucket.until_empty()

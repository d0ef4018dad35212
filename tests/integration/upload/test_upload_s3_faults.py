"""An object store that fails: the upload is whole, or refused with nothing left behind."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest

from services.common import errors, s3
from services.common.settings import S3Settings
from sluice.common.v1.task_pb2 import TaskState
from tests.integration.upload.faulty_s3 import Fault, FaultyS3, Operation, serving
from tests.integration.upload.running import FINISH, MIB, Bucket, Running, chunks, header, refusal

SMALL, LARGE = b"a,b\n1,2\n", random.Random(9).randbytes(9 * MIB)
FOR_EVER = 10**6

Start = Callable[..., Awaitable[Running]]


@pytest.fixture
def faulty() -> FaultyS3:
    return FaultyS3()


@pytest.fixture
async def faulty_bucket(faulty: FaultyS3) -> AsyncIterator[Bucket]:
    with serving(faulty) as url:
        settings = S3Settings(
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            aws_default_region="us-east-1",
            aws_endpoint_url_s3=url,
            s3_bucket_name="faulty",
        )
        async with s3.client(settings) as client:
            await client.create_bucket(Bucket="faulty")
            made = Bucket(client, settings)
            yield made
            # moto keeps its buckets for the life of this process.
            await made.clear()
            await client.delete_bucket(Bucket="faulty")


@pytest.mark.parametrize(
    ("operation", "data"),
    [("put", SMALL), ("open", LARGE), ("part", LARGE), ("complete", LARGE)],
    ids=["put", "open", "part", "complete"],
)
@pytest.mark.parametrize("late", [False, True], ids=["refused", "answer lost"])
async def test_a_fault_that_passes_is_outlasted(
    start: Start,
    faulty_bucket: Bucket,
    faulty: FaultyS3,
    operation: Operation,
    data: bytes,
    late: bool,
) -> None:
    running = await start(faulty_bucket)
    upload = await running.create()
    faulty.faults = [
        Fault(
            operation, times=1, status="500 Internal Server Error", code="InternalError", late=late
        )
    ]
    done = await running.write([header(upload), *chunks(data), FINISH])
    assert done.state == TaskState.TASK_STATE_UPLOADED
    assert not faulty.faults[0].times
    assert await faulty_bucket.read(upload.object_uri) == data
    if operation == "open" and late:
        # The one multipart upload whose id never arrived: found by the sweeper, as it belongs to no
        # task that is PENDING.
        await start(faulty_bucket, sweep_interval_s=0.1)
        await faulty_bucket.until_empty(of="multiparts")
    assert await faulty_bucket.open_multiparts() == []


@pytest.mark.parametrize(
    ("operation", "data"),
    [("put", SMALL), ("open", LARGE), ("part", LARGE), ("complete", LARGE)],
    ids=["put", "open", "part", "complete"],
)
@pytest.mark.parametrize("late", [False, True], ids=["refused", "answer lost"])
async def test_a_fault_that_stays_fails_the_task(
    start: Start,
    faulty_bucket: Bucket,
    faulty: FaultyS3,
    operation: Operation,
    data: bytes,
    late: bool,
) -> None:
    running = await start(faulty_bucket, sweep_interval_s=0.1)
    upload = await running.create()
    faulty.faults = [Fault(operation, times=FOR_EVER, late=late)]
    error, status = await refusal(running.write([header(upload), *chunks(data), FINISH]))
    assert (error.code, status) == ("STORAGE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)
    assert "SlowDown" in error.problem.message
    ended = running.status.tasks[upload.upload_id]
    assert (ended.state, errors.code_of(ended.problem.code)) == (
        TaskState.TASK_STATE_FAILED,
        "STORAGE_UNAVAILABLE",
    )
    faulty.faults = []
    await faulty_bucket.until_empty()


@pytest.mark.parametrize("operation", ["abort", "delete"])
async def test_what_cannot_be_removed_at_once_is_removed_later(
    start: Start, faulty_bucket: Bucket, faulty: FaultyS3, operation: Operation
) -> None:
    running = await start(faulty_bucket, sweep_interval_s=0.1)
    upload = await running.create()
    faulty.faults = [Fault(operation, times=FOR_EVER), Fault("complete", times=FOR_EVER, late=True)]
    await refusal(running.write([header(upload), *chunks(LARGE), FINISH]))
    faulty.faults = []
    await faulty_bucket.until_empty()


async def test_a_bucket_that_is_gone_is_named_as_the_cause(
    start: Start, faulty_bucket: Bucket, faulty: FaultyS3
) -> None:
    running = await start(faulty_bucket)
    upload = await running.create()
    faulty.faults = [Fault("open", times=FOR_EVER, status="404 Not Found", code="NoSuchBucket")]
    error, _ = await refusal(running.write([header(upload), *chunks(LARGE), FINISH]))
    assert error.code == "STORAGE_UNAVAILABLE"
    assert "NoSuchBucket" in error.problem.message

"""The service over real gRPC and a real S3 server: what is stored, and what is left after every bad
end.
"""

import asyncio
import hashlib
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import errors
from services.common.serving import channels
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState
from sluice.upload.v1 import upload_pb2 as pb
from sluice.upload.v1.upload_pb2 import WriteAbort, WriteChunk, WriteFinish, WriteUploadRequest
from sluice_client import SluiceClientError
from tests.integration.upload.fake_status import FakeStatus, serve
from tests.integration.upload.running import FINISH, MIB, Bucket, Running, chunks, header, refusal

UPLOADED, REJECTED = TaskState.TASK_STATE_UPLOADED, TaskState.TASK_STATE_REJECTED
CANCELLED, FAILED = TaskState.TASK_STATE_CANCELLED, TaskState.TASK_STATE_FAILED
ROOT = Path(__file__).parents[3]

Start = Callable[..., Awaitable[Running]]


def bytes_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


async def begun(
    running: Running, upload: pb.Upload, data: bytes, go_on: asyncio.Event
) -> AsyncIterator[WriteUploadRequest]:
    """A stream that stays open after the data until it may end without a finish."""
    yield header(upload)
    for message in chunks(data):
        yield message
    await go_on.wait()


async def has_ended(
    running: Running, upload: pb.Upload, state: "TaskState.ValueType", code: str
) -> None:
    """The task has ended so, and nothing of it is stored."""
    ended = await running.status.until(upload.upload_id, state)
    assert errors.code_of(ended.problem.code) == code
    assert await running.bucket.is_empty()


@pytest.mark.parametrize("size", [1, 3 * MIB, 8 * MIB, 20_000_000])
async def test_a_file_is_stored_byte_for_byte(running: Running, tmp_path: Path, size: int) -> None:
    data = bytes_of(size)
    path = tmp_path / "Umsätze 2026.csv"
    path.write_bytes(data)
    task_id = await running.client.upload(path, "sales")
    task = running.status.tasks[task_id]
    assert (task.state, task.file_size, task.sha256) == (
        UPLOADED,
        size,
        hashlib.sha256(data).digest(),
    )
    assert (task.filename, task.datasource) == ("Umsätze 2026.csv", "sales")
    assert await running.bucket.read(task.file_uri) == data
    assert await running.bucket.open_multiparts() == []
    assert len(await running.bucket.keys()) == 1


async def test_pieces_of_any_size_are_one_file(running: Running) -> None:
    data = bytes_of(10 * MIB)
    sizes = random.Random(1)

    async def pieces() -> AsyncIterator[bytes]:
        start = 0
        while start < len(data):
            size = sizes.choice([1, 700, 64 * 1024, 3 * MIB])
            yield data[start : start + size]
            start += size

    task_id = await running.client.upload(pieces(), "sales", filename="a.xlsx")
    assert await running.bucket.read(running.status.tasks[task_id].file_uri) == data


async def test_the_same_request_is_not_received_twice(running: Running, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,2\n")
    first = await running.client.upload(path, "sales", request_id="once")
    assert await running.client.upload(path, "sales", request_id="once") == first
    assert len(await running.bucket.keys()) == 1


async def test_an_upload_is_shown_as_it_stands(running: Running) -> None:
    upload = await running.create(size=3)
    assert (upload.state, upload.committed_size, upload.size) == (
        TaskState.TASK_STATE_PENDING,
        0,
        3,
    )
    assert (upload.max_size, upload.chunk_size) == (500 * MIB, MIB)
    assert upload.expire_time.seconds > 0
    done = await running.write([header(upload), *chunks(b"a,b"), FINISH])
    shown = (await running.stub.GetUpload(pb.GetUploadRequest(upload_id=upload.upload_id))).upload
    assert MessageToDict(shown) == MessageToDict(done)
    assert (shown.state, shown.committed_size, shown.sha256) == (
        UPLOADED,
        3,
        hashlib.sha256(b"a,b").digest(),
    )
    assert not shown.HasField("expire_time")


@pytest.mark.parametrize(("trusted", "client"), [("", "198.51.100.7"), ("10.0.0.0/8", "127.0.0.1")])
async def test_only_a_trusted_caller_says_whose_an_upload_is(
    start: Start, bucket: Bucket, trusted: str, client: str
) -> None:
    settings = {"trusted_gateways": trusted} if trusted else {}
    running = await start(bucket, **settings)
    upload = await running.create(client="198.51.100.7")
    assert running.status.tasks[upload.upload_id].client == client
    await running.stub.AbortUpload(pb.AbortUploadRequest(upload_id=upload.upload_id))


async def test_a_client_does_not_evade_its_limit_under_another_name(
    start: Start, bucket: Bucket
) -> None:
    running = await start(
        bucket, trusted_gateways="10.0.0.0/8", max_concurrent_uploads_per_client=1
    )
    first, go_on = await running.create(client="one"), asyncio.Event()
    call = running.stub.WriteUpload(begun(running, first, bytes_of(9 * MIB), go_on))
    await running.status.until_received(9 * MIB)
    error, _ = await refusal(running.create(client="two"))
    assert (error.code, "from one client" in error.problem.message) == ("TOO_MANY_UPLOADS", True)
    call.cancel()
    await has_ended(running, first, CANCELLED, "CLIENT_GONE")


async def test_progress_is_told_while_bytes_arrive(running: Running) -> None:
    upload, go_on = await running.create(), asyncio.Event()
    call = running.stub.WriteUpload(begun(running, upload, bytes_of(9 * MIB), go_on))
    report = await running.status.until_received(9 * MIB)
    assert report.multipart_id
    assert len(await running.bucket.open_multiparts()) == 1
    call.cancel()
    await has_ended(running, upload, CANCELLED, "CLIENT_GONE")


@pytest.mark.parametrize("size", [0, MIB, 20 * MIB])
async def test_a_stream_that_ends_without_finish_leaves_nothing(
    running: Running, size: int
) -> None:
    upload = await running.create()
    error, status = await refusal(running.write([header(upload), *chunks(bytes_of(size))]))
    assert (error.code, status) == ("CLIENT_GONE", grpc.StatusCode.CANCELLED)
    await has_ended(running, upload, CANCELLED, "CLIENT_GONE")


async def test_a_client_that_is_killed_leaves_nothing(running: Running) -> None:
    sender = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("endless_client.py")),
        running.address,
        f"127.0.0.1:{running.status.port}",
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("protos", "client")),
        },
    )
    try:
        report = await running.status.until_received(20 * MIB)
    finally:
        sender.kill()
        await sender.wait()
    task = await running.status.until(report.task_id, CANCELLED)
    assert errors.code_of(task.problem.code) == "CLIENT_GONE"
    assert await running.bucket.is_empty()


async def test_a_silent_client_is_cut_off(start: Start, bucket: Bucket) -> None:
    running = await start(bucket, upload_idle_timeout_s=0.3)
    upload = await running.create()
    error, status = await refusal(
        running.write(begun(running, upload, bytes_of(9 * MIB), asyncio.Event()))
    )
    assert (error.code, status) == ("UPLOAD_STALLED", grpc.StatusCode.DEADLINE_EXCEEDED)
    await has_ended(running, upload, CANCELLED, "UPLOAD_STALLED")


@pytest.mark.parametrize("limit", [1000, 18 * MIB])
async def test_a_file_that_is_too_long_is_refused(start: Start, bucket: Bucket, limit: int) -> None:
    running = await start(bucket, max_file_size_bytes=limit)
    error, status = await refusal(running.create(size=limit + 1))
    assert (error.code, status) == ("FILE_TOO_LARGE", grpc.StatusCode.RESOURCE_EXHAUSTED)
    upload = await running.create()
    error, status = await refusal(
        running.write(begun(running, upload, bytes_of(limit + 1), asyncio.Event()))
    )
    assert (error.code, status) == ("FILE_TOO_LARGE", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert error.metadata == {"limit_bytes": str(limit)}
    await has_ended(running, upload, REJECTED, "FILE_TOO_LARGE")


async def test_an_empty_file_is_refused(running: Running, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.touch()
    with pytest.raises(SluiceClientError) as failure:
        await running.client.upload(path, "sales")
    assert (failure.value.code, failure.value.actor) == ("FILE_EMPTY", "you")
    assert [task.state for task in running.status.tasks.values()] == [REJECTED]
    assert await running.bucket.is_empty()


async def test_an_abort_is_handed_on(running: Running) -> None:
    upload = await running.create()
    problem = errors.problem(
        ErrorReason.ERROR_REASON_SECOND_FILE, "A second file came in the form.", value="b.csv"
    )
    error, status = await refusal(
        running.write(
            [
                header(upload),
                *chunks(bytes_of(9 * MIB)),
                WriteUploadRequest(abort=WriteAbort(problem=problem)),
            ]
        )
    )
    assert (error.problem, status) == (problem, grpc.StatusCode.INVALID_ARGUMENT)
    await has_ended(running, upload, REJECTED, "SECOND_FILE")


@pytest.mark.parametrize(
    "damage",
    [
        WriteUploadRequest(chunk=WriteChunk(data=b"x", crc32c=1)),
        WriteUploadRequest(finish=WriteFinish(size=1)),
        WriteUploadRequest(finish=WriteFinish(sha256=b"\1" * 32)),
    ],
)
async def test_a_damaged_file_is_refused(running: Running, damage: WriteUploadRequest) -> None:
    upload = await running.create()
    error, status = await refusal(
        running.write([header(upload), *chunks(bytes_of(9 * MIB)), damage])
    )
    assert (error.code, status) == ("CHECKSUM_MISMATCH", grpc.StatusCode.DATA_LOSS)
    await has_ended(running, upload, REJECTED, "CHECKSUM_MISMATCH")


async def test_a_message_that_breaks_its_rule_ends_the_upload(running: Running) -> None:
    upload = await running.create()
    error, status = await refusal(
        running.write([header(upload), *chunks(bytes_of(9 * MIB)), WriteUploadRequest()])
    )
    assert (error.code, status) == ("REQUEST_INVALID", grpc.StatusCode.INVALID_ARGUMENT)
    await has_ended(running, upload, REJECTED, "REQUEST_INVALID")


async def test_a_task_that_is_cancelled_stops_its_stream(running: Running) -> None:
    upload, go_on = await running.create(), asyncio.Event()
    writing = asyncio.ensure_future(running.write(begun(running, upload, bytes_of(9 * MIB), go_on)))
    await running.status.until_received(MIB)
    await running.stub.AbortUpload(pb.AbortUploadRequest(upload_id=upload.upload_id))
    # The next report tells the writer, at the latest after ten seconds without a byte.
    error, status = await refusal(writing)
    assert (error.code, status) == ("STATE_CONFLICT", grpc.StatusCode.FAILED_PRECONDITION)
    await has_ended(running, upload, CANCELLED, "CANCELLED")


async def test_the_object_is_deleted_once_the_task_is_terminal(running: Running) -> None:
    upload = await running.create()
    await running.write([header(upload), *chunks(b"a,b"), FINISH])
    delete = pb.DeleteObjectsRequest(task_id=upload.upload_id)
    error, _ = await refusal(running.stub.DeleteObjects(delete))
    assert (error.code, error.metadata) == ("STATE_CONFLICT", {"state": "UPLOADED"})
    error, _ = await refusal(
        running.stub.AbortUpload(pb.AbortUploadRequest(upload_id=upload.upload_id))
    )
    assert error.code == "UPLOAD_CLOSED"
    running.status.tasks[upload.upload_id].state = TaskState.TASK_STATE_SUCCEEDED
    for _ in range(2):
        assert (await running.stub.DeleteObjects(delete)).deleted == 1
        assert await running.bucket.is_empty()


async def test_a_completion_outlasts_a_restart_of_the_status_service(running: Running) -> None:
    upload = await running.create()
    data = bytes_of(9 * MIB)
    go_on = asyncio.Event()

    async def stream() -> AsyncIterator[WriteUploadRequest]:
        async for message in begun(running, upload, data, go_on):
            yield message
        yield FINISH

    writing = asyncio.ensure_future(running.write(stream()))
    await running.status.until_received(9 * MIB)
    assert running.status.server is not None
    await running.status.server.stop(0)
    go_on.set()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(writing), 1.5)
    await serve(running.status)
    assert (await writing).state == UPLOADED
    assert await running.bucket.read(upload.object_uri) == data


async def test_a_completion_whose_answer_is_lost_is_told_again(running: Running) -> None:
    upload = await running.create()
    running.status.lose_answers_of_complete = 2
    assert (await running.write([header(upload), *chunks(b"a,b"), FINISH])).state == UPLOADED
    assert await running.bucket.read(upload.object_uri) == b"a,b"


async def test_a_stop_ends_what_is_being_received(status: FakeStatus, bucket: Bucket) -> None:
    async with Running.start(status, bucket, shutdown_grace_s=0.2) as running:
        upload = await running.create()
        call = running.stub.WriteUpload(begun(running, upload, bytes_of(9 * MIB), asyncio.Event()))
        await status.until_received(9 * MIB)
        async with asyncio.timeout(4):
            await running.stack.aclose()
        await has_ended(running, upload, FAILED, "SERVICE_UNAVAILABLE")
        _, code = await refusal(call)
        assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_the_uploads_of_a_killed_process_are_ended_by_another(
    running: Running, status: FakeStatus, start: Start
) -> None:
    settings = running.bucket.settings.model_dump()
    environment = {
        name.upper(): str(value) for name, value in settings.items() if value is not None
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.upload",
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "protos"),
            "BIND_ADDR": "127.0.0.1:0",
            "STATUS_ADDR": f"127.0.0.1:{status.port}",
            **environment,
        },
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        port = await _port(process.stderr)
        channel = channels.connect(f"127.0.0.1:{port}")
        upload = await running.create()
        call = type(running.stub)(channel).WriteUpload(
            begun(running, upload, bytes_of(20 * MIB), asyncio.Event())
        )
        await status.until_received(20 * MIB)
        process.send_signal(signal.SIGKILL)
        _, code = await refusal(call)
        assert code == grpc.StatusCode.UNAVAILABLE
        await channel.close()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
    assert await running.bucket.open_multiparts()
    await start(running.bucket, sweep_interval_s=0.2, abandoned_after_s=1)
    ended = await status.until(upload.upload_id, CANCELLED)
    assert errors.code_of(ended.problem.code) == "CLIENT_GONE"
    await running.bucket.until_empty()


async def _port(log: asyncio.StreamReader) -> int:
    async with asyncio.timeout(20):
        async for line in log:
            if b"server.started" in line:
                return int(json.loads(line)["port"])
    raise AssertionError("the process ended before it listened")


async def test_it_serves_while_the_object_store_answers(running: Running) -> None:
    async with asyncio.timeout(10):
        channel = channels.connect(running.address)
        watched = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service="sluice.upload.v1.UploadService")
        )
        async for answer in watched:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
        watched.cancel()
        await channel.close()


@pytest.mark.parametrize("by", ["channel", "client"])
async def test_a_refusal_arrives_whole_while_the_client_still_sends(
    start: Start, bucket: Bucket, by: str
) -> None:
    running = await start(bucket, max_file_size_bytes=MIB)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(MIB)

    for _ in range(20):
        if by == "client":
            with pytest.raises(SluiceClientError) as failure:
                await running.client.upload(pieces(), "sales", filename="a.csv")
            code, limit = failure.value.code, failure.value.metadata["limit_bytes"]
        else:
            upload = await running.create()
            error, _ = await refusal(running.write([header(upload), *chunks(bytes(40 * MIB))]))
            code, limit = error.code, error.metadata["limit_bytes"]
        assert (code, limit) == ("FILE_TOO_LARGE", str(MIB))

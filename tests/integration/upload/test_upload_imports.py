"""A file that lies in the real S3 server already is copied there, and its original may go."""

import hashlib
import random
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from sluice.common.v1.task_pb2 import TaskState
from sluice.upload.v1 import upload_pb2 as pb
from tests.integration.upload.running import MIB, Bucket, Running, refusal

Start = Callable[..., Awaitable[Running]]


def asked(bucket: Bucket, key: str, **changes: Any) -> pb.ImportObjectRequest:
    uri = f"s3://{bucket.name}/{key}"
    return pb.ImportObjectRequest(
        **{"request_id": str(uuid.uuid4()), "uri": uri, "datasource": "sales", **changes}
    )


async def test_a_file_is_taken_from_where_it_lies(start: Start, bucket: Bucket) -> None:
    running = await start(bucket, import_from=f"s3://{bucket.name}/lake/")
    data, key = random.Random(1).randbytes(20 * MIB), "lake/Umsätze (März) 2026.csv"
    await bucket.client.put_object(Bucket=bucket.name, Key=key, Body=data)
    request = asked(bucket, key)
    answer: pb.ImportObjectResponse = await running.stub.ImportObject(request, timeout=60)
    assert (answer.created, answer.upload.state, answer.upload.committed_size) == (
        True,
        TaskState.TASK_STATE_UPLOADED,
        len(data),
    )
    task = running.status.tasks[answer.upload.upload_id]
    assert (task.filename, task.file_size, task.client) == (
        "Umsätze (März) 2026.csv",
        len(data),
        "127.0.0.1",
    )
    await bucket.client.delete_object(Bucket=bucket.name, Key=key)
    assert (
        hashlib.sha256(await bucket.read(task.file_uri)).digest() == hashlib.sha256(data).digest()
    )


async def test_what_is_not_there_or_not_allowed_makes_no_task(start: Start, bucket: Bucket) -> None:
    running = await start(bucket, import_from=f"s3://{bucket.name}/lake/", max_file_size_bytes=10)
    await bucket.client.put_object(Bucket=bucket.name, Key="lake/long.csv", Body=b"a,b\n1,2\n3,4\n")
    await bucket.client.put_object(Bucket=bucket.name, Key="private/a.csv", Body=b"a,b\n")
    for key, code in (
        ("lake/none.csv", "IMPORT_NOT_FOUND"),
        ("lake/long.csv", "FILE_TOO_LARGE"),
        ("private/a.csv", "IMPORT_NOT_ALLOWED"),
    ):
        error, _ = await refusal(running.stub.ImportObject(asked(bucket, key)))
        assert error.code == code
    assert not running.status.tasks
    assert sorted(await bucket.keys()) == ["lake/long.csv", "private/a.csv"]


async def test_one_client_is_refused_early_while_another_is_not(
    start: Start, bucket: Bucket
) -> None:
    running = await start(bucket, max_concurrent_uploads_per_client=1)
    first = await running.create(client="one")

    async def endless() -> Any:
        yield pb.WriteUploadRequest(header=pb.WriteHeader(upload_id=first.upload_id))
        yield pb.WriteUploadRequest(chunk=pb.WriteChunk(data=bytes(9 * MIB // 8)))
        await running.status.until(first.upload_id, TaskState.TASK_STATE_UPLOADED)

    writing = running.stub.WriteUpload(endless())
    await running.status.until_received(9 * MIB // 8)
    error, status = await refusal(
        running.stub.CreateUpload(
            pb.CreateUploadRequest(request_id="r", datasource="s", filename="a.csv", client="one")
        )
    )
    assert (error.code, status.name) == ("TOO_MANY_UPLOADS", "RESOURCE_EXHAUSTED")
    assert int(error.metadata["retry_after_s"]) > 0
    assert (await running.create(client="two")).state == TaskState.TASK_STATE_PENDING
    assert len(running.status.tasks) == 2
    writing.cancel()
    await running.status.until(first.upload_id, TaskState.TASK_STATE_CANCELLED)

"""Calls every RPC of the running services with malformed messages and with numbers and texts at
their limits: each call succeeds or fails with a client error, and the processes keep running."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from local.stack import Stack
from services.common import s3
from services.common.settings import S3Settings
from sluice.validation.v1.validation_pb2 import ValidateObjectRequest
from tests.bad_requests import GARBAGE, SOUND, extreme, failure
from tests.contract.services import SERVICES

METHODS = [(process, method) for process, service in SERVICES.items() for method in service.methods]
OURS = {"INTERNAL", "DEADLINE_EXCEEDED"}

NEVER_END = {"WatchTasks"}
"""Streams without events."""

SUBMITS = {"SubmitLoad"}
"""Valid requests would load into Druid, so tests/unit/druid_gateway tests it."""

LEAVE: dict[str, tuple[str, dict[str, Any]]] = {
    "CreateTask": ("EndUpload", {"state": 11, "problem": {"code": 13}}),
    "ValidateObject": ("DeleteResults", {}),
}
"""RPCs that store something for a task id, and the RPCs that delete it."""

TABLE = b"day,region,units,price\n" + b"".join(
    b"2024-01-%02d,north,%d,%d.5\n" % (day, day, day) for day in range(1, 29)
)


@pytest.fixture
async def channels(stack: Stack) -> AsyncIterator[dict[str, aio.Channel]]:
    made = {process: aio.insecure_channel(stack.addresses[process]) for process in SERVICES}
    yield made
    for channel in made.values():
        await channel.close()


@pytest.mark.parametrize(
    ("process", "method"), METHODS, ids=lambda each: getattr(each, "name", each)
)
async def test_malformed_messages(
    channels: dict[str, aio.Channel], process: str, method: MethodDescriptor
) -> None:
    for name, data in GARBAGE.items():
        failed = await failure(channels[process], method, data)
        assert failed is not None, name
        assert failed.code == "REQUEST_INVALID", name


async def clear(channels: dict[str, aio.Channel], name: str, task_id: str) -> None:
    """Delete what the RPC stored."""
    clearing, fields = LEAVE[name]
    ((process, method),) = [each for each in METHODS if each[1].name == clearing]
    request = GetMessageClass(method.input_type)(task_id=task_id, **fields)
    assert await failure(channels[process], method, request.SerializeToString()) is None


def faults(found: dict[str, str]) -> dict[str, str]:
    return {case: code for case, code in found.items() if code in OURS}


@pytest.mark.parametrize(
    ("process", "method"),
    [each for each in METHODS if each[1].name not in NEVER_END | SUBMITS],
    ids=lambda each: getattr(each, "name", each),
)
async def test_limits_of_types(
    channels: dict[str, aio.Channel], process: str, method: MethodDescriptor
) -> None:
    sound: dict[str, Any] = dict(SOUND[method.name])
    if "request_id" in sound:
        sound["request_id"] = str(uuid.uuid4())
    if method.name in LEAVE:
        sound["task_id"] = str(uuid.uuid4())
    base = GetMessageClass(method.input_type)(**sound)
    found = {
        str(case): failed.code
        for case in extreme(base)
        if (failed := await failure(channels[process], method, case.data))
    }
    if method.name in LEAVE:
        await clear(channels, method.name, sound["task_id"])
    assert faults(found) == {}


async def test_limits_of_types_for_an_existing_file(
    stack: Stack, channels: dict[str, aio.Channel]
) -> None:
    settings = S3Settings(
        aws_access_key_id=stack.s3_access_key,
        aws_secret_access_key=stack.s3_secret_key,
        aws_default_region=stack.s3_region,
        aws_endpoint_url_s3=stack.s3_endpoint,
        s3_bucket_name=stack.s3_bucket,
    )
    key, task_id = f"uploads/bad_requests/{uuid.uuid4().hex}.csv", str(uuid.uuid4())
    (method,) = [method for _, method in METHODS if method.name == "ValidateObject"]
    async with s3.client(settings) as client:
        await client.put_object(Bucket=stack.s3_bucket, Key=key, Body=TABLE)
        base = ValidateObjectRequest(
            task_id=task_id,
            attempt=1,
            file_uri=f"s3://{stack.s3_bucket}/{key}",
            filename="a.csv",
            file_size=len(TABLE),
        )
        # A new attempt each time, because an existing report is returned without reading the file.
        found = {}
        for number, case in enumerate(extreme(base), 1):
            request = ValidateObjectRequest.FromString(case.data)
            if request.attempt == 1:
                request.attempt = number + 1
            if failed := await failure(
                channels["validation"], method, request.SerializeToString(), to_the_end=True
            ):
                found[str(case)] = failed.code
        await client.delete_object(Bucket=stack.s3_bucket, Key=key)
    await clear(channels, "ValidateObject", task_id)
    assert faults(found) == {}


async def test_a_watch_starts_from_any_position(channels: dict[str, aio.Channel]) -> None:
    (method,) = [method for _, method in METHODS if method.name == "WatchTasks"]
    for position in (-(2**63), -1, 2**63 - 1):
        data = GetMessageClass(method.input_type)(from_position=position).SerializeToString()
        failed = await failure(channels["status"], method, data, timeout_s=1)
        assert failed is not None
        assert failed.code == ("DEADLINE_EXCEEDED" if position > 0 else "REQUEST_INVALID")

"""Compares the report of a local file with the report of the same file after a real upload: all
fields must be equal.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from time import monotonic
from uuid import uuid4

import grpc
from google.protobuf.message import Message

from bench.support.stack import running
from services.common import errors
from services.common.serving import channels
from sluice.validation.v1 import validation_pb2_grpc
from sluice.validation.v1.validation_pb2 import GetReportRequest, GetReportResponse, Report
from sluice_client import SluiceClient

PROGRAMS = ("postgres", "s3", "status", "upload", "validation")
PIECE_BYTES = 1024 * 1024
REPORT_S = 300.0
POLL_S = 0.2
RUN_FIELDS = {"task_id", "attempt", "timings", "filename", "file_size", "sha256"}
"""Fields that depend on the request or on the duration."""

Examine = Callable[[], Awaitable[Report]]


async def compare(source: Path, examine: Examine, instance: str) -> dict[str, object]:
    """Return the names of the fields that differ, and the number of fields."""
    with running(instance, *PROGRAMS) as stack:
        addresses = stack.stack.addresses
        async with (
            SluiceClient(
                *(addresses[name] for name in ("upload", "status", "validation", "druid_gateway"))
            ) as client,
            channels.connect(addresses["validation"]) as channel,
        ):
            task_id = await client.upload(
                _pieces(source), f"bench_twins_{uuid4().hex[:8]}", filename=source.name
            )
            uploaded = await _report(validation_pb2_grpc.ValidationServiceStub(channel), task_id)
    local = await examine()
    filled = [field.name for field, _ in uploaded.ListFields() if field.name not in RUN_FIELDS]
    return {
        "report_fields": len(filled),
        "report_differs": sorted(set(_differences(local, uploaded))),
    }


async def _report(validation: validation_pb2_grpc.ValidationServiceStub, task_id: str) -> Report:
    """Poll the report until it exists. (Without Druid, the task does not end.)"""
    deadline = monotonic() + REPORT_S
    while True:
        try:
            answer: GetReportResponse = await validation.GetReport(
                GetReportRequest(task_id=task_id, attempt=1), timeout=10
            )
            return answer.report
        except grpc.RpcError as failure:
            if (
                errors.from_rpc(failure, "validation").code != "REPORT_NOT_FOUND"
                or monotonic() > deadline
            ):
                raise
        await asyncio.sleep(POLL_S)


async def _pieces(source: Path) -> AsyncIterator[bytes]:
    with source.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _differences(one: Message, other: Message, path: str = "") -> Iterator[str]:
    for field in one.DESCRIPTOR.fields:
        name = f"{path}{field.name}"
        if name in RUN_FIELDS:
            continue
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.is_repeated and field.message_type:
            if len(ours) != len(theirs):
                yield name
            for mine, its in zip(ours, theirs, strict=False):
                yield from _differences(mine, its, f"{name}.")
        elif field.message_type:
            if one.HasField(field.name) != other.HasField(field.name):
                yield name
            yield from _differences(ours, theirs, f"{name}.")
        elif field.name == "uri" or field.name.endswith("_uri"):
            # In the object store, bucket and key precede the name.
            if not theirs.endswith(ours):
                yield name
        elif isinstance(ours, float):
            # The order of addition changes the last digits of a sum.
            if abs(ours - theirs) > 1e-9 * max(abs(ours), 1.0):
                yield name
        elif ours != theirs:
            yield name

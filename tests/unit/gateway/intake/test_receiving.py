"""Streams a form to the upload service: all bytes, in order, with back-pressure and the right end."""

import asyncio
from collections.abc import AsyncGenerator, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message

from gateway.intake import receiving
from gateway.intake.form import Body, Form, IncomingFile, Limits
from gateway.intake.receiving import CHUNK_BYTES, MAX_CHUNK_BYTES, Destination, receive, rechunked
from gateway.rest.uploads import read_fields
from services.common.errors import SluiceError, problem
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, TaskState
from sluice.upload.v1.upload_pb2 import Upload
from tests.unit.gateway.edge_fakes import CONTENT_TYPE, END, TASK_ID, FakeUploads, form, part

ROOMY = Limits(file_bytes=1 << 30, field_bytes=256, part_header_bytes=256, idle_s=5)
TO = Destination("key", "sales", LoadMode.LOAD_MODE_REPLACE, True)


SIZES = [
    1,
    1000,
    65_536,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    MAX_CHUNK_BYTES,
    3 * MAX_CHUNK_BYTES,
]


async def file(*pieces: bytes, gone: bool = False) -> IncomingFile:
    """A file whose form arrives in these pieces."""
    return (
        await read_fields(form(*pieces, limits=ROOMY, gone=gone), {"datasource_name": "sales"})
    )[1]


async def pieces_of(sizes: Iterable[int]) -> AsyncGenerator[bytes, None]:
    for number, size in enumerate(sizes):
        yield bytes([number % 256]) * size


@settings(max_examples=15)
@given(st.lists(st.sampled_from(SIZES), max_size=8))
def test_chunks_have_the_same_bytes_in_the_fast_size(sizes: list[int]) -> None:
    async def run() -> tuple[bytes, list[bytes]]:
        sent = b"".join([piece async for piece in pieces_of(sizes)])
        return sent, [chunk async for chunk in rechunked(pieces_of(sizes))]

    sent, chunks = asyncio.run(run())
    assert b"".join(chunks) == sent
    assert all(CHUNK_BYTES <= len(chunk) <= MAX_CHUNK_BYTES for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= MAX_CHUNK_BYTES for chunk in chunks[-1:])


async def test_a_file_is_streamed_completely() -> None:
    uploads, content = FakeUploads(), bytes(range(256)) * 8192
    taken = await receive(uploads, await file(part("file", content, "a.csv") + END), TO)
    assert (taken.upload_id, taken.committed_size) == (TASK_ID, len(content))
    assert uploads.data == content
    assert uploads.steps == ["header", "chunk", "chunk", "finish"]
    assert uploads.messages[-1].finish.size == len(content)
    (asked,) = uploads.requests
    assert (asked.request_id, asked.datasource, asked.filename) == ("key", "sales", "a.csv")
    assert (asked.load_mode, asked.allow_duplicate) == (LoadMode.LOAD_MODE_REPLACE, True)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (
            part("file", bytes(CHUNK_BYTES), "a.csv") + part("file", b"b", "b.csv") + END,
            "SECOND_FILE",
        ),
        (part("file", bytes(CHUNK_BYTES), "a.csv") + part("mode", b"replace") + END, "FIELD_ORDER"),
        (part("file", bytes(CHUNK_BYTES), "a.csv"), "MULTIPART_MALFORMED"),
        (part("file", b"", "a.csv") + END, "FILE_EMPTY"),
    ],
)
async def test_an_invalid_request_is_aborted_with_its_problem(body: bytes, code: str) -> None:
    uploads = FakeUploads()
    with pytest.raises(SluiceError) as failure:
        await receive(uploads, await file(body), TO)
    assert failure.value.code == code
    assert uploads.steps[-1] == "abort"
    assert uploads.messages[-1].abort.problem == failure.value.problem
    assert "finish" not in uploads.steps


async def test_a_disconnect_breaks_the_stream_without_finish() -> None:
    uploads = FakeUploads()
    uploads.blocked = asyncio.Event()
    body = part("file", bytes(CHUNK_BYTES), "a.csv")
    with pytest.raises(ClientDisconnect):
        await receive(uploads, await file(body[:-10], gone=True), TO)
    assert uploads.cancelled
    assert set(uploads.steps) <= {"header", "chunk"}


async def test_a_rejection_ends_the_upload_while_the_client_still_sends() -> None:
    uploads = FakeUploads()
    uploads.refuse_after = CHUNK_BYTES
    sent = 0

    async def endless() -> Message:
        nonlocal sent
        sent += 1
        await asyncio.sleep(0)
        body = part("file", bytes(CHUNK_BYTES), "a.csv")[:-2] if sent == 1 else bytes(CHUNK_BYTES)
        return {"type": "http.request", "body": body, "more_body": True}

    _, incoming = await read_fields(
        Form(Body(endless, ROOMY), CONTENT_TYPE, ROOMY), {"datasource_name": "s"}
    )
    with pytest.raises(SluiceError) as failure:
        await receive(uploads, incoming, TO)
    assert failure.value.code == "FILE_TOO_LARGE"
    assert sent < 20


async def test_a_slow_service_slows_the_client() -> None:
    uploads = FakeUploads()
    uploads.blocked = asyncio.Event()
    taken = 0
    idle = asyncio.Event()

    async def client() -> Message:
        nonlocal taken
        if taken == 40:
            return {"type": "http.request", "body": b"\r\n" + END, "more_body": False}
        taken += 1
        idle.set()
        await asyncio.sleep(0)
        body = part("file", bytes(CHUNK_BYTES), "a.csv")[:-2] if taken == 1 else bytes(CHUNK_BYTES)
        return {"type": "http.request", "body": body, "more_body": True}

    _, incoming = await read_fields(
        Form(Body(client, ROOMY), CONTENT_TYPE, ROOMY), {"datasource_name": "s"}
    )
    running = asyncio.create_task(receive(uploads, incoming, TO))
    while idle.is_set():
        idle.clear()
        for _ in range(50):
            await asyncio.sleep(0)
    assert taken < 6
    uploads.blocked.set()
    assert (await running).committed_size == 40 * CHUNK_BYTES


async def test_a_repeat_of_a_successful_request_is_not_read() -> None:
    uploads = FakeUploads()
    uploads.existing = Upload(
        upload_id=TASK_ID, state=TaskState.TASK_STATE_INGESTING, committed_size=9
    )
    incoming = await file(part("file", b"a", "a.csv") + END)
    assert (await receive(uploads, incoming, TO)).upload_id == TASK_ID
    assert uploads.messages == []


async def test_a_repeat_of_a_rejected_request_is_rejected() -> None:
    uploads = FakeUploads()
    empty = problem(ErrorReason.ERROR_REASON_FILE_EMPTY, "No byte.")
    uploads.existing = Upload(upload_id=TASK_ID, state=TaskState.TASK_STATE_REJECTED, problem=empty)
    with pytest.raises(SluiceError) as failure:
        await receive(uploads, await file(part("file", b"a", "a.csv") + END), TO)
    assert failure.value.code == "FILE_EMPTY"


async def test_a_repeat_is_accepted_if_validation_rejected_the_file() -> None:
    uploads = FakeUploads()
    few = problem(ErrorReason.ERROR_REASON_TOO_FEW_COLUMNS, "Two columns.")
    uploads.existing = Upload(
        upload_id=TASK_ID, state=TaskState.TASK_STATE_REJECTED, problem=few, committed_size=9
    )
    assert (
        await receive(uploads, await file(part("file", b"a", "a.csv") + END), TO)
    ).upload_id == TASK_ID


async def test_bytes_of_a_slow_client_are_not_delayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receiving, "HOLD_S", 0)

    async def pieces() -> AsyncGenerator[bytes, None]:
        for size in (1, 0, 3, 2 * MAX_CHUNK_BYTES + 1):
            yield bytes(size)

    assert [len(chunk) async for chunk in rechunked(pieces())] == [
        1,
        3,
        MAX_CHUNK_BYTES,
        MAX_CHUNK_BYTES,
        1,
    ]

"""Inspect over gRPC: a file that is read while it is uploaded."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterable

import grpc
import pytest

from services.common import errors
from sluice.validation.v1 import validation_pb2 as pb
from sluice.validation.v1.validation_pb2 import Verdict
from tests.integration.validation.running import Running
from tests.integration.validation.test_validation_service import (
    Start,
    child_pids,
    many_sales,
    sales,
    until,
)

CHUNK = 512 * 1024


def chunks(data: bytes) -> list[pb.InspectRequest]:
    """The file in pieces."""
    return [
        pb.InspectRequest(chunk=pb.InspectChunk(data=data[at : at + CHUNK]))
        for at in range(0, len(data), CHUNK)
    ]


def whole(task_id: str, filename: str, data: bytes, **header: object) -> list[pb.InspectRequest]:
    """All messages of a file."""
    first = pb.InspectRequest(header=pb.InspectHeader(task_id=task_id, filename=filename, **header))  # type: ignore[arg-type]
    return [first, *chunks(data), pb.InspectRequest(finish=pb.InspectFinish(file_size=len(data)))]


async def inspect(
    running: Running, messages: Iterable[pb.InspectRequest], *, held: bool = False
) -> list[pb.InspectResponse]:
    """All answers. `held` keeps the stream open after the messages: a client that still sends may
    not hear why it was refused.
    """

    async def sent() -> AsyncIterator[pb.InspectRequest]:
        for message in messages:
            yield message
        if held:
            await asyncio.Event().wait()

    return [answer async for answer in running.stub.Inspect(sent())]


def comparable(report: pb.Report) -> pb.Report:
    """The report without what tells two runs apart: the task, where its files are, and how long it
    took.
    """
    made = pb.Report()
    made.CopyFrom(report)
    made.ClearField("timings")
    made.ClearField("task_id")
    for part in made.parts:
        part.uri = part.uri.rsplit("/", 1)[1]
    made.rejects_uri = made.rejects_uri.rsplit("/", 1)[-1]
    for column in made.columns:
        # Sums of many numbers differ in their last digits by the order in which they were added.
        column.sum, column.mean = round(column.sum, 6), round(column.mean, 9)
    return made


@pytest.mark.parametrize("damaged", [False, True])
async def test_the_same_bytes_give_the_same_report_on_both_ways(
    running: Running, damaged: bool
) -> None:
    data = sales(100_000)
    if damaged:
        lines = data.split(b"\n")
        lines[70], lines[50_000], lines[-2] = (
            b"2024-01-01,short",
            b'2024-01-01,"open,Customer,1,2',
            b"never,Region,Customer,1,2",
        )
        data = b"\n".join(lines)
    request = await running.request(data, "sales.csv")
    answers = await inspect(running, whole(request.task_id, "sales.csv", data))
    assert [answer.WhichOneof("step") for answer in answers][-1] == "verdict"
    # The object is gone: what is validated are the bytes that were inspected.
    await running.bucket.client.delete_object(
        Bucket=running.bucket.name,
        Key=request.file_uri.removeprefix(f"s3://{running.bucket.name}/"),
    )
    _, teed = await running.validate(request)
    fetched = await running.report(data, "sales.csv")
    assert comparable(teed) == comparable(fetched)
    verdict = answers[-1].verdict
    assert (verdict.verdict, verdict.summary) == (teed.verdict, teed.summary)
    assert (verdict.rows_read, verdict.rows_rejected, verdict.rows_skipped) == (
        teed.rows_read,
        teed.rows_rejected,
        teed.rows_skipped,
    )
    assert list(running.spool.glob("*/job-*")) == []


async def test_the_last_bytes_on_their_way_are_waited_for(running: Running) -> None:
    data = sales(1000)
    request = await running.request(
        data, "sales.csv", file_uri=f"s3://{running.bucket.name}/uploads/none"
    )
    header, *chunked, finish = whole(request.task_id, "sales.csv", data)
    received, completed = asyncio.Event(), asyncio.Event()

    async def sent() -> AsyncIterator[pb.InspectRequest]:
        for message in (header, *chunked):
            yield message
        received.set()
        await completed.wait()
        yield finish

    async def inspected() -> None:
        async for _ in running.stub.Inspect(sent()):
            pass

    inspecting = asyncio.create_task(inspected())
    await received.wait()
    while not list(running.spool.glob("*/job-*")):  # noqa: ASYNC110 - the service is another part of this process and sets no event
        await asyncio.sleep(0.02)
    validating = asyncio.create_task(running.validate(request))
    done, _ = await asyncio.wait({validating}, timeout=0.3)
    assert not done
    completed.set()
    _, report = await validating
    await inspecting
    assert (report.verdict, report.rows_read) == (Verdict.VERDICT_PASSED, 1000)


async def test_a_file_whose_reader_is_killed_while_it_arrives_is_read_later(
    running: Running,
) -> None:
    data = sales(1000)
    request = await running.request(data, "sales.csv")
    header, *chunked, finish = whole(request.task_id, "sales.csv", data)
    complete = asyncio.Event()

    async def sent() -> AsyncIterator[pb.InspectRequest]:
        for message in (header, *chunked):
            yield message
        await complete.wait()
        yield finish

    async def inspected() -> None:
        async for _ in running.stub.Inspect(sent()):
            pass

    inspecting = asyncio.create_task(inspected())
    await until(lambda: bool(list(running.spool.glob("*/job-*/source"))))
    killed: set[int] = set()
    while not inspecting.done():
        for pid in child_pids() - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        await asyncio.sleep(0.02)
    with pytest.raises(grpc.RpcError) as failure:
        await inspecting
    refused = errors.from_rpc(failure.value, "validation")
    assert refused.code == "INSPECTION_REFUSED"
    _, report = await running.validate(request)
    assert (report.verdict, report.rows_loadable) == (Verdict.VERDICT_PASSED, 1000)


async def test_other_rules_than_were_told_early_are_judged_on_the_same_bytes(
    running: Running,
) -> None:
    data = sales(100)
    rules = [pb.Rule(name="min_columns", limit=9)]
    request = await running.request(
        data,
        "sales.csv",
        policy=pb.Policy(rules=rules),
        file_uri=f"s3://{running.bucket.name}/uploads/none",
    )
    answers = await inspect(running, whole(request.task_id, "sales.csv", data))
    assert answers[-1].verdict.verdict == Verdict.VERDICT_PASSED
    _, report = await running.validate(request)
    assert [errors.code_of(problem.code) for problem in report.problems] == ["TOO_FEW_COLUMNS"]


@pytest.mark.parametrize(
    ("filename", "header", "code", "certain"),
    [
        ("sales.csv", b"day,region,customer,quantity,amount", "NO_TIME_COLUMN", True),
        ("sales.xlsx", b"order_date,region,customer,quantity,amount", "FILE_TYPE_MISMATCH", True),
        ("sales.csv", b"PK\x03\x04,region,customer,quantity,amount", "FILE_TYPE_MISMATCH", True),
        (
            "sales.csv",
            b'order_date,region,customer,quantity,amount\n2024-01-01,"b"roken,Customer,1,2',
            "QUOTE_BROKEN",
            False,
        ),
    ],
)
async def test_it_speaks_before_the_file_is_there(
    running: Running, filename: str, header: bytes, code: str, certain: bool
) -> None:
    rows = sales(100_000).partition(b"\n")[2]
    data = header + b"\n" + rows
    sending: asyncio.Queue[pb.InspectRequest] = asyncio.Queue()
    for message in whole(str(uuid.uuid4()), filename, data, file_size=100 * len(data))[:-1]:
        sending.put_nowait(message)

    async def sent() -> AsyncIterator[pb.InspectRequest]:
        while True:
            yield await sending.get()

    call = running.stub.Inspect(sent())
    async for answer in call:
        assert errors.code_of(answer.finding.problem.code) == code
        assert (answer.finding.certain, answer.finding.received_size < 10 * len(data)) == (
            certain,
            True,
        )
        break
    call.cancel()
    while list(running.spool.glob("*/job-*")):  # noqa: ASYNC110 - the service is another part of this process and sets no event
        await asyncio.sleep(0.02)


async def test_what_nobody_validates_is_forgotten(start: Start) -> None:
    running = await start(inspect_keep_s=0.1)
    data = sales(10)
    await inspect(running, whole(str(uuid.uuid4()), "sales.csv", data))
    while list(running.spool.glob("*/job-*")):  # noqa: ASYNC110 - the same
        await asyncio.sleep(0.02)


async def failing(running: Running, messages: list[pb.InspectRequest], *, held: bool = True) -> str:
    """The code that a stream fails with."""
    with pytest.raises(grpc.RpcError) as failure:
        await inspect(running, messages, held=held)
    return errors.from_rpc(failure.value, "validation").code


async def test_messages_out_of_order_are_refused(running: Running) -> None:
    messages = whole(str(uuid.uuid4()), "sales.csv", sales(10))
    assert await failing(running, messages[1:2]) == "REQUEST_INVALID"
    assert await failing(running, messages[:-1], held=False) == "REQUEST_INVALID"
    assert await failing(running, [messages[0], messages[0]]) == "REQUEST_INVALID"
    assert (
        await failing(
            running, [*messages[:-1], pb.InspectRequest(finish=pb.InspectFinish(file_size=1))]
        )
        == "REQUEST_INVALID"
    )
    assert list(running.spool.glob("*/job-*")) == []


async def test_without_a_place_it_is_refused(start: Start) -> None:
    running = await start(max_inspections=0)
    assert (
        await failing(running, whole(str(uuid.uuid4()), "sales.csv", sales(10))[:1])
        == "INSPECTION_REFUSED"
    )


async def test_a_file_beyond_its_space_is_refused(start: Start) -> None:
    running = await start(spool_max_bytes=10 * 1024**2, max_inspections=1, max_children=1)
    assert (
        await failing(
            running, whole(str(uuid.uuid4()), "sales.csv", b"", file_size=6 * 1024**2)[:1]
        )
        == "INSPECTION_REFUSED"
    )
    assert (
        await failing(
            running, whole(str(uuid.uuid4()), "sales.csv", many_sales()[: 6 * 1024**2])[:12]
        )
        == "INSPECTION_REFUSED"
    )

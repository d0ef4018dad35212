"""ValidateObject over gRPC, on a real S3 server and in real child processes."""

import asyncio
import csv
import io
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from time import monotonic

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import errors
from services.validation.app import SERVICE
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1 import validation_pb2 as pb
from sluice.validation.v1.validation_pb2 import Verdict
from tests.integration.validation.running import Bucket, Running
from tests.unit.validation.workbooks import xlsx

Start = Callable[..., Awaitable[Running]]


def sales(rows: int) -> bytes:
    """A plain table of sales."""
    lines = ["order_date,region,customer,quantity,amount"]
    lines += [
        f"2024-{i % 12 + 1:02}-{i % 28 + 1:02},Region {i % 4},Customer {i % 97},{i % 13},{i % 997 / 4}"
        for i in range(rows)
    ]
    return "\n".join(lines).encode()


def many_sales() -> bytes:
    """A table that takes seconds to read: 2 million rows, 90 MB."""
    header, _, rows = sales(20_000).partition(b"\n")
    return header + b"\n" + (rows + b"\n") * 100


def child_pids() -> set[int]:
    """Processes that read files for this one."""
    return {
        process.pid
        for process in psutil.Process().children(recursive=True)
        if _reads_files(process)
    }


def _reads_files(process: psutil.Process) -> bool:
    try:
        return "services.validation.process.child" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        # It has just ended.
        return False


def entries(folder: Path) -> list[str]:
    """Names of what is in a folder."""
    return [path.name for path in folder.iterdir()]


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds; the test's own time limit ends it else."""
    while not condition():  # noqa: ASYNC110 - other processes set no event
        await asyncio.sleep(0.02)


async def test_a_regular_csv_gives_a_report_and_sorted_parts(running: Running) -> None:
    request = await running.request(sales(1000), "sales.csv")
    progress, report = await running.validate(request)
    assert report.verdict == Verdict.VERDICT_PASSED, report.summary
    assert (report.rows_read, report.rows_loadable, report.rows_rejected, report.rows_skipped) == (
        1000,
        1000,
        0,
        0,
    )
    assert report.sha256 == request.sha256
    assert {step.phase for step in progress} >= {"fetch", "scan", "parts"}
    assert {timing.step for timing in report.timings} >= {
        "fetch",
        "parse",
        "scan",
        "verdict",
        "parts",
        "store",
    }
    assert [part.uri for part in report.parts] == [
        f"s3://{running.bucket.name}/tasks/{request.task_id}/1/parts/000.csv"
    ]
    text = await running.bucket.get(report.parts[0].uri)
    assert len(text) == report.parts[0].size
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    assert list(rows[0]) == ["__time", "region", "customer", "quantity", "amount"]
    times = [int(row["__time"]) for row in rows]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (report.time.min_millis, report.time.max_millis)
    amount = next(column for column in report.columns if column.name == "amount")
    assert amount.sum == pytest.approx(sum(float(row["amount"]) for row in rows))
    assert list(running.spool.glob("*/job-*")) == []


async def test_a_repeat_gives_the_same_report_without_reading_again(running: Running) -> None:
    request = await running.request(sales(50), "sales.csv")
    _, first = await running.validate(request)
    await running.bucket.client.delete_object(
        Bucket=running.bucket.name,
        Key=request.file_uri.removeprefix(f"s3://{running.bucket.name}/"),
    )
    progress, second = await running.validate(request)
    assert (second, progress) == (first, [])
    answer = await running.stub.GetReport(pb.GetReportRequest(task_id=request.task_id, attempt=1))
    assert answer.report == first


async def test_a_report_that_does_not_exist_is_not_found(running: Running) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        await running.stub.GetReport(
            pb.GetReportRequest(task_id="00000000-0000-4000-8000-000000000000", attempt=1)
        )
    assert errors.from_rpc(failure.value, "validation").code == "REPORT_NOT_FOUND"


async def test_what_was_derived_is_deleted_and_no_more(running: Running) -> None:
    one, other = (
        await running.request(sales(20), "a.csv"),
        await running.request(sales(20), "b.csv"),
    )
    for request in (one, other):
        await running.validate(request)
    deleted = await running.stub.DeleteResults(pb.DeleteResultsRequest(task_id=one.task_id))
    assert deleted.deleted >= 2
    assert (
        await running.stub.DeleteResults(pb.DeleteResultsRequest(task_id=one.task_id))
    ).deleted == 0
    with pytest.raises(grpc.RpcError) as gone:
        await running.stub.GetReport(pb.GetReportRequest(task_id=one.task_id, attempt=1))
    assert errors.from_rpc(gone.value, "validation").code == "REPORT_NOT_FOUND"
    assert (
        await running.stub.GetReport(pb.GetReportRequest(task_id=other.task_id, attempt=1))
    ).report.task_id == other.task_id


async def test_refused_rows_are_served_with_their_lines(running: Running) -> None:
    lines = sales(200).split(b"\n")
    lines[10] = b"2024-01-01,too short"
    lines[20] = b",=cmd(),Customer,1,2.5"
    lines[30] = b'2024-01-01,"broken"quote,Customer,1,2.5'
    request = await running.request(b"\n".join(lines), "sales.csv")
    _, report = await running.validate(request)
    assert report.verdict == Verdict.VERDICT_PASSED
    assert (report.rows_read, report.rows_loadable, report.rows_rejected) == (200, 197, 3)
    assert [reject.line for reject in report.first_rejects] == [11, 21, 31]
    pieces = [
        answer.data
        async for answer in running.stub.GetRejects(
            pb.GetRejectsRequest(task_id=request.task_id, attempt=1)
        )
    ]
    rows = list(csv.DictReader(io.StringIO(b"".join(pieces).decode())))
    assert [(row[f"line of {request.task_id}"], row["reason"]) for row in rows] == [
        ("11", "ROW_TOO_SHORT"),
        ("21", "TIME_MISSING"),
        ("31", "QUOTE_BROKEN"),
    ]
    assert rows[1]["region"] == "'=cmd()"
    for _ in range(2):
        wanted = pb.GetRejectsRequest(
            task_id=request.task_id, attempt=1, format=pb.RejectsFormat.REJECTS_FORMAT_XLSX
        )
        workbook = b"".join([answer.data async for answer in running.stub.GetRejects(wanted)])
        again = await running.report(workbook, "rejects.xlsx")
        # In a workbook no row is too short and no quote is broken: what is still refused is the row
        # without a time.
        assert (again.rejects_of, again.rows_read, again.rows_rejected) == (request.task_id, 3, 1)


async def test_no_refused_row_means_no_rejects(running: Running) -> None:
    request = await running.request(sales(10), "sales.csv")
    await running.validate(request)
    assert [
        answer
        async for answer in running.stub.GetRejects(
            pb.GetRejectsRequest(task_id=request.task_id, attempt=1)
        )
    ] == []


@pytest.mark.parametrize(
    "change", [{"sha256": bytes(32)}, {"file_size": 17}, {"file_uri": "s3://BUCKET/uploads/none"}]
)
async def test_another_object_than_was_uploaded_is_lost(
    running: Running, change: dict[str, object]
) -> None:
    if "file_uri" in change:
        change = {"file_uri": f"s3://{running.bucket.name}/uploads/none"}
    request = await running.request(sales(10), "sales.csv", **change)
    with pytest.raises(grpc.RpcError) as failure:
        await running.validate(request)
    assert errors.from_rpc(failure.value, "validation").code == "OBJECT_LOST"
    assert await running.bucket.keys("tasks/") == []


async def test_a_rule_that_does_not_exist_is_refused(running: Running) -> None:
    policy = pb.Policy(rules=[pb.Rule(name="max_colums", limit=3)])
    request = await running.request(sales(10), "sales.csv", policy=policy)
    with pytest.raises(grpc.RpcError) as failure:
        await running.validate(request)
    assert errors.from_rpc(failure.value, "validation").code == "REQUEST_INVALID"


@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
async def test_a_file_whose_reader_is_killed_is_read_again(running: Running, always: bool) -> None:
    request = await running.request(many_sales(), "sales.csv")
    validating = asyncio.create_task(running.validate(request))
    killed: set[int] = set()

    def kill_the_reader() -> bool:
        for pid in child_pids() - killed:
            if any(Path(f.path).name == "source" for f in _open_files(pid)):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        return bool(killed)

    await until(kill_the_reader)
    while always and not validating.done():
        kill_the_reader()
        await asyncio.sleep(0.02)
    _, report = await validating
    if always:
        assert report.verdict == Verdict.VERDICT_REJECTED
        codes = [problem.code for problem in report.problems]
        assert codes == [ErrorReason.ERROR_REASON_RESOURCE_LIMIT]
    else:
        assert (report.verdict, report.rows_loadable) == (Verdict.VERDICT_PASSED, 2_000_000)
    assert len(killed) == 1 + always
    again = await running.report(sales(20), "sales.csv")
    assert again.verdict == Verdict.VERDICT_PASSED


def _open_files(pid: int) -> list[psutil._ntuples.popenfile]:
    try:
        return psutil.Process(pid).open_files()
    except psutil.Error:
        return []


async def test_a_cancelled_call_ends_its_child_and_leaves_nothing(running: Running) -> None:
    request = await running.request(many_sales(), "sales.csv")
    idle = child_pids()
    call = running.stub.ValidateObject(request)
    async for step in call:
        if step.progress.phase == "scan":
            break
    call.cancel()
    await until(lambda: not (idle & child_pids()))
    await until(lambda: not list(running.spool.glob("*/job-*")))
    assert await running.bucket.keys("tasks/") == []


@pytest.mark.parametrize(
    "limit",
    [
        {"child_memory_bytes": 128 * 1024**2},
        {"child_timeout_s": 0.2},
        {"spool_max_bytes": 100 * 1024**2},
        {"max_columns": 4},
    ],
)
async def test_a_file_that_takes_too_much_is_rejected(
    start: Start, limit: dict[str, object]
) -> None:
    running = await start(**limit, max_children=1)
    report = await running.report(many_sales(), "sales.csv")
    assert report.verdict == Verdict.VERDICT_REJECTED
    assert [problem.code for problem in report.problems] == [
        ErrorReason.ERROR_REASON_RESOURCE_LIMIT
    ]
    assert report.summary


async def test_files_beyond_the_places_wait(start: Start) -> None:
    running = await start(max_children=1)
    requests = [await running.request(sales(100_000), "sales.csv") for _ in range(3)]
    results = await asyncio.gather(*(running.validate(request) for request in requests))
    assert all(report.verdict == Verdict.VERDICT_PASSED for _, report in results)
    assert sum(any(step.phase == "queued" for step in progress) for progress, _ in results) == 2


async def test_stopping_the_service_leaves_no_child_and_no_file(
    bucket: Bucket, tmp_path: Path
) -> None:
    async with Running.start(bucket, tmp_path, shutdown_grace_s=0.1) as running:
        validating = asyncio.create_task(
            running.validate(await running.request(many_sales(), "sales.csv"))
        )
        await until(lambda: bool(list(tmp_path.glob("*/job-*"))))
        assert child_pids()
    with pytest.raises(grpc.RpcError):
        await validating
    assert child_pids() == set()
    assert entries(tmp_path) == []
    assert await bucket.keys("tasks/") == []


async def test_what_a_killed_service_left_in_the_spool_goes_with_the_next_start(
    start: Start, tmp_path: Path
) -> None:
    left = tmp_path / "spool" / "validation-left" / "job-1"
    left.mkdir(parents=True)
    (left / "source").write_bytes(b"x")
    (left.parent / "lock").touch()
    running = await start()
    assert not left.parent.exists()
    assert (await running.report(sales(20), "sales.csv")).verdict == Verdict.VERDICT_PASSED


async def test_the_service_is_ready_while_its_bucket_answers(
    running: Running, start: Start
) -> None:
    watching = health_pb2_grpc.HealthStub(running.channel).Watch(
        health_pb2.HealthCheckRequest(service=SERVICE)
    )
    async for answer in watching:
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            break
    watching.cancel()
    without = await start(s3_bucket_name="no-such-bucket")
    answer = await health_pb2_grpc.HealthStub(without.channel).Check(
        health_pb2.HealthCheckRequest(service=SERVICE)
    )
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_workbook_is_read_as_well(running: Running) -> None:
    rows: list[list[object]] = [
        ["date", "region", "customer", "units", "amount"],
        *([date(2024, 1, 5), "North", "A", n, n / 7] for n in range(50)),
    ]
    report = await running.report(xlsx(rows, names=["Orders"]), "orders.xlsx")
    assert report.verdict == Verdict.VERDICT_PASSED, report.summary
    assert (report.format, report.sheet.name, report.rows_loadable) == (
        pb.FileFormat.FILE_FORMAT_XLSX,
        "Orders",
        50,
    )


async def test_a_small_file_is_answered_soon(running: Running) -> None:
    await running.report(sales(10), "warm.csv")
    request = await running.request(sales(10_000), "sales.csv")
    started = monotonic()
    await running.validate(request)
    # Half a second on a quiet machine; a busy one may take longer, but not as long as starting a
    # child for it.
    assert monotonic() - started < 5

"""Parts, loads and queries as the tests write them down."""

import asyncio
import csv
import io
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import httpx

from services.druid_gateway.loads import granularity
from sluice.common.v1.task_pb2 import LoadMode
from sluice.druid.v1 import druid_pb2 as pb

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

    from sluice.druid.v1.druid_pb2_grpc import DruidGatewayServiceStub

DAY = 86_400_000
JANUARY = 1_577_836_800_000
"""2020-01-01T00:00:00Z."""
FEBRUARY = JANUARY + 31 * DAY

Row = Sequence[Any]
"""Milliseconds, then the columns' values."""

COLUMNS = [
    ("city", pb.STORAGE_TYPE_STRING),
    ("n", pb.STORAGE_TYPE_LONG),
    ("v", pb.STORAGE_TYPE_DOUBLE),
]


def rows(count: int, start: int = JANUARY, step: int = 60_000) -> list[Row]:
    """(time, city, n, v) with nulls, empty strings and integers that a float cannot hold."""
    cities = ["Wien", None, "", "a,b", 'say "hi"', "北京"]
    return [(start + i * step, cities[i % 6], 2**60 + i, i / 7) for i in range(count)]


def as_csv(header: Sequence[str], data: Sequence[Row]) -> bytes:
    """A part: null is an empty unquoted cell, an empty string a quoted one."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(header)
    for row in data:
        out.write(",".join(_cell(value) for value in row) + "\n")
    return out.getvalue().encode()


def _cell(value: object) -> str:
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return "" if value is None else repr(value)


@dataclass
class Loaded:
    """A submitted load."""

    task_id: str
    datasource: str
    data: Sequence[Row]
    request: pb.SubmitLoadRequest
    answer: pb.SubmitLoadResponse

    def sum_of(self, position: int) -> float:
        return float(sum(row[position] for row in self.data if row[position] is not None))


@dataclass
class Answer:
    """A query's answer."""

    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    summary: pb.QuerySummary = field(default_factory=pb.QuerySummary)


@dataclass
class Gateway:
    """The service under test, and the object store that parts are put into."""

    stub: "DruidGatewayServiceStub"
    objects: "S3Client"
    bucket: str
    port: int
    http: httpx.AsyncClient
    """Druid itself."""

    async def submit(
        self,
        datasource: str,
        data: Sequence[Row],
        *,
        mode: "LoadMode.ValueType" = LoadMode.LOAD_MODE_APPEND,
        columns: Sequence[tuple[str, "pb.StorageType.ValueType"]] = COLUMNS,
        parts: int = 1,
        body: bytes | None = None,
        store: bool = True,
        replace: pb.Interval | None = None,
    ) -> Loaded:
        """Stores the rows as parts and submits them. `body` stands in the (only) part instead;
        `store=False` leaves it out.
        """
        task_id = str(uuid.uuid4())
        size = -(-len(data) // parts)
        described = []
        for number in range(parts):
            some = data[number * size : (number + 1) * size]
            key = f"tasks/{task_id}/1/parts/{number:03}.csv"
            if store:
                content = (
                    body
                    if body is not None
                    else as_csv(["__time", *(name for name, _ in columns)], some)
                )
                await self.objects.put_object(Bucket=self.bucket, Key=key, Body=content)
            described.append(pb.LoadPart(uri=f"s3://{self.bucket}/{key}", rows=len(some)))
        request = pb.SubmitLoadRequest(
            task_id=task_id,
            attempt=1,
            datasource=datasource,
            mode=mode,
            columns=[pb.LoadColumn(name=name, type=type_) for name, type_ in columns],
            parts=described,
            min_millis=min(row[0] for row in data),
            max_millis=max(row[0] for row in data),
            rows=len(data),
            deadline_s=300,
            replace=replace,
        )
        return Loaded(task_id, datasource, data, request, await self.stub.SubmitLoad(request))

    async def watch(self, load: Loaded) -> pb.WatchLoadResponse:
        """The last news of the load."""
        request = pb.WatchLoadRequest(druid_task_id=load.answer.druid_task_id)
        news: list[pb.WatchLoadResponse] = [
            each async for each in self.stub.WatchLoad(request, timeout=120)
        ]
        return news[-1]

    async def verify(
        self,
        load: Loaded,
        *,
        rows: int | None = None,
        sums: Sequence[tuple[str, float]] = (),
        wait_ms: int = 30_000,
    ) -> pb.VerifyLoadResponse:
        seen: pb.VerifyLoadResponse = await self.stub.VerifyLoad(
            pb.VerifyLoadRequest(
                task_id=load.task_id,
                datasource=load.datasource,
                interval=load.answer.interval,
                expected_rows=len(load.data) if rows is None else rows,
                expected_sums=[pb.ExpectedSum(column=column, sum=sum_) for column, sum_ in sums],
                wait_ms=wait_ms,
            ),
            timeout=wait_ms / 1000 + 30,
        )
        return seen

    async def load(self, datasource: str, data: Sequence[Row], **how: Any) -> Loaded:
        """Submits, and returns when every row is counted."""
        load = await self.submit(datasource, data, **how)
        end = await self.watch(load)
        assert end.phase == pb.LOAD_PHASE_SUCCEEDED, end
        assert (await self.verify(load)).verified
        return load

    async def counts(self, *loads: Loaded, wait_ms: int = 30_000) -> list[int]:
        """Rows of each of the loads, once no segment is away."""
        request = pb.CountLoadsRequest(
            datasource=loads[0].datasource,
            interval=pb.Interval(
                start_millis=min(each.answer.interval.start_millis for each in loads),
                end_millis=max(each.answer.interval.end_millis for each in loads),
            ),
            task_ids=[each.task_id for each in loads],
            wait_ms=wait_ms,
        )
        answer: pb.CountLoadsResponse = await self.stub.CountLoads(
            request, timeout=wait_ms / 1000 + 30
        )
        assert answer.complete, answer
        rows = {each.task_id: each.rows for each in answer.loads}
        return [rows.get(each.task_id, 0) for each in loads]

    async def compact(self, datasource: str, start: int, end: int) -> str:
        """Begins a compaction, as Druid or an operator does; its Druid task."""
        interval = f"{granularity.iso(start)}/{granularity.iso(end)}"
        task = {
            "type": "compact",
            "id": f"compact_{datasource}_{uuid.uuid4().hex[:8]}",
            "dataSource": datasource,
            "ioConfig": {
                "type": "compact",
                "inputSpec": {"type": "interval", "interval": interval},
            },
            "tuningConfig": {"type": "index_parallel", "partitionsSpec": {"type": "dynamic"}},
        }
        answer = await self.http.post("/druid/indexer/v1/task", json=task)
        task_id: str = answer.raise_for_status().json()["task"]
        return task_id

    async def compacted(self, datasource: str, start: int, end: int, *loads: Loaded) -> None:
        """Returns when the segments that a compaction made are seen in place of the loads' own."""
        before = set(await self.segments(datasource))
        task_id = await self.compact(datasource, start, end)

        async def is_seen() -> bool:
            status = await self.druid_status(task_id)
            assert status in ("RUNNING", "SUCCESS")
            return status == "SUCCESS" and not before <= set(await self.segments(datasource))

        await until(is_seen)
        assert await self.counts(*loads) == [len(each.data) for each in loads]

    async def druid_status(self, task_id: str) -> str:
        answer = await self.http.get(f"/druid/indexer/v1/task/{task_id}/status")
        status: str = answer.raise_for_status().json()["status"]["statusCode"]
        return status

    async def remove(
        self,
        load: Loaded,
        wait_ms: int = 30_000,
        own: Sequence[str] = (),
        undone: Sequence[str] = (),
    ) -> pb.RemoveLoadResponse:
        request = pb.RemoveLoadRequest(
            task_id=load.task_id,
            datasource=load.datasource,
            druid_task_ids=[load.answer.druid_task_id],
            wait_ms=wait_ms,
            segment_ids=own,
            undone_segment_ids=undone,
        )
        left: pb.RemoveLoadResponse = await self.stub.RemoveLoad(
            request, timeout=wait_ms / 1000 + 30
        )
        return left

    async def query(
        self, sql: str, limit: int = 0, timeout_ms: int = 0, *, all_rows: bool = False
    ) -> Answer:
        answer = Answer()
        request = pb.QueryRequest(sql=sql, limit=limit, timeout_ms=timeout_ms, all_rows=all_rows)
        async for message in self.stub.Query(request):
            match message.WhichOneof("step"):
                case "header":
                    answer.columns = [
                        (column.name, column.type) for column in message.header.columns
                    ]
                case "rows":
                    batch = json.loads(message.rows.json)
                    assert len(batch) == message.rows.count
                    answer.rows.extend(batch)
                    answer.raw.append(message.rows.json)
                case "summary":
                    answer.summary = message.summary
        return answer

    async def count(self, datasource: str) -> int:
        """Rows of the datasource."""
        answer = await self.query(f'SELECT COUNT(*) FROM "{datasource}"')
        count: int = answer.rows[0][0]
        return count

    async def segments(self, datasource: str) -> list[str]:
        """Ids of the segments that queries see."""
        sql = "SELECT segment_id FROM sys.segments WHERE is_active = 1 AND datasource = ?"
        parameters = [{"type": "VARCHAR", "value": datasource}]
        answer = await self.http.post(
            "/druid/v2/sql", json={"query": sql, "resultFormat": "array", "parameters": parameters}
        )
        return [row[0] for row in answer.raise_for_status().json()]


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 120) -> None:
    """Returns when the condition holds; fails when it does not within the time."""
    began = monotonic()
    while not await condition():
        assert monotonic() - began < within_s, f"not within {within_s:g} s"
        await asyncio.sleep(0.1)

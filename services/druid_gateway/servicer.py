"""DruidGatewayService: converts messages to the domain and back."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from grpc import aio

from services.common import datasource_names, logs
from services.common.serving.handover import Handover
from services.common.timing import Timings
from services.druid_gateway.loads import planning, proposing, submitting
from services.druid_gateway.loads.load import Column, ColumnType, Interval, Load, Mode, Part
from services.druid_gateway.ports import Druid, InputSource, Value
from services.druid_gateway.queries import catalog, querying
from services.druid_gateway.queries.datasource_sizes import Datasource, DatasourceSizes
from services.druid_gateway.removing import other_loads, removing, segment_ids
from services.druid_gateway.watching import counting, verifying
from services.druid_gateway.watching import poller as watching
from sluice.common.v1.task_pb2 import LoadMode
from sluice.druid.v1 import druid_pb2 as pb
from sluice.druid.v1 import druid_pb2_grpc

_COLUMN_TYPES = {
    pb.STORAGE_TYPE_STRING: ColumnType.STRING,
    pb.STORAGE_TYPE_LONG: ColumnType.LONG,
    pb.STORAGE_TYPE_DOUBLE: ColumnType.DOUBLE,
}
_MODES = {
    LoadMode.LOAD_MODE_APPEND: Mode.APPEND,
    LoadMode.LOAD_MODE_REPLACE: Mode.REPLACE,
    LoadMode.LOAD_MODE_REPLACE_INTERVAL: Mode.REPLACE_INTERVAL,
    LoadMode.LOAD_MODE_REPLACE_ALL: Mode.REPLACE_ALL,
}

DEFAULT_PREVIEW_ROWS = 50


class DruidGateway(druid_pb2_grpc.DruidGatewayServiceServicer):
    """Implements the RPCs as druid.proto documents them."""

    def __init__(
        self,
        druid: Druid,
        inputs: InputSource,
        poller: watching.TaskPoller,
        handover: Handover,
        query_max_bytes: int,
        query_max_rows: int,
    ) -> None:
        self._druid = druid
        self._sizes = DatasourceSizes(druid)
        self._inputs = inputs
        self._poller = poller
        self._handover = handover
        self._query_max_bytes = query_max_bytes
        self._query_max_rows = query_max_rows

    async def SubmitLoad(
        self, request: pb.SubmitLoadRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.SubmitLoadResponse:
        logs.bind(task_id=request.task_id)
        load = _load(request)
        submitted = await submitting.submit(self._druid, self._inputs, load, request.deadline_s)
        return pb.SubmitLoadResponse(
            druid_task_id=load.druid_task_id,
            already_submitted=not submitted.new,
            interval=_interval_message(submitted.interval),
            segment_granularity=submitted.granularity.value,
        )

    async def PlanIngestion(
        self, request: pb.PlanIngestionRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.PlanIngestionResponse:
        logs.bind(task_id=request.load.task_id)
        load = _load(request.load)
        timings = Timings()
        with timings.step("plan"):
            plan = await planning.plan(
                self._druid,
                load,
                [(each.start_millis, each.rows) for each in request.rows],
                request.rows_per_second,
            )
        timings.log(
            "load.planned",
            datasource=load.datasource,
            mode=load.mode.value,
            replaced=len(plan.replaced),
        )
        return _plan(load, plan)

    async def WatchLoad(
        self, request: pb.WatchLoadRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[pb.WatchLoadResponse]:
        logs.bind(druid_task_id=request.druid_task_id)
        timings = Timings()
        with self._handover.call(), timings.step("watch"):
            async with aclosing(
                watching.watch_load(
                    self._druid, self._poller, request.druid_task_id, request.datasource
                )
            ) as updates:
                async for progress in updates:
                    yield _progress(progress)
        timings.log("load.watched", phase=progress.phase.value, duration_ms=progress.duration_ms)

    async def VerifyLoad(
        self, request: pb.VerifyLoadRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.VerifyLoadResponse:
        logs.bind(task_id=request.task_id)
        datasource_names.check_readable(request.datasource)
        expected = verifying.Expected(
            request.expected_rows, [(each.column, each.sum) for each in request.expected_sums]
        )
        timings = Timings()
        with self._handover.call(), timings.step("verify"):
            drops = request.mode != LoadMode.LOAD_MODE_UNSPECIFIED and _MODES[request.mode].drops
            found = await verifying.verify(
                self._druid,
                request.datasource,
                request.task_id,
                _interval(request.interval),
                expected,
                request.wait_ms / 1000,
                drops=drops,
            )
            segments = await self._created_segments(request, found) if found.verified else []
        timings.log(
            "load.counted",
            verified=found.verified,
            rows=found.rows,
            expected=expected.rows,
            loaded_percent=found.loaded_percent,
        )
        return pb.VerifyLoadResponse(
            verified=found.verified,
            rows=found.rows,
            segments_loaded_percent=found.loaded_percent,
            sums=found.sums,
            segments=_segments(request.datasource, segments),
            segments_published=found.published,
            segments_available=found.available,
        )

    async def _created_segments(
        self, request: pb.VerifyLoadRequest, found: verifying.Found
    ) -> list[str]:
        """List the segments that only the load has rows in, and its tombstones."""
        datasource, load_id = request.datasource, request.task_id
        with_rows = await self._druid.rows_by_segment(datasource, load_id)
        own = await other_loads.unshared(self._druid, datasource, load_id, with_rows)
        return sorted({*own, *found.tombstones})

    async def CountLoads(
        self, request: pb.CountLoadsRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.CountLoadsResponse:
        datasource_names.check_readable(request.datasource)
        timings = Timings()
        with self._handover.call(), timings.step("count"):
            found = await counting.count_loads(
                self._druid,
                request.datasource,
                _interval(request.interval),
                request.task_ids,
                request.wait_ms / 1000,
            )
        timings.log("loads.counted", complete=found.complete, loads=len(request.task_ids))
        return pb.CountLoadsResponse(
            complete=found.complete,
            loads=[pb.LoadCount(task_id=load, rows=rows) for load, rows in found.rows.items()],
            segments_published=found.published,
            segments_available=found.available,
        )

    async def RemoveLoad(
        self, request: pb.RemoveLoadRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.RemoveLoadResponse:
        logs.bind(task_id=request.task_id)
        datasource_names.check_readable(request.datasource)
        timings = Timings()
        with self._handover.call(), timings.step("remove"):
            left = await removing.remove(self._druid, _removal(request), request.wait_ms / 1000)
        timings.log(
            "load.removed",
            removed=left.removed,
            rows_visible=left.rows_visible,
            segments=len(left.segments),
        )
        return pb.RemoveLoadResponse(
            removed=left.removed,
            rows_visible=left.rows_visible,
            segments=_segments(request.datasource, left.segments),
        )

    async def Query(
        self, request: pb.QueryRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[pb.QueryResponse]:
        limit, timeout_ms = request.limit, request.timeout_ms
        if request.all_rows:
            limit = limit or self._query_max_rows
            timeout_ms = timeout_ms or querying.ALL_ROWS_TIMEOUT_MS
        limit = limit or querying.DEFAULT_LIMIT
        timeout_ms = timeout_ms or querying.DEFAULT_TIMEOUT_MS
        timings = Timings()
        with timings.step("query"):
            async with aclosing(
                querying.run(
                    self._druid,
                    request.sql,
                    limit,
                    timeout_ms,
                    self._query_max_bytes,
                    _values(request),
                )
            ) as answer:
                async for step in answer:
                    match step:
                        case querying.Header():
                            logs.bind(query_id=step.query_id)
                            yield pb.QueryResponse(
                                header=pb.QueryHeader(
                                    query_id=step.query_id, columns=_columns(step.columns)
                                )
                            )
                        case querying.Batch():
                            yield pb.QueryResponse(
                                rows=pb.QueryRows(json=step.json, count=step.count)
                            )
                        case querying.Summary():
                            summary = pb.QuerySummary(
                                row_count=step.rows,
                                truncated=step.truncated,
                                elapsed_ms=step.elapsed_ms,
                            )
                            yield pb.QueryResponse(summary=summary)
        timings.log("query.answered", rows=summary.row_count, truncated=summary.truncated)

    async def ListDatasources(
        self, request: pb.ListDatasourcesRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.ListDatasourcesResponse:
        found = await catalog.datasources(self._sizes, request.limit or catalog.DEFAULT_DATASOURCES)
        return pb.ListDatasourcesResponse(datasources=[_datasource(each) for each in found])

    async def DescribeDatasource(
        self, request: pb.DescribeDatasourceRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.DescribeDatasourceResponse:
        found = await catalog.describe(self._druid, self._sizes, request.name)
        return pb.DescribeDatasourceResponse(
            datasource=_datasource(found.datasource),
            columns=_columns(found.columns),
            loads=[
                pb.LoadInDatasource(
                    task_id=each.task_id, rows=each.rows, times=_interval_message(each.times)
                )
                for each in found.loads
            ],
        )

    async def PreviewRows(
        self, request: pb.PreviewRowsRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.PreviewRowsResponse:
        found = await catalog.preview(
            self._druid, request.name, request.limit or DEFAULT_PREVIEW_ROWS
        )
        return pb.PreviewRowsResponse(
            columns=_columns(found.columns), json=found.json, count=found.count
        )

    async def ProposeQueries(
        self, request: pb.ProposeQueriesRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.ProposeQueriesResponse:
        found = await proposing.propose(self._druid, self._sizes, request.name)
        return pb.ProposeQueriesResponse(
            queries=[
                pb.ProposedQuery(title=each.title, sql=each.sql, chart=each.chart) for each in found
            ]
        )


def _values(request: pb.QueryRequest) -> list[Value]:
    return [
        getattr(each, kind) if (kind := each.WhichOneof("value")) else None
        for each in request.parameters
    ]


def _columns(columns: Sequence[tuple[str, str]]) -> list[pb.QueryColumn]:
    return [pb.QueryColumn(name=name, type=type) for name, type in columns]


def _datasource(found: Datasource) -> pb.Datasource:
    return pb.Datasource(
        name=found.name,
        rows=found.rows,
        bytes=found.size,
        segments=found.segments,
        interval=_interval_message(found.interval),
    )


def _load(request: pb.SubmitLoadRequest) -> Load:
    return Load(
        task_id=request.task_id.lower(),
        attempt=request.attempt,
        datasource=request.datasource,
        mode=_MODES[request.mode],
        columns=[Column(column.name, _COLUMN_TYPES[column.type]) for column in request.columns],
        parts=[Part(part.uri, part.rows) for part in request.parts],
        min_millis=request.min_millis,
        max_millis=request.max_millis,
        rows=request.rows,
        replace=_interval(request.replace) if request.HasField("replace") else None,
    )


def _plan(load: Load, plan: planning.Plan) -> pb.PlanIngestionResponse:
    return pb.PlanIngestionResponse(
        interval=_interval_message(plan.target.interval),
        segment_granularity=plan.target.granularity.value,
        replaced=_segments(load.datasource, plan.replaced),
        columns=[
            pb.PlannedColumn(
                name=each.name,
                change=pb.ColumnChange.Value(f"COLUMN_CHANGE_{each.change.name}"),
                type=each.type,
                existing_type=each.existing_type,
            )
            for each in plan.columns
        ],
        chunks=[
            pb.PlannedChunk(
                interval=_interval_message(each.interval),
                rows_added=each.rows_added,
                rows_replaced=each.rows_replaced,
            )
            for each in plan.chunks
        ],
        rows_added=load.rows,
        rows_replaced=plan.rows_replaced,
        parts=len(load.parts),
        sub_tasks=plan.sub_tasks,
        estimated_seconds=plan.estimated_s,
    )


def _removal(request: pb.RemoveLoadRequest) -> removing.Removal:
    segment_ids.check(
        request.datasource,
        [*request.segment_ids, *request.restore_segment_ids, *request.undone_segment_ids],
    )
    return removing.Removal(
        datasource=request.datasource,
        load_id=request.task_id,
        task_ids=request.druid_task_ids,
        own=frozenset(request.segment_ids),
        restore=frozenset(request.restore_segment_ids),
        undone=frozenset(request.undone_segment_ids),
    )


def _interval(interval: pb.Interval) -> Interval:
    return Interval(interval.start_millis, interval.end_millis)


def _interval_message(interval: Interval) -> pb.Interval:
    return pb.Interval(start_millis=interval.start_millis, end_millis=interval.end_millis)


def _segments(datasource: str, ids: Sequence[str]) -> list[pb.Segment]:
    return [
        pb.Segment(id=each, interval=_interval_message(segment_ids.interval(datasource, each)))
        for each in ids
    ]


def _progress(progress: watching.Progress) -> pb.WatchLoadResponse:
    return pb.WatchLoadResponse(
        phase=pb.LoadPhase.Value(f"LOAD_PHASE_{progress.phase.name}"),
        duration_ms=progress.duration_ms,
        rows_processed=progress.rows_processed,
        problem=progress.problem,
        sub_tasks_done=progress.sub_tasks.done,
        sub_tasks_running=progress.sub_tasks.running,
    )

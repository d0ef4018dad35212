"""DruidGatewayService: messages to the domain and back."""

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
from services.druid_gateway.removing import beside, removing, segment_ids
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
_CHANGES = {
    planning.Change.SAME: pb.COLUMN_CHANGE_SAME,
    planning.Change.NEW: pb.COLUMN_CHANGE_NEW,
    planning.Change.CHANGED: pb.COLUMN_CHANGE_CHANGED,
    planning.Change.MISSING: pb.COLUMN_CHANGE_MISSING,
}
_PHASES = {
    watching.Phase.UNKNOWN: pb.LOAD_PHASE_UNKNOWN,
    watching.Phase.WAITING: pb.LOAD_PHASE_WAITING,
    watching.Phase.RUNNING: pb.LOAD_PHASE_RUNNING,
    watching.Phase.SUCCEEDED: pb.LOAD_PHASE_SUCCEEDED,
    watching.Phase.FAILED: pb.LOAD_PHASE_FAILED,
}


PREVIEW_ROWS = 50
"""Rows of a preview where the request says nothing."""


class DruidGateway(druid_pb2_grpc.DruidGatewayServiceServicer):
    """The rpcs; the proto says what each does."""

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
            interval=_interval(submitted.interval),
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
            ) as news:
                async for progress in news:
                    yield _progress(progress)
        timings.log("load.watched", phase=progress.phase.value, duration_ms=progress.duration_ms)

    async def VerifyLoad(
        self, request: pb.VerifyLoadRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.VerifyLoadResponse:
        logs.bind(task_id=request.task_id)
        datasource_names.check_readable(request.datasource)
        interval = Interval(request.interval.start_millis, request.interval.end_millis)
        expected = verifying.Expected(
            request.expected_rows, [(each.column, each.sum) for each in request.expected_sums]
        )
        timings = Timings()
        with self._handover.call(), timings.step("verify"):
            drops = request.mode != LoadMode.LOAD_MODE_UNSPECIFIED and _MODES[request.mode].drops
            seen = await verifying.verify(
                self._druid,
                request.datasource,
                request.task_id,
                interval,
                expected,
                request.wait_ms / 1000,
                drops=drops,
            )
            own = await self._own(request.datasource, request.task_id) if seen.verified else []
        timings.log(
            "load.counted",
            verified=seen.verified,
            rows=seen.rows,
            expected=expected.rows,
            loaded_percent=seen.loaded_percent,
        )
        return pb.VerifyLoadResponse(
            verified=seen.verified,
            rows=seen.rows,
            segments_loaded_percent=seen.loaded_percent,
            sums=seen.sums,
            segments=_segments(
                request.datasource, sorted({*own, *seen.hiding}) if seen.verified else []
            ),
            segments_published=seen.published,
            segments_available=seen.available,
        )

    async def _own(self, datasource: str, load_id: str) -> list[str]:
        holding = await self._druid.rows_by_segment(datasource, load_id)
        return await beside.unshared(self._druid, datasource, load_id, holding)

    async def CountLoads(
        self, request: pb.CountLoadsRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.CountLoadsResponse:
        datasource_names.check_readable(request.datasource)
        interval = Interval(request.interval.start_millis, request.interval.end_millis)
        timings = Timings()
        with self._handover.call(), timings.step("count"):
            found = await counting.count_loads(
                self._druid, request.datasource, interval, request.task_ids, request.wait_ms / 1000
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
        found = await catalog.datasources(self._sizes, request.limit or catalog.DATASOURCES)
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
                    task_id=each.task_id, rows=each.rows, times=_interval(each.times)
                )
                for each in found.loads
            ],
        )

    async def PreviewRows(
        self, request: pb.PreviewRowsRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.PreviewRowsResponse:
        found = await catalog.preview(self._druid, request.name, request.limit or PREVIEW_ROWS)
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
    kinds = [(each, each.WhichOneof("value")) for each in request.parameters]
    return [getattr(each, kind) if kind else None for each, kind in kinds]


def _columns(columns: Sequence[tuple[str, str]]) -> list[pb.QueryColumn]:
    return [pb.QueryColumn(name=name, type=type) for name, type in columns]


def _datasource(found: Datasource) -> pb.Datasource:
    return pb.Datasource(
        name=found.name,
        rows=found.rows,
        bytes=found.size,
        segments=found.segments,
        interval=_interval(found.interval),
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
        replace=Interval(request.replace.start_millis, request.replace.end_millis)
        if request.HasField("replace")
        else None,
    )


def _plan(load: Load, plan: planning.Plan) -> pb.PlanIngestionResponse:
    return pb.PlanIngestionResponse(
        interval=_interval(plan.target.interval),
        segment_granularity=plan.target.granularity.value,
        replaced=_segments(load.datasource, plan.replaced),
        columns=[
            pb.PlannedColumn(
                name=each.name,
                change=_CHANGES[each.change],
                type=each.type,
                existing_type=each.existing_type,
            )
            for each in plan.columns
        ],
        chunks=[
            pb.PlannedChunk(
                interval=_interval(each.interval),
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
    named = [*request.segment_ids, *request.restore_segment_ids, *request.undone_segment_ids]
    segment_ids.check(request.datasource, named)
    return removing.Removal(
        datasource=request.datasource,
        load_id=request.task_id,
        task_ids=request.druid_task_ids,
        own=frozenset(request.segment_ids),
        restore=frozenset(request.restore_segment_ids),
        undone=frozenset(request.undone_segment_ids),
    )


def _interval(interval: Interval) -> pb.Interval:
    return pb.Interval(start_millis=interval.start_millis, end_millis=interval.end_millis)


def _segments(datasource: str, ids: Sequence[str]) -> list[pb.Segment]:
    return [
        pb.Segment(id=each, interval=_interval(segment_ids.interval(datasource, each)))
        for each in ids
    ]


def _progress(progress: watching.Progress) -> pb.WatchLoadResponse:
    return pb.WatchLoadResponse(
        phase=_PHASES[progress.phase],
        duration_ms=progress.duration_ms,
        rows_processed=progress.rows_processed,
        problem=progress.problem,
        sub_tasks_done=progress.sub_tasks.done,
        sub_tasks_running=progress.sub_tasks.running,
    )

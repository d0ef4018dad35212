"""Druid over HTTP: requests with deadlines and a small retry budget; answers as domain values,
failures as SluiceErrors.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from services.common import druid_task_ids, errors, logs
from services.common.backoff import Backoff
from services.druid_gateway.http import endpoints
from services.druid_gateway.http.answers import (
    is_core,
    query_failure,
    status_of_task,
    task_report,
    unavailable,
    user_query_failure,
)
from services.druid_gateway.http.array_lines import lines
from services.druid_gateway.http.failures import clean
from services.druid_gateway.loads import spec
from services.druid_gateway.loads.granularity import clipped_millis_of, iso, iso_interval, millis_of
from services.druid_gateway.loads.load import (
    Interval,
    SubTasks,
    TaskReport,
    TaskStatus,
    TaskTarget,
    UnusedSegment,
)
from services.druid_gateway.ports import Value
from services.druid_gateway.removing.segment_ids import descriptor
from sluice.common.v1.errors_pb2 import ErrorReason

TRIES = 3
RETRY = Backoff(first_s=0.1, longest_s=1.0)

MAX_LOADS = 1_000
"""Loads of which a segment is said to hold rows, at most."""

LEAST_PRIORITY = -1_000_000
"""Of the locks that are asked for: below any task's."""

QUERY_GRACE_S = 5.0
"""Druid's own timeout of a query comes first; this much later we stop listening."""

_ALL_TIME = "-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z"
_SQL_TYPES = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}


def client(url: str, timeout_s: float) -> httpx.AsyncClient:
    """An HTTP client of Druid's router, to be entered in an AsyncExitStack. No proxy of the
    environment, no compression.
    """
    return httpx.AsyncClient(
        base_url=url,
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 3.0)),
        limits=httpx.Limits(
            max_connections=64, max_keepalive_connections=32, keepalive_expiry=30.0
        ),
        headers={"Accept-Encoding": "identity"},
        trust_env=False,
    )


class HttpDruid:
    """ports.Druid. All requests but a user's query are safe to repeat, so they are repeated when
    Druid does not answer.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def submit(self, task: dict[str, Any]) -> bool:
        response = await self._ask("POST", endpoints.SUBMIT_TASK, json=task)
        if response.is_success:
            _good_object(response)
            return True
        answer = _object(response)
        if answer.get("errorCode") == endpoints.TASK_EXISTS:
            return False
        text = _text_of(response, answer)
        logs.get().error("druid.submit_refused", status=response.status_code, reason=text)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise errors.error(
                ErrorReason.ERROR_REASON_DRUID_NO_CAPACITY,
                "Druid's queue of tasks is full.",
                value=text,
            )
        if not answer or not response.is_client_error:
            # Not the overlord's word on the task: a router that finds none, or one that is not the
            # leader (yet) and points elsewhere.
            raise _refused(response, text)
        raise errors.error(
            ErrorReason.ERROR_REASON_DRUID_SPEC_REFUSED,
            "Druid refused the load's specification.",
            value=text,
        )

    async def task_statuses(self, task_ids: Sequence[str]) -> dict[str, TaskStatus]:
        answer = _good_object(await self._ask("POST", endpoints.TASK_STATUSES, json=list(task_ids)))
        return {
            task_id: status_of_task(answer[task_id]) for task_id in task_ids if task_id in answer
        }

    async def task_report(self, task_id: str) -> TaskReport | None:
        response = await self._ask("GET", endpoints.task_reports(task_id))
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        return task_report(_good_object(response))

    async def sub_tasks(self, task_id: str, datasource: str) -> SubTasks:
        asked = {"datasource": datasource, "type": endpoints.SUB_TASK_TYPE}
        states = [
            each["statusCode"]
            for each in _json(_good(await self._ask("GET", endpoints.TASKS, params=asked)))
            if each["groupId"] == task_id
        ]
        return SubTasks(done=states.count("SUCCESS"), running=states.count("RUNNING"))

    async def task_target(self, task_id: str) -> TaskTarget | None:
        response = await self._ask("GET", endpoints.task(task_id))
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        payload = _good_object(response)["payload"]
        if payload["type"] == spec.PLACEHOLDER:
            return None
        task = payload["spec"]
        status = _good_object(await self._ask("GET", endpoints.task_status(task_id)))["status"]
        start, _, end = task["dataSchema"]["granularitySpec"]["intervals"][0].partition("/")
        return TaskTarget(
            interval=Interval(millis_of(start), millis_of(end)),
            replaces=not task["ioConfig"]["appendToExisting"],
            drops=task["ioConfig"].get("dropExisting", False),
            created=status["createdTime"],
        )

    async def shut_down(self, task_id: str) -> None:
        response = await self._ask("POST", endpoints.task_shutdown(task_id))
        if response.status_code != httpx.codes.NOT_FOUND:
            _good(response)

    async def free_slots(self) -> int | None:
        response = await self._ask("GET", endpoints.WORKERS)
        if not response.is_success:
            logs.get().info("druid.capacity_unknown", status=response.status_code)
            return None
        return sum(
            max(0, int(each["worker"]["capacity"]) - int(each["currCapacityUsed"]))
            for each in _json(response)
        )

    async def loaded_percent(
        self, datasource: str, interval: Interval, *, refresh: bool
    ) -> float | None:
        # Without an interval Druid looks at the last weeks only.
        asked = {"forceMetadataRefresh": str(refresh).lower(), "interval": iso_interval(interval)}
        response = _good(await self._ask("GET", endpoints.load_status(datasource), params=asked))
        try:
            answer = response.json() if response.content else {}
        except ValueError:
            # Where no segment is in the interval, Druid says so in a plain sentence.
            return None
        percent = answer.get(datasource)
        return None if percent is None else float(percent)

    async def sql(self, sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        context = {"sqlTimeZone": "UTC", **self._uncached()}
        body = {
            "query": sql,
            "resultFormat": "array",
            "parameters": _typed(parameters),
            "context": context,
        }
        response = await self._ask("POST", endpoints.SQL, json=body)
        if not response.is_success:
            raise query_failure(_object(response), response.status_code)
        rows: list[list[Value]] = _json(response)
        return rows

    async def rows_by_segment(self, datasource: str, load_id: str) -> dict[str, int]:
        query = {
            "queryType": "timeseries",
            "dataSource": datasource,
            "intervals": [_ALL_TIME],
            "granularity": "all",
            "filter": {
                "type": "equals",
                "column": spec.LOAD_ID_COLUMN,
                "matchValueType": "STRING",
                "matchValue": load_id,
            },
            "aggregations": [{"type": "count", "name": "rows"}],
            "context": {"bySegment": True, **self._uncached()},
        }
        response = _good(await self._ask("POST", endpoints.NATIVE_QUERY, json=query))
        found = {}
        for each in _json(response):
            segment = each["result"]
            rows = sum(result["result"]["rows"] for result in segment["results"])
            if rows:
                found[segment["segment"]] = rows
        return found

    async def rows_by_load(
        self, datasource: str, interval: Interval, load_ids: Sequence[str]
    ) -> dict[str, int]:
        among = {"type": "in", "dimension": spec.LOAD_ID_COLUMN, "values": list(load_ids)}
        return await self._rows_by_load(datasource, [iso_interval(interval)], {"filter": among})

    async def loads_in_segments(
        self, datasource: str, segment_ids: Sequence[str]
    ) -> dict[str, int]:
        named = [descriptor(datasource, each) for each in segment_ids]
        limit = {"limitSpec": {"type": "default", "limit": MAX_LOADS, "columns": []}}
        return await self._rows_by_load(datasource, {"type": "segments", "segments": named}, limit)

    async def _rows_by_load(
        self, datasource: str, intervals: object, narrowed: Mapping[str, object]
    ) -> dict[str, int]:
        query = {
            "queryType": "groupBy",
            "dataSource": datasource,
            "intervals": intervals,
            "granularity": "all",
            "dimensions": [spec.LOAD_ID_COLUMN],
            "aggregations": [{"type": "count", "name": "rows"}],
            "context": self._uncached(),
            **narrowed,
        }
        response = _good(await self._ask("POST", endpoints.NATIVE_QUERY, json=query))
        events = [each["event"] for each in _json(response)]
        return {each[spec.LOAD_ID_COLUMN] or "": each["rows"] for each in events}

    async def used_segments(
        self, datasource: str, interval: Interval, *, refresh: bool = True
    ) -> dict[str, bool]:
        if refresh:
            # A segment may have been published a moment ago.
            await self.loaded_percent(datasource, interval, refresh=True)
        sql = (
            "SELECT segment_id, is_available FROM sys.segments "
            'WHERE datasource = ? AND is_active = 1 AND is_published = 1 AND "start" < ? AND "end" > ?'
        )
        rows = await self.sql(
            sql, [datasource, iso(interval.end_millis), iso(interval.start_millis)]
        )
        return {str(segment): bool(available) for segment, available in rows}

    async def published_segments(self, datasource: str, interval: Interval) -> set[str]:
        sql = 'SELECT segment_id FROM sys.segments WHERE datasource = ? AND is_published = 1 AND "start" < ? AND "end" > ?'
        rows = await self.sql(
            sql, [datasource, iso(interval.end_millis), iso(interval.start_millis)]
        )
        return {str(segment) for [segment] in rows}

    async def core_segments(self, datasource: str, interval: Interval) -> set[str]:
        sql = 'SELECT segment_id, shard_spec FROM sys.segments WHERE datasource = ? AND is_published = 1 AND "start" < ? AND "end" > ?'
        until, since = iso(interval.end_millis), iso(interval.start_millis)
        rows = await self.sql(sql, [datasource, until, since])
        return {str(segment) for segment, shard in rows if is_core(str(shard))}

    async def rewriting_tasks(self, datasource: str, chunks: Collection[Interval]) -> list[str]:
        asked = [{"datasource": datasource, "priority": LEAST_PRIORITY}]
        answer = _good_object(await self._ask("POST", endpoints.ACTIVE_LOCKS, json=asked))
        locks = answer["datasourceToLocks"].get(datasource, [])
        holders = {lock["groupId"] for lock in locks if _touches(lock["interval"], chunks)}
        foreign = sorted(each for each in holders if not each.startswith(druid_task_ids.PREFIX))
        return [
            each for each in foreign if await self._task_type(each) in endpoints.REWRITING_TYPES
        ]

    async def _task_type(self, task_id: str) -> str:
        """Empty where there is no such task: what streams rows in locks under an id of its
        group.
        """
        response = await self._ask("GET", endpoints.task_status(task_id))
        if response.status_code == httpx.codes.NOT_FOUND:
            return ""
        return str(_good_object(response)["status"]["type"])

    async def unused_segments(self, datasource: str, interval: Interval) -> list[UnusedSegment]:
        asked = {"interval": iso_interval(interval)}
        response = _good(
            await self._ask("GET", endpoints.unused_segments(datasource), params=asked)
        )
        return [
            UnusedSegment(
                each["dataSegment"]["identifier"],
                each["createdDate"],
                each["usedStatusLastUpdatedDate"],
            )
            for each in (_json(response) if response.content else [])
        ]

    async def mark_used(self, datasource: str, segment_ids: Sequence[str]) -> None:
        response = await self._ask(
            "POST", endpoints.mark_used(datasource), json={"segmentIds": list(segment_ids)}
        )
        if not response.is_success:
            # 33.0.0 answers with status 500 and does it all the same.
            logs.get().info(
                "druid.mark_used_answer",
                status=response.status_code,
                reason=_text_of(response, _object(response)),
            )

    async def mark_unused(self, datasource: str, segment_ids: Sequence[str]) -> None:
        response = await self._ask(
            "POST", endpoints.mark_unused(datasource), json={"segmentIds": list(segment_ids)}
        )
        if response.status_code not in (httpx.codes.NOT_FOUND, httpx.codes.NO_CONTENT):
            _good(response)

    @asynccontextmanager
    async def query(
        self,
        sql: str,
        query_id: str,
        limit: int,
        timeout_ms: int,
        parameters: Sequence[Value] = (),
        max_subquery_rows: int | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        context: dict[str, Any] = {
            "sqlQueryId": query_id,
            "sqlTimeZone": "UTC",
            "sqlOuterLimit": limit,
            "sqlStringifyArrays": False,
            "timeout": timeout_ms,
        }
        if max_subquery_rows is not None:
            context["maxSubqueryRows"] = max_subquery_rows
        body = {
            "query": sql,
            "parameters": _typed(parameters),
            "resultFormat": "arrayLines",
            "header": True,
            "typesHeader": True,
            "sqlTypesHeader": True,
            "context": context,
        }
        timeout = httpx.Timeout(timeout_ms / 1000 + QUERY_GRACE_S, connect=3.0)
        try:
            async with self._http.stream(
                "POST", endpoints.SQL, json=body, timeout=timeout
            ) as response:
                if not response.is_success:
                    await response.aread()
                    known = _object(response)
                    text = "" if known else response.text
                    raise user_query_failure(known, response.status_code, text)
                yield lines(response.aiter_bytes())
        except httpx.TransportError as failure:
            raise _query_left(failure) from failure

    async def cancel_query(self, query_id: str) -> None:
        try:
            await self._http.delete(endpoints.sql_query(query_id))
        except httpx.HTTPError as failure:
            # Nothing is lost: the query ends at its timeout.
            logs.get().info("druid.cancel_failed", query_id=query_id, reason=type(failure).__name__)

    async def check_router(self) -> None:
        """Raises unless the router answers."""
        (await self._http.get(endpoints.ROUTER_HEALTH)).raise_for_status()

    async def check_overlord(self) -> None:
        """Raises unless there is a leading overlord."""
        (await self._http.get(endpoints.OVERLORD_LEADER)).raise_for_status()

    async def check_coordinator(self) -> None:
        """Raises unless there is a leading coordinator."""
        (await self._http.get(endpoints.COORDINATOR_LEADER)).raise_for_status()

    async def check_broker(self) -> None:
        """Raises unless a broker answers a query."""
        (
            await self._http.post(
                endpoints.SQL, json={"query": "SELECT 1", "resultFormat": "array"}
            )
        ).raise_for_status()

    def _uncached(self) -> dict[str, object]:
        """Context of a query that has to see what is there now."""
        timeout_ms = int(self._timeout_s() * 1000)
        return {"useCache": False, "populateCache": False, "timeout": timeout_ms}

    def _timeout_s(self) -> float:
        return self._http.timeout.read or 10.0

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer, whatever it says; asked again when none comes or the server is at fault in a
        way that may pass.
        """
        for attempt in range(1, TRIES + 1):
            tries_left = TRIES - attempt
            try:
                response = await self._http.request(method, path, json=json, params=params)
            except httpx.TransportError as failure:
                if not tries_left:
                    raise _unavailable(failure) from failure
                logs.get().info(
                    "druid.asked_again", method=method, path=path, reason=type(failure).__name__
                )
            else:
                if not tries_left or not _may_pass(response):
                    return response
                logs.get().info(
                    "druid.asked_again", method=method, path=path, status=response.status_code
                )
            await asyncio.sleep(RETRY.pause_s(attempt))
        raise AssertionError("the last try returns or raises")


def _touches(text: str, chunks: Collection[Interval]) -> bool:
    """Whether an interval as Druid writes it overlaps one of the chunks."""
    start, _, end = text.partition("/")
    since, until = clipped_millis_of(start), clipped_millis_of(end)
    return any(since < each.end_millis and until > each.start_millis for each in chunks)


def _typed(parameters: Sequence[Value]) -> list[dict[str, Value]]:
    """Parameters as Druid wants them; it takes a null of any type."""
    return [
        {"type": _SQL_TYPES.get(type(value), "VARCHAR"), "value": value} for value in parameters
    ]


def _may_pass(response: httpx.Response) -> bool:
    """A proxy's or a starting server's error or redirect. An error that Druid explains itself comes
    again however often it is asked.
    """
    return (response.is_server_error or response.is_redirect) and "errorMessage" not in _object(
        response
    )


def _good(response: httpx.Response) -> httpx.Response:
    """Raises DRUID_UNAVAILABLE for an answer that is an error."""
    if response.is_success:
        return response
    text = _text_of(response, _object(response))
    logs.get().warning(
        "druid.error_answer",
        status=response.status_code,
        path=response.request.url.path,
        reason=text,
    )
    raise _refused(response, text)


def _refused(response: httpx.Response, text: str) -> errors.SluiceError:
    message = f"Druid answered with an error (HTTP status {response.status_code})."
    return errors.error(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, message, value=text)


def _json(response: httpx.Response) -> Any:
    """What a good answer says. One that cannot be read says nothing: taken for an empty one it
    would deny tasks and rows that are there.
    """
    try:
        return json.loads(response.content)
    except ValueError as failure:
        logs.get().warning(
            "druid.unreadable_answer", path=response.request.url.path, reason=clean(response.text)
        )
        raise errors.error(
            ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE,
            "Druid's answer cannot be read.",
            value=clean(response.text),
        ) from failure


def _good_object(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a good answer; raises DRUID_UNAVAILABLE for any other."""
    answer = _json(_good(response))
    if not isinstance(answer, dict):
        raise errors.error(
            ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE,
            "Druid's answer is not the one asked for.",
            value=clean(response.text),
        )
    return answer


def _query_left(failure: httpx.TransportError) -> errors.SluiceError:
    """The error of a user's query that was not answered, or not to its end."""
    text = clean(f"{type(failure).__name__}: {failure}")
    match failure:
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout():
            return unavailable("Druid cannot be reached.", text)
        case httpx.TimeoutException():
            message = "The query took longer than it may."
            return errors.error(ErrorReason.ERROR_REASON_QUERY_TIMEOUT, message)
        case _:
            message = "Druid broke off its answer to the query."
            return errors.error(ErrorReason.ERROR_REASON_QUERY_FAILED, message, value=text)


def _unavailable(failure: httpx.TransportError) -> errors.SluiceError:
    what = (
        "did not answer in time"
        if isinstance(failure, httpx.TimeoutException)
        else "cannot be reached"
    )
    if isinstance(failure, httpx.RemoteProtocolError | httpx.ReadError):
        what = "broke off its answer"
    return errors.error(
        ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE,
        f"Druid {what}.",
        value=clean(f"{type(failure).__name__}: {failure}"),
    )


def _object(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer that is an error; empty for HTML pages and other texts."""
    try:
        answer = json.loads(response.content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _text_of(response: httpx.Response, answer: Mapping[str, Any]) -> str:
    return clean(str(answer.get("errorMessage") or answer.get("error") or response.text))

"""Client of Druid over HTTP, with deadlines and a small retry budget. Returns domain values and
raises SluiceErrors.
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
    cut_off,
    error_text,
    is_core,
    query_failure,
    query_timeout,
    status_of_task,
    task_report,
    unavailable,
    user_query_failure,
)
from services.druid_gateway.http.array_lines import lines
from services.druid_gateway.http.failures import clean
from services.druid_gateway.loads import spec
from services.druid_gateway.loads.granularity import iso, iso_interval, parse_interval
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
"""Maximum number of loads that are listed for segments."""

MIN_PRIORITY = -1_000_000
"""Priority of the locks to list: below that of any task."""

QUERY_GRACE_S = 5.0
"""How much later than Druid's own timeout we stop waiting for a query."""

_ALL_TIME = "-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z"
_SQL_TYPES = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}


def client(url: str, timeout_s: float) -> httpx.AsyncClient:
    """Return an HTTP client for Druid's router, as a context manager. It uses neither compression nor
    the environment's proxy.
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
    """Implements ports.Druid. All requests except a user's query are idempotent, so they are retried
    if Druid does not respond.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def submit(self, task: dict[str, Any]) -> bool:
        response = await self._request("POST", endpoints.SUBMIT_TASK, json=task)
        if response.is_success:
            _checked_object(response)
            return True
        answer = _object(response)
        if answer.get("errorCode") == endpoints.TASK_EXISTS:
            return False
        text = error_text(answer, response.text)
        logs.get().error("druid.submit_refused", status=response.status_code, reason=text)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise errors.error(
                ErrorReason.ERROR_REASON_DRUID_NO_CAPACITY,
                "Druid's task queue is full.",
                value=text,
            )
        if not answer or not response.is_client_error:
            # Not the overlord's verdict: the router found no leader, or an overlord that is not the
            # leader redirects.
            raise _error_status(response, text)
        raise errors.error(
            ErrorReason.ERROR_REASON_DRUID_SPEC_REFUSED,
            "Druid rejected the load's ingestion spec.",
            value=text,
        )

    async def task_statuses(self, task_ids: Sequence[str]) -> dict[str, TaskStatus]:
        answer = _checked_object(
            await self._request("POST", endpoints.TASK_STATUSES, json=list(task_ids))
        )
        return {
            task_id: status_of_task(answer[task_id]) for task_id in task_ids if task_id in answer
        }

    async def task_report(self, task_id: str) -> TaskReport | None:
        response = await self._request("GET", endpoints.task_reports(task_id))
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        return task_report(_checked_object(response))

    async def sub_tasks(self, task_id: str, datasource: str) -> SubTasks:
        params = {"datasource": datasource, "type": endpoints.SUB_TASK_TYPE}
        states = [
            each["statusCode"]
            for each in _json(_checked(await self._request("GET", endpoints.TASKS, params=params)))
            if each["groupId"] == task_id
        ]
        return SubTasks(done=states.count("SUCCESS"), running=states.count("RUNNING"))

    async def task_target(self, task_id: str) -> TaskTarget | None:
        response = await self._request("GET", endpoints.task(task_id))
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        payload = _checked_object(response)["payload"]
        if payload["type"] == spec.PLACEHOLDER:
            return None
        task = payload["spec"]
        status = _checked_object(await self._request("GET", endpoints.task_status(task_id)))[
            "status"
        ]
        return TaskTarget(
            interval=parse_interval(task["dataSchema"]["granularitySpec"]["intervals"][0]),
            replaces=not task["ioConfig"]["appendToExisting"],
            drops=task["ioConfig"].get("dropExisting", False),
            created=status["createdTime"],
        )

    async def shut_down(self, task_id: str) -> None:
        response = await self._request("POST", endpoints.task_shutdown(task_id))
        if response.status_code != httpx.codes.NOT_FOUND:
            _checked(response)

    async def free_slots(self) -> int | None:
        response = await self._request("GET", endpoints.WORKERS)
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
        # Without an interval, Druid only counts the last weeks.
        params = {"forceMetadataRefresh": str(refresh).lower(), "interval": iso_interval(interval)}
        response = _checked(
            await self._request("GET", endpoints.load_status(datasource), params=params)
        )
        try:
            answer = response.json() if response.content else {}
        except ValueError:
            # If no segment is in the interval, Druid responds with a plain sentence.
            return None
        percent = answer.get(datasource)
        return None if percent is None else float(percent)

    async def sql(self, sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        body = {
            "query": sql,
            "resultFormat": "array",
            "parameters": _typed(parameters),
            "context": {"sqlTimeZone": "UTC", **self._uncached()},
        }
        response = await self._request("POST", endpoints.SQL, json=body)
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
        response = _checked(await self._request("POST", endpoints.NATIVE_QUERY, json=query))
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
        in_loads = {"type": "in", "dimension": spec.LOAD_ID_COLUMN, "values": list(load_ids)}
        return await self._rows_by_load(datasource, [iso_interval(interval)], {"filter": in_loads})

    async def loads_in_segments(
        self, datasource: str, segment_ids: Sequence[str]
    ) -> dict[str, int]:
        segments = [descriptor(datasource, each) for each in segment_ids]
        limit = {"limitSpec": {"type": "default", "limit": MAX_LOADS, "columns": []}}
        return await self._rows_by_load(
            datasource, {"type": "segments", "segments": segments}, limit
        )

    async def _rows_by_load(
        self, datasource: str, intervals: object, more: Mapping[str, object]
    ) -> dict[str, int]:
        query = {
            "queryType": "groupBy",
            "dataSource": datasource,
            "intervals": intervals,
            "granularity": "all",
            "dimensions": [spec.LOAD_ID_COLUMN],
            "aggregations": [{"type": "count", "name": "rows"}],
            "context": self._uncached(),
            **more,
        }
        response = _checked(await self._request("POST", endpoints.NATIVE_QUERY, json=query))
        events = [each["event"] for each in _json(response)]
        return {each[spec.LOAD_ID_COLUMN] or "": each["rows"] for each in events}

    async def used_segments(
        self, datasource: str, interval: Interval, *, refresh: bool = True
    ) -> dict[str, bool]:
        if refresh:
            # A segment may have been published a moment ago.
            await self.loaded_percent(datasource, interval, refresh=True)
        rows = await self._segments("is_available", datasource, interval, "AND is_active = 1")
        return {str(segment): bool(available) for segment, available in rows}

    async def published_segments(self, datasource: str, interval: Interval) -> set[str]:
        rows = await self._segments("is_published", datasource, interval)
        return {str(segment) for segment, _ in rows}

    async def core_segments(self, datasource: str, interval: Interval) -> set[str]:
        rows = await self._segments("shard_spec", datasource, interval)
        return {str(segment) for segment, shard in rows if is_core(str(shard))}

    async def _segments(
        self, column: str, datasource: str, interval: Interval, condition: str = ""
    ) -> list[list[Value]]:
        """Return the ids of the published segments that overlap the interval, with a column."""
        sql = (
            f"SELECT segment_id, {column} FROM sys.segments WHERE datasource = ? "  # noqa: S608
            f'AND is_published = 1 AND "start" < ? AND "end" > ? {condition}'
        )
        return await self.sql(
            sql, [datasource, iso(interval.end_millis), iso(interval.start_millis)]
        )

    async def rewriting_tasks(self, datasource: str, chunks: Collection[Interval]) -> list[str]:
        filters = [{"datasource": datasource, "priority": MIN_PRIORITY}]
        answer = _checked_object(await self._request("POST", endpoints.ACTIVE_LOCKS, json=filters))
        locks = answer["datasourceToLocks"].get(datasource, [])
        holders = {
            lock["groupId"]
            for lock in locks
            if any(map(parse_interval(lock["interval"]).overlaps, chunks))
        }
        foreign = sorted(each for each in holders if not each.startswith(druid_task_ids.PREFIX))
        return [
            each for each in foreign if await self._task_type(each) in endpoints.REWRITING_TYPES
        ]

    async def _task_type(self, task_id: str) -> str:
        """Return the type of a task; empty if there is no such task, as for the group id that
        streaming tasks use for locks.
        """
        response = await self._request("GET", endpoints.task_status(task_id))
        if response.status_code == httpx.codes.NOT_FOUND:
            return ""
        return str(_checked_object(response)["status"]["type"])

    async def unused_segments(self, datasource: str, interval: Interval) -> list[UnusedSegment]:
        params = {"interval": iso_interval(interval)}
        response = _checked(
            await self._request("GET", endpoints.unused_segments(datasource), params=params)
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
        response = await self._request(
            "POST", endpoints.mark_used(datasource), json={"segmentIds": list(segment_ids)}
        )
        if not response.is_success:
            # 33.0.0 responds with status 500 although it succeeded.
            logs.get().info(
                "druid.mark_used_answer",
                status=response.status_code,
                reason=error_text(_object(response), response.text),
            )

    async def mark_unused(self, datasource: str, segment_ids: Sequence[str]) -> None:
        response = await self._request(
            "POST", endpoints.mark_unused(datasource), json={"segmentIds": list(segment_ids)}
        )
        if response.status_code not in (httpx.codes.NOT_FOUND, httpx.codes.NO_CONTENT):
            _checked(response)

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
                    answer = _object(response)
                    text = "" if answer else response.text
                    raise user_query_failure(answer, response.status_code, text)
                yield lines(response.aiter_bytes())
        except httpx.TransportError as failure:
            raise _query_interrupted(failure) from failure

    async def cancel_query(self, query_id: str) -> None:
        try:
            await self._http.delete(endpoints.sql_query(query_id))
        except httpx.HTTPError as failure:
            # Harmless: the query ends at its timeout.
            logs.get().info("druid.cancel_failed", query_id=query_id, reason=type(failure).__name__)

    async def check(self, path: str) -> None:
        """Raise if a GET of the path fails."""
        (await self._http.get(path)).raise_for_status()

    async def check_broker(self) -> None:
        """Raise if no broker answers a query."""
        (
            await self._http.post(
                endpoints.SQL, json={"query": "SELECT 1", "resultFormat": "array"}
            )
        ).raise_for_status()

    def _uncached(self) -> dict[str, object]:
        """Return the context of a query that must see the current state."""
        timeout_ms = int((self._http.timeout.read or 10.0) * 1000)
        return {"useCache": False, "populateCache": False, "timeout": timeout_ms}

    async def _request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request and return the response, whatever its status. Retries if there is none, or
        for a transient error of the server.
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
                if not tries_left or not _is_transient(response):
                    return response
                logs.get().info(
                    "druid.asked_again", method=method, path=path, status=response.status_code
                )
            await asyncio.sleep(RETRY.pause_s(attempt))
        raise AssertionError("the last try returns or raises")


def _typed(parameters: Sequence[Value]) -> list[dict[str, Value]]:
    """Return the parameters in Druid's format, which accepts null with any type."""
    return [
        {"type": _SQL_TYPES.get(type(value), "VARCHAR"), "value": value} for value in parameters
    ]


def _is_transient(response: httpx.Response) -> bool:
    """Whether it is an error or redirect of a proxy or a starting server. An error with a message of
    Druid would repeat.
    """
    return (response.is_server_error or response.is_redirect) and "errorMessage" not in _object(
        response
    )


def _checked(response: httpx.Response) -> httpx.Response:
    """Return the response; raise DRUID_UNAVAILABLE if it is an error."""
    if response.is_success:
        return response
    text = error_text(_object(response), response.text)
    logs.get().warning(
        "druid.error_answer",
        status=response.status_code,
        path=response.request.url.path,
        reason=text,
    )
    raise _error_status(response, text)


def _error_status(response: httpx.Response, text: str) -> errors.SluiceError:
    message = f"Druid responded with an error (HTTP status {response.status_code})."
    return errors.error(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, message, value=text)


def _json(response: httpx.Response) -> Any:
    """Parse a response. An unreadable one raises DRUID_UNAVAILABLE: treated as empty, it would hide
    existing tasks and rows.
    """
    try:
        return json.loads(response.content)
    except ValueError as failure:
        text = clean(response.text)
        logs.get().warning("druid.unreadable_answer", path=response.request.url.path, reason=text)
        message = "Druid's response is not valid JSON."
        reason = ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE
        raise errors.error(reason, message, value=text) from failure


def _checked_object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of a successful response; raise DRUID_UNAVAILABLE for any other."""
    answer = _json(_checked(response))
    if not isinstance(answer, dict):
        raise errors.error(
            ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE,
            "Druid's response is not a JSON object.",
            value=clean(response.text),
        )
    return answer


def _query_interrupted(failure: httpx.TransportError) -> errors.SluiceError:
    """Return the error of a user's query without a response, or with an incomplete one."""
    text = clean(f"{type(failure).__name__}: {failure}")
    match failure:
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout():
            return unavailable("Druid cannot be reached.", text)
        case httpx.TimeoutException():
            return query_timeout()
        case _:
            return cut_off(text)


def _unavailable(failure: httpx.TransportError) -> errors.SluiceError:
    match failure:
        case httpx.TimeoutException():
            message = "Druid did not respond in time."
        case httpx.RemoteProtocolError() | httpx.ReadError():
            message = "Druid closed the connection before the end of its response."
        case _:
            message = "Druid cannot be reached."
    text = clean(f"{type(failure).__name__}: {failure}")
    return errors.error(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, message, value=text)


def _object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of an error response; empty for HTML pages and other text."""
    try:
        answer = json.loads(response.content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}

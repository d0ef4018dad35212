"""POST /api/query: runs SQL and streams the result as JSON, NDJSON or CSV."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from gateway.documents import models
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.http.streams import prefetch
from gateway.ports import Services
from gateway.rest.query_rows import Writer, as_csv, as_json, missing_summary, ndjson, truncated
from sluice.druid.v1.druid_pb2 import QueryResponse

DEFAULT_LIMIT = 1_000
"""Default limit of a JSON result."""

TRUNCATED_HEADER = "X-Truncated"
"""Whether the request's limit cut a CSV or NDJSON result; absent if that was unknown when the
response started."""

FIRST_BYTES = 1024 * 1024
"""Bytes of rows that are read before a CSV or NDJSON response starts. A shorter result can still
fail with a status, and can set TRUNCATED_HEADER."""

_BODY = openapi_body(models.Question.model_json_schema())


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The route of this module."""
    routes = APIRouter(tags=["query"], responses=problems.RESPONSES)

    @routes.post("/api/query", response_model=models.Answer, openapi_extra=_BODY)
    async def run_query(request: Request) -> Response:
        """Run one read-only SQL statement; returns at most `limit` rows as JSON.

        With `Accept: application/x-ndjson` (one object per line) or `text/csv`, it returns **all**
        rows up to the server's `QUERY_MAX_ROWS`. A response that ends normally is complete. A
        result with more rows fails with `QUERY_TRUNCATED`; if rows were already sent, the
        connection is closed without an end (`curl` exits with status 18; NDJSON ends with a line
        with the key `error`). With an explicit `limit`, the header `X-Truncated` says whether the
        limit cut the result; a result of more than 1 MB, whose header was already sent, is closed
        at the cut. Columns of the same name become `name`, `name_2`, `name_3`.
        """
        question = await bodies.model(request, models.Question)
        run = services.queries.query
        accepted = _accepted(request.headers.get("accept", ""))
        if accepted is None:
            limit = question.limit or DEFAULT_LIMIT
            found = run(question.sql, limit, question.parameters)
            # Most failures occur before the first rows, and can then still set the status.
            _, steps = await prefetch(request, found, lambda first: len(first) == 2)
            return StreamingResponse(json_result(steps), media_type="application/json")
        media_type, writer = accepted
        found = run(question.sql, question.limit, question.parameters)
        first, steps = await prefetch(request, found, _has_enough)
        headers, cut = {}, _is_cut(first)
        if cut and question.limit is None:
            async for _ in steps:
                """Complete the call."""
            raise truncated(first[-1].summary.row_count)
        if cut is not None and question.limit is not None:
            headers[TRUNCATED_HEADER] = str(cut).lower()
        return StreamingResponse(
            writer(steps, cut is not None), media_type=media_type, headers=headers
        )

    return routes


async def json_result(steps: AsyncGenerator[QueryResponse, None]) -> AsyncGenerator[bytes, None]:
    """The JSON of a result, in pieces. Rows are forwarded as text, so that no number changes by
    being parsed and formatted.
    """
    between = b""
    async with aclosing(steps):
        async for step in steps:
            match step.WhichOneof("step"):
                case "header":
                    columns = [
                        {"name": column.name, "type": column.type} for column in step.header.columns
                    ]
                    query_id = step.header.query_id
                    yield b'{"columns":' + as_json(columns) + b',"rows":['
                case "rows" if step.rows.count:
                    yield between + step.rows.json.strip()[1:-1]
                    between = b","
                case "summary":
                    yield (
                        b'],"row_count":%d,"truncated":%s,"elapsed_ms":%d,"query_id":%s}'
                        % (
                            step.summary.row_count,
                            as_json(step.summary.truncated),
                            step.summary.elapsed_ms,
                            as_json(query_id),
                        )
                    )
                    return
    raise missing_summary()


def _accepted(accept: str) -> tuple[str, Writer] | None:
    """The first supported format in an Accept header; None for JSON."""
    wanted = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
    known = next((each for each in wanted if each in _WRITERS or each == "application/json"), "")
    return _WRITERS.get(known)


def _has_enough(first: Sequence[QueryResponse]) -> bool:
    """Whether the result is complete, or FIRST_BYTES of rows were read."""
    if not first:
        return False
    return (
        first[-1].HasField("summary") or sum(len(step.rows.json) for step in first) >= FIRST_BYTES
    )


def _is_cut(first: Sequence[QueryResponse]) -> bool | None:
    """Whether the limit cut the result; None if unknown yet."""
    if first and first[-1].HasField("summary"):
        return first[-1].summary.truncated
    return None


_WRITERS: dict[str, tuple[str, Writer]] = {
    "application/x-ndjson": ("application/x-ndjson", ndjson),
    "text/csv": ("text/csv; charset=utf-8", as_csv),
}

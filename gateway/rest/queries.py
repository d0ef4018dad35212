"""POST /api/query: SQL in; JSON, NDJSON or CSV out, row by row as Druid gives them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from gateway.documents import models
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.http.streams import prefetch
from gateway.ports import Services
from gateway.rest.query_rows import Writer, as_csv, as_json, broken, ndjson, truncated
from sluice.druid.v1.druid_pb2 import QueryResponse

DEFAULT_LIMIT = 1_000
"""Rows of a JSON answer where the request says nothing."""

TRUNCATED_HEADER = "X-Truncated"
"""Whether the request's own limit cut a CSV or NDJSON answer; absent where that was not known when
the answer began."""

FIRST_BYTES = 1024 * 1024
"""Rows that are held back before a CSV or NDJSON answer begins: a shorter one can still end as an
error, and can say in its head whether it is cut."""

_BODY = openapi_body(models.Question.model_json_schema())


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The route, on the given services."""
    routes = APIRouter(tags=["query"], responses=problems.RESPONSES)

    @routes.post("/api/query", response_model=models.Answer, openapi_extra=_BODY)
    async def query(request: Request) -> Response:
        """Runs one read-only SQL statement, and answers at most `limit` rows as JSON.

        `Accept: application/x-ndjson` gives one object a line, `text/csv` a CSV file, of **all**
        rows up to the server's `QUERY_MAX_ROWS`. Such an answer is complete when it ends well. One
        that would not be is refused with `QUERY_TRUNCATED`, or, once rows are on their way, broken
        off (`curl` ends with status 18; NDJSON has a last line with the key `error`). With a
        `limit` of your own, the header `X-Truncated` says whether it cut the answer; an answer of
        over 1 MB, which cannot say so in its head, is broken off where it is cut. Columns of the
        same name become `name`, `name_2`, `name_3`.
        """
        question = await bodies.model(request, models.Question)
        ask = services.queries.query
        accepted = _accepted(request.headers.get("accept", ""))
        if accepted is None:
            limit = question.limit or DEFAULT_LIMIT
            found = ask(question.sql, limit, question.parameters)
            # Header and first rows: most of what can fail has failed by then, and has its status.
            _, steps = await prefetch(request, found, lambda first: len(first) == 2)
            return StreamingResponse(answer(steps), media_type="application/json")
        media_type, writer = accepted
        found = ask(question.sql, question.limit, question.parameters)
        first, steps = await prefetch(request, found, _is_held)
        headers, cut = {}, _cut(first)
        if cut and question.limit is None:
            async for _ in steps:
                """To the end of the call."""
            raise truncated(first[-1].summary.row_count)
        if cut is not None and question.limit is not None:
            headers[TRUNCATED_HEADER] = str(cut).lower()
        return StreamingResponse(
            writer(steps, cut is not None), media_type=media_type, headers=headers
        )

    return routes


async def answer(steps: AsyncGenerator[QueryResponse, None]) -> AsyncGenerator[bytes, None]:
    """The answer's JSON, piece by piece. Rows are passed on as the text they are: no number is read
    and written again.
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
    raise broken()


def _accepted(accept: str) -> tuple[str, Writer] | None:
    """How the client wants the answer: the first of its Accept header that is known; None for
    JSON.
    """
    asked = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
    known = next((each for each in asked if each in _WRITERS or each == "application/json"), "")
    return _WRITERS.get(known)


def _is_held(first: Sequence[QueryResponse]) -> bool:
    """Whether the end has come, or so many rows that the answer has to begin."""
    if not first:
        return False
    return (
        first[-1].HasField("summary") or sum(len(step.rows.json) for step in first) >= FIRST_BYTES
    )


def _cut(first: Sequence[QueryResponse]) -> bool | None:
    """Whether the answer is cut; None where that is not known yet."""
    if first and first[-1].HasField("summary"):
        return first[-1].summary.truncated
    return None


_WRITERS: dict[str, tuple[str, Writer]] = {
    "application/x-ndjson": ("application/x-ndjson", ndjson),
    "text/csv": ("text/csv; charset=utf-8", as_csv),
}

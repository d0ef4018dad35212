"""POST /api/query: SQL in; JSON, NDJSON or CSV out, row by row as Druid gives them."""

import csv
import io
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from gateway import models, problems
from gateway.body import JsonBodies, documented
from gateway.ports import Services
from gateway.streams import BrokenAnswerError, begun
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import QueryResponse

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet run a cell's text."""

Writer = Callable[[AsyncGenerator[QueryResponse, None]], AsyncGenerator[bytes, None]]

_BODY = documented(models.Question.model_json_schema())


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The route, on the given services."""
    routes = APIRouter(tags=["query"], responses=problems.RESPONSES)

    @routes.post("/api/query", response_model=models.Answer, openapi_extra=_BODY)
    async def query(request: Request) -> Response:
        """Runs one read-only SQL statement. `Accept: application/x-ndjson` gives one object a line, `text/csv` a CSV file."""
        question = await bodies.model(request, models.Question)
        # Header and first rows: most of what can fail has failed by then, and is told with its own status.
        steps = await begun(request, services.queries.query(question.sql, question.limit, question.parameters), 2)
        media_type, written = _writer(request.headers.get("accept", ""))
        return StreamingResponse(written(steps), media_type=media_type)

    return routes


async def answer(steps: AsyncGenerator[QueryResponse, None]) -> AsyncGenerator[bytes, None]:
    """The answer's JSON, piece by piece. Rows are passed on as the text they are: no number is read and written again."""
    between = b""
    async with aclosing(steps):
        async for step in steps:
            match step.WhichOneof("step"):
                case "header":
                    columns = [{"name": column.name, "type": column.type} for column in step.header.columns]
                    query_id = step.header.query_id
                    yield b'{"columns":' + _json(columns) + b',"rows":['
                case "rows" if step.rows.count:
                    yield between + step.rows.json.strip()[1:-1]
                    between = b","
                case "summary":
                    yield (
                        b'],"row_count":%d,"truncated":%s,"elapsed_ms":%d,"query_id":%s}'
                        % (step.summary.row_count, _json(step.summary.truncated), step.summary.elapsed_ms, _json(query_id))
                    )
                    return
    raise _broken()


async def ndjson(steps: AsyncGenerator[QueryResponse, None]) -> AsyncGenerator[bytes, None]:
    """One JSON object a line: each row by its columns' names."""
    async with aclosing(steps):
        names: list[str] = []
        async for step in steps:
            match step.WhichOneof("step"):
                case "header":
                    names = [column.name for column in step.header.columns]
                case "rows":
                    rows = json.loads(step.rows.json)
                    yield b"".join(_json(dict(zip(names, row, strict=True))) + b"\n" for row in rows)
                case "summary":
                    return
    raise _broken()


async def as_csv(steps: AsyncGenerator[QueryResponse, None]) -> AsyncGenerator[bytes, None]:
    """A CSV file with a header; null is an empty cell. A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    async with aclosing(steps):
        async for step in steps:
            match step.WhichOneof("step"):
                case "header":
                    yield _csv([[column.name for column in step.header.columns]])
                case "rows":
                    yield _csv(json.loads(step.rows.json))
                case "summary":
                    return
    raise _broken()


def _csv(rows: list[list[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue().encode()


def _cell(value: object) -> object:
    match value:
        case bool():
            return "true" if value else "false"
        case list() | dict():
            return json.dumps(value, ensure_ascii=False)
        case str() if value.startswith(FORMULA_STARTS):
            return "'" + value
        case _:
            return value


def _writer(accept: str) -> tuple[str, Writer]:
    """How the client wants the answer: the first of its Accept header that is known, else JSON."""
    asked = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
    return _WRITERS[next((each for each in asked if each in _WRITERS), "application/json")]


def _broken() -> BrokenAnswerError:
    return BrokenAnswerError(error(ErrorReason.ERROR_REASON_INTERNAL, "The Druid gateway ended the answer before its summary."))


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


_WRITERS: dict[str, tuple[str, Writer]] = {
    "application/json": ("application/json", answer),
    "application/x-ndjson": ("application/x-ndjson", ndjson),
    "text/csv": ("text/csv; charset=utf-8", as_csv),
}

"""POST /api/query: SQL in, JSON out, row by row as Druid gives them."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.responses import Response, StreamingResponse

from gateway import models, problems
from gateway.body import read_json_body
from gateway.ports import Services
from gateway.streams import BrokenAnswerError, begun
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import QueryResponse

_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": models.Question.model_json_schema()}}}
}


def router(services: Services, max_body_bytes: int) -> APIRouter:
    """The route, on the given services."""
    routes = APIRouter(tags=["query"], responses=problems.RESPONSES)

    @routes.post("/api/query", response_model=models.Answer, openapi_extra=_BODY)
    async def query(request: Request) -> Response:
        """Runs one read-only SQL statement."""
        body = await read_json_body(request, max_body_bytes)
        try:
            question = models.Question.model_validate(body)
        except ValidationError as failure:
            raise RequestValidationError(failure.errors()) from None
        # Header and first rows: most of what can fail has failed by then, and is told with its own status.
        steps = await begun(request, services.queries.query(question.sql, question.limit), 2)
        return StreamingResponse(answer(steps), media_type="application/json")

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
    raise BrokenAnswerError(error(ErrorReason.ERROR_REASON_INTERNAL, "The Druid gateway ended the answer before its summary."))


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

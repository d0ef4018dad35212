"""Fields: SQL queries."""

import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import strawberry
from pydantic import ValidationError

from gateway.documents import models
from gateway.graphql.documents import Document, of_model
from gateway.graphql.types import JSON, ContextInfo, Long, in_range, translating_errors
from gateway.ports import Parameter, Services
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Largest result of queryData; POST /api/query streams larger ones."""


@strawberry.type(description="The result of a query.")
class QueryAnswer:
    columns: Any = strawberry.field(graphql_type=list[of_model(models.QueryColumn)])  # type: ignore[misc]
    rows: JSON = strawberry.field(
        description="A list of rows, each a list of values in the columns' order."
    )
    row_count: Long
    truncated: bool = strawberry.field(description="True if the limit cut the result.")
    elapsed_ms: Long
    query_id: str = strawberry.field(description="Druid's id of the query.")


@strawberry.type
class DataQuery:
    @strawberry.field(  # type: ignore[untyped-decorator]
        description="Runs one read-only SQL statement in Druid and returns at most `limit` rows (1 to 1,000,000, default 1,000). "
        "`parameters`: list of values for the question marks of the statement."
    )
    async def query_data(
        self,
        info: ContextInfo,
        sql: str,
        limit: int | None = strawberry.UNSET,
        parameters: JSON | None = strawberry.UNSET,
    ) -> QueryAnswer:
        with translating_errors():
            most = in_range("limit", limit if isinstance(limit, int) else 1000, 1, 1_000_000)
            return await _answer(info.context.services, sql, most, _values(parameters))


def _values(parameters: object) -> list[Parameter]:
    try:
        question = models.Question.model_validate({"sql": "-", "parameters": parameters or []})
    except ValidationError as failure:
        text = "parameters must be a list of texts, numbers, booleans and nulls."
        raise error(
            ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column="parameters"
        ) from failure
    return list(question.parameters)


async def _answer(
    services: Services, sql: str, limit: int, parameters: Sequence[Parameter]
) -> QueryAnswer:
    columns: list[Document] = []
    rows: list[Any] = []
    query_id, size = "", 0
    async with aclosing(services.queries.query(sql, limit, parameters)) as steps:  # type: ignore[type-var]
        async for step in steps:
            match step.WhichOneof("step"):
                case "header":
                    query_id = step.header.query_id
                    columns = [
                        {"name": column.name, "type": column.type} for column in step.header.columns
                    ]
                case "rows":
                    size += len(step.rows.json)
                    if size > MAX_ANSWER_BYTES:
                        text = f"The answer is longer than {MAX_ANSWER_BYTES // 1024 // 1024} MiB."
                        action = "Ask for less, or use POST /api/query, which streams."
                        raise error(ErrorReason.ERROR_REASON_QUERY_TOO_LARGE, text, action=action)
                    rows += json.loads(step.rows.json)
                case "summary":
                    return QueryAnswer(
                        columns=columns,
                        rows=JSON(rows),
                        row_count=Long(step.summary.row_count),
                        truncated=step.summary.truncated,
                        elapsed_ms=Long(step.summary.elapsed_ms),
                        query_id=query_id,
                    )
    raise error(
        ErrorReason.ERROR_REASON_INTERNAL, "The Druid gateway ended the answer before its summary."
    )

"""The GraphQL schema. `python -m gateway.schema` writes it to schema.graphql; with --check it fails when that file is not current."""

import argparse
import json
import sys
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.extensions import MaxAliasesLimiter, MaxTokensLimiter, QueryDepthLimiter
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, Info
from strawberry.types.scalar import ScalarDefinition

from gateway import problems, wire
from gateway.event_stream import KEEP_ALIVE_S
from gateway.form import IncomingFile
from gateway.metrics import Metrics
from gateway.ports import Services
from gateway.receiving import Destination, receive
from gateway.watches import Watches
from services.common import logs
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode
from sluice.status.v1 import status_pb2

SDL = Path(__file__).with_name("schema.graphql")

MAX_DEPTH = 12
MAX_ALIASES = 20
MAX_TOKENS = 2000

MAX_LIST = 500
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Largest answer of queryData; POST /api/query streams longer ones."""


@dataclass(frozen=True)
class Context:
    """What resolvers work with."""

    services: Services
    watches: Watches
    metrics: Metrics
    request_id: str | None = None
    """The client's Idempotency-Key."""


ContextInfo = Info[Context, None]

JSON = NewType("JSON", object)
Long = NewType("Long", int)
Upload = NewType("Upload", object)


def _parse_upload(value: object) -> IncomingFile:
    if not isinstance(value, IncomingFile):
        raise GraphQLError("An Upload must be sent as a file by the GraphQL multipart request specification.")
    return value


def _parse_long(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise GraphQLError("A Long must be a whole number of at most 64 bits.")
    return value


_SCALARS: dict[object, ScalarDefinition] = {
    JSON: strawberry.scalar(name="JSON", description="Any JSON value.", serialize=lambda value: value, parse_value=lambda value: value),
    Long: strawberry.scalar(name="Long", description="A whole number of at most 64 bits.", serialize=int, parse_value=_parse_long),
    Upload: strawberry.scalar(
        name="Upload", description="A file, sent by the GraphQL multipart request specification.", parse_value=_parse_upload
    ),
}


class ProblemError(Exception):
    """A SluiceError as GraphQL tells it: its facts are the error's `extensions`."""

    def __init__(self, failure: SluiceError) -> None:
        super().__init__(failure.problem.message)
        self.extensions = problems.extensions(failure)


@contextmanager
def _told() -> Iterator[None]:
    """Around the body of every resolver: what fails becomes an error with a code, and a fault of ours shows nothing of itself."""
    try:
        yield
    except SluiceError as failure:
        raise ProblemError(failure) from failure
    except Exception as failure:
        logs.get().error("graphql.failed", exc_info=failure)
        raise ProblemError(problems.internal()) from failure


@strawberry.type(description="A file on its way into a datasource. Times are ISO 8601 in UTC.")
class IngestionTaskStatus:
    task_id: strawberry.ID = strawberry.field(description="UUID of the task.")
    status: str = strawberry.field(
        description="PENDING, UPLOADED, VALIDATING, PLANNED, INGESTING, VERIFYING, CLEANING; at the end SUCCEEDED, REJECTED, FAILED, "
        "CANCELLED or TIMEOUT."
    )
    message: str | None = strawberry.field(description="What is happening or how it ended, one sentence.")
    datasource_name: str | None
    original_filename: str | None
    file_size: Long | None = strawberry.field(description="Bytes of the file.")
    row_count: Long | None = strawberry.field(description="Rows that a query counted in Druid; set at SUCCEEDED.")
    validation_errors: JSON | None = strawberry.field(
        description="Why the file was REJECTED: a list of {code, message, line, column, value, action, actor}; else null."
    )
    validation_warnings: JSON | None = strawberry.field(
        description="What was noticed in a file that was not rejected, in the same shape; null where nothing was."
    )
    error_message: str | None = strawberry.field(description="Why it ended badly.")
    created_at: str | None
    updated_at: str | None
    started_at: str | None
    completed_at: str | None
    rows_read: Long | None = strawberry.field(description="read = loaded + rejected + skipped.")
    rows_rejected: Long | None
    rows_skipped: Long | None
    received_size: Long | None = strawberry.field(description="Bytes received so far.")
    load_state: str | None = strawberry.field(description="LIVE, PARTLY_REPLACED, REPLACED or REVERTED, once SUCCEEDED.")
    mode: str | None = strawberry.field(description="append or replace.")
    druid_task_id: str | None
    duplicate_of: strawberry.ID | None = strawberry.field(description="The task that loaded the same bytes before.")
    retry_of: strawberry.ID | None
    error: JSON | None = strawberry.field(description="Why it ended badly: {code, message, line, column, value, action, actor}.")
    timings: JSON | None = strawberry.field(description="How long each stage took: a list of {stage, seconds, started_at, completed_at}.")


def _status(found: status_pb2.Task) -> IngestionTaskStatus:
    task = wire.task(found).model_dump()
    for findings in ("validation_errors", "validation_warnings"):
        task[findings] = task[findings] or None
    return IngestionTaskStatus(**{name: task[name] for name in IngestionTaskStatus.__annotations__})


@strawberry.type(description="A column of an answer.")
class QueryColumn:
    name: str
    type: str = strawberry.field(description="SQL type: BIGINT, DOUBLE, VARCHAR, TIMESTAMP, ...")


@strawberry.type(description="What a query found.")
class QueryAnswer:
    columns: list[QueryColumn]
    rows: JSON = strawberry.field(description="A list of rows, each a list of values in the columns' order.")
    row_count: Long
    truncated: bool = strawberry.field(description="True where the limit cut the answer.")
    elapsed_ms: Long
    query_id: str = strawberry.field(description="Druid's id of the query.")


def _in_range(name: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        text = f"{name} must be from {least} to {most}."
        raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=name, value=value)
    return value


@strawberry.type(description="Reading.")
class Query:
    @strawberry.field(description="One task as it stands; null where there is none of this id.")  # type: ignore[untyped-decorator]
    async def get_ingestion_task_status(self, info: ContextInfo, task_id: strawberry.ID) -> IngestionTaskStatus | None:
        with _told():
            try:
                return _status(await info.context.services.tasks.get(task_id))
            except SluiceError as failure:
                if failure.reason == ErrorReason.ERROR_REASON_TASK_NOT_FOUND:
                    return None
                raise

    @strawberry.field(description="Tasks, newest first: `limit` of them (1 to 500, default 50) after leaving out `offset`.")  # type: ignore[untyped-decorator]
    async def list_ingestion_tasks(
        self, info: ContextInfo, limit: int | None = strawberry.UNSET, offset: int | None = strawberry.UNSET
    ) -> list[IngestionTaskStatus | None] | None:
        with _told():
            page = await info.context.services.tasks.list(
                limit=_in_range("limit", limit if isinstance(limit, int) else 50, 1, MAX_LIST),
                offset=_in_range("offset", offset or 0, 0, 1_000_000),
            )
            return [_status(found) for found in page.tasks]

    @strawberry.field(description="Runs one read-only SQL statement in Druid; at most `limit` rows (1 to 1,000,000, default 1,000).")  # type: ignore[untyped-decorator]
    async def query_data(self, info: ContextInfo, sql: str, limit: int | None = strawberry.UNSET) -> QueryAnswer:
        with _told():
            most = _in_range("limit", limit if isinstance(limit, int) else 1000, 1, 1_000_000)
            return await _answer(info.context.services, sql, most)


async def _answer(services: Services, sql: str, limit: int) -> QueryAnswer:
    columns: list[QueryColumn] = []
    rows: list[Any] = []
    query_id, size = "", 0
    async with aclosing(services.queries.query(sql, limit)) as steps:  # type: ignore[type-var]
        async for step in steps:
            match step.WhichOneof("step"):
                case "header":
                    query_id = step.header.query_id
                    columns = [QueryColumn(name=column.name, type=column.type) for column in step.header.columns]
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
    raise error(ErrorReason.ERROR_REASON_INTERNAL, "The Druid gateway ended the answer before its summary.")


@strawberry.type(description="Changing.")
class Mutation:
    @strawberry.mutation(description="Takes a file in, appending its rows. Answers once it is stored; follow the task to its end.")  # type: ignore[untyped-decorator]
    async def upload_sales_data(
        self, info: ContextInfo, file: Upload, data_source_name: Annotated[str, strawberry.argument(name="dataSourceName")]
    ) -> IngestionTaskStatus | None:
        context = info.context
        incoming = _parse_upload(file)
        destination = Destination(
            request_id=context.request_id or str(uuid.uuid4()),
            datasource=data_source_name,
            mode=LoadMode.LOAD_MODE_APPEND,
            allow_duplicate=False,
        )
        with _told():
            try:
                upload = await receive(context.services.uploads, incoming, destination)
            except SluiceError as refused:
                context.metrics.refused.labels(refused.code).inc()
                raise
            try:
                return _status(await context.services.tasks.get(upload.upload_id))
            except SluiceError as failure:
                # The file is stored: saying otherwise would make the client send it again.
                logs.get().warning("upload.status_unknown", code=failure.code, reason=failure.problem.message)
                known = status_pb2.Task(
                    task_id=upload.upload_id,
                    state=upload.state,
                    message="The file is stored; its status cannot be read at the moment.",
                    datasource=data_source_name,
                    filename=incoming.filename,
                    file_size=upload.committed_size,
                    received_size=upload.committed_size,
                )
                return _status(known)


@strawberry.type(description="Following.")
class Subscription:
    @strawberry.subscription(description="The task as it stands, then again after each of its events; completes after its end.")  # type: ignore[untyped-decorator]
    async def ingestion_task(self, info: ContextInfo, task_id: strawberry.ID) -> AsyncGenerator[IngestionTaskStatus | None, None]:
        with _told():
            context = info.context
            found = await context.services.tasks.get(task_id)
            yield _status(found)
            if found.state in wire.TERMINAL:
                return
            async with aclosing(context.watches.follow(task_id, found.last_sequence + 1, KEEP_ALIVE_S)) as events:
                async for item in events:
                    if item is not None:
                        yield _status(item[1])


class _Schema(strawberry.Schema):
    def process_errors(self, errors: Sequence[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Nothing: what is the client's fault is told to it, and what is ours was logged by _told."""


schema = _Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    config=StrawberryConfig(scalar_map=_SCALARS),
    extensions=[
        lambda: QueryDepthLimiter(max_depth=MAX_DEPTH),
        lambda: MaxAliasesLimiter(max_alias_count=MAX_ALIASES),
        lambda: MaxTokensLimiter(max_token_count=MAX_TOKENS),
    ],
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    text = schema.as_str() + "\n"
    if not parser.parse_args().check:
        SDL.write_text(text)
        return 0
    if SDL.exists() and SDL.read_text() == text:
        return 0
    sys.stderr.write(f"{SDL.name} is not up to date: run `python -m gateway.schema`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

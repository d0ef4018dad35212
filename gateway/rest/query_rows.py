"""Answers of queries as NDJSON and CSV. One that ends as HTTP demands is complete, or says in its
head that the client's own limit cut it: any other is broken off, which clients take for the failed
transfer that it is.
"""

import csv
import io
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from gateway.documents import wire
from gateway.documents.column_names import unique
from gateway.http.streams import IncompleteResponseError
from services.common.errors import SluiceError, error
from services.common.formulas import without_formula
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import QueryResponse, QuerySummary

Writer = Callable[[AsyncGenerator[QueryResponse, None], bool], AsyncGenerator[bytes, None]]
"""Steps of an answer, and whether its head says that it is cut, as bytes.

Raises:
    IncompleteResponseError: the answer failed, or was cut and its head does not say so.
"""


async def ndjson(
    steps: AsyncGenerator[QueryResponse, None], cut_is_told: bool
) -> AsyncGenerator[bytes, None]:
    """One JSON object a line: each row by its columns' names. An answer that is broken off has a
    last line with the key `error` alone."""
    try:
        async with aclosing(steps):
            names: list[str] = []
            async for step in steps:
                match step.WhichOneof("step"):
                    case "header":
                        names = unique([column.name for column in step.header.columns])
                    case "rows":
                        rows = json.loads(step.rows.json)
                        yield b"".join(
                            as_json(dict(zip(names, row, strict=True))) + b"\n" for row in rows
                        )
                    case "summary":
                        _check_whole(step.summary, cut_is_told)
                        return
        raise broken()
    except IncompleteResponseError as failed:
        yield as_json({"error": wire.problem(failed.failure.problem).model_dump()}) + b"\n"
        raise


async def as_csv(
    steps: AsyncGenerator[QueryResponse, None], cut_is_told: bool
) -> AsyncGenerator[bytes, None]:
    """A CSV file with a header; null is an empty cell. A text that a spreadsheet would run as a
    formula gets an apostrophe in front."""
    async with aclosing(steps):
        async for step in steps:
            match step.WhichOneof("step"):
                case "header":
                    yield _csv([unique([column.name for column in step.header.columns])])
                case "rows":
                    yield _csv(json.loads(step.rows.json))
                case "summary":
                    _check_whole(step.summary, cut_is_told)
                    return
    raise broken()


def truncated(rows: int) -> SluiceError:
    """What an answer is that has `rows` rows and should have more."""
    return error(
        ErrorReason.ERROR_REASON_QUERY_TRUNCATED,
        f"The query has more than the {rows:,} rows that are answered.",
        metadata={"rows": str(rows)},
    )


def broken() -> IncompleteResponseError:
    """The service left without a word."""
    message = "The Druid gateway ended the answer before its summary."
    return IncompleteResponseError(error(ErrorReason.ERROR_REASON_INTERNAL, message))


def as_json(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _check_whole(summary: QuerySummary, cut_is_told: bool) -> None:
    if summary.truncated and not cut_is_told:
        raise IncompleteResponseError(truncated(summary.row_count))


def _csv(rows: list[list[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(
        [_cell(value) for value in row] for row in rows
    )
    return out.getvalue().encode()


def _cell(value: object) -> object:
    match value:
        case bool():
            return "true" if value else "false"
        case list() | dict():
            return json.dumps(value, ensure_ascii=False)
        case str():
            return without_formula(value)
        case _:
            return value

"""Query results as NDJSON and CSV. A response that ends normally is complete, or its header says
that the client's limit cut it. Any other response ends abruptly, so that clients see a failed
transfer.
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
"""Formats the steps of a result. The second argument: whether the header says if the result is cut.

Raises:
    IncompleteResponseError: the query failed, or the result is cut and the header does not say so.
"""


async def ndjson(
    steps: AsyncGenerator[QueryResponse, None], cut_announced: bool
) -> AsyncGenerator[bytes, None]:
    """One JSON object per line and row. The last line of an incomplete result has `error` as its
    only key."""
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
                        _check_complete(step.summary, cut_announced)
                        return
        raise missing_summary()
    except IncompleteResponseError as incomplete:
        yield as_json({"error": wire.problem(incomplete.failure.problem).model_dump()}) + b"\n"
        raise


async def as_csv(
    steps: AsyncGenerator[QueryResponse, None], cut_announced: bool
) -> AsyncGenerator[bytes, None]:
    """A CSV file with a header; null is an empty cell. Text that a spreadsheet would evaluate as a
    formula gets an apostrophe prefix."""
    async with aclosing(steps):
        async for step in steps:
            match step.WhichOneof("step"):
                case "header":
                    yield _csv([unique([column.name for column in step.header.columns])])
                case "rows":
                    yield _csv(json.loads(step.rows.json))
                case "summary":
                    _check_complete(step.summary, cut_announced)
                    return
    raise missing_summary()


def truncated(rows: int) -> SluiceError:
    """QUERY_TRUNCATED for a result that was cut after `rows` rows."""
    return error(
        ErrorReason.ERROR_REASON_QUERY_TRUNCATED,
        f"The result was cut after {rows:,} rows; the query has more.",
        metadata={"rows": str(rows)},
    )


def missing_summary() -> IncompleteResponseError:
    """The error of a result stream that ends without a summary."""
    message = "The Druid gateway ended the result before its summary."
    return IncompleteResponseError(error(ErrorReason.ERROR_REASON_INTERNAL, message))


def as_json(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _check_complete(summary: QuerySummary, cut_announced: bool) -> None:
    if summary.truncated and not cut_announced:
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

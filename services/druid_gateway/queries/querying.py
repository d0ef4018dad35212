"""Runs users' queries. Druid's lines become batches of JSON rows unchanged, so that numbers stay
exact.
"""

import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic

from services.common import errors, logs
from services.druid_gateway.ports import Druid, Value
from services.druid_gateway.queries import query_guard
from sluice.common.v1.errors_pb2 import ErrorReason

DEFAULT_LIMIT = 1_000
DEFAULT_TIMEOUT_MS = 30_000
ALL_ROWS_TIMEOUT_MS = 300_000
"""Timeout of a query for all rows. Most of the time is the client's reading."""

BATCH_BYTES = 256 * 1024
BATCH_ROWS = 5_000


@dataclass(frozen=True)
class Header:
    """Start of a result. `columns`: names and SQL types."""

    query_id: str
    columns: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Batch:
    """Some rows of a result, as a JSON array of arrays."""

    json: bytes
    count: int


@dataclass(frozen=True)
class Summary:
    """End of a result."""

    rows: int
    truncated: bool
    elapsed_ms: int


async def run(
    druid: Druid,
    sql: str,
    limit: int,
    timeout_ms: int,
    max_bytes: int,
    parameters: Sequence[Value] = (),
) -> AsyncGenerator[Header | Batch | Summary]:
    """Run a query: yield its header, batches and summary. If they are not read to the end, the
    query is cancelled in Druid.

    Raises:
        SluiceError: QUERY_INVALID, QUERY_FORBIDDEN, QUERY_TOO_EXPENSIVE, QUERY_TIMEOUT,
            QUERY_TOO_LARGE (also over `max_bytes`), QUERY_FAILED, DRUID_UNAVAILABLE.
    """
    statement = query_guard.check(sql, parameters)
    query_id = str(uuid.uuid4())
    started = monotonic()
    ended = False
    try:
        # One row beyond the limit shows whether there are more.
        async with druid.query(
            statement.sql,
            query_id,
            limit + 1,
            timeout_ms,
            parameters,
            statement.max_subquery_rows,
        ) as lines:
            yield Header(query_id, await _columns(lines))
            count = 0
            async with aclosing(_batches(lines, limit + 1, max_bytes)) as batches:
                async for rows in batches:
                    kept = rows[: limit - count]
                    count += len(rows)
                    if kept:
                        yield Batch(b"[" + b",".join(kept) + b"]", len(kept))
            ended = count <= limit
        yield Summary(min(count, limit), count > limit, round((monotonic() - started) * 1000))
    finally:
        if not ended:
            await druid.cancel_query(query_id)
            logs.get().info("query.cancelled", query_id=query_id)


async def _columns(lines: AsyncIterator[bytes]) -> list[tuple[str, str]]:
    try:
        names, _native, types = [json.loads(await anext(lines)) for _ in range(3)]
    except (StopAsyncIteration, ValueError) as failure:
        message = "Druid's response to the query has no header."
        raise errors.error(ErrorReason.ERROR_REASON_QUERY_FAILED, message) from failure
    return list(zip(names, types, strict=True))


async def _batches(
    lines: AsyncIterator[bytes], max_rows: int, max_bytes: int
) -> AsyncGenerator[list[bytes]]:
    """Yield the rows in batches; read at most `max_rows`."""
    batch: list[bytes] = []
    batch_bytes = total_bytes = rows = 0
    async for line in lines:
        batch.append(line)
        rows += 1
        batch_bytes += len(line)
        total_bytes += len(line)
        if total_bytes > max_bytes:
            message = f"The result exceeds the limit of {max_bytes:,} bytes per query."
            raise errors.error(ErrorReason.ERROR_REASON_QUERY_TOO_LARGE, message)
        if batch_bytes >= BATCH_BYTES or len(batch) >= BATCH_ROWS:
            yield batch
            batch, batch_bytes = [], 0
        if rows >= max_rows:
            break
    if batch:
        yield batch

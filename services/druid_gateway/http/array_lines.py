"""Druid's `arrayLines` format: one JSON array per line, then an empty line if the result is complete."""

from collections.abc import AsyncIterator

from services.common import errors
from services.druid_gateway.http.answers import cut_off
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_LINE_BYTES = 4 * 1024 * 1024
"""Maximum length of a line, which must fit into one message."""


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines of a result, without the empty one.

    Raises:
        SluiceError: QUERY_FAILED if the result ends without its empty line, QUERY_TOO_LARGE if a
            line is too long.
    """
    rest = b""
    complete = False
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if complete:
                raise cut_off()
            if line:
                yield line
            else:
                complete = True
        if len(rest) > MAX_LINE_BYTES:
            raise errors.error(
                ErrorReason.ERROR_REASON_QUERY_TOO_LARGE,
                f"A row of the result is larger than {MAX_LINE_BYTES:,} bytes.",
            )
    if not complete or rest:
        raise cut_off()

"""Druid's `arrayLines` answers: one JSON array a line, and a blank line at the very end of a
complete answer.
"""

from collections.abc import AsyncIterator

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_LINE_BYTES = 4 * 1024 * 1024
"""Longest line; it has to fit into one message."""


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The answer's lines without the blank one.

    Raises:
        SluiceError: QUERY_FAILED where the answer ends without its blank line, QUERY_TOO_LARGE for
            a line that is too long.
    """
    rest = b""
    complete = False
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if complete:
                raise _cut()
            if line:
                yield line
            else:
                complete = True
        if len(rest) > MAX_LINE_BYTES:
            raise errors.error(
                ErrorReason.ERROR_REASON_QUERY_TOO_LARGE,
                f"A row of the answer has over {MAX_LINE_BYTES:,} bytes.",
            )
    if not complete or rest:
        raise _cut()


def _cut() -> errors.SluiceError:
    return errors.error(
        ErrorReason.ERROR_REASON_QUERY_FAILED, "Druid broke off its answer to the query."
    )

"""The outcome of a client-streaming call."""

from collections.abc import Coroutine
from typing import Any

import grpc
from grpc import aio


async def answered(call: Any) -> Any:
    """Return the answer to a call with a stream of requests, or raise the server's error.

    A server that rejects a stream early sends its status, and then a write of the client fails.
    grpc.aio replaces the status with that failure (INTERNAL, no metadata). Whichever comes first,
    this raises the server's status.
    """
    ended: list[aio.AioRpcError] = []
    call.add_done_callback(lambda done: ended.append(_outcome(done)))
    try:
        return await call
    except aio.AioRpcError as failure:
        from_server = (
            each
            for each in (failure, *ended)
            if each.trailing_metadata() or each.code() is not grpc.StatusCode.INTERNAL
        )
        raise next(from_server, failure) from None


def _outcome(done: Any) -> aio.AioRpcError:
    """Return the status of a call that just ended."""
    code, details, trailing = (
        _result(query) for query in (done.code(), done.details(), done.trailing_metadata())
    )
    return aio.AioRpcError(code, aio.Metadata(), trailing or aio.Metadata(), details)


def _result(query: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that does not wait, such as `code()` of a finished call."""
    try:
        query.send(None)
    except StopIteration as answer:
        return answer.value
    query.close()
    raise RuntimeError("a query of a finished call must not wait")

"""The end of a stream that we write."""

from collections.abc import Coroutine
from typing import Any

import grpc
from grpc import aio


async def answered(call: Any) -> Any:
    """The answer to a call with a stream of requests.

    A server that refuses a stream while we still write to it sends its status, and then a write of
    ours fails. grpc.aio replaces the status by that failure (INTERNAL, no metadata). Whichever of
    the two comes first, the server's is raised here.
    """
    ended: list[aio.AioRpcError] = []
    call.add_done_callback(lambda done: ended.append(_outcome(done)))
    try:
        return await call
    except aio.AioRpcError as failure:
        told = (
            one
            for one in (failure, *ended)
            if one.trailing_metadata() or one.code() is not grpc.StatusCode.INTERNAL
        )
        raise next(told, failure) from None


def _outcome(done: Any) -> aio.AioRpcError:
    """How a call ended, as it is known at the moment it ends."""
    code, details, trailing = (
        _at_once(question) for question in (done.code(), done.details(), done.trailing_metadata())
    )
    return aio.AioRpcError(code, aio.Metadata(), trailing or aio.Metadata(), details)


def _at_once(question: Coroutine[Any, Any, Any]) -> Any:
    """Result of a coroutine that waits for nothing, such as the questions to a call that is
    done.
    """
    try:
        question.send(None)
    except StopIteration as answer:
        return answer.value
    question.close()
    raise RuntimeError("a finished call has to answer at once")

"""Errors that carry a stable code, a place and what to do, and their way through gRPC and HTTP."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.common import enums
from sluice.common.v1 import errors_pb2
from sluice.common.v1.errors_pb2 import Actor, ErrorReason, Problem, ReasonInfo

Answer = TypeVar("Answer")
StreamedAnswer = TypeVar("StreamedAnswer", covariant=True)


class AnswerStream(Protocol[StreamedAnswer]):
    """A call that answers with a stream, as grpc.aio has it."""

    def __aiter__(self) -> AsyncIterator[StreamedAnswer]: ...

    def cancel(self) -> bool: ...


DOMAIN = "sluice"
"""`domain` of our google.rpc.ErrorInfo."""

MAX_VALUE_CHARS = 200
"""Longest offending value that is repeated to a person."""

MAX_MESSAGE_BYTES = 1500
MAX_FACT_BYTES = 400
MAX_METADATA_BYTES = 1000
"""Longest texts of a gRPC status. It travels in a header, and clients refuse headers of more than 8
KiB: the code would be lost with them."""

_STATUS_MESSAGE_BYTES = 200

_PREFIX = "ERROR_REASON_"

_SURROGATES = re.compile("[\ud800-\udfff]")


def code_of(reason: "ErrorReason.ValueType") -> str:
    """The code as users see it, for example FILE_TOO_LARGE; ERROR_ and the number for one that only
    a newer release knows."""
    name = enums.short_name(ErrorReason.DESCRIPTOR, reason)
    return f"ERROR_{reason}" if name == enums.UNKNOWN else name


def reason_of(code: str) -> "ErrorReason.ValueType":
    """The reason of a code; INTERNAL for a code that this build does not know."""
    try:
        return ErrorReason.Value(_PREFIX + code)
    except ValueError:
        return ErrorReason.ERROR_REASON_INTERNAL


def info_of(reason: "ErrorReason.ValueType") -> ReasonInfo:
    """Statuses, actor and default action of a reason, as its comment in errors.proto declares them;
    those of INTERNAL for one that this build does not know."""
    values = ErrorReason.DESCRIPTOR.values_by_number
    value = values.get(reason, values[ErrorReason.ERROR_REASON_INTERNAL])
    return value.GetOptions().Extensions[errors_pb2.reason]


def actor_name(actor: "Actor.ValueType") -> str:
    """you, admin or nobody."""
    return enums.short_name(Actor.DESCRIPTOR, actor).lower()


def encodable(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which no UTF-8 has and protobuf refuses."""
    return _SURROGATES.sub("\ufffd", text)


def problem(
    reason: "ErrorReason.ValueType",
    message: str,
    *,
    line: int | None = None,
    column: str = "",
    value: object = "",
    action: str = "",
) -> Problem:
    """A Problem with the reason's own action and actor where no better action is given. Whatever a
    client sent may stand in its texts: see `encodable`."""
    info = info_of(reason)
    return Problem(
        code=reason,
        message=encodable(message),
        line=line,
        column=encodable(column),
        value=encodable(str(value)[:MAX_VALUE_CHARS]),
        action=action or info.action,
        actor=info.actor,
    )


@dataclass
class SluiceError(Exception):
    """Something that a caller is told about.

    `metadata` are further facts for programs, such as limit_bytes; keys as the reason's comment in
    errors.proto names them.
    """

    problem: Problem
    metadata: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.problem.message}"

    @property
    def reason(self) -> "ErrorReason.ValueType":
        return self.problem.code

    @property
    def code(self) -> str:
        return code_of(self.problem.code)


def error(
    reason: "ErrorReason.ValueType",
    message: str,
    *,
    line: int | None = None,
    column: str = "",
    value: object = "",
    action: str = "",
    metadata: dict[str, str] | None = None,
) -> SluiceError:
    """A SluiceError, ready to be raised."""
    return SluiceError(
        problem(reason, message, line=line, column=column, value=value, action=action),
        metadata or {},
    )


def to_status(failure: SluiceError) -> grpc.Status:
    """The error as a gRPC status with ErrorInfo (code, metadata) and the whole Problem as
    details.
    """
    info = info_of(failure.reason)
    told = Problem()
    told.CopyFrom(failure.problem)
    told.message = _cut(told.message, MAX_MESSAGE_BYTES)
    told.column, told.value = _cut(told.column, MAX_FACT_BYTES), _cut(told.value, MAX_FACT_BYTES)
    metadata = {key: _cut(value, MAX_METADATA_BYTES) for key, value in failure.metadata.items()}
    facts = {**_places(told), **metadata}
    details = [
        error_details_pb2.ErrorInfo(reason=failure.code, domain=DOMAIN, metadata=facts),
        told,
    ]
    packed = []
    for detail in details:
        wrapped = any_pb2.Any()
        wrapped.Pack(detail)
        packed.append(wrapped)
    status = status_pb2.Status(
        code=info.grpc or grpc.StatusCode.INTERNAL.value[0],
        message=_cut(told.message, _STATUS_MESSAGE_BYTES),
        details=packed,
    )
    return rpc_status.to_status(status)


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode("utf-8", "ignore")


def _places(found: Problem) -> dict[str, str]:
    places = {
        "column": found.column,
        "value": found.value,
        "action": found.action,
        "actor": actor_name(found.actor),
    }
    if found.HasField("line"):
        places["line"] = str(found.line)
    return {key: value for key, value in places.items() if value}


async def answered(call: Awaitable[Answer], service: str) -> Answer:
    """What a unary call of another service answers.

    Raises:
        SluiceError: what `from_rpc` makes of the call's failure.
    """
    try:
        return await call
    except grpc.RpcError as failure:
        raise from_rpc(failure, service) from failure


async def streamed(
    start: Callable[[], AnswerStream[Answer]], service: str
) -> AsyncGenerator[Answer, None]:
    """What a streaming call of another service answers. The call starts with the first item asked
    for, and is cancelled when the generator is closed.

    Raises:
        SluiceError: what `from_rpc` makes of the call's failure.
    """
    call = start()
    try:
        async for answer in call:
            yield answer
    except grpc.RpcError as failure:
        raise from_rpc(failure, service) from failure
    finally:
        call.cancel()


def from_rpc(failure: grpc.RpcError, service: str) -> SluiceError:
    """What a call of another service failed with. A failure that carries no Problem becomes
    SERVICE_UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED or INTERNAL and names `service`.
    """
    status = rpc_status.from_call(failure)
    if status is not None:
        found, metadata = Problem(), {}
        for detail in status.details:
            if detail.Is(Problem.DESCRIPTOR):
                detail.Unpack(found)
            elif detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                metadata = dict(info.metadata)
        if found.code:
            return SluiceError(
                found,
                {
                    k: v
                    for k, v in metadata.items()
                    if k not in {"line", "column", "value", "action", "actor"}
                },
            )
    status_code = (
        failure.code()
        if isinstance(failure, grpc.Call | grpc.aio.AioRpcError)
        else grpc.StatusCode.UNKNOWN
    )
    named = {"service": service}
    match status_code:
        case grpc.StatusCode.UNAVAILABLE:
            return error(
                ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
                f"The {service} service does not answer.",
                metadata=named,
            )
        case grpc.StatusCode.UNIMPLEMENTED:
            # During an update of the services one after the other.
            message = f"The {service} service is of another release and does not know this call."
            return error(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, message, metadata=named)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return error(
                ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
                f"The {service} service did not answer in time.",
                metadata=named,
            )
        case grpc.StatusCode.CANCELLED:
            return error(
                ErrorReason.ERROR_REASON_CANCELLED,
                f"The call of the {service} service was cancelled.",
                metadata=named,
            )
        case _:
            return error(
                ErrorReason.ERROR_REASON_INTERNAL,
                f"The {service} service failed ({status_code.name}).",
                metadata=named,
            )

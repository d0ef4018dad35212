"""Errors with a stable code, a location and an action, and their translation to and from gRPC."""

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
    """A call with a streamed response, as returned by grpc.aio."""

    def __aiter__(self) -> AsyncIterator[StreamedAnswer]: ...

    def cancel(self) -> bool: ...


DOMAIN = "sluice"
"""`domain` in google.rpc.ErrorInfo."""

MAX_VALUE_CHARS = 200
"""Longest invalid value that a Problem repeats."""

MAX_MESSAGE_BYTES = 1500
MAX_FIELD_BYTES = 400
MAX_METADATA_BYTES = 1000
"""Longest texts in a gRPC status. It is sent in a header, and clients reject headers longer than
8 KiB, including the code in them.
"""

_STATUS_MESSAGE_BYTES = 200

_RPC_FAILURES = {
    grpc.StatusCode.UNAVAILABLE: (
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        "The {service} service does not answer.",
    ),
    # Happens during a rolling update.
    grpc.StatusCode.UNIMPLEMENTED: (
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        "The {service} service is of another release and does not know this call.",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
        "The {service} service did not answer in time.",
    ),
    grpc.StatusCode.CANCELLED: (
        ErrorReason.ERROR_REASON_CANCELLED,
        "The call of the {service} service was cancelled.",
    ),
}
"""Reason and message for failures of a call without a Problem."""

_PREFIX = "ERROR_REASON_"

_SURROGATES = re.compile("[\ud800-\udfff]")


def code_of(reason: "ErrorReason.ValueType") -> str:
    """Return the code that users see, such as FILE_TOO_LARGE.

    For a reason of a newer release it is ERROR_ and the number.
    """
    name = enums.short_name(ErrorReason.DESCRIPTOR, reason)
    return f"ERROR_{reason}" if name == enums.UNKNOWN else name


def reason_of(code: str) -> "ErrorReason.ValueType":
    """Return the reason of a code; INTERNAL if this release does not know the code."""
    try:
        return ErrorReason.Value(_PREFIX + code)
    except ValueError:
        return ErrorReason.ERROR_REASON_INTERNAL


def info_of(reason: "ErrorReason.ValueType") -> ReasonInfo:
    """Return the statuses, actor and default action of a reason, as declared in errors.proto.

    A reason that this release does not know has those of INTERNAL.
    """
    values = ErrorReason.DESCRIPTOR.values_by_number
    value = values.get(reason, values[ErrorReason.ERROR_REASON_INTERNAL])
    return value.GetOptions().Extensions[errors_pb2.reason]


def actor_name(actor: "Actor.ValueType") -> str:
    """Return the name that users see: you, admin or nobody."""
    return enums.short_name(Actor.DESCRIPTOR, actor).lower()


def encodable(text: str) -> str:
    """Replace lone surrogates by U+FFFD. UTF-8 cannot encode them, and protobuf rejects them."""
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
    """Create a Problem, by default with the action of its reason.

    The texts may contain any input of a client: `encodable` cleans them.
    """
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
    """An error that reaches the caller.

    `metadata` has further facts for programs, such as limit_bytes. The comment of the reason in
    errors.proto names the keys.
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
    """Create a SluiceError with a Problem; see `problem`."""
    return SluiceError(
        problem(reason, message, line=line, column=column, value=value, action=action),
        metadata or {},
    )


def to_status(failure: SluiceError) -> grpc.Status:
    """Convert the error to a gRPC status whose details are an ErrorInfo and the Problem.

    Texts are shortened to the limits above.
    """
    info = info_of(failure.reason)
    shortened = Problem()
    shortened.CopyFrom(failure.problem)
    shortened.message = _shorten(shortened.message, MAX_MESSAGE_BYTES)
    shortened.column = _shorten(shortened.column, MAX_FIELD_BYTES)
    shortened.value = _shorten(shortened.value, MAX_FIELD_BYTES)
    metadata = _fields(shortened) | {
        key: _shorten(value, MAX_METADATA_BYTES) for key, value in failure.metadata.items()
    }
    packed = [any_pb2.Any(), any_pb2.Any()]
    packed[0].Pack(
        error_details_pb2.ErrorInfo(reason=failure.code, domain=DOMAIN, metadata=metadata)
    )
    packed[1].Pack(shortened)
    status = status_pb2.Status(
        code=info.grpc or grpc.StatusCode.INTERNAL.value[0],
        message=_shorten(shortened.message, _STATUS_MESSAGE_BYTES),
        details=packed,
    )
    return rpc_status.to_status(status)


def _shorten(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def _fields(found: Problem) -> dict[str, str]:
    """The fields of a Problem as metadata, for clients that read only ErrorInfo."""
    fields = {
        "column": found.column,
        "value": found.value,
        "action": found.action,
        "actor": actor_name(found.actor),
    }
    if found.HasField("line"):
        fields["line"] = str(found.line)
    return {key: value for key, value in fields.items() if value}


async def answered(call: Awaitable[Answer], service: str) -> Answer:
    """Return the response of a unary call to another service.

    Raises:
        SluiceError: the call failed; see `from_rpc`.
    """
    try:
        return await call
    except grpc.RpcError as failure:
        raise from_rpc(failure, service) from failure


async def streamed(
    start: Callable[[], AnswerStream[Answer]], service: str
) -> AsyncGenerator[Answer, None]:
    """Yield the responses of a streaming call to another service.

    The call starts when the first response is requested. Closing the generator cancels it.

    Raises:
        SluiceError: the call failed; see `from_rpc`.
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
    """Convert the failure of a call to another service.

    A failure without a Problem becomes SERVICE_UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED or
    INTERNAL, with the name of the service.
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
    reason, text = _RPC_FAILURES.get(
        status_code,
        (
            ErrorReason.ERROR_REASON_INTERNAL,
            f"The {{service}} service failed ({status_code.name}).",
        ),
    )
    return error(reason, text.format(service=service), metadata={"service": service})

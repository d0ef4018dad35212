"""The exception of this package."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from sluice.common.v1.errors_pb2 import Actor, ErrorReason, Problem
from sluice_client.enums import UNKNOWN, short_name

_BY_STATUS = {
    grpc.StatusCode.UNAVAILABLE: (
        "SERVICE_UNAVAILABLE",
        "does not answer",
        "Check its address, and try again in a moment.",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "DEADLINE_EXCEEDED",
        "did not answer in time",
        "Try again in a moment.",
    ),
    grpc.StatusCode.CANCELLED: ("CANCELLED", "cancelled the call", "Try again in a moment."),
    grpc.StatusCode.UNIMPLEMENTED: (
        "NOT_FOUND",
        "does not implement this call",
        "Check its address, and that client and server have compatible versions.",
    ),
}


class SluiceClientError(Exception):
    """A call failed.

    Attributes:
        code: The stable code, such as FILE_TOO_LARGE: the name of an ErrorReason without prefix.
        message: What happened, in one sentence.
        action: What to do.
        actor: Who has to act: you, admin or nobody.
        line: Line in the file, or None.
        column: Column of the file, or field of the request; may be empty.
        value: The invalid value; may be empty.
        metadata: Details for programs, such as limit_bytes.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        action: str = "",
        actor: str = "",
        line: int | None = None,
        column: str = "",
        value: str = "",
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.action = action
        self.actor = actor
        self.line = line
        self.column = column
        self.value = value
        self.metadata = metadata or {}

    @classmethod
    def of_problem(
        cls, problem: Problem, metadata: dict[str, str] | None = None
    ) -> "SluiceClientError":
        """Return the error that a Problem describes."""
        code = short_name(ErrorReason.DESCRIPTOR, problem.code)
        return cls(
            f"ERROR_{problem.code}" if code == UNKNOWN else code,
            problem.message,
            action=problem.action,
            actor=short_name(Actor.DESCRIPTOR, problem.actor).lower() if problem.actor else "",
            line=problem.line if problem.HasField("line") else None,
            column=problem.column,
            value=problem.value,
            metadata=metadata,
        )

    @classmethod
    def of_rpc(cls, failure: grpc.aio.AioRpcError, service: str) -> "SluiceClientError":
        """Return the error of a failed call, from its details or else its status code."""
        status = rpc_status.from_call(failure)
        problem, info = Problem(), error_details_pb2.ErrorInfo()
        for detail in status.details if status is not None else ():
            if detail.Is(Problem.DESCRIPTOR):
                detail.Unpack(problem)
            elif detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                detail.Unpack(info)
        if problem.code:
            return cls.of_problem(problem, dict(info.metadata))
        code, predicate, action = _BY_STATUS.get(
            failure.code(), ("INTERNAL", f"failed ({failure.code().name})", "Report this.")
        )
        return cls(
            code,
            f"The {service} service {predicate}.",
            action=action,
            metadata={"service": service},
        )

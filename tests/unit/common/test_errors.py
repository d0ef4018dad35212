"""An error keeps its code, location and action over gRPC."""

import grpc
import pytest
from grpc import aio
from hypothesis import given
from hypothesis import strategies as st

from services.common import errors
from sluice.common.v1.errors_pb2 import Actor, ErrorReason, Problem
from tests.unit.unknown_values import filled


class Failed(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    """The error of a client whose call was aborted with a status."""

    def __init__(self, status: grpc.Status) -> None:
        self._status = status

    def code(self) -> grpc.StatusCode:
        return self._status.code

    def details(self) -> str:
        return str(self._status.details)

    def trailing_metadata(self) -> object:
        return self._status.trailing_metadata


TEXT = st.text(max_size=60)


@given(
    reason=st.sampled_from([reason for reason in ErrorReason.values() if reason]),
    message=TEXT.filter(bool),
    line=st.none() | st.integers(1, 2**40),
    column=TEXT,
    value=TEXT,
    metadata=st.dictionaries(st.sampled_from(["limit_bytes", "expected_offset", "trace_id"]), TEXT),
)
def test_round_trip(
    reason: "ErrorReason.ValueType",
    message: str,
    line: int | None,
    column: str,
    value: str,
    metadata: dict[str, str],
) -> None:
    sent = errors.error(reason, message, line=line, column=column, value=value, metadata=metadata)
    received = errors.from_rpc(Failed(errors.to_status(sent)), "upload")
    assert received.problem == sent.problem
    assert received.metadata == metadata
    assert received.problem.HasField("line") == (line is not None)


def test_defaults_come_from_the_reason() -> None:
    problem = errors.problem(ErrorReason.ERROR_REASON_FILE_TOO_LARGE, "Too long.")
    assert problem.action == errors.info_of(ErrorReason.ERROR_REASON_FILE_TOO_LARGE).action
    assert problem.actor == Actor.ACTOR_YOU
    assert (
        errors.problem(
            ErrorReason.ERROR_REASON_FILE_TOO_LARGE, "Too long.", action="Cut it."
        ).action
        == "Cut it."
    )


def test_long_values_are_shortened() -> None:
    assert (
        len(errors.problem(ErrorReason.ERROR_REASON_VALUE_MISFIT, "x", value="v" * 10_000).value)
        == errors.MAX_VALUE_CHARS
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.CANCELLED, "CANCELLED"),
        (grpc.StatusCode.UNKNOWN, "INTERNAL"),
    ],
)
def test_failures_without_a_problem_name_the_service(code: grpc.StatusCode, expected: str) -> None:
    failed = aio.AioRpcError(code, aio.Metadata(), aio.Metadata(), details="socket closed")
    seen = errors.from_rpc(failed, "upload")
    assert seen.code == expected
    assert "upload" in seen.problem.message
    assert seen.metadata == {"service": "upload"}


def test_a_code_of_a_newer_release_is_internal() -> None:
    assert errors.reason_of("FROM_THE_FUTURE") == ErrorReason.ERROR_REASON_INTERNAL


def test_the_problem_is_the_error() -> None:
    raised = errors.SluiceError(
        Problem(code=ErrorReason.ERROR_REASON_FILE_EMPTY, message="Nothing in it.")
    )
    assert str(raised) == "FILE_EMPTY: Nothing in it."


def test_a_reason_of_a_newer_release_is_passed_on() -> None:
    newer = errors.SluiceError(filled(Problem(message="Too new.", action="Wait.")))
    received = errors.from_rpc(Failed(errors.to_status(newer)), "upload")
    assert (received.code, received.problem) == ("ERROR_9999", newer.problem)
    assert errors.reason_of(received.code) == ErrorReason.ERROR_REASON_INTERNAL

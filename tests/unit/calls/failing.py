"""The n-th call that leaves our own code fails, in one of five ways."""

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import asyncpg

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason


class Kind(StrEnum):
    """What happens to a call."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    RESET = "reset after the effect"
    SERVER_ERROR = "5xx"
    GARBAGE = "garbage"


LATE = frozenset({Kind.RESET, Kind.GARBAGE})
"""Kinds in which the call took effect and only its answer is bad."""

Boundary = Mapping[Kind, Callable[[], Exception]]
"""What our own adapter raises for each kind: the port's word for it, or, for an answer that nobody
foresaw, a fault of ours.
"""


def _raising(reason: "ErrorReason.ValueType", **others: "ErrorReason.ValueType") -> Boundary:
    def make(code: "ErrorReason.ValueType") -> Callable[[], Exception]:
        return lambda: errors.error(code, "It failed as planned.")

    return {
        Kind.REFUSED: make(reason),
        Kind.TIMEOUT: make(others.get("timeout", reason)),
        Kind.RESET: make(reason),
        Kind.SERVER_ERROR: make(others.get("server_error", reason)),
        Kind.GARBAGE: lambda: ValueError("an answer that cannot be decoded"),
    }


S3 = _raising(ErrorReason.ERROR_REASON_STORAGE_UNAVAILABLE)
GRPC = _raising(
    ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
    timeout=ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
    server_error=ErrorReason.ERROR_REASON_INTERNAL,
)
POSTGRESQL: Boundary = {
    **_raising(ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE),
    Kind.SERVER_ERROR: lambda: asyncpg.InternalServerError("cache lookup failed for relation 0"),
}


@dataclass
class Plan:
    """Fails call number `at`, from 1; none where it is 0."""

    kind: Kind = Kind.REFUSED
    at: int = 0
    calls: list[str] = field(default_factory=list)

    @property
    def fired(self) -> bool:
        """Whether there was such a call."""
        return 0 < self.at <= len(self.calls)

    def next(self, name: str) -> "Call":
        """The call that begins now."""
        self.calls.append(name)
        return Call(self.kind if len(self.calls) == self.at else None)


@dataclass(frozen=True)
class Call:
    """One call, and what is to happen to it."""

    kind: Kind | None

    def before(self, boundary: Boundary) -> None:
        """Raises where the call is not to take effect."""
        if self.kind is not None and self.kind not in LATE:
            raise boundary[self.kind]()

    def after(self, boundary: Boundary) -> None:
        """Raises where only its answer is lost or broken."""
        if self.kind in LATE:
            raise boundary[self.kind]()


class Failing:
    """A port between our code and a fake of ours. Only the methods that wait for somebody can
    fail.
    """

    def __init__(self, port: object, boundary: Boundary, plan: Plan) -> None:
        self._port, self._boundary, self._plan = port, boundary, plan

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._port, name)
        if inspect.isasyncgenfunction(real):
            return lambda *given, **named: self._stream(name, real, *given, **named)
        if inspect.iscoroutinefunction(real):
            return lambda *given, **named: self._call(name, real, *given, **named)
        return real

    async def _call(self, name: str, real: Callable[..., Any], *given: Any, **named: Any) -> Any:
        call = self._plan.next(name)
        call.before(self._boundary)
        answer = await real(*given, **named)
        call.after(self._boundary)
        return answer

    async def _stream(
        self, name: str, real: Callable[..., Any], *given: Any, **named: Any
    ) -> AsyncGenerator[Any, None]:
        """Breaks before the first message, or in place of the last."""
        call = self._plan.next(name)
        call.before(self._boundary)
        waiting: list[Any] = []
        async for answer in real(*given, **named):
            for before in waiting:
                yield before
            waiting = [answer]
        call.after(self._boundary)
        for last in waiting:
            yield last


class UntruthfulError(AssertionError):
    """A case did not end in the truth."""


class Stage(Protocol):
    """A stage between fakes: runs with a plan until it has ended, and raises UntruthfulError unless
    what it says is true.
    """

    async def __call__(self, plan: Plan) -> None: ...


def hold(condition: bool, what: str) -> None:
    """Raises UntruthfulError unless the condition holds."""
    if not condition:
        raise UntruthfulError(what)


@dataclass
class Outcome:
    """The cases of one stage."""

    cases: int = 0
    untruthful: list[str] = field(default_factory=list)


async def every_call(name: str, stage: Stage) -> Outcome:
    """Fails call 1, 2, 3, ... in each way until a run has no further call to fail."""
    outcome = Outcome()
    for kind in Kind:
        plan = Plan(kind, 1)
        while True:
            await _judge(name, stage, plan, outcome)
            if not plan.fired:
                break
            outcome.cases += 1
            plan = Plan(kind, plan.at + 1)
    return outcome


async def _judge(name: str, stage: Stage, plan: Plan, outcome: Outcome) -> None:
    try:
        await stage(plan)
    except Exception as failure:
        struck = plan.calls[plan.at - 1] if plan.fired else "none"
        outcome.untruthful.append(
            f"{name}, call {plan.at} ({struck}), {plan.kind}: {type(failure).__name__}: {failure}"
        )

"""Shared by all fields: the context of resolvers, scalars, and the translation of errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NewType

import strawberry
from graphql import GraphQLError
from strawberry.types import Info
from strawberry.types.scalar import ScalarDefinition

from gateway.http import problems
from gateway.intake.form import IncomingFile
from gateway.live.all_watch import AllWatch
from gateway.live.watches import Watches
from gateway.metrics import Metrics
from gateway.ports import Services
from services.common import logs
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason


@dataclass(frozen=True)
class Context:
    """Dependencies of the resolvers, and facts about the request."""

    services: Services
    watches: Watches
    all_watch: AllWatch
    metrics: Metrics
    request_id: str | None = None
    """The client's Idempotency-Key."""
    client: str = ""
    """Identity of the client; see `gateway.http.clients`."""


ContextInfo = Info[Context, None]

JSON = NewType("JSON", object)
Long = NewType("Long", int)
Upload = NewType("Upload", object)


def parse_upload(value: object) -> IncomingFile:
    if not isinstance(value, IncomingFile):
        raise GraphQLError(
            "An Upload must be sent as a file by the GraphQL multipart request specification."
        )
    return value


def _parse_long(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise GraphQLError("A Long must be a whole number of at most 64 bits.")
    return value


SCALARS: dict[object, ScalarDefinition] = {
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value.",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
    Long: strawberry.scalar(
        name="Long",
        description="A whole number of at most 64 bits.",
        serialize=int,
        parse_value=_parse_long,
    ),
    Upload: strawberry.scalar(
        name="Upload",
        description="A file, sent by the GraphQL multipart request specification.",
        parse_value=parse_upload,
    ),
}


class ProblemError(Exception):
    """A SluiceError as a GraphQL error, with the problem as its `extensions`."""

    def __init__(self, failure: SluiceError) -> None:
        super().__init__(failure.problem.message)
        self.extensions = problems.extensions(failure)


@contextmanager
def translating_errors() -> Iterator[None]:
    """Translate exceptions of a resolver into errors with a code.

    Unexpected exceptions are logged and become INTERNAL, without details.
    """
    try:
        yield
    except SluiceError as failure:
        raise ProblemError(failure) from failure
    except Exception as failure:
        logs.get().error("graphql.failed", exc_info=failure)
        raise ProblemError(problems.internal()) from failure


def in_range(name: str, value: int, least: int, most: int) -> int:
    """Return the value of an argument if it is from `least` to `most`.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    if not least <= value <= most:
        text = f"{name} must be from {least} to {most}."
        raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=name, value=value)
    return value

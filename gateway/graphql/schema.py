"""The GraphQL schema.

`python -m gateway.graphql.schema` writes it to gateway/schema.graphql; with --check it fails if that
file is not up to date.
"""

import argparse
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext
from strawberry.types.execution import ExecutionResult, PreExecutionError

from gateway.graphql import guard
from gateway.graphql.datasources import DatasourceQuery
from gateway.graphql.documents import value_of
from gateway.graphql.history import HistoryQuery
from gateway.graphql.loads import LoadMutation, LoadQuery
from gateway.graphql.quality import QualityMutation, QualityQuery
from gateway.graphql.queries import DataQuery
from gateway.graphql.reports import ReportMutation, ReportQuery
from gateway.graphql.tasks import TaskMutation, TaskQuery, TaskSubscription
from gateway.graphql.types import SCALARS
from gateway.graphql.uploads import UploadMutation

SDL = Path(__file__).parents[1] / "schema.graphql"


@strawberry.type(description="Reads.")
class Query(
    TaskQuery, HistoryQuery, DataQuery, ReportQuery, DatasourceQuery, LoadQuery, QualityQuery
):
    pass


@strawberry.type(description="Writes.")
class Mutation(UploadMutation, TaskMutation, ReportMutation, LoadMutation, QualityMutation):
    pass


@strawberry.type(description="Live updates.")
class Subscription(TaskSubscription):
    pass


class _CheckedDocument(SchemaExtension):
    """Reuses the document that the guard parsed and validated."""

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        context.graphql_document = guard.check(schema._schema, context.query or "").document
        yield

    def on_validate(self) -> Iterator[None]:
        self.execution_context.pre_execution_errors = []
        yield


class _Schema(strawberry.Schema):
    """Passes every document through the guard, over HTTP and WebSocket."""

    async def execute(self, query: str | None, *args: Any, **kwargs: Any) -> ExecutionResult:
        return self._rejection(query) or await super().execute(query, *args, **kwargs)

    async def stream(
        self, query: str | None, *args: Any, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        rejection = self._rejection(query)
        return _single(rejection) if rejection else await super().stream(query, *args, **kwargs)

    def _rejection(self, query: str | None) -> PreExecutionError | None:
        found = guard.check(self._schema, query or "").errors
        return PreExecutionError(data=None, errors=list(found)) if found else None

    def process_errors(
        self, errors: Sequence[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Log nothing: clients see their own errors; `translating_errors` has logged ours."""


async def _single(error: PreExecutionError) -> AsyncGenerator[PreExecutionError, None]:
    yield error


schema = _Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    config=StrawberryConfig(scalar_map=SCALARS, default_resolver=value_of),
    extensions=[_CheckedDocument],
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    text = schema.as_str() + "\n"
    if not parser.parse_args().check:
        SDL.write_text(text)
        return 0
    if SDL.exists() and SDL.read_text() == text:
        return 0
    sys.stderr.write(f"{SDL.name} is not up to date: run `python -m gateway.graphql.schema`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

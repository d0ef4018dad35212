"""The GraphQL schema. `python -m gateway.schema` writes it to schema.graphql; with --check it fails when that file is not current."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import strawberry
from graphql import GraphQLError
from strawberry.extensions import (
    AddValidationRules,
    MaxAliasesLimiter,
    MaxTokensLimiter,
    ParserCache,
    QueryDepthLimiter,
    ValidationCache,
)
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from gateway.datasource_fields import DatasourceQuery
from gateway.graphql_types import SCALARS
from gateway.history_fields import HistoryQuery
from gateway.import_fields import ImportMutation
from gateway.load_fields import LoadMutation, LoadQuery
from gateway.quality_fields import QualityMutation, QualityQuery
from gateway.query_fields import DataQuery
from gateway.report_fields import ReportMutation, ReportQuery
from gateway.task_fields import TaskMutation, TaskQuery, TaskSubscription
from gateway.upload_fields import UploadMutation

SDL = Path(__file__).with_name("schema.graphql")

MAX_DEPTH = 12
MAX_ALIASES = 20
MAX_TOKENS = 2000

DOCUMENTS_KEPT = 64
"""Documents whose parsing and validation are remembered: clients send the same few again and again, and both take milliseconds."""

# Made once: what the documents are validated against is part of the key under which the outcome is remembered.
RULES = [*QueryDepthLimiter(max_depth=MAX_DEPTH).validation_rules, *MaxAliasesLimiter(max_alias_count=MAX_ALIASES).validation_rules]


@strawberry.type(description="Reading.")
class Query(TaskQuery, HistoryQuery, DataQuery, ReportQuery, DatasourceQuery, LoadQuery, QualityQuery):
    pass


@strawberry.type(description="Changing.")
class Mutation(UploadMutation, ImportMutation, TaskMutation, ReportMutation, LoadMutation, QualityMutation):
    pass


@strawberry.type(description="Following.")
class Subscription(TaskSubscription):
    pass


class _Schema(strawberry.Schema):
    def process_errors(self, errors: Sequence[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Nothing: what is the client's fault is told to it, and what is ours was logged by graphql_types.told."""


schema = _Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    config=StrawberryConfig(scalar_map=SCALARS),
    extensions=[
        lambda: AddValidationRules(RULES),
        lambda: MaxTokensLimiter(max_token_count=MAX_TOKENS),
        lambda: ParserCache(maxsize=DOCUMENTS_KEPT),
        lambda: ValidationCache(maxsize=DOCUMENTS_KEPT),
    ],
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
    sys.stderr.write(f"{SDL.name} is not up to date: run `python -m gateway.schema`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

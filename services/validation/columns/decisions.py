"""Decides the types of the columns, the time column and the names in Druid from the evidence."""

from collections.abc import Iterator, Sequence

import polars as pl

from services.common import errors
from services.validation.columns import names
from services.validation.columns.column_types import ColumnFacts, NullTokens, named_like_time
from services.validation.columns.evidence import Evidence
from services.validation.parts.loading import Loading
from services.validation.reading.faults import FileFault
from services.validation.reading.table import Table
from services.validation.report import drift, policy
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import Header, LoadType, ReadOptions, ValidateObjectRequest

MAX_NAME_CHARS = 500
"""Longest name of a column. The report must fit into a gRPC message."""
MAX_NAMES_BYTES = 512 * 1024
"""Limit of all names together."""


def null_tokens(request: ValidateObjectRequest) -> NullTokens:
    """The null tokens that apply to a file."""
    return NullTokens(policy.null_tokens(request.policy, request.options))


def decide(
    request: ValidateObjectRequest,
    source_header: Sequence[str],
    evidence: Evidence,
    table: Table | None = None,
) -> tuple[Loading, int, list[Problem]]:
    """Decides how to load the rows. Also returns the number of blank rows, and the warnings.

    `table`: given if all of its rows are in the evidence.

    Raises:
        FileFault: HEADER_DAMAGED, OPTION_MISFIT.
    """
    rules = policy.rules(request.policy, request.options)
    on_misfit = policy.on_misfit(request.policy)
    if longest := next((name for name in source_header if len(name) > MAX_NAME_CHARS), ""):
        message = (
            f"A column name has {len(longest):,} characters; at most {MAX_NAME_CHARS} are allowed."
        )
        raise FileFault(ErrorReason.ERROR_REASON_HEADER_DAMAGED, message, value=longest)
    if (size := sum(len(name.encode()) for name in source_header)) > MAX_NAMES_BYTES:
        message = f"The column names have {size:,} bytes; at most {MAX_NAMES_BYTES:,} are allowed."
        raise FileFault(ErrorReason.ERROR_REASON_HEADER_DAMAGED, message, value=size)
    facts, blank = evidence.decide(policy.type_share(request.policy), on_misfit, request.options)
    if table is not None and table.has_header and request.options.header != Header.HEADER_YES:
        _check_header(table, facts, null_tokens(request))
    time = _time_column(
        facts,
        by_name=policy.needs_time_name(rules),
        specified=request.options.time_column,
    )
    druid_names, renamed = names.druid_names(source_header, None if time is None else time.position)
    # Columns that are not loaded need no name.
    unloaded = {
        druid_names[fact.position]
        for fact in facts
        if fact.load_type == LoadType.LOAD_TYPE_UNSPECIFIED
    }
    left_out = drift.left_out(request.policy.contract, druid_names)
    warnings = [
        *(problem for problem in renamed if problem.value not in unloaded),
        *_order_assumed(facts),
        *_separators_assumed(facts),
        *_unknown_columns([names.clean(name) for name in source_header], request.options),
        *(_left_out(druid_names[position]) for position in sorted(left_out)),
    ]
    loading = Loading(facts, druid_names, time, null_tokens(request), on_misfit, left_out)
    return loading, blank, warnings


def _left_out(name: str) -> Problem:
    message = f"{name!r} is new; the contract of the datasource leaves it out."
    return errors.problem(ErrorReason.ERROR_REASON_COLUMN_LEFT_OUT, message, column=name)


def _order_assumed(facts: Sequence[ColumnFacts]) -> Iterator[Problem]:
    for fact in facts:
        if fact.order_assumed and fact.time_format is not None:
            order = "day" if fact.time_format.day_first else "month"
            message = f"The dates in {fact.display_name} do not show whether the day or the month comes first; {order} first is assumed."
            yield errors.problem(
                ErrorReason.ERROR_REASON_DAY_MONTH_ASSUMED,
                message,
                column=fact.source_name,
                value=fact.time_format.strptime,
            )


def _separators_assumed(facts: Sequence[ColumnFacts]) -> Iterator[Problem]:
    for fact in facts:
        if fact.separators_assumed:
            character = fact.style.thousands_mark or fact.style.decimal_mark
            kind = "thousands" if fact.style.thousands_mark else "decimal"
            message = (
                f"The numbers in {fact.display_name} do not show whether {character!r} separates "
                f"thousands or decimals; it is assumed to be the {kind} separator."
            )
            yield errors.problem(
                ErrorReason.ERROR_REASON_NUMBER_MARK_ASSUMED,
                message,
                column=fact.source_name,
                value=character,
            )


def _unknown_columns(header: Sequence[str], options: ReadOptions) -> Iterator[Problem]:
    for name in [
        *(column.name for column in options.columns),
        *([options.time_column] if options.time_column else []),
    ]:
        if names.clean(name) not in header:
            message = f"The options name a column {name!r}, which the file does not have."
            yield errors.problem(ErrorReason.ERROR_REASON_OPTION_MISFIT, message, value=name)


def _check_header(table: Table, facts: Sequence[ColumnFacts], null_tokens: NullTokens) -> None:
    """Rejects a header that is data: all columns are numbers and times, and so are their names.

    Raises:
        FileFault: HEADER_DAMAGED.
    """
    named = [fact for fact in facts if fact.source_name]
    typed = [fact for fact in named if fact.is_number or fact.is_time]
    if len(typed) < len(named) or not named:
        return
    first = pl.DataFrame({f"c{fact.position}": [fact.source_name] for fact in typed})
    if all(first.select(fact.typed(null_tokens).is_not_null()).item() for fact in typed):
        line = (
            table.dialect.header_line
            if table.dialect
            else table.sheet.header_row
            if table.sheet
            else 1
        )
        message = f"Line {line} must contain the column names, but it contains numbers or dates like the rows below it."
        raise FileFault(
            ErrorReason.ERROR_REASON_HEADER_DAMAGED,
            message,
            line=line,
            action="Add a header row with one name per column.",
        )


def _time_column(
    facts: Sequence[ColumnFacts], *, by_name: bool, specified: str
) -> ColumnFacts | None:
    if specified:
        name = names.clean(specified)
        return next((fact for fact in facts if fact.is_time and fact.source_name == name), None)

    def rank(fact: ColumnFacts) -> tuple[int, int]:
        name = fact.source_name.lower()
        if name == names.TIME:
            return 0, fact.position
        if "timestamp" in name:
            return 1, fact.position
        return (2 if named_like_time(name) else 3), fact.position

    candidates = [
        fact
        for fact in facts
        if fact.is_time and (named_like_time(fact.source_name) or not by_name)
    ]
    return min(candidates, key=rank, default=None)

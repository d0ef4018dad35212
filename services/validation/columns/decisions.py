"""What the columns are, which of them holds the time, and what they are called in Druid; decided on
the evidence.
"""

from collections.abc import Iterator, Sequence

import polars as pl

from services.common import errors
from services.validation.columns import names
from services.validation.columns.column_types import ColumnFacts, Evidence, Reading, named_like_time
from services.validation.columns.time_formats import TimeFormat
from services.validation.parts.loading import Loading
from services.validation.reading.faults import FileFault
from services.validation.reading.table import Table
from services.validation.report import drift, policy
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import Header, LoadType, ReadOptions, ValidateObjectRequest

MAX_NAME_CHARS = 500
"""Longest name of a column; a longer one is no name, and the report has to stay small enough for a
message.
"""
MAX_NAMES_BYTES = 512 * 1024
"""The same of all names together."""


def reading(request: ValidateObjectRequest) -> Reading:
    """How texts become values."""
    return Reading(policy.null_tokens(request.policy, request.options))


def decide(
    request: ValidateObjectRequest,
    source_header: Sequence[str],
    evidence: Evidence,
    table: Table | None = None,
) -> tuple[Loading, int, list[Problem]]:
    """What the columns are and which rows are loaded, how many rows are blank, and the warnings
    about it. `table`: where all of its rows are in the evidence.

    Raises:
        FileFault: HEADER_DAMAGED, OPTION_MISFIT.
    """
    held = policy.rules(request.policy, request.options)
    on_misfit = policy.on_misfit(request.policy)
    header = [names.clean(name) for name in source_header]
    if longest := next((name for name in source_header if len(name) > MAX_NAME_CHARS), ""):
        message = f"A column has a name of {len(longest):,} characters; at most {MAX_NAME_CHARS} are taken."
        raise FileFault(ErrorReason.ERROR_REASON_HEADER_DAMAGED, message, value=longest)
    if (size := sum(len(name.encode()) for name in source_header)) > MAX_NAMES_BYTES:
        message = f"The names of the columns have {size:,} bytes together; "
        message += f"at most {MAX_NAMES_BYTES:,} are taken."
        raise FileFault(ErrorReason.ERROR_REASON_HEADER_DAMAGED, message, value=size)
    facts, blank = evidence.decide(policy.type_share(request.policy), on_misfit, request.options)
    if table is not None and table.has_header and request.options.header != Header.HEADER_YES:
        _header_is_not_data(table, facts, reading(request))
    time = _time_fact(facts, by_name=policy.needs_time_name(held), said=request.options.time_column)
    druid_names, warnings = names.druid_names(
        source_header, None if time is None else time.position
    )
    # What is not loaded needs no name.
    unloaded = {fact.position for fact in facts if fact.load_type == LoadType.LOAD_TYPE_UNSPECIFIED}
    warnings = [
        warning
        for warning in warnings
        if warning.value not in {druid_names[position] for position in unloaded}
    ]
    warnings += [
        _order_assumed(fact, fact.time_format)
        for fact in facts
        if fact.order_assumed and fact.time_format is not None
    ]
    warnings += _assumptions(facts, header, request.options)
    left_out = drift.left_out(request.policy.contract, druid_names)
    warnings += [_left_out(druid_names[place]) for place in sorted(left_out)]
    return Loading(facts, druid_names, time, reading(request), on_misfit, left_out), blank, warnings


def _left_out(name: str) -> Problem:
    message = f"{name!r} is new and is left out, as the contract of the datasource says."
    return errors.problem(ErrorReason.ERROR_REASON_COLUMN_LEFT_OUT, message, column=name)


def _assumptions(
    facts: Sequence[ColumnFacts], header: Sequence[str], options: ReadOptions
) -> Iterator[Problem]:
    for fact in facts:
        if fact.marks_assumed:
            mark = fact.style.thousands_mark or fact.style.decimal_mark
            what = (
                "stands between thousands" if fact.style.thousands_mark else "is the decimal mark"
            )
            message = (
                f"Nothing in {fact.shown_name} decides whether {mark!r} {what}; it was assumed to."
            )
            yield errors.problem(
                ErrorReason.ERROR_REASON_NUMBER_MARK_ASSUMED,
                message,
                column=fact.source_name,
                value=mark,
            )
    known = set(header)
    for name in [
        *(column.name for column in options.columns),
        *([options.time_column] if options.time_column else []),
    ]:
        if names.clean(name) not in known:
            message = f"Something was said about a column {name!r}, which the file does not have."
            yield errors.problem(ErrorReason.ERROR_REASON_OPTION_MISFIT, message, value=name)


def _header_is_not_data(table: Table, facts: Sequence[ColumnFacts], reading: Reading) -> None:
    """Refuses a table whose first row is as data as those below it: numbers and times where the
    columns have them, and no name.
    """
    named = [fact for fact in facts if fact.source_name]
    typed = [fact for fact in named if fact.is_number or fact.is_time]
    if len(typed) < len(named) or not named:
        return
    first = pl.DataFrame({f"c{fact.position}": [fact.source_name] for fact in typed})
    if all(first.select(fact.typed(reading).is_not_null()).item() for fact in typed):
        line = (
            table.dialect.header_line
            if table.dialect
            else table.sheet.header_row
            if table.sheet
            else 1
        )
        message = f"Line {line} should hold the names of the columns, but holds numbers or dates like the rows below it."
        raise FileFault(
            ErrorReason.ERROR_REASON_HEADER_DAMAGED,
            message,
            line=line,
            action="Add a header row with one name per column.",
        )


def _time_fact(facts: Sequence[ColumnFacts], *, by_name: bool, said: str) -> ColumnFacts | None:
    if said:
        return next(
            (fact for fact in facts if fact.is_time and fact.source_name == names.clean(said)), None
        )

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


def _order_assumed(fact: ColumnFacts, format: TimeFormat) -> Problem:
    order = "the day" if format.day_first else "the month"
    message = f"No date in {fact.shown_name} decides whether the day or the month comes first; {order} was assumed to."
    return errors.problem(
        ErrorReason.ERROR_REASON_DAY_MONTH_ASSUMED,
        message,
        column=fact.source_name,
        value=format.strptime,
    )

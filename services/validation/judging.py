"""From a file on the local disk to its report, its parts and its rejects. Runs in the child process."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from services.common import errors
from services.common.timing import Timings
from services.validation import column_types, csv_reader, guide, kinds, names, parts, policy, profile, rejects, time_profile, workbook
from services.validation.column_types import ColumnFacts, Reading, named_like_time
from services.validation.faults import FileFault
from services.validation.limits import Limits
from services.validation.loading import Loading
from services.validation.table import Table
from services.validation.time_formats import TimeFormat
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import (
    Column,
    ColumnType,
    EarlyFinding,
    EarlyVerdict,
    FileFormat,
    Header,
    LoadType,
    Part,
    ReadOptions,
    Report,
    RuleOutcome,
    Severity,
    TimeColumn,
    ValidateObjectRequest,
    ValidationProgress,
    Verdict,
)

MAX_NAME_CHARS = 500
"""Longest name of a column; a longer one is no name, and the report has to stay small enough for a message."""

EARLY_PROBLEMS = 10
"""Problems that an early verdict names."""

Emit = Callable[[ValidationProgress | EarlyFinding | EarlyVerdict], None]


def examine(request: ValidateObjectRequest, source: Path, folder: Path, limits: Limits, emit: Emit) -> Report:
    """The report of the file `source`. Parts (`parts/000.csv`, ...) and `rejects.csv` are left in `folder`; the report has their names
    there in place of their URIs."""
    timings = Timings()
    report = Report()
    if request.HasField("options"):
        report.options.CopyFrom(request.options)
    try:
        with timings.step("parse"):
            emit(ValidationProgress(phase="scan", done=0, total=request.file_size, unit="bytes"))
            report.format = kinds.tell(source, request.filename)
            if report.format == FileFormat.FILE_FORMAT_CSV:
                table = csv_reader.read(source, folder, limits.max_columns, request.options)
            else:
                table = workbook.read(source, report.format, limits, request.options)
        _judge(request, table, folder, limits, emit, timings, report)
    except FileFault as fault:
        report.problems.insert(0, fault.problem)
        report.verdict = Verdict.VERDICT_REJECTED
        report.summary = fault.problem.message
        emit(_verdict(report))
    for step, seconds in timings.seconds.items():
        report.timings.add(step=step, seconds=seconds)
    return report


def _judge(
    request: ValidateObjectRequest, table: Table, folder: Path, limits: Limits, emit: Emit, timings: Timings, report: Report
) -> None:
    report.rejects_of = guide.task_of(table.header)
    if report.rejects_of:
        table = guide.without(table)
    report.problems.extend(table.warnings)
    if table.dialect is not None:
        report.dialect.CopyFrom(table.dialect)
    if table.sheet is not None:
        report.sheet.CopyFrom(table.sheet)
    with timings.step("scan"):
        emit(ValidationProgress(phase="scan", done=0, total=table.rows, unit="rows"))
        loading, warnings = decide(request, table)
        report.problems.extend(warnings)
        report.problems.extend(_changed_texts(loading))
        frame_rows = table.rows - loading.blank_rows
        stats = _stats(loading)
        loadable = int(stats["rows"]) if loading.time is not None else 0
        emit(ValidationProgress(phase="scan", done=table.rows, total=table.rows, unit="rows"))
    with timings.step("verdict"):
        refused = rejects.write(table, loading, folder, request.task_id)
        at_fault = refused.count - table.broken_rows
        # Without a time no row can be loaded; the file is refused for that, and its good rows count as refused with it.
        rejected = refused.count if loading.time is not None else table.broken_rows + frame_rows
        report.rows_read = table.rows + table.broken_rows + table.blank_rows + table.footer_rows
        report.rows_skipped = table.blank_rows + table.footer_rows + loading.blank_rows
        report.rows_rejected = rejected
        report.rows_loadable = loadable
        if report.rows_read != report.rows_loadable + report.rows_rejected + report.rows_skipped:
            raise RuntimeError(
                f"rows do not add up: {report.rows_read} read, {report.rows_loadable} loadable, "
                f"{report.rows_rejected} rejected, {report.rows_skipped} skipped"
            )
        report.first_rejects.extend(refused.first)
        if refused.path is not None:
            report.rejects_uri = refused.path.name
        report.columns.extend(_columns(loading, stats, refused.misfits))
        profile.fill(report, loading, stats)
        if loading.time is not None and loading.time.time_format is not None:
            report.time.CopyFrom(_time(loading.time, loading.time.time_format, stats, loadable))
            report.time.source_name = table.header[loading.time.position]
            report.problems.extend(time_profile.fill(report.time, loading, stats))
        if not frame_rows + table.broken_rows:
            raise FileFault(ErrorReason.ERROR_REASON_NO_ROWS, "Every row below the header is blank.")
        found = policy.Found(
            loading.columns, frame_rows + table.broken_rows, table.broken_rows + at_fault, time_is_said=bool(request.options.time_column)
        )
        report.rules.extend(policy.judge(policy.rules(request.policy, request.options), found))
        _conclude(report, loading)
        emit(_verdict(report))
    if report.verdict == Verdict.VERDICT_PASSED:
        with timings.step("parts"):
            written = parts.write(
                loading,
                loadable,
                folder / "parts",
                limits.max_parts,
                lambda done: emit(ValidationProgress(phase="parts", done=done, total=loadable, unit="rows")),
            )
        for part in written:
            size = part.path.stat().st_size
            report.parts.append(Part(uri=part.path.name, rows=part.rows, size=size, min_millis=part.min_millis, max_millis=part.max_millis))


def decide(request: ValidateObjectRequest, table: Table) -> tuple[Loading, list[Problem]]:
    """What the columns are and which rows are loaded, with the warnings about it.

    Raises:
        FileFault: HEADER_DAMAGED.
    """
    held = policy.rules(request.policy, request.options)
    reading = Reading(policy.null_tokens(request.policy, request.options))
    on_misfit = policy.on_misfit(request.policy)
    header = [names.clean(name) for name in table.header]
    if longest := next((name for name in table.header if len(name) > MAX_NAME_CHARS), ""):
        message = f"A column has a name of {len(longest):,} characters; at most {MAX_NAME_CHARS} are taken."
        raise FileFault(ErrorReason.ERROR_REASON_HEADER_DAMAGED, message, value=longest)
    facts, blank = column_types.decide(table, header, reading, policy.type_share(request.policy), on_misfit, request.options)
    if table.has_header and request.options.header != Header.HEADER_YES:
        _header_is_not_data(table, facts, reading)
    time = _time_fact(facts, by_name=policy.needs_time_name(held), said=request.options.time_column)
    druid_names, warnings = names.druid_names(table.header, None if time is None else time.position)
    # What is not loaded needs no name.
    unloaded = {fact.position for fact in facts if fact.load_type == LoadType.LOAD_TYPE_UNSPECIFIED}
    warnings = [warning for warning in warnings if warning.value not in {druid_names[position] for position in unloaded}]
    warnings += [_order_assumed(fact, fact.time_format) for fact in facts if fact.order_assumed and fact.time_format is not None]
    warnings += _assumptions(facts, header, request.options)
    return Loading(table, facts, druid_names, time, reading, on_misfit, blank), warnings


def _assumptions(facts: Sequence[ColumnFacts], header: Sequence[str], options: ReadOptions) -> Iterator[Problem]:
    for fact in facts:
        if fact.marks_assumed:
            mark = fact.style.thousands_mark or fact.style.decimal_mark
            what = "stands between thousands" if fact.style.thousands_mark else "is the decimal mark"
            message = f"Nothing in {fact.shown_name} decides whether {mark!r} {what}; it was assumed to."
            yield errors.problem(ErrorReason.ERROR_REASON_NUMBER_MARK_ASSUMED, message, column=fact.source_name, value=mark)
    known = set(header)
    for name in [*(column.name for column in options.columns), *([options.time_column] if options.time_column else [])]:
        if names.clean(name) not in known:
            message = f"Something was said about a column {name!r}, which the file does not have."
            yield errors.problem(ErrorReason.ERROR_REASON_OPTION_MISFIT, message, value=name)


def _header_is_not_data(table: Table, facts: Sequence[ColumnFacts], reading: Reading) -> None:
    """Refuses a table whose first row is as data as those below it: numbers and times where the columns have them, and no name."""
    named = [fact for fact in facts if fact.source_name]
    typed = [fact for fact in named if fact.is_number or fact.is_time]
    if len(typed) < len(named) or not named:
        return
    first = pl.DataFrame({f"c{fact.position}": [fact.source_name] for fact in typed})
    if all(first.select(fact.typed(reading).is_not_null()).item() for fact in typed):
        line = table.dialect.header_line if table.dialect else table.sheet.header_row if table.sheet else 1
        message = f"Line {line} should hold the names of the columns, but holds numbers or dates like the rows below it."
        raise FileFault(ErrorReason.ERROR_REASON_HEADER_DAMAGED, message, line=line, action="Add a header row with one name per column.")


def _time_fact(facts: Sequence[ColumnFacts], *, by_name: bool, said: str) -> ColumnFacts | None:
    if said:
        return next((fact for fact in facts if fact.is_time and fact.source_name == names.clean(said)), None)

    def rank(fact: ColumnFacts) -> tuple[int, int]:
        name = fact.source_name.lower()
        if name == names.TIME:
            return 0, fact.position
        if "timestamp" in name:
            return 1, fact.position
        return (2 if named_like_time(name) else 3), fact.position

    candidates = [fact for fact in facts if fact.is_time and (named_like_time(fact.source_name) or not by_name)]
    return min(candidates, key=rank, default=None)


def _order_assumed(fact: ColumnFacts, format: TimeFormat) -> Problem:
    order = "the day" if format.day_first else "the month"
    message = f"No date in {fact.shown_name} decides whether the day or the month comes first; {order} was assumed to."
    return errors.problem(ErrorReason.ERROR_REASON_DAY_MONTH_ASSUMED, message, column=fact.source_name, value=format.strptime)


def _changed_texts(loading: Loading) -> list[Problem]:
    changes = loading.changed_texts()
    if not changes:
        return []
    counts = loading.table.frame().select([count.alias(str(fact.position)) for fact, count in changes]).collect(engine="streaming").row(0)
    return [
        errors.problem(
            ErrorReason.ERROR_REASON_TEXT_CHANGED,
            f"{count:,} values of {fact.shown_name} hold line breaks; they are loaded with blanks in their place.",
            column=fact.source_name,
            value=count,
        )
        for (fact, _), count in zip(changes, counts, strict=True)
        if count
    ]


def _stats(loading: Loading) -> dict[str, Any]:
    """Rows, and smallest, largest and sum per column, over the loadable rows."""
    wanted = [pl.len().alias("rows")]
    for fact, name in zip(loading.columns, loading.names, strict=True):
        kind = loading.load_type(fact)
        if kind == LoadType.LOAD_TYPE_UNSPECIFIED:
            continue
        if fact.is_number or fact.is_time:
            wanted += [pl.col(name).min().alias(f"min{fact.position}"), pl.col(name).max().alias(f"max{fact.position}")]
        if fact.is_number:
            # Whole numbers of 15 digits overflow 64 bits after 9,000 rows; Druid's own SUM of a BIGINT would too.
            wanted.append(pl.col(name).cast(pl.Float64).sum().alias(f"sum{fact.position}"))
    wanted += profile.expressions(loading, loading.table.rows)
    if loading.time is not None:
        wanted += time_profile.expressions()
    found = loading.loadable().select(wanted).collect(engine="streaming")
    # Lists stay series: as Python's they would be slow and large.
    return {name: found[name][0] for name in found.columns}


def _columns(loading: Loading, stats: dict[str, Any], misfits: dict[int, list[tuple[int, str]]]) -> list[Column]:
    return [
        _column(loading, fact, name, stats, misfits.get(fact.position, []))
        for fact, name in zip(loading.columns, loading.names, strict=True)
    ]


def _column(loading: Loading, fact: ColumnFacts, name: str, stats: dict[str, Any], misfits: Sequence[tuple[int, str]]) -> Column:
    load_type = loading.load_type(fact)
    made = Column(
        source_name=loading.table.header[fact.position],
        name="" if load_type == LoadType.LOAD_TYPE_UNSPECIFIED else name,
        position=fact.position,
        type=fact.type,
        load_type=load_type,
        fitting=fact.fitting,
        misfits=fact.misfits,
        nulls=fact.nulls,
        evidence=_evidence(fact, misfits),
        time_format=fact.time_format.strptime if fact.time_format else "",
        thousands_mark=fact.style.thousands_mark,
        currencies=fact.style.currencies,
        percent=fact.style.percent,
    )
    if fact.type == ColumnType.COLUMN_TYPE_DECIMAL:
        made.decimal_mark = fact.style.decimal_mark
    least, most = stats.get(f"min{fact.position}"), stats.get(f"max{fact.position}")
    if least is not None and most is not None:
        is_time = load_type == LoadType.LOAD_TYPE_TIME
        made.min, made.max = _shown(least, is_time), _shown(most, is_time)
    if (total := stats.get(f"sum{fact.position}")) is not None:
        made.sum = float(total)
    return made


def _shown(value: object, is_time: bool) -> str:
    if is_time:
        moment = pl.Series([value], dtype=pl.Int64).cast(pl.Datetime("ms"))
        return str(moment.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")[0])
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)


_TYPE_NAMES = {
    ColumnType.COLUMN_TYPE_INTEGER: "Integer",
    ColumnType.COLUMN_TYPE_DECIMAL: "Decimal",
    ColumnType.COLUMN_TYPE_BOOLEAN: "Boolean",
    ColumnType.COLUMN_TYPE_DATE: "Date",
    ColumnType.COLUMN_TYPE_DATETIME: "Date and time",
    ColumnType.COLUMN_TYPE_TEXT: "Text",
    ColumnType.COLUMN_TYPE_IDENTIFIER: "Identifier (leading zeros, a form like 3E5, or more than 15 digits)",
}


def _evidence(fact: ColumnFacts, misfits: Sequence[tuple[int, str]]) -> str:
    if not fact.values:
        return f"No value in {fact.rows:,} rows" + (", and no name: not loaded." if not fact.source_name else ".")
    kind = _TYPE_NAMES[fact.type] + (f" {fact.time_format.strptime}" if fact.time_format else "")
    sentence = f"{kind}: {fact.fitting:,} of {fact.values:,} values"
    if not fact.misfits:
        return f"{sentence}."
    places = ", ".join(f"line {line:,}: `{value[:40]}`" for line, value in misfits)
    return f"{sentence}; {fact.misfits:,} do not fit ({places}{', ...' if fact.misfits > len(misfits) else ''})."


def _time(fact: ColumnFacts, format: TimeFormat, stats: dict[str, Any], loadable: int) -> TimeColumn:
    made = TimeColumn(format=format.strptime, order_assumed=fact.order_assumed)
    if format.day_first is not None:
        made.day_first = format.day_first
    if loadable:
        made.min_millis = stats[f"min{fact.position}"]
        made.max_millis = stats[f"max{fact.position}"]
    return made


def _conclude(report: Report, loading: Loading) -> None:
    """The verdict, and the problems in their order: what rejects the file, then warnings."""
    blocking = _problems(report.rules, Severity.SEVERITY_BLOCK)
    if loading.table.damage is not None:
        blocking.insert(0, loading.table.damage)
    reasons = {problem.code for problem in blocking}
    if loading.time is None and ErrorReason.ERROR_REASON_NO_TIME_COLUMN not in reasons:
        blocking.insert(0, policy.no_time_column(loading.columns))
    elif not report.rows_loadable and not blocking:
        message = "Not one row can be loaded."
        blocking.append(errors.problem(ErrorReason.ERROR_REASON_TOO_MANY_REJECTS, message, value=1))
    warned = _problems(report.rules, Severity.SEVERITY_WARN)
    known = list(report.problems)
    del report.problems[:]
    report.problems.extend([*blocking, *known, *warned])
    if blocking:
        report.verdict = Verdict.VERDICT_REJECTED
        more = f" ({len(blocking) - 1} more problems)" if len(blocking) > 1 else ""
        report.summary = f"Rejected: {blocking[0].message}{more}"
        return
    report.verdict = Verdict.VERDICT_PASSED
    others = [f"{count:,} {what}" for count, what in ((report.rows_rejected, "refused"), (report.rows_skipped, "blank")) if count]
    report.summary = f"{report.rows_loadable:,} rows can be loaded" + (f", {' and '.join(others)}." if others else ".")


def _verdict(report: Report) -> EarlyVerdict:
    return EarlyVerdict(
        verdict=report.verdict,
        summary=report.summary,
        problems=report.problems[:EARLY_PROBLEMS],
        rows_read=report.rows_read,
        rows_rejected=report.rows_rejected,
        rows_skipped=report.rows_skipped,
    )


def _problems(outcomes: Sequence[RuleOutcome], severity: "Severity.ValueType") -> list[Problem]:
    return [problem for outcome in outcomes if outcome.rule.severity == severity for problem in outcome.problems]

"""From a file on the local disk to its report, its parts and its rejects. Runs in the child
process.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from services.common import errors
from services.common.timing import Timings
from services.validation.columns.column_types import ColumnFacts
from services.validation.columns.time_formats import TimeFormat
from services.validation.parts import writer as parts
from services.validation.parts.loading import Loading
from services.validation.process.growth import Growth
from services.validation.process.limits import Limits
from services.validation.reading import csv_reader, kinds, workbook
from services.validation.reading.faults import FileFault
from services.validation.reading.table import Table
from services.validation.report import guide, policy, profile, rejects, time_profile
from services.validation.report.survey import Survey
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import (
    Column,
    ColumnType,
    EarlyFinding,
    EarlyVerdict,
    FileFormat,
    LoadType,
    Part,
    Report,
    RuleOutcome,
    Severity,
    TimeColumn,
    ValidateObjectRequest,
    ValidationProgress,
    Verdict,
)

MAX_REPORT_BYTES = 6 * 1024**2
"""A report has to fit into a message of gRPC."""
FEW_REJECTS = 10
FEW_PROBLEMS = 200
"""What is kept of a report that would be too large."""
EARLY_PROBLEMS = 10
"""Problems that an early verdict names."""

Emit = Callable[[ValidationProgress | EarlyFinding | EarlyVerdict], None]


def examine(
    request: ValidateObjectRequest,
    source: Path,
    folder: Path,
    limits: Limits,
    emit: Emit,
    growth: Growth | None = None,
) -> Report:
    """The report of the file `source`, which may still grow where it is text. Parts
    (`parts/000.csv`, ...) and `rejects.csv` are left in `folder`; the report has their names there
    in place of their URIs.
    """
    timings = Timings()
    report = Report()
    if request.HasField("options"):
        report.options.CopyFrom(request.options)
    try:
        with closing(Survey(request, folder / "loadable")) as survey:
            with timings.step("parse"):
                emit(
                    ValidationProgress(phase="scan", done=0, total=request.file_size, unit="bytes")
                )
                report.format = kinds.tell(source, request.filename)
                if report.format == FileFormat.FILE_FORMAT_CSV:
                    table = csv_reader.read(
                        source, folder, limits.max_columns, request.options, growth, survey.begin
                    )
                else:
                    table = workbook.read(source, report.format, limits, request.options)
                    for batch in table.batches():
                        survey.add(batch)
            _judge(request, table, survey, folder, limits, emit, timings, report)
    except FileFault as fault:
        report.problems.insert(0, fault.problem)
        report.verdict = Verdict.VERDICT_REJECTED
        report.summary = fault.problem.message
        emit(_verdict(report))
    for step, seconds in timings.seconds.items():
        report.timings.add(step=step, seconds=seconds)
    fit_into_a_message(report)
    return report


def fit_into_a_message(report: Report) -> None:
    """Leaves out what a report can do without where thousands of columns make it too large: of the
    first rejects, of the columns' frequent values, of the warnings at the end."""
    if report.ByteSize() > MAX_REPORT_BYTES:
        del report.first_rejects[FEW_REJECTS:]
    if report.ByteSize() > MAX_REPORT_BYTES:
        for column in report.columns:
            column.ClearField("top_values")
    if report.ByteSize() > MAX_REPORT_BYTES:
        del report.problems[FEW_PROBLEMS:]


def _judge(
    request: ValidateObjectRequest,
    table: Table,
    survey: Survey,
    folder: Path,
    limits: Limits,
    emit: Emit,
    timings: Timings,
    report: Report,
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
        loading, blank_rows, warnings = survey.settle(table)
        report.problems.extend(warnings)
        frame_rows = table.rows - blank_rows
        stats = survey.found()
        loadable = int(stats["rows"]) if loading.time is not None else 0
        emit(ValidationProgress(phase="scan", done=table.rows, total=table.rows, unit="rows"))
    with timings.step("verdict"):
        refused = rejects.write(table, loading, folder, request.task_id)
        at_fault = refused.count - table.broken_rows
        # Without a time no row can be loaded; the file is refused for that, and its good rows count
        # as refused with it.
        rejected = refused.count if loading.time is not None else table.broken_rows + frame_rows
        report.rows_read = table.rows + table.broken_rows + table.blank_rows + table.footer_rows
        report.rows_skipped = table.blank_rows + table.footer_rows + blank_rows
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
        report.columns.extend(_columns(loading, table, stats, refused.misfits))
        profile.fill(report, loading, stats)
        if loading.time is not None and loading.time.time_format is not None:
            report.time.CopyFrom(_time(loading.time, loading.time.time_format, stats, loadable))
            report.time.source_name = table.header[loading.time.position]
            report.problems.extend(time_profile.fill(report.time, loading, table, stats))
        if not frame_rows + table.broken_rows:
            raise FileFault(
                ErrorReason.ERROR_REASON_NO_ROWS, "Every row below the header is blank."
            )
        found = policy.Found(
            loading.columns,
            frame_rows + table.broken_rows,
            table.broken_rows + at_fault,
            time_is_said=bool(request.options.time_column),
        )
        report.rules.extend(policy.judge(policy.rules(request.policy, request.options), found))
        _conclude(report, table, loading)
        emit(_verdict(report))
    if report.verdict == Verdict.VERDICT_PASSED:
        with timings.step("parts"):
            written = parts.write(
                survey.kept,
                [name for _, name in loading.loaded().values()],
                loadable,
                table.size,
                survey.sampled_times(),
                folder / "parts",
                limits.max_parts,
                lambda done: emit(
                    ValidationProgress(phase="parts", done=done, total=loadable, unit="rows")
                ),
            )
        for part in written:
            size = part.path.stat().st_size
            report.parts.append(
                Part(
                    uri=part.path.name,
                    rows=part.rows,
                    size=size,
                    min_millis=part.min_millis,
                    max_millis=part.max_millis,
                )
            )


def _columns(
    loading: Loading, table: Table, stats: dict[str, Any], misfits: dict[int, list[tuple[int, str]]]
) -> list[Column]:
    return [
        _column(
            loading, table.header[fact.position], fact, name, stats, misfits.get(fact.position, [])
        )
        for fact, name in zip(loading.columns, loading.names, strict=True)
    ]


def _column(
    loading: Loading,
    source_name: str,
    fact: ColumnFacts,
    name: str,
    stats: dict[str, Any],
    misfits: Sequence[tuple[int, str]],
) -> Column:
    load_type = loading.load_type(fact)
    made = Column(
        source_name=source_name,
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
        return f"No value in {fact.rows:,} rows" + (
            ", and no name: not loaded." if not fact.source_name else "."
        )
    kind = _TYPE_NAMES[fact.type] + (f" {fact.time_format.strptime}" if fact.time_format else "")
    sentence = f"{kind}: {fact.fitting:,} of {fact.values:,} values"
    if not fact.misfits:
        return f"{sentence}."
    places = ", ".join(f"line {line:,}: `{value[:40]}`" for line, value in misfits)
    return f"{sentence}; {fact.misfits:,} do not fit ({places}{', ...' if fact.misfits > len(misfits) else ''})."


def _time(
    fact: ColumnFacts, format: TimeFormat, stats: dict[str, Any], loadable: int
) -> TimeColumn:
    made = TimeColumn(format=format.strptime, order_assumed=fact.order_assumed)
    if format.day_first is not None:
        made.day_first = format.day_first
    if loadable:
        made.min_millis = stats[f"min{fact.position}"]
        made.max_millis = stats[f"max{fact.position}"]
    return made


def _conclude(report: Report, table: Table, loading: Loading) -> None:
    """The verdict, and the problems in their order: what rejects the file, then warnings."""
    blocking = _problems(report.rules, Severity.SEVERITY_BLOCK)
    if table.damage is not None:
        blocking.insert(0, table.damage)
    reasons = {problem.code for problem in blocking}
    no_time = ErrorReason.ERROR_REASON_NO_TIME_COLUMN
    warned = _problems(report.rules, Severity.SEVERITY_WARN)
    if loading.time is None and no_time not in reasons:
        said = report.options.time_column
        blocking.insert(0, policy.no_time_column(loading.columns, by_name=False, said=said))
        # Whether its name would be right is no question any more.
        warned = [problem for problem in warned if problem.code != no_time]
    elif not report.rows_loadable and not blocking:
        message = "Not one row can be loaded."
        blocking.append(errors.problem(ErrorReason.ERROR_REASON_TOO_MANY_REJECTS, message, value=1))
    known = list(report.problems)
    del report.problems[:]
    report.problems.extend([*blocking, *known, *warned])
    if blocking:
        report.verdict = Verdict.VERDICT_REJECTED
        more = f" ({len(blocking) - 1} more problems)" if len(blocking) > 1 else ""
        report.summary = f"Rejected: {blocking[0].message}{more}"
        return
    report.verdict = Verdict.VERDICT_PASSED
    others = [
        f"{count:,} {what}"
        for count, what in ((report.rows_rejected, "refused"), (report.rows_skipped, "blank"))
        if count
    ]
    report.summary = f"{report.rows_loadable:,} rows can be loaded" + (
        f", {' and '.join(others)}." if others else "."
    )


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
    return [
        problem
        for outcome in outcomes
        if outcome.rule.severity == severity
        for problem in outcome.problems
    ]

"""Validates a file on the local disk: report, parts and rejects. Runs in the child process."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from services.common import errors
from services.common.timing import Timings
from services.validation.columns.column_types import ColumnFacts
from services.validation.parts import writer as parts
from services.validation.parts.loading import Loading
from services.validation.process.growth import Growth
from services.validation.process.limits import Limits
from services.validation.reading import csv_reader, kinds, workbook
from services.validation.reading.faults import FileFault
from services.validation.reading.table import Table
from services.validation.report import guide, policy, rejects
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
"""A report must fit into a gRPC message."""
FEW_REJECTS = 10
FEW_PROBLEMS = 200
"""Kept in a report that would be too large."""
EARLY_PROBLEMS = 10
"""Problems in an early verdict."""

Emit = Callable[[ValidationProgress | EarlyFinding | EarlyVerdict], None]


def examine(
    request: ValidateObjectRequest,
    source: Path,
    folder: Path,
    limits: Limits,
    emit: Emit,
    growth: Growth | None = None,
) -> Report:
    """Validates the file `source`; a text file may still grow.

    Writes the parts (`parts/000.csv`, ...) and `rejects.csv` to `folder`. The report has their
    names instead of URIs.
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
                report.format = kinds.detect_format(source, request.filename)
                if report.format == FileFormat.FILE_FORMAT_CSV:
                    table = csv_reader.read(
                        source, folder, limits.max_columns, request.options, growth, survey.begin
                    )
                else:
                    table = workbook.read(source, report.format, limits, request.options)
                    for batch in table.batches():
                        survey.add(batch)
            _validate(request, table, survey, folder, limits, emit, timings, report)
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
    """Shortens a report that thousands of columns make too large.

    Drops first the rejects after FEW_REJECTS, then the frequent values, then the problems after
    FEW_PROBLEMS.
    """
    if report.ByteSize() > MAX_REPORT_BYTES:
        del report.first_rejects[FEW_REJECTS:]
    if report.ByteSize() > MAX_REPORT_BYTES:
        for column in report.columns:
            column.ClearField("top_values")
    if report.ByteSize() > MAX_REPORT_BYTES:
        del report.problems[FEW_PROBLEMS:]


def _validate(
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
        profile, times = survey.profiles()
        loadable = profile.rows if loading.time is not None else 0
        emit(ValidationProgress(phase="scan", done=table.rows, total=table.rows, unit="rows"))
    with timings.step("verdict"):
        rejected = rejects.write(table, loading, folder, request.task_id)
        rows = frame_rows + table.broken_rows
        report.rows_read = table.rows + table.broken_rows + table.blank_rows + table.footer_rows
        report.rows_skipped = table.blank_rows + table.footer_rows + blank_rows
        # Without a time column no row can be loaded.
        report.rows_rejected = rejected.count if loading.time is not None else rows
        report.rows_loadable = loadable
        if report.rows_read != report.rows_loadable + report.rows_rejected + report.rows_skipped:
            raise RuntimeError(
                f"rows do not add up: {report.rows_read} read, {report.rows_loadable} loadable, "
                f"{report.rows_rejected} rejected, {report.rows_skipped} skipped"
            )
        report.first_rejects.extend(rejected.first)
        if rejected.path is not None:
            report.rejects_uri = rejected.path.name
        report.columns.extend(
            _column(loading, table.header[fact.position], fact, name, rejected.misfits)
            for fact, name in zip(loading.columns, loading.names, strict=True)
        )
        profile.fill(report)
        if loading.time is not None:
            report.time.CopyFrom(_time_column(loading.time))
            report.time.source_name = table.header[loading.time.position]
            if loadable:
                extremes = profile.time_extremes()
                report.time.min_millis = extremes.least
                report.time.max_millis = extremes.greatest
            report.problems.extend(times.fill(report.time, loading, table, loadable))
        if not rows:
            raise FileFault(
                ErrorReason.ERROR_REASON_NO_ROWS, "Every row below the header is blank."
            )
        facts = policy.Facts(
            loading.columns,
            rows,
            rejected.count,
            time_is_specified=bool(request.options.time_column),
        )
        report.rules.extend(policy.evaluate(policy.rules(request.policy, request.options), facts))
        _conclude(report, table, loading)
        emit(_verdict(report))
    if report.verdict == Verdict.VERDICT_PASSED:
        with timings.step("parts"):
            written = parts.write(
                survey.kept,
                [name for _, name in loading.loaded().values()],
                loadable,
                table.size,
                profile.times(),
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


def _column(
    loading: Loading,
    source_name: str,
    fact: ColumnFacts,
    name: str,
    misfits: Mapping[int, Sequence[tuple[int, str]]],
) -> Column:
    load_type = loading.load_type(fact)
    column = Column(
        source_name=source_name,
        name="" if load_type == LoadType.LOAD_TYPE_UNSPECIFIED else name,
        position=fact.position,
        type=fact.type,
        load_type=load_type,
        fitting=fact.fitting,
        misfits=fact.misfits,
        nulls=fact.nulls,
        evidence=_evidence(fact, misfits.get(fact.position, ())),
        time_format=fact.time_format.strptime if fact.time_format else "",
        thousands_mark=fact.style.thousands_mark,
        currencies=fact.style.currencies,
        percent=fact.style.percent,
    )
    if fact.type == ColumnType.COLUMN_TYPE_DECIMAL:
        column.decimal_mark = fact.style.decimal_mark
    return column


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


def _time_column(fact: ColumnFacts) -> TimeColumn:
    if fact.time_format is None:
        raise ValueError("the time column has no format")
    column = TimeColumn(format=fact.time_format.strptime, order_assumed=fact.order_assumed)
    if fact.time_format.day_first is not None:
        column.day_first = fact.time_format.day_first
    return column


def _conclude(report: Report, table: Table, loading: Loading) -> None:
    """Sets the verdict, and orders the problems: those that reject the file, then warnings."""
    blocking = _problems(report.rules, Severity.SEVERITY_BLOCK)
    if table.damage is not None:
        blocking.insert(0, table.damage)
    reasons = {problem.code for problem in blocking}
    no_time = ErrorReason.ERROR_REASON_NO_TIME_COLUMN
    warned = _problems(report.rules, Severity.SEVERITY_WARN)
    if loading.time is None and no_time not in reasons:
        specified = report.options.time_column
        blocking.insert(
            0, policy.no_time_column(loading.columns, by_name=False, specified=specified)
        )
        # Replaces the warning about the column's name.
        warned = [problem for problem in warned if problem.code != no_time]
    elif not report.rows_loadable and not blocking:
        message = "No row can be loaded."
        blocking.append(errors.problem(ErrorReason.ERROR_REASON_TOO_MANY_REJECTS, message, value=1))
    known = list(report.problems)
    del report.problems[:]
    report.problems.extend([*blocking, *known, *warned])
    if blocking:
        policy.reject(report, blocking)
        return
    report.verdict = Verdict.VERDICT_PASSED
    others = [
        f"{count:,} {what}"
        for count, what in ((report.rows_rejected, "rejected"), (report.rows_skipped, "skipped"))
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

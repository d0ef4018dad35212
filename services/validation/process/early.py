"""Findings about a file before its last byte: validates its head like a complete file."""

from contextlib import closing
from pathlib import Path

from services.validation.columns.column_types import named_like_time
from services.validation.process.growth import Growth
from services.validation.process.limits import Limits
from services.validation.reading import csv_reader, kinds, structure
from services.validation.reading.faults import FileFault
from services.validation.reading.table import Table
from services.validation.report import examination, guide, policy, rejects
from services.validation.report.survey import Survey
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import (
    EarlyFinding,
    FileFormat,
    Severity,
    ValidateObjectRequest,
)

HEAD_BYTES = 512 * 1024
"""Size of the head. A shorter file is read completely before anyone could act on a finding."""


def look(
    request: ValidateObjectRequest,
    source: Path,
    folder: Path,
    limits: Limits,
    growth: Growth,
    emit: examination.Emit,
) -> bool:
    """Emits findings about the head of a growing file. Returns whether it can be read as it grows."""
    size = growth.wait(HEAD_BYTES)
    if not growth.is_complete:
        for problem, certain in _findings(request, source, folder, limits, size):
            emit(EarlyFinding(problem=problem, certain=certain, received_size=size))
    return kinds.is_text_from_head(source, request.filename)


def _findings(
    request: ValidateObjectRequest, source: Path, folder: Path, limits: Limits, size: int
) -> list[tuple[Problem, bool]]:
    """Problems of the head, and whether each is certain for the complete file."""
    try:
        format = kinds.detect_format_from_head(source, request.filename)
    except FileFault as fault:
        return [(fault.problem, True)]
    if format != FileFormat.FILE_FORMAT_CSV:
        return []
    part = folder / "head"
    part.mkdir()
    head = part / "source"
    with source.open("rb") as file:
        data = file.read(size)
    end = max(data.rfind(b"\n"), data.rfind(b"\r"))
    head.write_bytes(data[: end + 1] if end >= 0 else data)
    try:
        with closing(Survey(request, part / "loadable")) as survey:
            table = csv_reader.read(
                head, part, limits.max_columns, request.options, begin=survey.begin
            )
            return _table_findings(request, table, survey)
    except FileFault as fault:
        # A line or header that is too long stays so. More bytes may settle the encoding.
        return [(fault.problem, fault.problem.code == ErrorReason.ERROR_REASON_RESOURCE_LIMIT)]


def _table_findings(
    request: ValidateObjectRequest, table: Table, survey: Survey
) -> list[tuple[Problem, bool]]:
    found: list[tuple[Problem, bool]] = []
    rules = {rule.name: rule for rule in policy.rules(request.policy, request.options)}
    if guide.task_of(table.header):
        table = guide.without(table)
    columns = len(table.header)
    if (
        rules["min_columns"].severity == Severity.SEVERITY_BLOCK
        and columns < rules["min_columns"].limit
    ):
        found.append((policy.too_few_columns(columns, rules["min_columns"].limit), True))
    if table.damage is not None:
        found.append((table.damage, False))
    loading, _, _ = survey.settle(table)
    if loading.time is None:
        # Names are final; values may still become times.
        no_name = not any(named_like_time(name) for name in table.header)
        by_name = policy.needs_time_name(list(rules.values()))
        problem = policy.no_time_column(loading.columns, by_name=by_name)
        found.append((problem, no_name and by_name))
    if table.broken_path is not None:
        broken = next(iter(structure.read_broken(table.broken_path)))
        found.append((rejects.problem_of(broken), False))
    return found

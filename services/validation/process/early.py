"""What can be said of a file before its last byte. The same code as the report's judges the
beginning that is there.
"""

from contextlib import closing
from pathlib import Path

from services.common import errors
from services.validation.columns.column_types import named_like_time
from services.validation.process.growth import Growth
from services.validation.process.limits import Limits
from services.validation.reading import csv_reader, kinds, structure
from services.validation.reading.faults import FileFault
from services.validation.reading.table import Table
from services.validation.report import guide, judging, policy
from services.validation.report.survey import Survey
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import (
    EarlyFinding,
    FileFormat,
    Severity,
    ValidateObjectRequest,
)

HEAD_BYTES = 512 * 1024
"""Of so many bytes the first word is said; a shorter file is read as a whole before anybody could
act on one.
"""


def look(
    request: ValidateObjectRequest,
    source: Path,
    folder: Path,
    limits: Limits,
    growth: Growth,
    emit: judging.Emit,
) -> bool:
    """Tells what the beginning of the growing file says. Returns whether the file can be read while
    it grows.
    """
    size = growth.wait(HEAD_BYTES)
    if not growth.is_complete:
        found = _findings(request, source, folder, limits, size)
        for problem, certain in found:
            emit(EarlyFinding(problem=problem, certain=certain, received_size=size))
    return kinds.is_text_from_head(source, request.filename)


def _findings(
    request: ValidateObjectRequest, source: Path, folder: Path, limits: Limits, size: int
) -> list[tuple[Problem, bool]]:
    """What is wrong, and whether that is certain."""
    try:
        format = kinds.tell_from_head(source, request.filename)
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
            return _of_table(request, table, survey)
    except FileFault as fault:
        # A line or a header that is too long stays so; an encoding may look better with more of it.
        return [(fault.problem, fault.problem.code == ErrorReason.ERROR_REASON_RESOURCE_LIMIT)]


def _of_table(
    request: ValidateObjectRequest, table: Table, survey: Survey
) -> list[tuple[Problem, bool]]:
    found: list[tuple[Problem, bool]] = []
    held = {rule.name: rule for rule in policy.rules(request.policy, request.options)}
    if guide.task_of(table.header):
        table = guide.without(table)
    columns = len(table.header)
    if (
        held["min_columns"].severity == Severity.SEVERITY_BLOCK
        and columns < held["min_columns"].limit
    ):
        found.append((policy.too_few_columns(columns, held["min_columns"].limit), True))
    if table.damage is not None:
        found.append((table.damage, False))
    loading, _, _ = survey.settle(table)
    if loading.time is None:
        # A name stays what it is; values may still come that are times.
        unnamed = not any(named_like_time(name) for name in table.header)
        by_name = policy.needs_time_name(list(held.values()))
        problem = policy.no_time_column(loading.columns, by_name=by_name)
        found.append((problem, unnamed and by_name))
    if table.broken_path is not None:
        broken = next(iter(structure.read_broken(table.broken_path)))
        found.append(
            (
                errors.problem(broken.reason, broken.message, line=broken.line, value=broken.found),
                False,
            )
        )
    return found

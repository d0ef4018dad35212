"""Validates files in this process."""

import csv
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.common import errors
from services.validation.process.limits import Limits
from services.validation.report import drift
from services.validation.report.examination import examine
from sluice.validation.v1.validation_pb2 import (
    Column,
    Policy,
    ReadOptions,
    Report,
    Rule,
    Severity,
    ValidateObjectRequest,
    Verdict,
)

LIMITS = Limits(max_columns=2000, max_cells=25_000_000, max_inflated_bytes=2 * 1024**3, max_parts=4)

_OFF = ("min_columns", "min_numeric_columns", "max_null_share", "max_reject_share")
TASK_ID = "00000000-0000-4000-8000-000000000001"
LENIENT = Policy(rules=[Rule(name=name, severity=Severity.SEVERITY_OFF) for name in _OFF])
"""Requires only the time column."""


@dataclass(frozen=True)
class Examined:
    """The report and the files that it names."""

    report: Report
    folder: Path

    @property
    def codes(self) -> list[str]:
        return [errors.code_of(problem.code) for problem in self.report.problems]

    @property
    def passed(self) -> bool:
        return self.report.verdict == Verdict.VERDICT_PASSED

    def column(self, source_name: str) -> Column:
        return next(column for column in self.report.columns if column.source_name == source_name)

    def part_texts(self) -> list[str]:
        return [
            (self.folder / "parts" / part.uri).read_text(encoding="utf-8")
            for part in self.report.parts
        ]

    def rows(self) -> list[dict[str, str]]:
        """All rows of all parts, as texts."""
        csv.field_size_limit(16 * 1024**2)
        return [
            row
            for text in self.part_texts()
            for row in csv.DictReader(io.StringIO(text, newline=""))
        ]

    def rejects_cells(self) -> list[list[str]]:
        """The cells of the rejected rows: five guide columns, then the user's."""
        if not self.report.rejects_uri:
            return []
        csv.field_size_limit(16 * 1024**2)
        with (self.folder / self.report.rejects_uri).open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))[1:]

    def rejects(self) -> list[dict[str, str]]:
        if not self.report.rejects_uri:
            return []
        text = (self.folder / self.report.rejects_uri).read_text(encoding="utf-8")
        header, _, body = text.partition("\n")
        named = header.replace(f"line of {TASK_ID}", "line", 1)
        return list(csv.DictReader(io.StringIO(f"{named}\n{body}", newline="")))


class Examine(Protocol):
    """Validates bytes under a file name and a policy."""

    def __call__(
        self,
        data: bytes,
        filename: str = "table.csv",
        *,
        policy: Policy = LENIENT,
        limits: Limits = LIMITS,
        options: ReadOptions | None = None,
    ) -> Examined: ...


def examine_bytes(
    folder: Path,
    data: bytes,
    filename: str,
    *,
    policy: Policy = LENIENT,
    limits: Limits = LIMITS,
    options: ReadOptions | None = None,
) -> Examined:
    """Validates `data`; leaves the results in `folder`."""
    source = folder / "source"
    source.write_bytes(data)
    return examine_file(source, folder, filename, policy=policy, limits=limits, options=options)


def examine_file(
    source: Path,
    folder: Path,
    filename: str,
    *,
    policy: Policy = LENIENT,
    limits: Limits = LIMITS,
    options: ReadOptions | None = None,
) -> Examined:
    """Validates the file `source`."""
    request = ValidateObjectRequest(
        task_id=TASK_ID,
        filename=filename,
        file_size=source.stat().st_size,
        policy=policy,
        options=options,
    )
    report = examine(request, source, folder, limits, lambda _: None)
    drift.compare(report, request.policy.contract)
    assert report.rows_read == report.rows_loadable + report.rows_rejected + report.rows_skipped
    return Examined(report, folder)


def new_folder(parent: Path) -> Path:
    """A new folder."""
    return Path(tempfile.mkdtemp(dir=parent))

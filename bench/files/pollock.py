"""The Pollock benchmark of polluted CSV files: scores how each is read against its clean version,
and checks that the report names exactly the damaged row.

Files that are the source in another dialect must not be rejected. One is ambiguous: its delimiter
is a space, and values such as `Men's Waterproof Hiking Boots` are not quoted, so that more than
half of its rows have a different number of fields even in its own dialect. It is rightly rejected.
Such files are found by reading each in its own dialect, not by name; they count as `not_told_apart`
instead of `false_alarms`.
"""

import csv
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.support.reading import LIMITS
from services.common import errors
from services.validation.reading import csv_reader, scanner, structure
from services.validation.reading.faults import FileFault
from services.validation.reading.table import ROW, Table
from services.validation.report.examination import examine
from sluice.validation.v1.validation_pb2 import (
    Policy,
    ReadOptions,
    Rule,
    Severity,
    ValidateObjectRequest,
)

_RULES = ("min_columns", "time_column", "min_numeric_columns", "max_null_share", "max_reject_share")
WITHOUT_RULES = Policy(rules=[Rule(name=name, severity=Severity.SEVERITY_OFF) for name in _RULES])
"""Turns off the policy rules, which are not tested here."""
DAMAGED_ROW = re.compile(r"^row_(?:more_sep|less_sep|extra_quote|field_delimiter)_?(?:row)?(\d+)_")
DIALECT_ONLY = re.compile(
    r"^(?:source|file_(?:field_delimiter|quotation_char|escape_char|record_delimiter|.*trailing_newline).*)\.csv$"
)
WORKERS = 2


@dataclass(frozen=True)
class Reading:
    """The result of one file."""

    name: str
    crashed: str = ""
    rejected: str = ""
    """The error code if the file is not a loadable table."""
    rejected_lines: tuple[int, ...] = ()
    """Line numbers of the rejected rows."""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """All loadable rows, as text."""


def score(hard_files: Path) -> tuple[dict[str, object], list[Reading]]:
    """Return the totals of Pollock's scorer, and the result of each file."""
    tool = hard_files.parent / "tools" / "pollock_score.py"
    with tempfile.TemporaryDirectory() as folder:
        polluted, converted = Path(folder, "polluted"), Path(folder, "converted")
        converted.mkdir()
        _run(tool, hard_files, "--extract", polluted)
        names = sorted(path.name for path in polluted.iterdir())
        with ProcessPoolExecutor(WORKERS) as pool:
            readings = list(
                pool.map(
                    _read,
                    [polluted / name for name in names],
                    [converted] * len(names),
                    chunksize=50,
                )
            )
        printed = _run(tool, hard_files, "--converted", converted)
    print(printed)
    totals: dict[str, object] = json.loads(printed.splitlines()[-1])
    return totals, readings


def _run(tool: Path, hard_files: Path, option: str, folder: Path) -> str:
    command = [
        sys.executable,
        str(tool),
        "--data",
        str(hard_files / "pollock"),
        option,
        str(folder),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _read(path: Path, converted: Path) -> Reading:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return _convert(path, Path(folder), converted / f"{path.name}_converted.csv")
        except Exception as failure:  # a crash is what is counted
            return Reading(path.name, crashed=f"{type(failure).__name__}: {failure}")


def _convert(path: Path, folder: Path, target: Path) -> Reading:
    """Write all rows as read, including rejected ones, and examine the file as the service does."""
    rows: list[tuple[str, ...]] = []
    try:
        table = csv_reader.read(path, folder, LIMITS.max_columns)
    except FileFault as fault:
        code = errors.code_of(fault.problem.code)
        # A header alone is rejected, but the scorer expects it.
        scanned = (
            scanner.scan(
                path, folder / "clean", folder / "broken", LIMITS.max_columns, ReadOptions()
            )
            if code == "NO_ROWS"
            else None
        )
        _write(target, [scanned.header] if scanned else [])
        return Reading(path.name, rejected=code)
    rows = [
        tuple(cell or "" for cell in row)
        for row in table.frame().collect().sort(ROW).drop(ROW).iter_rows()
    ]
    _write(target, [*([table.header] if table.has_header else []), *_in_order(table, rows)])
    examined = folder / "examined"
    examined.mkdir()
    request = ValidateObjectRequest(
        filename=path.name, file_size=path.stat().st_size, policy=WITHOUT_RULES
    )
    report = examine(request, path, examined, LIMITS, lambda _: None)
    return Reading(
        path.name,
        rejected=errors.code_of(table.damage.code) if table.damage else "",
        rejected_lines=tuple(reject.line for reject in report.first_rejects),
        header=tuple(table.header),
        rows=tuple(rows),
    )


def _in_order(table: Table, rows: Sequence[tuple[str, ...]]) -> list[Sequence[str]]:
    by_line: list[tuple[int, Sequence[str]]] = [
        (table.lines.line(number), row) for number, row in enumerate(rows)
    ]
    if table.broken_path is not None:
        by_line += [
            (broken.line, broken.fields or [broken.found])
            for broken in structure.read_broken(table.broken_path)
        ]
    return [row for _, row in sorted(by_line, key=lambda pair: pair[0])]


def _write(target: Path, rows: Sequence[Sequence[str]]) -> None:
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _dialect_only(hard_files: Path) -> tuple[set[str], set[str]]:
    """Return the files that are the source in another dialect, and those that are ambiguous in
    their own dialect.
    """
    names, ambiguous = set(), set()
    with (hard_files / "pollock" / "manifest.tsv").open(encoding="utf-8", newline="") as lines:
        for name, _, _, copy, _, parameters, *_ in list(
            csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        )[1:]:
            if not DIALECT_ONLY.match(name):
                continue
            true = json.loads(parameters)
            text = (hard_files / "pollock" / copy).read_text(encoding="utf-8")
            delimiter = true["delimiter"]
            rows = csv.reader(
                text.replace(delimiter + '"', delimiter[0] + '"').splitlines(),
                delimiter=delimiter[0],
                quotechar=true["quotechar"],
            )
            if {len(row) for row in rows if row} <= {true["n_columns"]} or delimiter.strip():
                names.add(name)
            else:
                ambiguous.add(name)
    return names, ambiguous


def locate(hard_files: Path, readings: Sequence[Reading]) -> dict[str, object]:
    """Count the files of which exactly the damaged row is rejected and the others are unchanged,
    among files whose name has the row number.
    """
    dialect_only, ambiguous = _dialect_only(hard_files)
    by_name = {reading.name: reading for reading in readings}
    source = by_name["source.csv"]
    located = silent = files = alarms = 0
    missed = []
    for reading in readings:
        if reading.name in dialect_only and (reading.rejected_lines or reading.rejected):
            alarms += 1
            missed.append(reading.name)
        match = DAMAGED_ROW.match(reading.name)
        if match is None:
            continue
        files += 1
        row = int(match[1])
        others = source.rows[: row - 1] + source.rows[row:] if row else source.rows
        if row == 0:
            found = reading.rejected == "HEADER_DAMAGED" or (
                reading.header == source.header and reading.rows == source.rows
            )
            # A rejected file cannot corrupt anything.
            corrupt = not found and not reading.rejected
        else:
            found = (
                reading.rejected_lines == (row + 1,)
                and reading.rows == others
                and not reading.rejected
            )
            corrupt = not reading.rejected and (
                (row + 1 not in reading.rejected_lines and reading.rows != source.rows)
                or (not set(others) <= set(reading.rows) and not len(reading.rejected_lines) > 1)
            )
        located += found
        silent += corrupt
        if not found:
            missed.append(reading.name)
    print(
        "not located, or different from the source:",
        ", ".join(missed[:40]) or "none",
        "..." if len(missed) > 40 else "",
    )
    print("ambiguous in their own dialect:", ", ".join(sorted(ambiguous)) or "none")
    return {
        "located": located / files,
        "located_files": files,
        "silent_corruption": silent,
        "false_alarms": alarms,
        "not_told_apart": len(ambiguous),
    }

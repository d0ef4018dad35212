"""The Pollock benchmark of polluted CSV files: what the reading layer makes of each, scored against
the clean twins, and whether the report names the damaged row and no other.

A file of the source in another dialect must raise no alarm. One of them is not that: with a blank
as its delimiter, values such as `Men's Waterproof Hiking Boots` stand in it without quotes, so that
more than half of its rows have another number of fields under the very dialect it was written in.
An alarm is right there, and the report refuses it. Such files are told by reading each under its
own dialect, not by name; `not_told_apart` counts them, and `false_alarms` does not.
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

from services.common import errors
from services.validation.process.limits import Limits
from services.validation.reading import csv_reader, scanner, structure
from services.validation.reading.faults import FileFault
from services.validation.reading.table import ROW, Table
from services.validation.report.judging import examine
from sluice.validation.v1.validation_pb2 import (
    Policy,
    ReadOptions,
    Rule,
    Severity,
    ValidateObjectRequest,
)

LIMITS = Limits(max_columns=2000, max_cells=25_000_000, max_inflated_bytes=2 * 1024**3, max_parts=4)
_RULES = ("min_columns", "time_column", "min_numeric_columns", "max_null_share", "max_reject_share")
WITHOUT_RULES = Policy(rules=[Rule(name=name, severity=Severity.SEVERITY_OFF) for name in _RULES])
"""What the rows are, not whether the file suits a policy."""
DAMAGED_ROW = re.compile(r"^row_(?:more_sep|less_sep|extra_quote|field_delimiter)_?(?:row)?(\d+)_")
DIALECT_ONLY = re.compile(
    r"^(?:source|file_(?:field_delimiter|quotation_char|escape_char|record_delimiter|.*trailing_newline).*)\.csv$"
)
WORKERS = 2


@dataclass(frozen=True)
class Reading:
    """What became of one file."""

    name: str
    crashed: str = ""
    refused: str = ""
    """The code, where it is no table that can be loaded."""
    named: tuple[int, ...] = ()
    """Lines of the rows that the report refuses."""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """All loadable records, as text."""


def score(hard_files: Path) -> tuple[dict[str, object], list[Reading]]:
    """The totals of the scorer beside the files, and what became of every file."""
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
    """Writes all records as read, those that are refused included, and examines the file as the
    service does.
    """
    rows: list[tuple[str, ...]] = []
    try:
        table = csv_reader.read(path, folder, LIMITS.max_columns)
    except FileFault as fault:
        code = errors.code_of(fault.problem.code)
        # That a header alone is no table is the verdict; it is read all the same.
        scanned = (
            scanner.scan(
                path, folder / "clean", folder / "broken", LIMITS.max_columns, ReadOptions()
            )
            if code == "NO_ROWS"
            else None
        )
        _write(target, [scanned.header] if scanned else [])
        return Reading(path.name, refused=code)
    rows = [
        tuple(cell or "" for cell in row)
        for row in table.frame().collect().sort(ROW).drop(ROW).iter_rows()
    ]
    _write(target, [*([table.header] if table.has_header else []), *_in_order(table, rows)])
    judged = folder / "judged"
    judged.mkdir()
    request = ValidateObjectRequest(
        filename=path.name, file_size=path.stat().st_size, policy=WITHOUT_RULES
    )
    report = examine(request, path, judged, LIMITS, lambda _: None)
    return Reading(
        path.name,
        refused=errors.code_of(table.damage.code) if table.damage else "",
        named=tuple(reject.line for reject in report.first_rejects),
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
    """Files that are the source in another dialect; and those that are meant to be, whose rows
    their own dialect does not tell apart.
    """
    names, untold = set(), set()
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
                untold.add(name)
    return names, untold


def locate(hard_files: Path, readings: Sequence[Reading]) -> dict[str, object]:
    """Whether exactly the damaged row is named and the others arrive unchanged; over files whose
    name carries the row.
    """
    dialect_only, untold = _dialect_only(hard_files)
    by_name = {reading.name: reading for reading in readings}
    source = by_name["source.csv"]
    located = silent = files = alarms = 0
    missed = []
    for reading in readings:
        if reading.name in dialect_only and (reading.named or reading.refused):
            alarms += 1
            missed.append(reading.name)
        match = DAMAGED_ROW.match(reading.name)
        if match is None:
            continue
        files += 1
        row = int(match[1])
        others = source.rows[: row - 1] + source.rows[row:] if row else source.rows
        if row == 0:
            found = reading.refused == "HEADER_DAMAGED" or (
                reading.header == source.header and reading.rows == source.rows
            )
            # A refused file cannot corrupt anything.
            corrupt = not found and not reading.refused
        else:
            found = reading.named == (row + 1,) and reading.rows == others and not reading.refused
            corrupt = (
                not reading.refused and row + 1 not in reading.named and reading.rows != source.rows
            )
            corrupt = corrupt or (
                not reading.refused
                and not set(others) <= set(reading.rows)
                and not len(reading.named) > 1
            )
        located += found
        silent += corrupt
        if not found:
            missed.append(reading.name)
    print(
        "not located, or not as its source:",
        ", ".join(missed[:40]) or "none",
        "..." if len(missed) > 40 else "",
    )
    print("not told apart by their own dialect:", ", ".join(sorted(untold)) or "none")
    return {
        "located": located / files,
        "located_files": files,
        "silent_corruption": silent,
        "false_alarms": alarms,
        "not_told_apart": len(untold),
    }

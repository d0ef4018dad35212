"""The structure of a CSV file: what its scan found, and the file of its broken rows."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from services.validation.reading.records import Grammar
from services.validation.reading.table import BrokenRow, LineMap
from sluice.common.v1.errors_pb2 import Problem


@dataclass
class Structure:
    """What the scan found. `path` is read from line `skip_lines` on, under the plain grammar."""

    path: Path
    grammar: Grammar
    line_end: str
    """LF, CRLF or CR."""
    header: list[str]
    header_line: int
    """0 if there is no header."""
    skip_lines: int
    damage: Problem | None = None
    """What is wrong with the header."""
    preamble_lines: int = 0
    """Lines above the header, or above the first row, that are not blank."""
    footer_lines: int = 0
    footer_line: int = 0
    """Line of the first of them."""
    rows: int = 0
    blank_rows: int = 0
    broken_rows: int = 0
    line_breaks: bool = False
    """Whether a value may contain a line break or another character that Druid takes for structure.
    """
    lines: LineMap = field(default_factory=LineMap)


TakeRows = Callable[[Structure, bytes], None]
"""Takes good rows in the file's order, under the plain grammar and with line feeds, and what the
scan has found so far.
"""

_to_json = json.JSONEncoder(ensure_ascii=False).encode


def broken_line(row: BrokenRow) -> bytes:
    """Return the line of a broken row in the file that `read_broken` reads.

    JSON, because the csv module limits the length of a value for the whole process.
    """
    return _to_json([*vars(row).values()]).encode() + b"\n"


def read_broken(path: Path) -> Iterator[BrokenRow]:
    """Yield the broken rows in the file's order."""
    with path.open("rb") as file:
        for line in file:
            yield BrokenRow(*json.loads(line))

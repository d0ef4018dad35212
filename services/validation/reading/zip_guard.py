"""What an .xlsx file holds, before a reader that keeps all of it in memory sees it.

Declared sizes may lie, so that everything is unpacked once, piece by piece and no further than
allowed.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from services.validation.reading.faults import FileFault
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_ENTRIES = 1000
MAX_RATIO = 100
RATIO_FROM_BYTES = 1024 * 1024
"""Entries that unpack to less may be packed as tightly as they like."""
PIECE_BYTES = 1024 * 1024
_MAX_TAG_BYTES = 4096

_COLUMN = re.compile(rb'r="([A-Za-z]{1,3})\d')
_ROW = re.compile(rb'r="[A-Za-z]{0,3}(\d+)"')
"""Addresses of cells and rows, and perhaps what only looks like one: quick, as all of the XML is
searched. _FILLED is exact.
"""
_FILLED = re.compile(rb'<(?:\w+:)?c\s(?:[^>]*?\s)?r="([A-Za-z]{1,3})(\d+)"[^>]*(?<!/)>')


def check(path: Path, max_inflated_bytes: int, max_columns: int, max_cells: int) -> int:
    """Returns how many cells hold an error, such as #DIV/0!, instead of a value.

    Raises:
        FileFault: RESOURCE_LIMIT, FILE_CORRUPT, FILE_ENCRYPTED.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_directory(archive.infolist(), max_inflated_bytes)
            left = max_inflated_bytes
            errors = 0
            for entry in archive.infolist():
                bounds = _Bounds(max_columns, max_cells)
                for piece in _pieces(archive, entry):
                    left -= len(piece)
                    if left < 0:
                        raise _too_large(max_inflated_bytes)
                    # Any entry may be a sheet: the workbook names them as it likes.
                    bounds.add(piece)
                if bounds.exceeded():
                    _check_filled(archive, entry, max_columns, max_cells)
                errors += bounds.errors
            return errors
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        OSError,
        ValueError,
        RuntimeError,
    ) as failure:
        raise FileFault(
            ErrorReason.ERROR_REASON_FILE_CORRUPT, "The workbook's zip archive is damaged."
        ) from failure


def _check_directory(entries: list[zipfile.ZipInfo], max_inflated_bytes: int) -> None:
    if len(entries) > MAX_ENTRIES:
        message = (
            f"The workbook is made of {len(entries):,} pieces; at most {MAX_ENTRIES:,} are read."
        )
        raise FileFault(ErrorReason.ERROR_REASON_RESOURCE_LIMIT, message, value=len(entries))
    if any(entry.flag_bits & 1 for entry in entries):
        raise FileFault(
            ErrorReason.ERROR_REASON_FILE_ENCRYPTED, "The workbook is protected by a password."
        )
    if sum(entry.file_size for entry in entries) > max_inflated_bytes:
        raise _too_large(max_inflated_bytes)
    for entry in entries:
        if entry.file_size > RATIO_FROM_BYTES and entry.file_size > MAX_RATIO * max(
            entry.compress_size, 1
        ):
            message = f"The piece {entry.filename!r} unpacks to more than {MAX_RATIO} times its size, as no spreadsheet program writes it."
            raise FileFault(ErrorReason.ERROR_REASON_RESOURCE_LIMIT, message)


def _too_large(max_inflated_bytes: int) -> FileFault:
    message = f"The workbook unpacks to more than {max_inflated_bytes // 1024**2:,} MiB."
    return FileFault(ErrorReason.ERROR_REASON_RESOURCE_LIMIT, message)


def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The entry's content, cut before a tag where there is one near the end."""
    rest = b""
    with archive.open(entry) as file:
        while piece := file.read(PIECE_BYTES):
            piece = rest + piece
            cut = piece.rfind(b"<", len(piece) - _MAX_TAG_BYTES)
            cut = len(piece) if cut <= 0 else cut
            yield piece[:cut]
            rest = piece[cut:]
    yield rest


class _Bounds:
    """How far a sheet reaches, by the addresses of all of its cells. Empty cells count too, so that
    it may be less in truth.
    """

    def __init__(self, max_columns: int, max_cells: int) -> None:
        self._max_columns, self._max_cells = max_columns, max_cells
        self._columns: set[bytes] = set()
        self._rows = 0
        self.errors = 0

    def add(self, piece: bytes) -> None:
        """Takes a piece of the sheet's XML."""
        self._columns.update(_COLUMN.findall(piece))
        self._rows = max(self._rows, max(map(int, set(_ROW.findall(piece))), default=0))
        self.errors += piece.count(b' t="e"')

    def exceeded(self) -> bool:
        """Whether the reach is beyond the limits."""
        width = max(map(column_number, self._columns), default=0)
        return width > self._max_columns or width * self._rows > self._max_cells


def _check_filled(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_columns: int, max_cells: int
) -> None:
    """Looks again, at cells that are not empty only."""
    columns: set[bytes] = set()
    rows = 0
    for piece in _pieces(archive, entry):
        for name, row in _FILLED.findall(piece):
            columns.add(name)
            rows = max(rows, int(row))
    width = max(map(column_number, columns), default=0)
    if width > max_columns:
        message = f"A sheet of the workbook has cells up to column {width:,}; at most {max_columns:,} columns are read."
        raise FileFault(ErrorReason.ERROR_REASON_RESOURCE_LIMIT, message, value=width)
    if width * rows > max_cells:
        message = f"A sheet of the workbook spans {rows:,} rows and {width:,} columns; at most {max_cells:,} cells are read."
        raise FileFault(ErrorReason.ERROR_REASON_RESOURCE_LIMIT, message, value=width * rows)


def column_number(letters: bytes) -> int:
    """Number of a column from 1: A is 1, XFD is 16,384."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - ord("A") + 1
    return number

"""Check the size of an .xlsx file before a reader loads all of it into memory.

Declared sizes can be wrong, so the archive is unpacked once, in pieces and up to the limits.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from services.validation.reading.faults import FileFault, encrypted
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_ENTRIES = 1000
MAX_RATIO = 100
RATIO_FROM_BYTES = 1024 * 1024
"""MAX_RATIO applies to entries that unpack to more than this."""
PIECE_BYTES = 1024 * 1024
_MAX_TAG_BYTES = 4096

_COLUMN = re.compile(rb'r="([A-Za-z]{1,3})\d')
_ROW = re.compile(rb'r="[A-Za-z]{0,3}(\d+)"')
"""Addresses of cells and rows, and text that looks like one. Fast, because all of the XML is
searched; _FILLED is exact.
"""
_FILLED = re.compile(rb'<(?:\w+:)?c\s(?:[^>]*?\s)?r="([A-Za-z]{1,3})(\d+)"[^>]*(?<!/)>')


def check(path: Path, max_inflated_bytes: int, max_columns: int, max_cells: int) -> int:
    """Return the number of cells that contain an error, such as #DIV/0!, instead of a value.

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
                    # Any entry may be a sheet: the workbook chooses the names.
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
        raise FileFault(
            ErrorReason.ERROR_REASON_RESOURCE_LIMIT,
            f"The workbook has {len(entries):,} zip entries; the limit is {MAX_ENTRIES:,}.",
            value=len(entries),
        )
    if any(entry.flag_bits & 1 for entry in entries):
        raise encrypted()
    if sum(entry.file_size for entry in entries) > max_inflated_bytes:
        raise _too_large(max_inflated_bytes)
    for entry in entries:
        if entry.file_size > RATIO_FROM_BYTES and entry.file_size > MAX_RATIO * max(
            entry.compress_size, 1
        ):
            raise FileFault(
                ErrorReason.ERROR_REASON_RESOURCE_LIMIT,
                f"The zip entry {entry.filename!r} unpacks to more than {MAX_RATIO} times its size, which no spreadsheet program writes.",
            )


def _too_large(max_inflated_bytes: int) -> FileFault:
    return FileFault(
        ErrorReason.ERROR_REASON_RESOURCE_LIMIT,
        f"The workbook unpacks to more than {max_inflated_bytes // 1024**2:,} MiB.",
    )


def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of the entry in pieces, cut before a tag if there is one near the end."""
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
    """The extent of a sheet by the addresses of its cells. Includes empty cells, so it may be too
    large.
    """

    def __init__(self, max_columns: int, max_cells: int) -> None:
        self._max_columns, self._max_cells = max_columns, max_cells
        self._columns: set[bytes] = set()
        self._rows = 0
        self.errors = 0

    def add(self, piece: bytes) -> None:
        """Add a piece of the sheet's XML."""
        self._columns.update(_COLUMN.findall(piece))
        self._rows = max(self._rows, max(map(int, set(_ROW.findall(piece))), default=0))
        self.errors += piece.count(b' t="e"')

    def exceeded(self) -> bool:
        """Return whether the extent exceeds the limits."""
        width = max(map(column_number, self._columns), default=0)
        return width > self._max_columns or width * self._rows > self._max_cells


def _check_filled(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_columns: int, max_cells: int
) -> None:
    """Check the extent of the cells that are not empty."""
    columns: set[bytes] = set()
    rows = 0
    for piece in _pieces(archive, entry):
        for name, row in _FILLED.findall(piece):
            columns.add(name)
            rows = max(rows, int(row))
    width = max(map(column_number, columns), default=0)
    if width > max_columns:
        raise FileFault(
            ErrorReason.ERROR_REASON_RESOURCE_LIMIT,
            f"A sheet of the workbook has {width:,} columns; the limit is {max_columns:,}.",
            value=width,
        )
    if width * rows > max_cells:
        raise FileFault(
            ErrorReason.ERROR_REASON_RESOURCE_LIMIT,
            f"A sheet of the workbook has {rows:,} rows and {width:,} columns; the limit is {max_cells:,} cells.",
            value=width * rows,
        )


def column_number(letters: bytes) -> int:
    """Return the number of a column: A is 1, XFD is 16,384."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - ord("A") + 1
    return number

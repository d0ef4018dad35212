"""Limits of one file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of one file and its results."""

    max_columns: int
    max_cells: int
    """Cells of a workbook sheet."""
    max_inflated_bytes: int
    """Uncompressed bytes of an .xlsx file."""
    max_parts: int
    rejects_workbook_rows: int = 100_000
    """Rows of a rejects file in workbook format."""

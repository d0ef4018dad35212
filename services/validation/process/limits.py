"""What one file may hold."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on one file, and on what is made of it."""

    max_columns: int
    max_cells: int
    """Cells of a sheet of a workbook."""
    max_inflated_bytes: int
    """Bytes of an .xlsx file when it is unpacked."""
    max_parts: int
    rejects_workbook_rows: int = 100_000
    """Refused rows that a workbook of them holds at most."""

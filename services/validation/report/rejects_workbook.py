"""The rejects file as a workbook: the same cells, all of them text, with those at fault
coloured.
"""

import csv
from pathlib import Path

import xlsxwriter

from services.validation.report.guide import COLUMNS

MAX_CELL_BYTES = 64 * 1024**2
"""Longest cell of a rejects file that is read: more than any record may have."""
MAX_CELL_CHARS = 32_767
"""More does not fit into a cell of a workbook."""
WIDTH = 18
"""Of a column, in characters."""


def write(rejects: Path, marks: Path, target: Path, max_rows: int) -> None:
    """Writes `target` from the rejects file and its marks, at most `max_rows` rows, with bounded
    memory.

    Further rows are not lost: the CSV file has all, and the last row says so.
    """
    csv.field_size_limit(MAX_CELL_BYTES)
    options = {
        "constant_memory": True,
        "tmpdir": str(target.parent),
        "strings_to_formulas": False,
        "strings_to_urls": False,
    }
    with (
        xlsxwriter.Workbook(target, options) as workbook,
        rejects.open(encoding="utf-8", newline="") as file,
        marks.open(encoding="ascii") as places,
    ):
        head = workbook.add_format({"bold": True, "bottom": 1})
        guide = workbook.add_format({"font_color": "#777777", "italic": True})
        at_fault = workbook.add_format({"bg_color": "#FFC7CE", "font_color": "#9C0006"})
        sheet = workbook.add_worksheet("Rejects")
        sheet.freeze_panes(1, COLUMNS)
        rows = csv.reader(file)
        header = next(rows)
        sheet.set_column(0, len(header) - 1, WIDTH)
        for place, name in enumerate(header):
            sheet.write_string(0, place, name[:MAX_CELL_CHARS], head)
        for number, (cells, mark) in enumerate(zip(rows, places, strict=True), start=1):
            if number > max_rows:
                sheet.write_string(
                    number,
                    0,
                    f"Only the first {max_rows:,} rows are here; the CSV file has all.",
                    guide,
                )
                break
            wrong = {int(place) + COLUMNS for place in mark.split()} or range(
                COLUMNS, max(len(cells), len(header))
            )
            for place in range(max(len(cells), len(header))):
                text = cells[place][:MAX_CELL_CHARS] if place < len(cells) else ""
                format = guide if place < COLUMNS else at_fault if place in wrong else None
                if text:
                    sheet.write_string(number, place, text, format)
                elif place in wrong:
                    sheet.write_blank(number, place, None, format)

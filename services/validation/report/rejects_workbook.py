"""The rejects file as a workbook: the same cells as text, with the cells at fault highlighted."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import xlsxwriter

from services.validation.reading.records import Fields, Grammar
from services.validation.report.guide import COLUMNS

MAX_CELL_CHARS = 32_767
"""Longest text that a cell of a workbook can hold."""
WIDTH = 18
"""Width of a column, in characters."""


def write(rejects: Path, marks: Path, target: Path, max_rows: int) -> None:
    """Writes at most `max_rows` rows of the rejects file to `target`, in bounded memory.

    `marks`: per row, the positions of the cells at fault. If rows are left out, the last row says
    so.
    """
    options = {
        "constant_memory": True,
        "tmpdir": str(target.parent),
        "strings_to_formulas": False,
        "strings_to_urls": False,
    }
    with (
        xlsxwriter.Workbook(target, options) as workbook,
        rejects.open("rb") as file,
        marks.open(encoding="ascii") as positions,
    ):
        head = workbook.add_format({"bold": True, "bottom": 1})
        guide = workbook.add_format({"font_color": "#777777", "italic": True})
        at_fault = workbook.add_format({"bg_color": "#FFC7CE", "font_color": "#9C0006"})
        sheet = workbook.add_worksheet("Rejects")
        sheet.freeze_panes(1, COLUMNS)
        rows = _rows(file)
        header = next(rows)
        sheet.set_column(0, len(header) - 1, WIDTH)
        for i, name in enumerate(header):
            sheet.write_string(0, i, name[:MAX_CELL_CHARS], head)
        for number, (cells, mark) in enumerate(zip(rows, positions, strict=True), start=1):
            if number > max_rows:
                sheet.write_string(
                    number,
                    0,
                    f"Only the first {max_rows:,} rows are shown; the CSV file has all rows.",
                    guide,
                )
                break
            wrong = {int(position) + COLUMNS for position in mark.split()} or range(
                COLUMNS, max(len(cells), len(header))
            )
            for i in range(max(len(cells), len(header))):
                text = cells[i][:MAX_CELL_CHARS] if i < len(cells) else ""
                format = guide if i < COLUMNS else at_fault if i in wrong else None
                if text:
                    sheet.write_string(number, i, text, format)
                elif i in wrong:
                    sheet.write_blank(number, i, None, format)


def _rows(lines: Iterable[bytes]) -> Iterator[list[str]]:
    """The cells of each row of a rejects file.

    The csv module limits the length of a cell, and only for the whole process.
    """
    grammar = Grammar(b",")
    record: list[bytes] = []
    quotes = 0
    for line in lines:
        record.append(line)
        quotes += line.count(b'"')
        if quotes % 2:
            continue
        parsed = grammar.parse(b"".join(record).removesuffix(b"\n"))
        if not isinstance(parsed, Fields):
            raise ValueError(f"The rejects file has a broken row: {parsed.value}.")
        yield [value.decode() for value in parsed.values]
        record, quotes = [], 0

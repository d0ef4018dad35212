"""Workbooks made in memory."""

import io
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import xlsxwriter
import xlwt

Rows = Sequence[Sequence[Any]]


def xlsx(*sheets: Rows, names: Sequence[str] = (), **options: Any) -> bytes:
    """An .xlsx file."""
    made = io.BytesIO()
    book = xlsxwriter.Workbook(made, {"in_memory": True, **options})
    days, times = (
        book.add_format({"num_format": "yyyy-mm-dd"}),
        book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
    )
    for place, rows in enumerate(sheets):
        sheet = book.add_worksheet(names[place] if names else None)
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                match cell:
                    case datetime():
                        sheet.write_datetime(row, column, cell, times)
                    case date():
                        sheet.write_datetime(row, column, cell, days)
                    case str():
                        sheet.write_string(row, column, cell)
                    case None:
                        pass
                    case _:
                        sheet.write(row, column, cell)
    book.close()
    return made.getvalue()


def xls(*sheets: Rows, names: Sequence[str] = ()) -> bytes:
    """An .xls file."""
    book = xlwt.Workbook()
    days = xlwt.easyxf(num_format_str="yyyy-mm-dd")
    for place, rows in enumerate(sheets):
        sheet = book.add_sheet(names[place] if names else f"Sheet{place + 1}")
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                if isinstance(cell, date):
                    sheet.write(row, column, cell, days)
                elif cell is not None:
                    sheet.write(row, column, cell)
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()

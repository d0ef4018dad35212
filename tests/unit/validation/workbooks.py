"""Creates workbooks in memory."""

import io
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import xlsxwriter
import xlwt

Rows = Sequence[Sequence[Any]]


def xlsx(*sheets: Rows, names: Sequence[str] = (), **options: Any) -> bytes:
    """An .xlsx file."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True, **options})
    days, times = (
        book.add_format({"num_format": "yyyy-mm-dd"}),
        book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
    )
    for index, rows in enumerate(sheets):
        sheet = book.add_worksheet(names[index] if names else None)
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
    return file.getvalue()


def xls(*sheets: Rows, names: Sequence[str] = ()) -> bytes:
    """An .xls file."""
    book = xlwt.Workbook()
    days = xlwt.easyxf(num_format_str="yyyy-mm-dd")
    for index, rows in enumerate(sheets):
        sheet = book.add_sheet(names[index] if names else f"Sheet{index + 1}")
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                if isinstance(cell, date):
                    sheet.write(row, column, cell, days)
                elif cell is not None:
                    sheet.write(row, column, cell)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()

"""Tables of workbooks: typed cells, the right sheet, the row numbers of the sheet, and hostile
files.
"""

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from services.validation.reading import zip_guard
from sluice.validation.v1.validation_pb2 import ColumnType, Header, Policy, ReadOptions
from tests.unit.validation.examining import LIMITS, Examine
from tests.unit.validation.workbooks import Rows, xls, xlsx

SALES: Rows = [
    ["order date", "region", "zip", "units", "amount"],
    *([date(2024, 1, n % 28 + 1), f"Region {n % 3}", f"0{n:04}", n, n / 7] for n in range(100)),
]
Make = Callable[..., bytes]


@pytest.mark.parametrize(("make", "filename"), [(xlsx, "t.xlsx"), (xls, "t.xls")])
def test_cells_come_as_they_are_typed(examine: Examine, make: Make, filename: str) -> None:
    examined = examine(make(SALES), filename, policy=Policy())
    assert examined.passed, examined.report.summary
    assert [examined.column(str(name)).type for name in SALES[0]] == [
        ColumnType.COLUMN_TYPE_DATE,
        ColumnType.COLUMN_TYPE_TEXT,
        ColumnType.COLUMN_TYPE_IDENTIFIER,
        ColumnType.COLUMN_TYPE_INTEGER,
        ColumnType.COLUMN_TYPE_DECIMAL,
    ]
    rows = sorted(examined.rows(), key=lambda row: int(row["units"]))
    for number, row in enumerate(rows):
        assert float(row["amount"]) == pytest.approx(number / 7, rel=1e-15)
        assert row["zip"] == f"0{number:04}"
    assert examined.report.time.min_millis == 1704067200000


@pytest.mark.parametrize(("make", "filename"), [(xlsx, "t.xlsx"), (xls, "t.xls")])
def test_the_sheet_with_the_table_is_chosen_and_the_others_are_named(
    examine: Examine, make: Make, filename: str
) -> None:
    notes = [["About this file"], ["made by hand"]]
    people = [["Region", "Manager"], ["Region 1", "A"], ["Region 2", "B"]]
    examined = examine(make(notes, people, SALES, names=["Notes", "People", "Orders"]), filename)
    assert examined.report.sheet.name == "Orders"
    assert list(examined.report.sheet.all_names) == ["Notes", "People", "Orders"]
    assert examined.codes == ["SHEETS_IGNORED"]
    assert "'Notes', 'People'" in examined.report.problems[0].message


def test_titles_above_the_table_and_blank_rows_do_not_shift_row_numbers(examine: Examine) -> None:
    rows: list[list[object]] = [
        [],
        ["Sales of 2024"],
        [],
        ["", *SALES[0]],
        *(["", *row] for row in SALES[1:]),
    ]
    rows.insert(10, [])
    rows[20][1] = "not a day"
    examined = examine(xlsx(rows), "t.xlsx")
    assert examined.report.sheet.header_row == 4
    assert (
        examined.report.rows_read,
        examined.report.rows_skipped,
        examined.report.rows_rejected,
    ) == (101, 1, 1)
    assert [reject["line"] for reject in examined.rejects()] == ["21"]


def test_tiny_numbers_keep_their_digits(examine: Examine) -> None:
    rows: list[list[object]] = [
        ["date", "tiny", "fine"],
        [date(2024, 1, 1), 1.5e-12, 1.23456789012345e-5],
        [date(2024, 1, 2), 2.5e-12, 3.0],
    ]
    found = examine(xlsx(rows), "t.xlsx").rows()
    assert [float(row["tiny"]) for row in found] == [1.5e-12, 2.5e-12]
    assert [float(row["fine"]) for row in found] == [1.23456789012345e-5, 3.0]


def test_cells_with_an_error_are_null_and_reported(examine: Examine) -> None:
    rows: list[list[object]] = [["date", "ratio"], *([date(2024, 1, 1), 1.5] for _ in range(30))]
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(xlsx(rows))) as reading,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as writing,
    ):
        for name in reading.namelist():
            data = reading.read(name)
            if name == "xl/worksheets/sheet1.xml":
                data = re.sub(rb'<c r="B5"><v>1.5</v>', b'<c r="B5" t="e"><v>#DIV/0!</v>', data)
            writing.writestr(name, data)
    examined = examine(made.getvalue(), "t.xlsx")
    assert examined.passed
    assert examined.column("ratio").nulls == 1
    assert examined.codes == ["VALUE_MISFIT"]


@pytest.mark.parametrize("rows", [[], [["only one cell"]], [["one"], ["column"]]])
def test_a_workbook_without_a_table(examine: Examine, rows: Rows) -> None:
    assert examine(xlsx(rows), "t.xlsx").codes == ["SHEET_NOT_FOUND"]


def test_a_header_alone_has_no_rows(examine: Examine) -> None:
    assert examine(xlsx([SALES[0]]), "t.xlsx").codes == ["NO_ROWS"]


def sheet_xml(body: str) -> bytes:
    """A workbook whose sheet has `body`."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(xlsx([["a", "b"]]))) as reading,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as writing,
    ):
        for name in reading.namelist():
            data = reading.read(name)
            if name == "xl/worksheets/sheet1.xml":
                data = re.sub(
                    rb"<sheetData>.*</sheetData>", f"<sheetData>{body}</sheetData>".encode(), data
                )
            writing.writestr(name, data)
    return made.getvalue()


FAR = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
FAR_WITHOUT_ROW_NUMBER = (
    '<row><c r="A1"><v>1</v></c></row><row><c r="ALL1048576"><v>1</v></c></row>'
)


@pytest.mark.parametrize("body", [FAR, FAR_WITHOUT_ROW_NUMBER])
def test_a_far_cell_is_rejected_before_it_is_read(examine: Examine, body: str) -> None:
    assert examine(sheet_xml(body), "t.xlsx").codes == ["RESOURCE_LIMIT"]


def test_far_cells_that_are_empty_do_no_harm(examine: Examine) -> None:
    body = '<row r="1"><c r="A1" t="str"><v>date</v></c><c r="B1" t="str"><v>x</v></c><c r="XFD1" s="1"/></row>'
    body += '<row r="2"><c r="A2" t="str"><v>2024-01-01</v></c><c r="B2"><v>5</v></c></row>'
    examined = examine(sheet_xml(body), "t.xlsx")
    assert examined.passed, examined.report.summary


def bomb(size: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as writing:
        writing.writestr("xl/workbook.xml", b"<workbook/>")
        writing.writestr("xl/sharedStrings.xml", bytes(size))
    return made.getvalue()


def test_an_entry_with_a_high_compression_ratio_is_rejected(examine: Examine) -> None:
    assert examine(bomb(4 * 1024**2), "t.xlsx").codes == ["RESOURCE_LIMIT"]


def test_an_archive_that_unpacks_to_too_much_is_rejected_even_if_its_directory_is_wrong(
    examine: Examine,
) -> None:
    data = xlsx(SALES)
    limits = replace(LIMITS, max_inflated_bytes=5_000)
    assert examine(data, "t.xlsx", limits=limits).codes == ["RESOURCE_LIMIT"]
    lying = bytearray(bomb(900_000))
    # Both the entry's own header and the directory have the size.
    for place in [
        match.start() for match in re.finditer((900_000).to_bytes(4, "little"), bytes(lying))
    ]:
        lying[place : place + 4] = (10).to_bytes(4, "little")
    assert examine(bytes(lying), "t.xlsx", limits=limits).codes == ["FILE_CORRUPT"]


def test_too_many_entries_are_rejected(examine: Examine) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as writing:
        writing.writestr("xl/workbook.xml", b"<workbook/>")
        for number in range(zip_guard.MAX_ENTRIES):
            writing.writestr(f"xl/{number}", b"")
    assert examine(made.getvalue(), "t.xlsx").codes == ["RESOURCE_LIMIT"]


@pytest.mark.parametrize(
    ("letters", "number"), [(b"A", 1), (b"Z", 26), (b"AA", 27), (b"XFD", 16_384)]
)
def test_column_letters(letters: bytes, number: int) -> None:
    assert zip_guard.column_number(letters) == number


ROWS: list[list[Any]] = [
    ["2024-01-02", "North", 1.5],
    ["2024-01-03", "South", 2.5],
    ["2024-01-04", "West", 3.5],
]
NAMES = ["date", "region", "amount"]


def test_the_sheet_and_the_header_row_can_be_specified(examine: Examine) -> None:
    first: Rows = [["a", "b", "c"], *ROWS * 3]
    second: Rows = [["not", "this", "row"], NAMES, *ROWS]
    data = xlsx(first, second, names=["First", "Second"])
    examined = examine(data, "book.xlsx", options=ReadOptions(sheet="Second", header_row=2))
    assert (examined.report.sheet.name, examined.report.sheet.header_row) == ("Second", 2)
    assert [column.source_name for column in examined.report.columns] == NAMES
    assert examined.report.rows_loadable == 3
    assert examined.codes == ["LINES_SKIPPED"]


def test_a_sheet_without_names_keeps_its_first_row(examine: Examine) -> None:
    examined = examine(xlsx(ROWS), "book.xlsx", options=ReadOptions(time_column="column_1"))
    assert (examined.report.rows_read, examined.report.sheet.header_row) == (3, 0)
    assert examined.codes == ["NO_HEADER"]


def test_a_missing_header_can_be_specified(examine: Examine) -> None:
    rows = [["x", "y"], ["a", "b"]]
    assert (
        examine(
            xlsx(rows), "book.xlsx", options=ReadOptions(header=Header.HEADER_NO)
        ).report.rows_read
        == 2
    )
    assert (
        examine(
            xlsx(ROWS), "book.xlsx", options=ReadOptions(header=Header.HEADER_YES)
        ).report.rows_read
        == 2
    )


def test_merged_titles_above_the_table_are_skipped(examine: Examine) -> None:
    examined = examine(xlsx([["Sales of the year"], [], NAMES, *ROWS]), "book.xlsx")
    assert (examined.report.sheet.header_row, examined.report.rows_loadable) == (3, 3)
    assert examined.codes == ["LINES_SKIPPED"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (ReadOptions(sheet="Nowhere"), "SHEET_NOT_FOUND"),
        (ReadOptions(header_row=99), "OPTION_MISFIT"),
    ],
)
def test_a_specified_sheet_or_row_that_does_not_exist_is_rejected(
    examine: Examine, options: ReadOptions, code: str
) -> None:
    assert examine(xlsx([NAMES, *ROWS]), "book.xlsx", options=options).codes == [code]

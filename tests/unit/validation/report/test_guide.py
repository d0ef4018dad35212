"""The rejects file with its guide columns, as written and as uploaded after repair."""

import csv
import io
import re
import zipfile
from pathlib import Path

import fastexcel
import pytest

from services.validation.report import guide, rejects_workbook
from services.validation.report.rejects import MARKS
from services.validation.report.repairs import _number, _time
from sluice.validation.v1.validation_pb2 import Contract, KnownColumn, Policy
from tests.unit.validation.examining import LENIENT, TASK_ID, Examine
from tests.unit.validation.workbooks import xlsx

GOOD = b"2024-01-01,5,x\n" * 50


def damaged(examine: Examine) -> tuple[Path, list[list[str]]]:
    """A rejects file with faults of all kinds, and its rows."""
    bad = b"never,five,=SUM(A1)\n2024-01-02,5\n2024-01-03,n.k.,-z\n"
    examined = examine(b"date,number,=note\n" + GOOD + bad + GOOD)
    assert (examined.report.rows_loadable, examined.report.rows_rejected) == (100, 3)
    path = examined.folder / examined.report.rejects_uri
    with path.open(encoding="utf-8", newline="") as file:
        return path, list(csv.reader(file))


def repaired(rows: list[list[str]]) -> list[list[str]]:
    """The rows with every fault fixed."""
    fixed_rows = [list(row) for row in rows]
    fixed_rows[1][5:7] = ["2024-01-02", "5"]
    fixed_rows[2].append("y")
    fixed_rows[3][6] = "7"
    return fixed_rows


def as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def test_the_header_has_the_task_and_a_row_its_repairs(examine: Examine) -> None:
    _, rows = damaged(examine)
    assert rows[0] == [
        f"line of {TASK_ID}",
        "column",
        "value",
        "reason",
        "repair",
        "date",
        "number",
        "'=note",
    ]
    assert rows[1][:4] == ["52", "date", "never", "TIME_INVALID"]
    time = "Write the time in the same format as the rest of the column."
    value = "Correct the value, or leave it empty."
    assert rows[1][4] == f"{time} {value}"
    assert rows[1][5:] == ["never", "five", "'=SUM(A1)"]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_repaired_file_is_read_without_guide_columns(examine: Examine, kind: str) -> None:
    _, rows = damaged(examine)
    fixed_rows = repaired(rows)
    back = (
        examine(as_csv(fixed_rows), "back.csv")
        if kind == "csv"
        else examine(xlsx([list(row) for row in fixed_rows]), "back.xlsx")
    )
    report = back.report
    assert report.rejects_of == TASK_ID
    assert (report.rows_read, report.rows_loadable, report.rows_rejected) == (3, 3, 0)
    assert [column.source_name for column in report.columns] == ["date", "number", "=note"]
    assert sorted(row["=note"] for row in back.rows()) == ["-z", "=SUM(A1)", "y"]


def test_an_unrepaired_row_is_rejected_again(examine: Examine) -> None:
    _, rows = damaged(examine)
    fixed_rows = repaired(rows)
    fixed_rows[2].pop()
    back = examine(as_csv(fixed_rows))
    assert (back.report.rows_read, back.report.rows_loadable, back.report.rows_rejected) == (
        3,
        2,
        1,
    )
    assert list(back.rejects()[0].values())[5:7] == ["2024-01-02", "5"]


def test_other_headers_are_not_guide_columns() -> None:
    assert guide.task_of(guide.header(TASK_ID)) == TASK_ID
    assert guide.task_of([]) == ""
    assert guide.task_of(["line of nobody", "column", "value", "reason", "repair"]) == ""
    assert guide.task_of([*guide.header(TASK_ID)[:4], "remedy"]) == ""


def cells(path: Path) -> list[list[str]]:
    """The cells of a workbook."""
    frame = fastexcel.read_excel(path).load_sheet(0, header_row=None, dtypes="string").to_polars()
    return [[cell or "" for cell in row] for row in frame.iter_rows()]


def test_the_workbook_highlights_the_cells_at_fault(examine: Examine, tmp_path: Path) -> None:
    path, rows = damaged(examine)
    rejects_workbook.write(path, path.with_name(MARKS), tmp_path / "rejects.xlsx", 100)
    assert cells(tmp_path / "rejects.xlsx") == [row + [""] * (8 - len(row)) for row in rows]
    sheet = zipfile.ZipFile(tmp_path / "rejects.xlsx").read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    styles = {
        cell: int(style) for cell, style in re.findall(r'<c r="([A-Z]+\d+)" s="(\d+)"', sheet)
    }
    # In a row that is too short, all cells are at fault, even the missing one.
    assert {cell for cell, style in styles.items() if style == max(styles.values())} == {
        "F2",
        "G2",
        "F3",
        "G3",
        "H3",
        "G4",
    }


def test_the_workbook_names_the_rows_that_it_leaves_out(examine: Examine, tmp_path: Path) -> None:
    path, _ = damaged(examine)
    rejects_workbook.write(path, path.with_name(MARKS), tmp_path / "rejects.xlsx", 2)
    shown = cells(tmp_path / "rejects.xlsx")
    assert len(shown) == 4
    assert "CSV file has all" in shown[3][0]


def test_the_workbook_does_not_change_the_csv_limit_of_the_process(
    examine: Examine, tmp_path: Path
) -> None:
    path, _ = damaged(examine)
    before = csv.field_size_limit()
    rejects_workbook.write(path, path.with_name(MARKS), tmp_path / "rejects.xlsx", 2)
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("cell", "whole", "suggestion"),
    [
        ("12 EUR", True, "12"),
        ("1 234,5", False, "1234.5"),
        ("1.234,50", False, "1234.50"),
        ("1,234.50", False, "1234.50"),
        ("(12.5)", False, "-12.5"),
        ("-3.", True, "-3"),
        ("1,234", True, ""),
        ("12.5", True, ""),
        ("n.k.", False, ""),
        ("3 of 4", True, ""),
    ],
)
def test_a_single_number_is_suggested(cell: str, whole: bool, suggestion: str) -> None:
    assert _number(cell, whole=whole) == suggestion


@pytest.mark.parametrize(
    ("cell", "wanted", "suggestion"),
    [
        ("31.12.2024", "%Y-%m-%d", "2024-12-31"),
        ("2024/12/31", "%d.%m.%Y", "31.12.2024"),
        ("12/31/2024", "%Y-%m-%d", "2024-12-31"),
        ("01/02/2024", "%Y-%m-%d", ""),
        ("2024-12-31 10:00", "%Y-%m-%d", ""),
        ("soon", "%Y-%m-%d", ""),
    ],
)
def test_an_unambiguous_time_is_suggested(cell: str, wanted: str, suggestion: str) -> None:
    assert _time(cell, wanted) == suggestion


def test_repaired_rows_are_read_like_the_last_load(examine: Examine) -> None:
    rows = "".join(
        f"0{month}/2{day}/2024,A{month},5\n" for month in range(1, 10) for day in range(5)
    )
    last = examine(("when date,code,number\n" + rows).encode()).report
    known = [
        KnownColumn(
            name=column.name,
            source_name=column.source_name,
            type=column.type,
            time_format=column.time_format,
        )
        for column in last.columns
    ]
    policy = Policy(rules=LENIENT.rules, contract=Contract(task_id=TASK_ID, columns=known))
    header = guide.header(TASK_ID)
    fixed = [
        [*header, "when date", "code", "number"],
        ["2", "", "", "", "", "03/04/2024", "7", "5"],
        ["3", "", "", "", "", "03/05/2024", "8", "n.k."],
    ]
    back = examine(as_csv(fixed), policy=policy)
    assert [column.type for column in back.report.columns] == [
        column.type for column in last.columns
    ]
    assert [row["__time"] for row in back.rows()] == [str(1709510400000)]
    assert (back.report.rows_loadable, back.report.rows_rejected, back.codes) == (1, 1, [])
    # Without a last load, these rows are not enough to detect the order.
    assert "DAY_MONTH_ASSUMED" in examine(as_csv(fixed)).codes

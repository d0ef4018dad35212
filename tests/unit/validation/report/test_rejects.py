"""The rejects file."""

import pytest

from services.common.formulas import without_formula
from tests.unit.validation.examining import Examine


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-a", "+x"]
)
def test_formulas_are_escaped(cell: str) -> None:
    assert without_formula(cell) == f"'{cell}"


@pytest.mark.parametrize(
    "cell", ["", "abc", "-12.5", "+1", "-1,234.50", "1-2", "a=b", "-1e-7", "-5%"]
)
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert without_formula(cell) == cell


def test_rows_are_in_file_order_with_the_users_own_cells(examine: Examine) -> None:
    good = b"2024-01-01,5,x\n" * 50
    examined = examine(
        b"date,number,=note\n"
        + good
        + b"2024-01-01,5\n"
        + good
        + b"never,five,y\n"
        + good
        + b'2024-01-01,"5,z\n'
    )
    rows = examined.rejects()
    assert list(rows[0]) == [
        "line",
        "column",
        "value",
        "reason",
        "repair",
        "date",
        "number",
        "'=note",
    ]
    assert [(row["line"], row["column"], row["value"], row["reason"]) for row in rows] == [
        ("52", "", "2", "ROW_TOO_SHORT"),
        ("103", "date", "never", "TIME_INVALID"),
        ("154", "", '2024-01-01,"5,z', "QUOTE_BROKEN"),
    ]
    assert (rows[1]["date"], rows[1]["number"]) == ("never", "five")
    assert all(row["repair"] for row in rows)
    both = examined.report.first_rejects[1]
    assert [problem.column for problem in both.problems] == ["date", "number"]


def test_the_report_shows_the_first_hundred(examine: Examine) -> None:
    examined = examine(b"date,number\n" + b"2024-01-01,5\n" * 4000 + b"never,5\n" * 150)
    assert len(examined.report.first_rejects) == 100
    assert len(examined.rejects()) == examined.report.rows_rejected == 150


def test_the_guide_columns_escape_formulas_too(examine: Examine) -> None:
    examined = examine(b"date,=number\n" + b"2024-01-01,5\n" * 50 + b"2024-01-01,=SUM(A1)\n")
    [row] = examined.rejects()
    assert (row["column"], row["value"]) == ("'=number", "'=SUM(A1)")
    [problem] = examined.report.first_rejects[0].problems
    assert (problem.column, problem.value) == ("=number", "=SUM(A1)")

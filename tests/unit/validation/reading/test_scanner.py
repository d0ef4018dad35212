"""The structural scan gives the same result by block and by record, and reports damage by line."""

import csv
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.validation.reading import blocks, csv_reader, structure
from services.validation.reading.faults import FileFault
from services.validation.reading.table import ROW, Table
from tests.unit.validation.examining import Examine, new_folder

HEADER = b"date,region,note,amount,count\n"
ROW_TEXT = b"2024-01-02,North,plain,1.5,2\n"


def outcome(path: Path, folder: Path) -> tuple[object, ...]:
    """Everything that the reader returns for a file, or why it cannot read it."""
    try:
        table = csv_reader.read(path, folder, 2000)
    except FileFault as fault:
        return (fault.problem.code, fault.problem.line)
    if table.damage is not None:
        return (table.damage.code, table.damage.line)
    frame = table.frame().collect().sort(ROW)
    broken = list(structure.read_broken(table.broken_path)) if table.broken_path else []
    lines = [table.lines.line(row) for row in range(table.rows)]
    assert frame.height == table.rows
    return (
        table.header,
        frame.drop(ROW).rows(),
        lines,
        [(row.line, row.reason) for row in broken],
        table.blank_rows,
    )


@settings(max_examples=300)
@example(",,\ra\n", "x,y,z\n")
@example('"",,\ra\n', "x,y,z\n")
@example(',""\ra\n', "x,y\n")
@given(
    st.text(alphabet='ab,"\n\r', max_size=60),
    st.sampled_from(["x,y\n", "x,y\r\n", "x,y,z\n", "x\n"]),
)
def test_blocks_and_single_records_give_the_same_result(
    tmp_path_factory: pytest.TempPathFactory, text: str, header: str
) -> None:
    folder = tmp_path_factory.mktemp("scan")
    path = folder / "source"
    path.write_bytes((header + text).encode())
    fast = outcome(path, new_folder(folder))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks.RegularForm, "count", lambda self, block: 0)
        careful = outcome(path, new_folder(folder))
    assert fast == careful


@settings(max_examples=100)
@given(st.text(alphabet='a,"\n', max_size=80), st.integers(min_value=7, max_value=40))
def test_where_blocks_are_cut_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, text: str, size: int
) -> None:
    folder = tmp_path_factory.mktemp("scan")
    path = folder / "source"
    path.write_bytes(("x,y,z\n" + text).encode())
    whole = outcome(path, new_folder(folder))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks, "BLOCK_BYTES", size)
        pieces = outcome(path, new_folder(folder))
    # The dialect and the header are detected in the first block. If they differ, so do the rows.
    if whole[0] == pieces[0]:
        assert whole == pieces


def test_broken_rows_are_read_whatever_the_limit_of_the_csv_module(tmp_path: Path) -> None:
    table = read(tmp_path, HEADER + ROW_TEXT + b"x" * 200_000 + b'\0,"y"z\n' + ROW_TEXT)
    assert table.broken_path is not None
    limit = csv.field_size_limit(1)
    try:
        (broken,) = structure.read_broken(table.broken_path)
    finally:
        csv.field_size_limit(limit)
    assert (broken.line, broken.found) == (3, "x" * 200_000 + '\\0,"y"z')


def read(folder: Path, data: bytes) -> Table:
    path = folder / "source"
    path.write_bytes(data)
    return csv_reader.read(path, folder, 2000)


def test_a_regular_file_is_read_in_place(tmp_path: Path) -> None:
    table = read(tmp_path, HEADER + ROW_TEXT * 3 + b'2024-01-02,"a, ""b""",c,1,2\n')
    assert (table.rows, table.broken_rows, table.blank_rows) == (4, 0, 0)
    assert not (tmp_path / "clean.csv").exists()


@pytest.mark.parametrize(
    ("damaged", "code"),
    [
        (b"2024-01-02,North,plain,1.5\n", "ROW_TOO_SHORT"),
        (b"2024-01-02,North,plain,1.5,2,3\n", "ROW_TOO_LONG"),
        (b'2024-01-02,"North"x,plain,1.5,2\n', "QUOTE_BROKEN"),
        (b'2024-01-02,"North,plain,1.5,2\n', "QUOTE_BROKEN"),
        (b'2024-01-02,North,plain,1.5,"2\n', "QUOTE_BROKEN"),
        (b"2024-01-02,No\0rth,plain,1.5,2\n", "VALUE_MISFIT"),
    ],
)
@pytest.mark.parametrize("rows", [30, 120_000])
def test_one_damaged_row_is_named_and_costs_no_other(
    examine: Examine, damaged: bytes, code: str, rows: int
) -> None:
    half = rows // 2
    examined = examine(HEADER + ROW_TEXT * half + damaged + ROW_TEXT * half)
    assert [(reject["line"], reject["reason"]) for reject in examined.rejects()] == [
        (str(half + 2), code)
    ]
    assert (examined.report.rows_read, examined.report.rows_loadable) == (2 * half + 1, 2 * half)
    assert {tuple(row.values()) for row in examined.rows()} == {
        ("1704153600000", "North", "plain", "1.5", "2")
    }


def test_a_value_may_span_lines_and_the_rows_after_it_keep_their_lines(examine: Examine) -> None:
    spanning = b'2024-01-02,North,"first\nsecond\r\nthird",1.5,2\n'
    examined = examine(
        HEADER + ROW_TEXT * 4 + spanning + ROW_TEXT * 40 + b"bad,North,plain,1.5,2\n"
    )
    assert [reject["line"] for reject in examined.rejects()] == ["49"]
    assert sum(row["note"] == "first second third" for row in examined.rows()) == 1
    assert "TEXT_CHANGED" in examined.codes


def test_an_open_quote_does_not_swallow_whole_rows(examine: Examine) -> None:
    opening, closing = b'2024-01-02,"North,plain,1.5,2\n', b'2024-01-02,North",plain,1.5,2\n'
    examined = examine(HEADER + ROW_TEXT * 40 + opening + ROW_TEXT * 2 + closing + ROW_TEXT)
    assert [(reject["line"], reject["reason"]) for reject in examined.rejects()] == [
        ("42", "QUOTE_BROKEN")
    ]
    assert examined.report.rows_loadable == 44


def test_blank_lines_are_skipped_and_counted(examine: Examine) -> None:
    examined = examine(b"\n\n" + HEADER + ROW_TEXT + b"\n  \n" + ROW_TEXT + b",,,,\n" + b"\n" * 5)
    assert (
        examined.report.rows_read,
        examined.report.rows_loadable,
        examined.report.rows_skipped,
    ) == (10, 2, 8)
    assert examined.report.dialect.header_line == 3

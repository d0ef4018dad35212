"""Quoted values of any length, with line breaks, delimiters and quotes in them, are read as the csv
module reads them."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from services.validation.reading import blocks, csv_reader
from services.validation.reading.table import ROW, Batch, Take
from services.validation.report import rejects, rejects_workbook
from sluice.validation.v1.validation_pb2 import ReadOptions, Verdict
from tests.unit.validation.examining import Examine, examine_bytes, new_folder

HEADER = ["order date", "name", "note", "units"]
DAY = "2024-01-02"
SIZES = [1, 2, 100, 4000, 4095, 4096, 4097, 5000, 8191, 8192, 20_000, 65_536, 200_000, 1_000_000]

pieces = st.text(alphabet='abz é日,;|\t"\n\n', min_size=1, max_size=60)
sizes = st.sampled_from(SIZES) | st.integers(1, 30_000)
rows = st.lists(
    st.just(("short", 5)) | st.just(("", 0)) | st.tuples(pieces, sizes),
    min_size=1,
    max_size=8,
)
"""Values as a piece and the length that it is repeated to."""


def long(rows: Sequence[tuple[str, int]]) -> list[str]:
    return [(piece * (size // len(piece) + 1))[:size] if piece else "" for piece, size in rows]


def written(
    notes: Sequence[str],
    delimiter: str,
    line_end: str,
    *,
    last_line_ends: bool = True,
) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end)
    writer.writerow(HEADER)
    for number, note in enumerate(notes):
        writer.writerow([DAY, f"n{number}", note.replace("\n", line_end), number])
    return text.getvalue() if last_line_ends else text.getvalue().removesuffix(line_end)


def holds_a_record(notes: Sequence[str], delimiter: str) -> bool:
    """Return whether a line inside a value is a complete row: then it is read as one, and the quote
    before it is broken."""
    lines = {line.replace('"', '""') for note in notes for line in note.split("\n")}
    rows = (next(csv.reader([line], delimiter=delimiter), []) for line in lines)
    return any(len(row) == len(HEADER) for row in rows)


def read(text: str, folder: Path, delimiter: str) -> tuple[list[list[str]], list[list[str]], int]:
    """Return the rows of the batches, the rows of the frame, and the number of broken rows."""
    source = folder / "source"
    source.write_bytes(text.encode())
    batches: list[Batch] = []

    def begin() -> Take:
        batches.clear()
        return batches.append

    table = csv_reader.read(
        source,
        folder,
        2000,
        ReadOptions(delimiter=delimiter, quote='"', header_row=1),
        begin=begin,
    )
    first = [row for batch in batches for row in batch.frame.drop(ROW).rows()]
    again = table.frame().collect().sort(ROW).drop(ROW).rows()
    filled = ([[cell or "" for cell in row] for row in rows] for rows in (first, again))
    return next(filled), next(filled), table.broken_rows


@settings(max_examples=100)
@given(
    rows=rows,
    delimiter=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    last_line_ends=st.booleans(),
    block_bytes=st.sampled_from([blocks.BLOCK_BYTES, 1000, 5000]),
)
@example(
    rows=[("line\n", 5000)],
    delimiter=",",
    line_end="\n",
    last_line_ends=True,
    block_bytes=blocks.BLOCK_BYTES,
)
@example(
    rows=[("short", 5), ("x, y\n\n", 1_000_000), ("z", 1)],
    delimiter=",",
    line_end="\r\n",
    last_line_ends=False,
    block_bytes=5000,
)
@example(
    rows=[('said "so"\n', 20_000)] * 3,
    delimiter=";",
    line_end="\n",
    last_line_ends=True,
    block_bytes=1000,
)
def test_values_are_those_that_the_csv_module_reads(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, int]],
    delimiter: str,
    line_end: str,
    last_line_ends: bool,
    block_bytes: int,
) -> None:
    notes = long(rows)
    assume(not holds_a_record(notes, delimiter))
    text = written(notes, delimiter, line_end, last_line_ends=last_line_ends)
    csv.field_size_limit(4 * 1024**2)
    expected = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))[1:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        first, again, broken = read(text, new_folder(tmp_path_factory.mktemp("long")), delimiter)
    assert broken == 0
    assert first == expected
    assert again == expected


@settings(max_examples=60)
@given(
    rows=rows,
    head=st.text(alphabet='ab,"\n', max_size=30),
    tail=st.text(alphabet='ab,"\n', max_size=30),
)
def test_whatever_the_quotes_are_there_is_a_verdict(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, int]],
    head: str,
    tail: str,
) -> None:
    notes = long([(piece, min(size, 65_536)) for piece, size in rows])
    text = head + written(notes, ",", "\n") + tail + "".join(f'{DAY},"{note}\n' for note in notes)
    report = examine_bytes(
        new_folder(tmp_path_factory.mktemp("any")),
        text.encode(),
        "table.csv",
    ).report
    assert report.verdict in (Verdict.VERDICT_PASSED, Verdict.VERDICT_REJECTED)
    assert report.summary


@pytest.mark.parametrize("before", [0, 3, 1000])
@pytest.mark.parametrize("lines", [100, 1000, 50_000])
@pytest.mark.parametrize(
    "line",
    ["a line of it", "and, with commas", "and; so on, he said", "(1, 2, 3)"],
)
def test_a_long_note_is_one_value_of_one_row(
    examine: Examine,
    before: int,
    lines: int,
    line: str,
) -> None:
    short = [f"short {number}" for number in range(before)]
    long = "\n".join([line] * lines)
    examined = examine(written([*short, long, "after"], ",", "\n").encode())
    assert examined.passed, examined.report.summary
    assert [column.source_name for column in examined.report.columns] == HEADER
    assert (examined.report.rows_loadable, examined.report.rows_rejected) == (before + 2, 0)
    assert [row["note"] for row in examined.rows()] == [*short, long.replace("\n", " "), "after"]


def test_the_workbook_of_rejects_has_long_values(examine: Examine) -> None:
    good = ["short"] * 40
    without_number, _, _ = written([*good, "a\n" * 100_000], ",", "\n").rpartition(",")
    examined = examine(f"{without_number},no number\n".encode())
    assert (examined.report.rows_loadable, examined.report.rows_rejected) == (40, 1)
    made = examined.folder / "rejects.xlsx"
    csv.field_size_limit(131_072)
    rejects_workbook.write(
        examined.folder / "rejects.csv",
        examined.folder / rejects.MARKS,
        made,
        100,
    )
    assert made.stat().st_size


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("line", "quote"),
    [(b"2024-01-02,'it is\n", "'"), (b'x","y\n', '"'), (b'a,"b\n', '"'), (b"\"'\n", '"')],
)
def test_unclosed_quotes_do_not_take_forever(examine: Examine, line: bytes, quote: str) -> None:
    options = ReadOptions(delimiter=",", quote=quote, header_row=1)
    data = b"date,note\n2024-01-02,x\n" + line * (200_000 // len(line))
    assert examine(data, options=options).report.summary

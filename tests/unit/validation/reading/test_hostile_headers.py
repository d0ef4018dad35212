"""Column names are data: whatever they look like, they name their column and do nothing else."""

import csv
import io
from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.common.formulas import without_formula
from services.validation.columns.names import clean, druid_names
from services.validation.report import rejects, rejects_workbook
from sluice.validation.v1.validation_pb2 import ReadOptions
from tests.unit.validation.examining import Examine, Examined, examine_bytes, new_folder
from tests.unit.validation.workbooks import xlsx

ROWS = 40
BAD_ROW = 7
TIME_NAME = "order date"
NAMES_OF_OURS = [
    "#",
    "c0",
    "c1",
    "c2",
    "__time",
    "__load_id",
    "rows",
    "len",
    "count",
    "value",
    "literal",
    "blank",
]
PATTERNS = [
    "*",
    "^a.*$",
    "^.*$",
    "^c\\d+$",
    "^",
    "$",
    "^$",
    "(",
    "a1",
    "a2",
    "\\",
    "{}",
    "%s",
    ".*",
    "c*",
]
WRITTEN_ODDLY = [
    "",
    " ",
    '"',
    '""',
    "a\nb",
    "a\r\nb",
    "\x00",
    "\ufeff",
    "größe",
    "日付",
    "🎉",
    "a,b",
    "=1+1",
    "x" * 500,
]

names = st.one_of(
    st.sampled_from([*NAMES_OF_OURS, *PATTERNS, *WRITTEN_ODDLY]),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.text(alphabet="^$.*[]()?+#c012_", max_size=6),
)
KINDS = ["text", "whole", "decimal", "boolean", "day", "empty"]
NUMBERS = ["whole", "decimal"]
kinds = st.sampled_from(KINDS)
columns = st.lists(st.tuples(names, kinds), min_size=1, max_size=12)


def cell(kind: str, row: int) -> str:
    """A value that is loaded as it is written."""
    return {
        "text": f"t{row}",
        "whole": str(row),
        "decimal": f"{row}.5",
        "boolean": "true" if row % 2 else "false",
        "day": f"2024-03-{row % 28 + 1:02}",
        "empty": "",
    }[kind]


def table(columns: Sequence[tuple[str, str]], place: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows. The times are in the column at `place`; where there is a column of numbers,
    one row has none there."""
    header = [name for name, _ in columns]
    header.insert(place, TIME_NAME)
    rows = []
    for number in range(ROWS):
        cells = [cell(kind, number) for _, kind in columns]
        numeric = next((i for i, (_, kind) in enumerate(columns) if kind in NUMBERS), None)
        if number == BAD_ROW and numeric is not None:
            cells[numeric] = "none at all"
        cells.insert(place, f"2024-01-01T00:00:{number:02}")
        rows.append(cells)
    return header, rows


def loaded(examined: Examined) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the parts."""
    read = [list(csv.reader(io.StringIO(text, newline=""))) for text in examined.part_texts()]
    return read[0][0], [row for rows in read for row in rows[1:]]


def check(examined: Examined, columns: Sequence[tuple[str, str]], place: int) -> None:
    header, rows = table(columns, place)
    assert examined.passed, examined.report.summary
    names = [clean(column.source_name) for column in examined.report.columns]
    assert names == [clean(name) for name in header]
    expected, _ = druid_names(header, place)
    loads = [column for column in examined.report.columns if column.load_type]
    assert [column.name for column in loads] == [expected[column.position] for column in loads]
    others = [column.position for column in loads if column.position != place]
    found_header, found = loaded(examined)
    assert found_header == ["__time", *(expected[position] for position in others)]
    numeric = any(kind in NUMBERS for _, kind in columns)
    good = [row for number, row in enumerate(rows) if not (numeric and number == BAD_ROW)]
    assert [row[1:] for row in found] == [[row[position] for position in others] for row in good]
    rejected = [line for line in examined.rejects_cells() if line]
    assert len(rejected) == numeric
    if numeric:
        assert rejected[0][5:] == [without_formula(text) for text in rows[BAD_ROW]]


def in_csv(columns: Sequence[tuple[str, str]], place: int) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    header, rows = table(columns, place)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


SAID = ReadOptions(delimiter=",", quote='"', header_row=1, time_column=TIME_NAME)


@settings(max_examples=120)
@given(columns=columns, place=st.integers(min_value=0, max_value=12))
@example(
    columns=[("#", "text"), ("*", "whole"), ("^a.*$", "decimal"), ("a1", "text"), ("a2", "day")],
    place=0,
)
@example(
    columns=[
        ("c0", "text"),
        ("c2", "whole"),
        ("c1", "decimal"),
        ("__time", "text"),
        ("__load_id", "empty"),
    ],
    place=2,
)
@example(
    columns=[("", "text"), ("", "whole"), (" ", "empty"), ("^.*$", "boolean"), ("^.*$", "text")],
    place=5,
)
def test_any_header_of_a_text_names_its_columns(
    tmp_path_factory: pytest.TempPathFactory,
    columns: list[tuple[str, str]],
    place: int,
) -> None:
    place = min(place, len(columns))
    folder = new_folder(tmp_path_factory.mktemp("headers"))
    check(examine_bytes(folder, in_csv(columns, place), "table.csv", options=SAID), columns, place)


# A workbook cannot hold every character.
cells_of_workbooks = names.filter(lambda name: name.isprintable())


@settings(max_examples=30)
@given(
    columns=st.lists(st.tuples(cells_of_workbooks, kinds), min_size=1, max_size=8),
    place=st.integers(min_value=0, max_value=8),
)
@example(
    columns=[("#", "text"), ("*", "whole"), ("^a.*$", "decimal"), ("a1", "text"), ("a2", "day")],
    place=0,
)
def test_any_header_of_a_workbook_names_its_columns(
    tmp_path_factory: pytest.TempPathFactory,
    columns: list[tuple[str, str]],
    place: int,
) -> None:
    place = min(place, len(columns))
    header, rows = table(columns, place)
    folder = new_folder(tmp_path_factory.mktemp("headers"))
    # A column without a name or a value at the table's edge is none of it.
    named = [(name if name.strip() else f"n{i}", kind) for i, (name, kind) in enumerate(columns)]
    header, rows = table(named, place)
    examined = examine_bytes(folder, xlsx([header, *rows]), "table.xlsx", options=SAID)
    check(examined, named, place)
    if examined.report.rejects_uri:
        made = folder / "rejects.xlsx"
        rejects_workbook.write(folder / "rejects.csv", folder / rejects.MARKS, made, 100)
        assert made.stat().st_size


def test_no_name_of_a_user_reaches_an_expression(
    examine: Examine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What keeps the above true for code to come: frames know columns by their place only."""
    mark = "name of the user "
    given_names: list[str] = []
    column, alias, frame = pl.col, pl.Expr.alias, pl.DataFrame.__getitem__

    def note(*said: object) -> None:
        given_names.extend(name for name in said if isinstance(name, str) and mark in name)

    class Noted:
        def __call__(self, name: object, *more: object) -> pl.Expr:
            note(name, *more, *(name if isinstance(name, list) else []))
            return column(name, *more)  # type: ignore[arg-type]

    def noted_alias(self: pl.Expr, name: str) -> pl.Expr:
        note(name)
        return alias(self, name)

    def noted_item(self: pl.DataFrame, key: object) -> object:
        note(key)
        return frame(self, key)

    monkeypatch.setattr(pl, "col", Noted())
    monkeypatch.setattr(pl.Expr, "alias", noted_alias)
    monkeypatch.setattr(pl.DataFrame, "__getitem__", noted_item)
    every = [(f"{mark}{kind}", kind) for kind in KINDS]
    check(examine(in_csv(every, 3)), every, 3)
    assert given_names == []


def test_a_name_that_is_too_long_is_rejected(examine: Examine) -> None:
    assert examine(in_csv([("x" * 501, "text")], 0)).codes == ["HEADER_DAMAGED"]

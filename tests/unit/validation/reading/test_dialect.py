"""The dialect and the bounds of the table are detected from the text, or specified by the sender."""

import pytest

from sluice.validation.v1.validation_pb2 import Header, ReadOptions
from tests.unit.validation.examining import Examine

ROWS = [
    ["2024-01-02", "North, east", 'say "hi"', "1.5"],
    ["2024-01-03", "South", "it's", "2"],
    ["2024-01-04", "West", "-", "3"],
]
HEADER = ["date", "region", "note", "amount"]


def write(delimiter: str, quote: str, escape: str) -> str:
    def cell(text: str) -> str:
        if delimiter.strip() in text or quote in text or " " in text:
            return quote + text.replace(quote, escape + quote) + quote
        return text

    return "".join(delimiter.join(map(cell, row)) + "\n" for row in [HEADER, *ROWS * 3])


@pytest.mark.parametrize(
    ("delimiter", "quote", "escape"),
    [
        *((delimiter, '"', '"') for delimiter in [",", ";", "\t", "|", "~", "^", ", "]),
        *((delimiter, "'", "'") for delimiter in [",", ";", "\t", "|", ", "]),
        *((delimiter, '"', "\\") for delimiter in [",", ";", "\t", "|", ", "]),
    ],
)
def test_dialects_are_detected(examine: Examine, delimiter: str, quote: str, escape: str) -> None:
    examined = examine(write(delimiter, quote, escape).encode())
    assert examined.codes == []
    found = [[row["__time"], row["region"], row["note"], row["amount"]] for row in examined.rows()]
    assert sorted(row[1:] for row in found) == sorted(
        [row[1], row[2], f"{float(row[3])}"] for row in ROWS * 3
    )
    dialect = examined.report.dialect
    assert (dialect.delimiter, dialect.quote) == (delimiter, quote)


@pytest.mark.parametrize("rows", [["'", "'", "-"], ["'a", "b", "c'"]])
def test_apostrophes_that_enclose_nothing_on_their_line_are_values(
    examine: Examine, rows: list[str]
) -> None:
    text = "date,note,amount,size,mark\n" + "".join(
        f"2024-01-02,{note},1,2.5,x\n" for note in rows * 3
    )
    examined = examine(text.encode())
    assert [row["note"] for row in examined.rows()] == rows * 3
    assert examined.report.dialect.quote == '"'


def test_quotes_that_are_not_escaped_end_a_value_before_a_delimiter_only(examine: Examine) -> None:
    text = (
        b"date,size,count\n"
        + b'2024-01-02,"a, 48"",2\n2024-01-02,"b, c",3\n2024-01-03,"x 9" long, y",4\n' * 3
    )
    examined = examine(text)
    assert examined.codes == []
    assert {row["size"] for row in examined.rows()} == {'a, 48"', "b, c", 'x 9" long, y'}


@pytest.mark.parametrize(
    "record",
    [b'2024-01-02,Boots"fine, warm",2\n', b'2024-01-02,"a" b,2\n', b'2024-01-02,""fine",2\n'],
)
def test_a_quote_out_of_place_is_named(examine: Examine, record: bytes) -> None:
    good = b'2024-01-02,"say ""hi""",2\n'
    examined = examine(b"date,note,count\n" + good * 5 + record + good * 5)
    assert [(reject["line"], reject["reason"]) for reject in examined.rejects()] == [
        ("7", "QUOTE_BROKEN")
    ]
    assert examined.report.rows_loadable == 10


def test_inches_are_data(examine: Examine) -> None:
    examined = examine(b"date,pipe,tube,count\n" + b'2024-01-02,5" wide,6",1\n' * 3)
    assert {(row["pipe"], row["tube"]) for row in examined.rows()} == {('5" wide', '6"')}


@pytest.mark.parametrize(
    "above", [b"Sales of the year\n", b"Sales\n\nNorth and south, all\n", b"Sales,,\n,,\n"]
)
def test_titles_above_the_table_are_skipped(examine: Examine, above: bytes) -> None:
    examined = examine(above + b"date,region,amount\n" + b"2024-01-02,North,1\n" * 5)
    assert examined.codes == ["LINES_SKIPPED"]
    assert examined.report.rows_loadable == examined.report.rows_read == 5
    assert examined.report.dialect.header_line == above.count(b"\n") + 1


def test_notes_below_the_table_are_skipped_and_counted(examine: Examine) -> None:
    examined = examine(
        b"date,region,amount\n"
        + b"2024-01-02,North,1\n" * 5
        + b"\nSource: the office\nAll in EUR\n"
    )
    assert examined.codes == ["LINES_SKIPPED"]
    assert (
        examined.report.rows_loadable,
        examined.report.rows_skipped,
        examined.report.rows_rejected,
    ) == (5, 3, 0)
    assert examined.report.dialect.footer_lines == 2


def test_a_short_last_row_is_no_note(examine: Examine) -> None:
    examined = examine(
        b"date,region,amount\n" + b"2024-01-02,North,1\n" * 5 + b"\n2024-01-02,North\n"
    )
    assert [(reject["line"], reject["reason"]) for reject in examined.rejects()] == [
        ("8", "ROW_TOO_SHORT")
    ]


def test_a_table_without_a_header_keeps_its_first_row(examine: Examine) -> None:
    examined = examine(b"2024-01-02,North,1\n" * 5, options=ReadOptions(time_column="column_1"))
    assert [column.source_name for column in examined.report.columns] == [
        "column_1",
        "column_2",
        "column_3",
    ]
    assert "NO_HEADER" in examined.codes
    assert examined.report.rows_read == 5


@pytest.mark.parametrize("header", [b"region,2019,2020,2021", b"region,Q1,Q2,Q3", b",a,b,c"])
def test_names_with_digits_are_names(examine: Examine, header: bytes) -> None:
    examined = examine(header + b"\n" + b"North,1.5,2.5,3.5\nSouth,4.5,5.5,6.5\n")
    assert "NO_HEADER" not in examined.codes
    assert examined.report.rows_read == 2


@pytest.mark.parametrize(
    "header",
    [
        b"date,region,note,amount,count,more",
        b"date,regionnote,amount,count",
        b'date,"region,note,amount,count',
    ],
)
def test_a_header_that_does_not_fit_its_rows_is_never_shifted(
    examine: Examine, header: bytes
) -> None:
    examined = examine(header + b"\n" + b"2024-01-02,North,x,1,2\n" * 5)
    assert examined.codes[0] == "HEADER_DAMAGED"
    assert not examined.passed
    assert (examined.report.rows_read, len(examined.report.columns)) == (5, 5)


def test_specified_options_are_used(examine: Examine) -> None:
    text = b"title; x\n2024-01-02;'a;b';1\n2024-01-03;c;2\n"
    options = ReadOptions(delimiter=";", quote="'", header=Header.HEADER_NO, header_row=2)
    examined = examine(text, options=options)
    assert (examined.report.rows_read, len(examined.report.columns)) == (2, 3)
    assert examined.report.options == options


@pytest.mark.parametrize(
    "options",
    [
        ReadOptions(header_row=9),
        # The sample ends with an empty line 3, in which there is no header.
        ReadOptions(header_row=3),
        ReadOptions(delimiter="ab"),
    ],
)
def test_specified_options_that_do_not_fit_are_rejected(
    examine: Examine, options: ReadOptions
) -> None:
    assert examine(b"date,a\n2024-01-02,1\n", options=options).codes == ["OPTION_MISFIT"]


def test_a_doubled_apostrophe_stays_one(examine: Examine) -> None:
    data = b"""'date','name'\n'2024-01-01','it''s'\n'2024-01-02',''''\n'2024-01-03',''\n"""
    examined = examine(data, options=ReadOptions(quote="'"))
    assert [row["name"] for row in examined.rows()] == ["it's", "'", ""]

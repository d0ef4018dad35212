"""Any small table, written in any supported dialect, comes out as it was."""

import csv
import io
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sluice.validation.v1.validation_pb2 import ColumnType, ReadOptions
from tests.unit.validation.examining import examine_bytes, new_folder

ENCODINGS = [
    ("utf-8", b""),
    ("utf-8", b"\xef\xbb\xbf"),
    ("utf-16-le", b"\xff\xfe"),
    ("utf-16-be", b"\xfe\xff"),
]

words = (
    st.text(alphabet="abcXYZ äöé€日,;|\t\"'.-", min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda text: text and text.upper() not in {"NULL", "N/A", "#N/A"})
)
times = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2035, 1, 1)).map(
    lambda time: time.replace(microsecond=0)
)
decimals = st.floats(allow_nan=False, allow_infinity=False, width=64).filter(
    lambda number: abs(number) < 1e15
)
rows = st.lists(
    st.tuples(
        times,
        words,
        st.integers(min_value=-(10**15) + 1, max_value=10**15 - 1),
        decimals,
        st.one_of(st.none(), words),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150)
@given(
    rows=rows,
    delimiter=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(ENCODINGS),
    last_line_ends=st.booleans(),
)
def test_rows_types_and_values_are_those_of_the_table(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[datetime, str, int, float, str | None]],
    delimiter: str,
    line_end: str,
    quoting: int,
    encoding: tuple[str, bytes],
    last_line_ends: bool,
) -> None:
    # Values in apostrophes are ambiguous: the apostrophes may also be quotes.
    assume(not any(name.startswith("'") for _, name, _, _, _ in rows))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["order time", "name", "units", "amount", "remark"])
    for time, name, units, amount, remark in rows:
        writer.writerow(
            [time.isoformat(sep=" "), name, units, repr(amount), "" if remark is None else remark]
        )
    written = text.getvalue() if last_line_ends else text.getvalue().removesuffix(line_end)
    codec, mark = encoding
    folder = new_folder(tmp_path_factory.mktemp("roundtrip"))

    examined = examine_bytes(folder, mark + written.encode(codec), "table.csv")

    assert examined.passed, examined.report.summary
    assert examined.report.dialect.delimiter == delimiter
    assert examined.report.dialect.line_end == {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}[line_end]
    assert (examined.report.rows_read, examined.report.rows_loadable) == (len(rows), len(rows))
    assert examined.column("order time").type == ColumnType.COLUMN_TYPE_DATETIME
    assert examined.column("units").type == ColumnType.COLUMN_TYPE_INTEGER
    # Written by the standard library with a point, or with an exponent that has a sign: never like
    # a name.
    assert examined.column("amount").type == ColumnType.COLUMN_TYPE_DECIMAL
    expected = sorted(
        (
            (time - datetime(1970, 1, 1)) // timedelta(milliseconds=1),
            place,
            name,
            units,
            amount,
            remark or "",
        )
        for place, (time, name, units, amount, remark) in enumerate(rows)
    )
    found = [
        (int(row["__time"]), row["name"], int(row["units"]), float(row["amount"]), row["remark"])
        for row in examined.rows()
    ]
    assert found == [
        (time, name, units, amount, remark) for time, _, name, units, amount, remark in expected
    ]
    assert examined.column("units").sum == pytest.approx(
        float(sum(row[2] for row in rows)), abs=1e3
    )


@settings(max_examples=60)
@given(
    rows=rows,
    delimiter=st.sampled_from([",", ";", "\t", "|", ":", "~", "^", "\x1f"]),
    quote=st.sampled_from(['"', "'"]),
    escape=st.sampled_from(["", "\\"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_specified_dialect_reads_any_values(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[datetime, str, int, float, str | None]],
    delimiter: str,
    quote: str,
    escape: str,
    line_end: str,
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter=delimiter,
        lineterminator=line_end,
        quoting=csv.QUOTE_ALL,
        quotechar=quote,
        doublequote=not escape,
        escapechar=escape or None,
    )
    writer.writerow(["order time", "name", "units", "amount", "remark"])
    for time, name, units, amount, remark in rows:
        writer.writerow(
            [time.isoformat(sep=" "), name, units, repr(amount), "" if remark is None else remark]
        )
    options = ReadOptions(delimiter=delimiter, quote=quote, escape=escape or quote, header_row=1)
    folder = new_folder(tmp_path_factory.mktemp("specified"))

    examined = examine_bytes(folder, text.getvalue().encode(), "table.csv", options=options)

    assert examined.passed, examined.report.summary
    found = sorted(
        (row["name"], int(row["units"]), float(row["amount"]), row["remark"])
        for row in examined.rows()
    )
    assert found == sorted(
        (name, units, amount, remark or "") for _, name, units, amount, remark in rows
    )


DATE_FORMATS = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%y",
    "%d %B %Y",
    "%d-%b-%y",
    "%b %d, %Y",
]
CLOCKS = [
    "",
    " %H:%M",
    " %H:%M:%S",
    "T%H:%M:%S",
    " %I:%M %p",
    " %I:%M:%S %p",
    " %H:%M:%S.%f",
    "T%H:%M:%SZ",
    "T%H:%M:%S%z",
]


@settings(max_examples=150)
@given(
    times=st.lists(
        st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2035, 1, 1)),
        min_size=1,
        max_size=20,
    ),
    date=st.sampled_from(DATE_FORMATS),
    clock=st.sampled_from(CLOCKS),
    padded=st.booleans(),
)
def test_times_in_any_format_are_read_as_they_were_meant(
    tmp_path_factory: pytest.TempPathFactory,
    times: list[datetime],
    date: str,
    clock: str,
    padded: bool,
) -> None:
    # One date that only one order of day and month fits; without it the order is an assumption.
    times = [*times, datetime(2021, 12, 31, 13, 14, 15)]
    format = date + clock
    zone = timezone(timedelta(hours=2)) if "%z" in format else UTC
    texts = [time.replace(tzinfo=zone).strftime(format) for time in times]
    if not padded and date[0] == "%" and date[1] in "dm":
        texts = [text.removeprefix("0") for text in texts]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    # What the text says: less than the time where the format leaves seconds or the century out.
    meant = [
        datetime.strptime(time.replace(tzinfo=zone).strftime(format), format) for time in times
    ]
    millis = sorted(
        (time.replace(tzinfo=time.tzinfo or UTC) - epoch) // timedelta(milliseconds=1)
        for time in meant
    )
    data = "event date\tvalue\n" + "".join(
        f"{text}\t{number}\n" for number, text in enumerate(texts)
    )

    examined = examine_bytes(
        new_folder(tmp_path_factory.mktemp("times")), data.encode(), "table.csv"
    )

    assert examined.passed, examined.report.summary
    assert [int(row["__time"]) for row in examined.rows()] == millis
    assert "DAY_MONTH_ASSUMED" not in examined.codes

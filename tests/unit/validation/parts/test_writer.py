"""The parts that Druid loads."""

import csv
import io

import pytest

from services.validation.parts import writer as parts
from tests.unit.validation.examining import Examine


def test_null_is_empty_and_unquoted_and_numbers_keep_their_value(examine: Examine) -> None:
    data = b'date,text,units,amount\n2024-01-02,"a ""b"", c",,0.1\n2024-01-01,,7,1E-07\n'
    assert examine(data).part_texts() == [
        '__time,text,units,amount\n1704067200000,,7,1e-7\n1704153600000,"a ""b"", c",,0.1\n'
    ]


def test_line_breaks_in_values_become_blanks(examine: Examine) -> None:
    examined = examine(b'date,text,x\n2024-01-01,"a\r\nb\rc\nd",1\n2024-01-01,"e\x01f",1\n')
    assert [row["text"] for row in examined.rows()] == ["a b c d", "e f"]
    assert "TEXT_CHANGED" in examined.codes


def test_a_large_table_is_split_into_parts_without_overlap(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROWS_OF_ONE_PART", 100)
    monkeypatch.setattr(parts, "PART_BYTES", 8_000)
    monkeypatch.setattr(parts, "BUCKET_BYTES", 3_000)
    rows = [f"2024-01-{(n * 7) % 28 + 1:02},item {n},{n}\n" for n in range(1000)]
    examined = examine(b"date,name,number\n" + "".join(rows).encode())
    report = examined.report
    assert len(report.parts) > 1
    assert sum(part.rows for part in report.parts) == report.rows_loadable == 1000
    times = []
    for part, text in zip(report.parts, examined.part_texts(), strict=True):
        found = [int(row["__time"]) for row in csv.DictReader(io.StringIO(text))]
        assert (found[0], found[-1], len(found)) == (part.min_millis, part.max_millis, part.rows)
        times += found
    assert times == sorted(times)
    assert sorted(int(row["number"]) for row in examined.rows()) == list(range(1000))


def test_rows_of_the_same_time_are_split(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ROWS_OF_ONE_PART", 100)
    monkeypatch.setattr(parts, "PART_BYTES", 8_000)
    examined = examine(
        b"date,name,number\n" + b"".join(b"2024-01-01,item,%d\n" % n for n in range(1200))
    )
    assert len({part.rows for part in examined.report.parts}) == 1
    assert [int(row["number"]) for row in examined.rows()] == list(range(1200))

"""Hostile texts end with a typed result within seconds."""

import pytest

from services.validation.reading import blocks
from tests.unit.validation.examining import Examine

GOOD_ROW = b"2024-01-01,a,1\n"
HEADER = b"date,name,number\n"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (b"x" * 20_000_000, ["RESOURCE_LIMIT"]),
        (HEADER + b"x" * 20_000_000, ["RESOURCE_LIMIT"]),
        (b"\n" * 20_000_000, ["FILE_EMPTY"]),
        (b"\r" * 5_000_000, ["FILE_EMPTY"]),
        (HEADER + b"\n" * 20_000_000, ["NO_ROWS"]),
        (b"c," * 1_000_000 + b"\n1\n", ["RESOURCE_LIMIT"]),
        (b'"' * 1_000_001, ["HEADER_DAMAGED"]),
        (b"\0" * 1_000_000, ["ENCODING_UNKNOWN"]),
        (b"name,number\n" + b"name,number,\n" * 1000, ["HEADER_DAMAGED", "NO_TIME_COLUMN"]),
        (b"2024-01-01,5\n2024-01-02,6\n", ["NO_TIME_COLUMN", "NO_HEADER"]),
        (b"date," + b"x" * 1000 + b"\n2024-01-02,6\n", ["HEADER_DAMAGED"]),
    ],
)
def test_texts_that_are_no_tables(examine: Examine, data: bytes, codes: list[str]) -> None:
    assert examine(data).codes == codes


@pytest.mark.timeout(60)
def test_an_unclosed_quote_costs_one_row_of_many(examine: Examine) -> None:
    examined = examine(HEADER + GOOD_ROW * 10 + b'2024-01-01,"a,1\n' + GOOD_ROW * 500_000)
    assert [reject["line"] for reject in examined.rejects()] == ["12"]
    assert examined.report.rows_loadable == 500_010


@pytest.mark.timeout(60)
def test_open_quotes_everywhere(examine: Examine) -> None:
    examined = examine(HEADER + GOOD_ROW + b'2024-01-01,"a""b,1\n' * 5_000)
    assert examined.report.rows_loadable == 1
    assert examined.report.rows_rejected == 5_000


def test_a_lone_carriage_return_is_data(examine: Examine) -> None:
    examined = examine(HEADER + GOOD_ROW * 3 + b"2024-01-01,a\rb,1\n")
    assert examined.report.rows_loadable == 4
    assert "TEXT_CHANGED" in examined.codes


def test_a_record_longer_than_a_block_is_read(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    examined = examine(HEADER + GOOD_ROW * 3 + b"2024-01-01," + b"x" * 5000 + b",1\n" + GOOD_ROW)
    assert examined.report.rows_loadable == 5

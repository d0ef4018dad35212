"""Column types from all values."""

from collections.abc import Sequence

import pytest

from services.validation.columns.evidence import IDENTIFIER_SHARE
from sluice.validation.v1.validation_pb2 import Column, ColumnType, LoadType, OnMisfit, Policy
from tests.unit.validation.examining import LENIENT, Examine, Examined


def table(values: Sequence[str], name: str = "value") -> bytes:
    """A table with a time column, the tested column and a filler."""
    lines = [
        f"date;{name};filler",
        *(f"2024-01-{number % 28 + 1:02};{value};x" for number, value in enumerate(values)),
    ]
    return "\n".join(lines).encode()


def policy(**changes: object) -> Policy:
    """The lenient policy with changes."""
    made = Policy()
    made.CopyFrom(LENIENT)
    made.MergeFrom(Policy(**changes))  # type: ignore[arg-type]
    return made


def column(examine: Examine, values: Sequence[str], name: str = "value") -> Column:
    return examine(table(values, name)).column(name)


@pytest.mark.parametrize(
    ("values", "type", "load_type"),
    [
        (["1", "-2", "+3", "0"], "INTEGER", "LONG"),
        (["999999999999999", "1"], "INTEGER", "LONG"),
        (["1.5", "2", ".5", "-0.25"], "DECIMAL", "DOUBLE"),
        (["1E-05", "1.5e+10", "16.448000000000001"], "DECIMAL", "DOUBLE"),
        (["true", "FALSE", "yes"], "BOOLEAN", "STRING"),
        (["2024-01-02", "2024-01-03"], "DATE", "STRING"),
        (["2024-01-02 10:00", "2024-01-03 11:30"], "DATETIME", "STRING"),
        (["abc", "1", "2"], "TEXT", "STRING"),
        (["3E5", "7E3"], "IDENTIFIER", "STRING"),
        (["7F", "3A"], "TEXT", "STRING"),
        (["nan", "inf"], "TEXT", "STRING"),
        (["00123", "02138", "77095"], "IDENTIFIER", "STRING"),
        (["1234567890123456", "1"], "IDENTIFIER", "STRING"),
        (["123456789012345678901234567890"], "IDENTIFIER", "STRING"),
        (["", "NULL", "n/a", "#N/A"], "UNSPECIFIED", "STRING"),
    ],
)
def test_the_type_of_a_column(
    examine: Examine, values: list[str], type: str, load_type: str
) -> None:
    found = column(examine, values)
    assert ColumnType.Name(found.type) == f"COLUMN_TYPE_{type}", found.evidence
    assert LoadType.Name(found.load_type) == f"LOAD_TYPE_{load_type}"


def test_texts_are_loaded_unchanged(examine: Examine) -> None:
    values = ["00123", " padded ", "3E5", "TRUE", "it''s"]
    assert [row["value"] for row in examine(table(values)).rows()] == values


def test_a_few_decimals_make_a_column_of_integers_decimal(examine: Examine) -> None:
    found = column(examine, ["1"] * 99 + ["2.5"])
    assert (found.type, found.misfits) == (ColumnType.COLUMN_TYPE_DECIMAL, 0)


def test_one_leading_zero_among_values_of_one_length_makes_identifiers(examine: Examine) -> None:
    rare = int(2 / IDENTIFIER_SHARE)
    assert column(examine, ["77095"] * rare + ["02138"]).type == ColumnType.COLUMN_TYPE_IDENTIFIER
    assert (
        column(examine, [str(number) for number in range(rare)] + ["007"]).type
        == ColumnType.COLUMN_TYPE_INTEGER
    )


def with_misfits(examine: Examine, on_misfit: "OnMisfit.ValueType") -> Examined:
    values = [str(number) for number in range(96)]
    values[10], values[20] = "n.k.", "1,5,2"
    return examine(table(values), policy=policy(on_misfit=on_misfit))


def test_type_mismatches_reject_their_rows(examine: Examine) -> None:
    examined = with_misfits(examine, OnMisfit.ON_MISFIT_UNSPECIFIED)
    found = examined.column("value")
    assert (found.type, found.fitting, found.misfits, found.nulls) == (
        ColumnType.COLUMN_TYPE_INTEGER,
        94,
        2,
        0,
    )
    assert (
        found.evidence
        == "Integer: 94 of 96 values; 2 do not fit (line 12: `n.k.`, line 22: `1,5,2`)."
    )
    assert [
        (row["line"], row["column"], row["value"], row["reason"]) for row in examined.rejects()
    ] == [
        ("12", "value", "n.k.", "VALUE_MISFIT"),
        ("22", "value", "1,5,2", "VALUE_MISFIT"),
    ]
    assert examined.report.rows_loadable == 94
    assert (found.min, found.max, found.sum) == ("0", "95", sum(range(96)) - 30)


def test_type_mismatches_can_become_null(examine: Examine) -> None:
    examined = with_misfits(examine, OnMisfit.ON_MISFIT_NULL_VALUE)
    assert examined.report.rows_loadable == 96
    assert sum(row["value"] == "" for row in examined.rows()) == 2
    assert "line 12: `n.k.`" in examined.column("value").evidence


def test_type_mismatches_can_make_the_column_text(examine: Examine) -> None:
    examined = with_misfits(examine, OnMisfit.ON_MISFIT_WIDEN_TO_TEXT)
    assert examined.column("value").type == ColumnType.COLUMN_TYPE_TEXT
    assert {"n.k.", "1,5,2"} <= {row["value"] for row in examined.rows()}


@pytest.mark.parametrize(
    ("misfits", "type"), [(5, ColumnType.COLUMN_TYPE_INTEGER), (6, ColumnType.COLUMN_TYPE_TEXT)]
)
def test_the_share_that_must_parse(
    examine: Examine, misfits: int, type: "ColumnType.ValueType"
) -> None:
    assert column(examine, ["?"] * misfits + ["1"] * (100 - misfits)).type == type


def test_all_rows_decide_not_only_the_first(examine: Examine) -> None:
    values = ["1"] * 60_000 + ["word"] * 60_000
    assert column(examine, values).type == ColumnType.COLUMN_TYPE_TEXT
    assert column(examine, [""] * 90_000 + ["2024-01-02"] * 500).type == ColumnType.COLUMN_TYPE_DATE


def test_null_tokens_can_be_specified(examine: Examine) -> None:
    examined = examine(table(["1", "-", "", "NULL"]), policy=policy(null_tokens=["-", ""]))
    assert examined.column("value").nulls == 2
    assert examined.column("value").type == ColumnType.COLUMN_TYPE_TEXT


def test_an_empty_value_that_is_not_null_is_an_empty_text(examine: Examine) -> None:
    examined = examine(
        b'date,value,other\n2024-01-01,"",-\n2024-01-02,x,y\n', policy=policy(null_tokens=["-"])
    )
    assert examined.part_texts()[0].splitlines()[1] == '1704067200000,"",'

"""Drift from the last load, and the contract."""

import pytest

from services.validation.report.drift import SHIFTED
from sluice.validation.v1.validation_pb2 import (
    Column,
    Contract,
    ContractMode,
    Drift,
    DriftKind,
    KnownColumn,
    LoadType,
    Policy,
    Report,
)
from tests.unit.validation.examining import LENIENT, TASK_ID, Examine, Examined

ROWS = 2000


def known(report: Report) -> list[KnownColumn]:
    """The columns that the next file is compared with."""
    return [_known(column) for column in report.columns if column.load_type]


def _known(column: Column) -> KnownColumn:
    deciles = [
        quantile.value for quantile in column.quantiles if round(quantile.share * 100) % 10 == 0
    ]
    is_number = column.load_type in (LoadType.LOAD_TYPE_LONG, LoadType.LOAD_TYPE_DOUBLE)
    return KnownColumn(
        name=column.name,
        type=column.type,
        load_type=column.load_type,
        null_share=column.nulls / (column.nulls + column.fitting),
        deciles=deciles if is_number else [],
        top_values=column.top_values,
        sample_values=column.sample_values,
    )


def table(header: str, row: str) -> bytes:
    """A table of ROWS rows; `row` is a template with values derived from the row's number."""
    rows = [
        row.format(i=i, day=i % 28 + 1, small=i % 50, region="NSEW"[i % 4]) for i in range(ROWS)
    ]
    return "\n".join([header, *rows]).encode()


FIRST = table("date,units,amount,region", "2024-01-{day:02},{small},{i}.5,{region}")


@pytest.fixture
def first(examine: Examine) -> list[KnownColumn]:
    return known(examine(FIRST).report)


def second(
    examine: Examine,
    first: list[KnownColumn],
    data: bytes,
    mode: "ContractMode.ValueType" = 0,  # type: ignore[assignment]
) -> Examined:
    policy = Policy(
        rules=LENIENT.rules, contract=Contract(mode=mode, task_id=TASK_ID, columns=first)
    )
    return examine(data, policy=policy)


def shown(drifts: object) -> list[tuple[str, str]]:
    return [
        (DriftKind.Name(drift.kind).removeprefix("DRIFT_KIND_"), drift.column)
        for drift in drifts  # type: ignore[attr-defined]
    ]


def test_the_same_file_has_no_drift(examine: Examine, first: list[KnownColumn]) -> None:
    examined = second(examine, first, FIRST)
    assert (list(examined.report.drift), examined.codes, examined.report.compared_with) == (
        [],
        [],
        TASK_ID,
    )


@pytest.mark.parametrize("value", ["{few}", "{rare}", "5", "{i}"])
def test_rows_of_the_same_distribution_have_no_drift(examine: Examine, value: str) -> None:
    """Even with few distinct values and deciles on the steps between them."""
    header, rows = (
        "date,n,text",
        [
            f"2024-01-02,{value},t{value}".format(i=i, few=i % 10 // 7, rare=i % 97 // 96)
            for i in range(2 * ROWS)
        ],
    )
    before = known(examine("\n".join([header, *rows[::2]]).encode()).report)
    assert not second(examine, before, "\n".join([header, *rows[1::2]]).encode()).report.drift


def test_new_missing_and_retyped_columns(examine: Examine, first: list[KnownColumn]) -> None:
    data = table("date,units,region,note", "2024-01-{day:02},u{small},{region},x")
    examined = second(examine, first, data)
    assert shown(examined.report.drift) == [
        ("MISSING", "amount"),
        ("RETYPED", "units"),
        ("ADDED", "note"),
    ]
    assert examined.codes == ["COLUMNS_CHANGED"] * 3
    assert examined.passed
    retyped = next(drift for drift in examined.report.drift if drift.column == "units")
    assert (retyped.before, retyped.now) == ("integer", "text")


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("2024-01-{day:02},1{small},{i}.5,{region}", "units"),
        ("2024-01-{day:02},{small},-{i}.5,{region}", "amount"),
        ("2024-01-{day:02},{small},{i}.5,Elsewhere {i}", "region"),
        ("2024-01-{day:02},{small},{i}.5,E", "region"),
    ],
)
def test_a_shifted_distribution(
    examine: Examine, first: list[KnownColumn], row: str, column: str
) -> None:
    examined = second(examine, first, table("date,units,amount,region", row))
    assert shown(examined.report.drift) == [("SHIFTED", column)]
    drift: Drift = examined.report.drift[0]
    assert drift.score > SHIFTED
    assert drift.before != drift.now
    assert examined.codes == ["DISTRIBUTION_SHIFTED"]


def test_a_column_with_more_nulls(examine: Examine, first: list[KnownColumn]) -> None:
    rows = FIRST.decode().split("\n")
    emptier = [
        f"{row.rpartition(',')[0]}," if number % 3 == 0 else row
        for number, row in enumerate(rows[1:])
    ]
    examined = second(examine, first, "\n".join([rows[0], *emptier]).encode())
    assert [(drift.column, drift.before, drift.now) for drift in examined.report.drift] == [
        ("region", "0.0% empty", "33.4% empty")
    ]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("date,units,amount,region,note", "2024-01-{day:02},{small},{i}.5,{region},x"),
        ("date,units,amount", "2024-01-{day:02},{small},{i}.5"),
        ("date,units,amount,region", "2024-01-{day:02},u{small},{i}.5,{region}"),
    ],
)
def test_freeze_rejects_changed_columns(
    examine: Examine, first: list[KnownColumn], header: str, row: str
) -> None:
    examined = second(examine, first, table(header, row), ContractMode.CONTRACT_MODE_FREEZE)
    assert not examined.passed
    assert examined.codes == ["CONTRACT_BROKEN"]


def test_freeze_allows_a_shifted_distribution(examine: Examine, first: list[KnownColumn]) -> None:
    data = table("date,units,amount,region", "2024-01-{day:02},1{small},{i}.5,{region}")
    assert second(examine, first, data, ContractMode.CONTRACT_MODE_FREEZE).passed


def test_discard_leaves_new_columns_and_their_faults_out(
    examine: Examine, first: list[KnownColumn]
) -> None:
    data = (
        table("date,units,amount,region,new", "2024-01-{day:02},{small},{i}.5,{region},{i}")
        + b"\n2024-01-01,1,1.5,N,n.k."
    )
    examined = second(examine, first, data, ContractMode.CONTRACT_MODE_DISCARD)
    assert examined.passed
    assert examined.codes == ["COLUMN_LEFT_OUT"]
    assert (examined.report.rows_loadable, examined.report.rows_rejected) == (ROWS + 1, 0)
    assert list(examined.rows()[0]) == ["__time", "units", "amount", "region"]


def test_discard_rejects_a_retyped_column(examine: Examine, first: list[KnownColumn]) -> None:
    data = table("date,units,amount,region", "2024-01-{day:02},u{small},{i}.5,{region}")
    assert second(examine, first, data, ContractMode.CONTRACT_MODE_DISCARD).codes == [
        "CONTRACT_BROKEN"
    ]


def test_a_column_without_values_is_not_retyped(examine: Examine, first: list[KnownColumn]) -> None:
    data = table("date,units,amount,region", "2024-01-{day:02},,{i}.5,{region}")
    assert shown(second(examine, first, data).report.drift) == [("SHIFTED", "units")]

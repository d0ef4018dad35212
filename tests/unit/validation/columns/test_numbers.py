"""Number styles, and options for columns."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.validation.v1.validation_pb2 import ColumnOptions, ColumnType, OnMisfit, ReadOptions
from tests.unit.validation.examining import Examine, examine_bytes, new_folder


def table(values: list[str], other: list[str] | None = None) -> bytes:
    others = other or ["x"] * len(values)
    return "".join(
        [
            "date\tvalue\tother\n",
            *(
                f"2024-01-0{1 + n % 9}\t{v}\t{o}\n"
                for n, (v, o) in enumerate(zip(values, others, strict=True))
            ),
        ]
    ).encode()


@pytest.mark.parametrize(
    ("values", "numbers", "decimal_mark", "thousands_mark"),
    [
        (["12,5", "0,25", "3"], [12.5, 0.25, 3.0], ",", ""),
        (["1.234,5", "12,25", "1.234.567"], [1234.5, 12.25, 1234567.0], ",", "."),
        (["1,234.5", "12.25", "-1,234,567"], [1234.5, 12.25, -1234567.0], ".", ","),
        (["1 234,5", "12,25"], [1234.5, 12.25], ",", " "),
        (["1\u00a0234.5", "12.25"], [1234.5, 12.25], ".", " "),
        (["1'234.5", "12.25"], [1234.5, 12.25], ".", "'"),
        (["$74.69", "-$1,074.50", "$3"], [74.69, -1074.5, 3.0], ".", ","),
        (["74,69 €", "3 €", "-1,5 €"], [74.69, 3.0, -1.5], ",", ""),
        (["EUR 5.5", "USD 6.25"], [5.5, 6.25], ".", ""),
        (["12.5%", "7 %", "100%"], [12.5, 7.0, 100.0], ".", ""),
    ],
)
def test_decimals_in_any_style_are_parsed(
    examine: Examine,
    values: list[str],
    numbers: list[float],
    decimal_mark: str,
    thousands_mark: str,
) -> None:
    examined = examine(table(values))
    column = examined.column("value")
    assert (column.type, column.misfits) == (ColumnType.COLUMN_TYPE_DECIMAL, 0)
    assert (column.decimal_mark, column.thousands_mark) == (decimal_mark, thousands_mark)
    assert sorted(float(row["value"]) for row in examined.rows()) == sorted(numbers)
    assert column.sum == pytest.approx(sum(numbers))
    assert examined.codes == []


def test_currencies_and_percent_signs_are_reported(examine: Examine) -> None:
    assert list(examine(table(["$1.5", "€2.5", "$3.5"])).column("value").currencies) == ["$", "€"]
    assert examine(table(["1.5%", "2.5%"])).column("value").percent


@pytest.mark.parametrize(
    "values",
    [
        ["1,23,456", "1,2,3"],
        ["12,34.5", "1,2.5"],
        ["MG-8769", "RI-3895"],
        ["1.2.3", "4.5.6"],
        ["-", "$"],
    ],
)
def test_other_values_stay_text(examine: Examine, values: list[str]) -> None:
    assert examine(table(values)).column("value").type == ColumnType.COLUMN_TYPE_TEXT


@pytest.mark.parametrize(
    "values", [["007", "008"], ["7F", "3E5", "12"], ["1234567890123456", "1234567890123457"]]
)
def test_identifiers_stay_text(examine: Examine, values: list[str]) -> None:
    examined = examine(table(values))
    assert examined.column("value").type == ColumnType.COLUMN_TYPE_IDENTIFIER
    assert sorted(row["value"] for row in examined.rows()) == sorted(values)


def test_an_ambiguous_separator_is_assumed_with_a_warning(examine: Examine) -> None:
    examined = examine(table(["1,234", "5,678"]))
    assert examined.codes == ["NUMBER_MARK_ASSUMED"]
    assert examined.column("value").sum == 6912


def test_another_column_decides_the_separator(examine: Examine) -> None:
    assert examine(table(["1,234", "5,678"], ["0,5", "1,75"])).column("value").sum == pytest.approx(
        6.912
    )
    assert examine(table(["1.234", "5.678"], ["0,5", "1,75"])).column("value").sum == 6912
    assert examine(table(["1,234", "5,678"], ["0.5", "1.75"])).codes == []


def test_a_specified_separator_decides(examine: Examine) -> None:
    examined = examine(table(["1,234", "5,678"]), options=ReadOptions(decimal_mark=","))
    assert examined.codes == []
    assert examined.column("value").sum == pytest.approx(6.912)


def test_a_value_in_another_style_is_a_type_mismatch(examine: Examine) -> None:
    examined = examine(table([*["1,5"] * 99, "1.5"]))
    assert [reject["value"] for reject in examined.rejects()] == ["1.5"]


@pytest.mark.parametrize(("day_first", "first"), [(True, "2024-05-04"), (False, "2024-04-05")])
def test_a_specified_order_of_day_and_month_decides(
    examine: Examine, day_first: bool, first: str
) -> None:
    examined = examine(
        b"date,n\n04/05/2024,1\n05/06/2024,2\n", options=ReadOptions(day_first=day_first)
    )
    assert examined.codes == []
    assert examined.column("date").min[:10] == first


def test_a_specified_type_applies_whatever_parses(examine: Examine) -> None:
    columns = [
        ColumnOptions(
            name="value",
            type=ColumnType.COLUMN_TYPE_INTEGER,
            on_misfit=OnMisfit.ON_MISFIT_NULL_VALUE,
        )
    ]
    examined = examine(table(["1", "a", "b"]), options=ReadOptions(columns=columns))
    assert (examined.column("value").type, examined.column("value").misfits) == (
        ColumnType.COLUMN_TYPE_INTEGER,
        2,
    )
    assert [row["value"] for row in examined.rows()] == ["1", "", ""]
    text = [ColumnOptions(name="value", type=ColumnType.COLUMN_TYPE_TEXT)]
    assert [
        row["value"]
        for row in examine(table(["1.0", "2"]), options=ReadOptions(columns=text)).rows()
    ] == ["1.0", "2"]


def test_a_specified_time_format_makes_a_time(examine: Examine) -> None:
    columns = [ColumnOptions(name="when", time_format="%Y.%j")]
    examined = examine(
        b"when,n\n2024.032,1\n2024.033,2\n",
        options=ReadOptions(columns=columns, time_column="when"),
    )
    assert examined.codes == []
    assert examined.column("when").min.startswith("2024-02-01")


def test_the_time_column_can_be_specified_whatever_its_name(examine: Examine) -> None:
    examined = examine(
        b"day,date,n\n2024-01-02,2020-01-01,1\n", options=ReadOptions(time_column="day")
    )
    assert examined.report.time.source_name == "day"
    assert examined.codes == []


@pytest.mark.parametrize(
    "options",
    [ReadOptions(time_column="nowhere"), ReadOptions(columns=[ColumnOptions(name="nowhere")])],
)
def test_an_option_for_an_unknown_column_is_a_warning(
    examine: Examine, options: ReadOptions
) -> None:
    assert "OPTION_MISFIT" in examine(table(["1", "2"]), options=options).codes


def test_an_invalid_time_format_is_rejected(examine: Examine) -> None:
    columns = [ColumnOptions(name="date", time_format="tomorrow")]
    assert examine(table(["1"]), options=ReadOptions(columns=columns)).codes == ["OPTION_MISFIT"]


@settings(max_examples=60)
@given(
    cents=st.lists(
        st.integers(min_value=-(10**11), max_value=10**11), min_size=2, max_size=12
    ).filter(lambda many: any(c % 100 for c in many)),
    marks=st.sampled_from([(".", ""), (",", ""), (".", ","), (",", "."), (",", " "), (".", "'")]),
    sign=st.sampled_from(["", "$", "€"]),
)
def test_amounts_in_any_style_keep_their_value(
    tmp_path_factory: pytest.TempPathFactory, cents: list[int], marks: tuple[str, str], sign: str
) -> None:
    decimal_mark, thousands_mark = marks
    texts = [
        f"{abs(c) / 100:,.2f}".replace(",", "T")
        .replace(".", decimal_mark)
        .replace("T", thousands_mark)
        for c in cents
    ]
    texts = [("-" if c < 0 else "") + sign + text for c, text in zip(cents, texts, strict=True)]
    examined = examine_bytes(
        new_folder(tmp_path_factory.mktemp("amounts")), table(texts), "table.csv"
    )
    assert sorted(float(row["value"]) for row in examined.rows()) == pytest.approx(
        sorted(c / 100 for c in cents)
    )

"""Time formats, the order of day and month, and the choice of the time column."""

import polars as pl
import pytest

from services.validation.columns.time_formats import TimeFormat, candidate_formats
from sluice.validation.v1.validation_pb2 import LoadType, Policy, ReadOptions, Rule, Severity
from tests.unit.validation.examining import LENIENT, Examine


def dates(*values: str, name: str = "date") -> bytes:
    return (
        f"{name}|other|number\n".encode()
        + "".join(f"{value}|x|{n}\n" for n, value in enumerate(values)).encode()
    )


@pytest.mark.parametrize(
    ("values", "format", "day_first", "assumed"),
    [
        (["03/01/19", "13/01/19"], "%d/%m/%y", True, False),
        (["01/03/19", "01/13/19"], "%m/%d/%y", False, False),
        (["03/01/2019", "04/01/2019"], "%d/%m/%Y", True, True),
        (["3-1-2019", "4-12-2019"], "%d-%m-%Y", True, True),
        (["03.01.2019", "04.01.2019"], "%d.%m.%Y", None, False),
        (["2019-01-03", "2019-04-01"], "%Y-%m-%d", None, False),
        (["3 Jan 2019", "14 Feb 2019"], "%d %b %Y", None, False),
        (["2019-01-03T10:00:00Z", "2019-01-03T10:00:00+02:00"], "%Y-%m-%dT%H:%M:%S%z", None, False),
        (["2019-01-03 10:00:00.5", "2019-01-03 10:00:00"], "%Y-%m-%d %H:%M:%S.%f", None, False),
        (["1546510200", "1546510300"], "%s", None, False),
        (["1546510200000", "1546510300000"], "%s%3f", None, False),
        (["20190103", "20190214"], "%Y%m%d", None, False),
    ],
)
def test_the_format_is_that_of_all_values(
    examine: Examine, values: list[str], format: str, day_first: bool | None, assumed: bool
) -> None:
    examined = examine(dates(*values))
    assert examined.passed, examined.report.summary
    time = examined.report.time
    assert time.format == format
    assert (time.day_first if time.HasField("day_first") else None) == day_first
    assert time.order_assumed == assumed
    assert ("DAY_MONTH_ASSUMED" in examined.codes) == assumed


def test_the_order_is_decided_by_all_values_not_by_the_first(examine: Examine) -> None:
    examined = examine(dates(*["03/04/2019"] * 50_000, "03/25/2019"))
    assert examined.report.time.format == "%m/%d/%Y"
    assert examined.report.rows_rejected == 0


def test_a_day_that_does_not_exist_is_rejected(examine: Examine) -> None:
    examined = examine(dates(*["2023-02-01"] * 40, "2023-02-30", "", "soon"))
    found = [(row["line"], row["reason"]) for row in examined.rejects()]
    assert found == [("42", "TIME_INVALID"), ("43", "TIME_MISSING"), ("44", "TIME_INVALID")]
    assert {reject.problems[0].column for reject in examined.report.first_rejects} == {"date"}


def test_years_of_two_digits_are_not_years_of_four() -> None:
    format = TimeFormat("%d/%m/%Y", has_clock=False, day_first=True)
    assert pl.Series(["03/01/19", "03/01/2019"]).to_frame("t").select(
        format.time(pl.col("t")).is_null()
    )["t"].to_list() == [True, False]


@pytest.mark.parametrize(
    "text",
    ["1.5", "12", "12345678", "1/2", "10-20-30-40", "2019-13-45T", "Mayor 5, 2019x", "12:30", ""],
)
def test_other_texts_are_not_times(text: str) -> None:
    assert [found for found in candidate_formats(text, named_like_time=False) if found.format] == []


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("ship date,order date,x", "ship date"),
        ("ship date,event timestamp,x", "event timestamp"),
        ("ship date,timestamp,__time", "__time"),
    ],
)
def test_the_name_ranks_the_candidates_for_the_time_column(
    examine: Examine, header: str, chosen: str
) -> None:
    examined = examine(f"{header}\n2024-01-01,2024-01-02,2024-01-03\n".encode())
    assert examined.report.time.source_name == chosen
    names = [
        column.name
        for column in examined.report.columns
        if column.load_type == LoadType.LOAD_TYPE_TIME
    ]
    assert names == ["__time"]
    assert examined.part_texts()[0].splitlines()[0].split(",")[0] == "__time"
    assert chosen not in examined.part_texts()[0].splitlines()[0].split(",")[1:]


def test_other_times_are_loaded_as_iso_text(examine: Examine) -> None:
    examined = examine(b"date,shipped,paid\n2024-01-01,25/02/24,25.02.2024 10:30\n")
    assert examined.rows() == [
        {"__time": "1704067200000", "shipped": "2024-02-25", "paid": "2024-02-25T10:30:00"}
    ]


def test_a_name_that_is_not_time_like_needs_a_rule_that_does_not_block(
    examine: Examine,
) -> None:
    data = b"when,x,y\n2024-01-01,1,2\n"
    blocked = examine(data)
    assert blocked.codes == ["NO_TIME_COLUMN"]
    assert blocked.report.problems[0].column == "when"
    policy = Policy()
    policy.CopyFrom(LENIENT)
    policy.rules.append(Rule(name="time_column", severity=Severity.SEVERITY_WARN))
    warned = examine(data, policy=policy)
    assert warned.passed
    assert warned.report.time.source_name == "when"
    assert warned.codes == ["NO_TIME_COLUMN"]


@pytest.mark.parametrize("severity", [Severity.SEVERITY_OFF, Severity.SEVERITY_WARN])
def test_without_a_time_column_no_policy_loads_the_file(
    examine: Examine,
    severity: "Severity.ValueType",
) -> None:
    policy = Policy()
    policy.CopyFrom(LENIENT)
    policy.rules.append(Rule(name="time_column", severity=severity))
    examined = examine(b"a,b\nx,1\ny,2\n", policy=policy)
    assert not examined.passed
    assert examined.codes == ["NO_TIME_COLUMN"]
    assert "the rule time_column only checks its name" in examined.report.summary
    assert (examined.report.rows_loadable, examined.report.rows_rejected) == (0, 2)


def test_a_specified_time_column_without_times_is_rejected(examine: Examine) -> None:
    options = ReadOptions(time_column="n")
    examined = examine(b"date,n\n2024-01-02,x\n", options=options)
    assert examined.codes == ["NO_TIME_COLUMN"]
    assert examined.report.problems[0].column == "n"
    assert "There is no column 'n' with dates or times" in examined.report.summary

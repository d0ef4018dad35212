"""The profile: exact measures, sampled measures and times."""

from datetime import date, timedelta
from statistics import fmean

import pytest

from sluice.validation.v1.validation_pb2 import Report, TimeGranularity
from tests.unit.validation.examining import Examine

HEADER = "date,number,share,text"


def rows_of(count: int) -> list[str]:
    start = date(2024, 1, 1)
    return [
        f"{start + timedelta(days=i % 60)},{i % 100},{i % 7 / 4},{'ab' * (i % 5 + 1)}"
        for i in range(count)
    ]


def table(rows: list[str]) -> bytes:
    return "\n".join([HEADER, *rows]).encode()


def test_counts_extremes_means_lengths_and_duplicates_are_exact(examine: Examine) -> None:
    rows = [*rows_of(2100), "2024-01-09,,0.25,", "2024-01-09,,0.25,", "never,1,1,x"]
    report = examine(table(rows)).report
    number, share, text = report.columns[1], report.columns[2], report.columns[3]
    assert (number.nulls, number.min, number.max) == (2, "0", "99")
    assert number.mean == pytest.approx(fmean(i % 100 for i in range(2100)))
    assert share.mean == pytest.approx(fmean([*(i % 7 / 4 for i in range(2100)), 0.25, 0.25]))
    assert (text.min_length, text.max_length) == (2, 10)
    assert text.mean_length == pytest.approx(6)
    assert not number.HasField("min_length")
    assert not text.HasField("mean")
    # The rows repeat only after 2,100, the least common multiple of their columns; the added pair
    # is the duplicate.
    assert (report.duplicate_rows, report.duplicate_rows_approximate) == (1, False)
    assert (report.sample_rows, report.rows_loadable) == (2102, 2102)


def test_few_distinct_values_are_counted_exactly(examine: Examine) -> None:
    report = examine(table([*rows_of(4200), "2024-01-09,,0.25,"])).report
    assert [column.distinct for column in report.columns] == [60, 100, 7, 5]
    assert not any(column.distinct_approximate for column in report.columns)
    assert report.duplicate_rows == 2100


def test_many_distinct_values_are_estimated_and_marked_as_approximate(examine: Examine) -> None:
    report = examine(
        table(
            [
                f"2024-01-0{number % 9 + 1},{number},{number % 7},name {number // 2}"
                for number in range(60_000)
            ]
        )
    ).report
    assert [column.distinct for column in report.columns] == pytest.approx(
        [9, 60_000, 7, 30_000], rel=0.03
    )
    assert [column.distinct_approximate for column in report.columns] == [False, True, False, True]
    assert report.duplicate_rows == 0


def test_quantiles_histogram_and_frequent_values(examine: Examine) -> None:
    report = examine(table(rows_of(2100))).report
    number, text = report.columns[1], report.columns[3]
    found = {quantile.share: quantile.value for quantile in number.quantiles}
    assert (found[0.25], found[0.5], found[0.95]) == pytest.approx((25, 50, 95), abs=1)
    assert len(number.histogram.edges) == len(number.histogram.counts) + 1 == 21
    assert (
        number.histogram.edges[0],
        number.histogram.edges[-1],
        sum(number.histogram.counts),
    ) == (0, 99, 2100)
    assert [(top.value, top.count) for top in text.top_values] == [
        ("ab" * n, 420) for n in range(1, 6)
    ]
    assert sum(report.columns[0].histogram.counts) == 2100
    assert not text.HasField("histogram")


def test_a_large_file_is_sampled_evenly(examine: Examine) -> None:
    report = examine(
        table([f"{date(2024, 1, 1) + timedelta(days=i // 6000)},{i},0.5,x" for i in range(600_000)])
    ).report
    assert 200_000 <= report.sample_rows < 600_000
    number = report.columns[1]
    assert number.sample_values == report.sample_rows
    median = next(quantile.value for quantile in number.quantiles if quantile.share == 0.5)
    assert median == pytest.approx(300_000, rel=0.001)
    assert number.distinct == pytest.approx(600_000, rel=0.05)
    assert report.columns[3].top_values[0].count == report.sample_rows


def test_a_single_value_has_a_histogram(examine: Examine) -> None:
    report = examine(table(["2024-01-01,5,0.5,x"])).report
    assert (list(report.columns[1].histogram.edges), list(report.columns[1].histogram.counts)) == (
        [5, 5],
        [1],
    )
    assert report.duplicate_rows == 0


def test_a_file_without_loadable_rows_has_no_quantiles(examine: Examine) -> None:
    report: Report = examine(
        table(["2024-01-01,5,0.5,x"] * 20 + ["2024-01-02,n,0.5,y"] * 20).replace(b"2024", b"day")
    ).report
    assert not report.columns[0].quantiles


@pytest.mark.parametrize(
    ("times", "granularity"),
    [
        (["2024-01-01", "2024-02-01"], TimeGranularity.TIME_GRANULARITY_MONTH),
        (["2024-01-01", "2024-01-02"], TimeGranularity.TIME_GRANULARITY_DAY),
        (["2024-01-01 10:00:00", "2024-01-02 11:00:00"], TimeGranularity.TIME_GRANULARITY_HOUR),
        (["2024-01-01 10:30:00", "2024-01-02 11:00:00"], TimeGranularity.TIME_GRANULARITY_MINUTE),
        (["2024-01-01 10:30:01", "2024-01-02 11:00:00"], TimeGranularity.TIME_GRANULARITY_SECOND),
        (
            ["2024-01-01 10:30:00.5", "2024-01-02 11:00:00.0"],
            TimeGranularity.TIME_GRANULARITY_MILLISECOND,
        ),
    ],
)
def test_the_precision_of_times(examine: Examine, times: list[str], granularity: int) -> None:
    time = examine(table([f"{time},5,0.5,x" for time in times])).report.time
    assert (time.granularity, time.zone, time.days) == (granularity, "assumed UTC", 2)


@pytest.mark.parametrize(
    ("time", "zone"), [("2024-01-01T10:00:00Z", "stated"), ("1704103200", "epoch")]
)
def test_the_origin_of_the_zone(examine: Examine, time: str, zone: str) -> None:
    assert examine(table([f"{time},5,0.5,x"])).report.time.zone == zone


def test_gaps_are_reported(examine: Examine) -> None:
    days = [
        date(2024, 1, 1) + timedelta(days=i) for i in range(100) if not 20 <= i < 40 and i != 60
    ]
    time = examine(table([f"{day},5,0.5,x" for day in days])).report.time
    found = [
        (date.fromtimestamp(gap.start_millis / 1000), date.fromtimestamp(gap.end_millis / 1000))
        for gap in time.gaps
    ]
    assert found == [(date(2024, 1, 21), date(2024, 2, 10))]


@pytest.mark.parametrize(
    ("odd", "kind", "code"),
    [
        ("1970-01-01", "YEAR_1970", "TIME_OUTLIERS"),
        ("9999-12-31", "AFTER_2200", "TIME_OUTLIERS"),
        ("1899-12-30", "BEFORE_1900", "TIME_OUTLIERS"),
    ],
)
def test_outliers_are_reported_and_loaded(examine: Examine, odd: str, kind: str, code: str) -> None:
    examined = examine(table([*(["2024-01-01,5,0.5,x"] * 30), f"{odd},5,0.5,x"]))
    assert [(outlier.kind, outlier.count) for outlier in examined.report.time.outliers] == [
        (kind, 1)
    ]
    assert code in examined.codes
    assert examined.report.rows_loadable == 31


def test_seconds_among_milliseconds_are_reported(examine: Examine) -> None:
    examined = examine(table([*(["1704103200000,5,0.5,x"] * 40), "1704103200,5,0.5,x"]))
    assert [(outlier.kind, outlier.count) for outlier in examined.report.time.outliers] == [
        ("SECONDS_MILLIS_MIX", 1)
    ]
    assert "TIME_UNITS_MIXED" in examined.codes


def test_a_table_about_1970_has_no_outliers(examine: Examine) -> None:
    assert not examine(
        table([f"1970-02-{day:02},5,0.5,x" for day in range(1, 20)])
    ).report.time.outliers


@pytest.mark.parametrize(
    ("rows", "days", "hint"),
    [(200, 3, "MONTH"), (200_000, 4, "DAY"), (200_000, 300, "YEAR"), (400_000, 150, "MONTH")],
)
def test_the_segment_hint(examine: Examine, rows: int, days: int, hint: str) -> None:
    start = date(2024, 1, 1)
    report = examine(
        table([f"{start + timedelta(days=i % days)},5,0.5,x" for i in range(rows)])
    ).report
    assert report.time.segment_hint == hint

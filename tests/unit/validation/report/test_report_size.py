"""A report fits into a gRPC message with any number of columns and any names."""

from services.common.serving.channels import MAX_MESSAGE_BYTES
from services.validation.columns.decisions import MAX_NAME_CHARS
from services.validation.report.examination import EARLY_PROBLEMS, fit_into_a_message
from sluice.common.v1.errors_pb2 import Problem
from sluice.validation.v1.validation_pb2 import Column, Reject, Report, TopValue
from tests.unit.validation.examining import Examine

LONG = "日" * MAX_NAME_CHARS


def test_names_that_are_too_long_in_total_are_rejected(examine: Examine) -> None:
    header = ",".join(["date", *(f"{number}{LONG[4:]}" for number in range(1000))])
    examined = examine(f"{header}\n2024-01-02{',1' * 1000}\n".encode())
    assert examined.codes == ["HEADER_DAMAGED"]
    assert "at most 524,288 are allowed" in examined.report.summary


def test_a_report_that_is_too_large_is_shortened() -> None:
    problem = Problem(message="日" * 400, column="日" * 80)
    values = [TopValue(value="🎉" * 64, count=1)] * 10
    columns = [Column(source_name="日" * 80, name="日" * 80, top_values=values)] * 2000
    report = Report(
        columns=columns,
        problems=[problem] * 2000,
        first_rejects=[Reject(line=1, problems=[problem] * 10)] * 100,
    )
    assert report.ByteSize() > MAX_MESSAGE_BYTES
    fit_into_a_message(report)
    assert report.ByteSize() < MAX_MESSAGE_BYTES
    assert len(report.columns) == 2000
    assert len(report.problems) >= EARLY_PROBLEMS
    assert report.first_rejects


def test_a_small_report_is_not_shortened() -> None:
    value = TopValue(value="x", count=1)
    report = Report(columns=[Column(top_values=[value])], first_rejects=[Reject(line=1)] * 100)
    whole = Report.FromString(report.SerializeToString())
    fit_into_a_message(report)
    assert report == whole

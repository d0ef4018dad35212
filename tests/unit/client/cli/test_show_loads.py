"""Plans and receipts as the command line shows them."""

from io import StringIO

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from sluice.common.v1.task_pb2 import LoadMode, LoadState, TimeRange
from sluice.druid.v1.druid_pb2 import (
    ColumnChange,
    Interval,
    PlanIngestionResponse,
    PlannedChunk,
    PlannedColumn,
)
from sluice.status.v1.status_pb2 import GetPlanResponse, GetReceiptResponse, ProvenSum
from sluice_client.cli import show_loads

JANUARY, FEBRUARY, MARCH = 1_704_067_200_000, 1_706_745_600_000, 1_709_251_200_000


def shown() -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, width=120, color_system=None), out


def test_a_plan_says_what_comes_and_goes_and_how_to_go_on() -> None:
    console, out = shown()
    columns = [
        PlannedColumn(
            name="same",
            change=ColumnChange.COLUMN_CHANGE_SAME,
            type="BIGINT",
            existing_type="BIGINT",
        ),
        PlannedColumn(
            name="price",
            change=ColumnChange.COLUMN_CHANGE_CHANGED,
            type="DOUBLE",
            existing_type="BIGINT",
        ),
        PlannedColumn(
            name="gone\x1b[2J", change=ColumnChange.COLUMN_CHANGE_MISSING, existing_type="VARCHAR"
        ),
    ]
    plan = PlanIngestionResponse(
        interval=Interval(start_millis=JANUARY, end_millis=MARCH),
        segment_granularity="MONTH",
        columns=columns,
        chunks=[
            PlannedChunk(
                interval=Interval(start_millis=JANUARY, end_millis=FEBRUARY),
                rows_added=1200,
                rows_replaced=34,
            )
        ],
        rows_added=1200,
        rows_replaced=34,
        estimated_seconds=2.4,
    )
    mode = LoadMode.LOAD_MODE_REPLACE_INTERVAL
    show_loads.plan(
        GetPlanResponse(
            task_id="t1", plan_hash="abc", datasource="sales", load_mode=mode, plan=plan
        ),
        console,
    )
    text = out.getvalue()
    assert text.splitlines()[:2] == [
        "replace interval into sales: 1,200 rows added, 34 removed.",
        "MONTH chunks of 2024-01-01/2024-03-01; about 2 s.",
    ]
    lines = [line.split() for line in text.replace("│", " ").splitlines()]
    assert ["price", "type", "changes", "DOUBLE", "BIGINT"] in lines
    assert ["2024-01-01/2024-02-01", "1,200", "34"] in lines
    assert "same" not in text
    assert "\x1b" not in text
    assert text.rstrip().endswith("sluice apply t1 abc")


def test_a_receipt_accounts_for_every_row() -> None:
    console, out = shown()
    done = Timestamp()
    done.FromJsonString("2026-01-02T03:04:05Z")
    receipt = GetReceiptResponse(
        task_id="t1",
        load_state=LoadState.LOAD_STATE_PARTLY_REPLACED,
        datasource="sales",
        filename="sales.csv",
        file_size=12_345,
        sha256=bytes(32),
        load_mode=LoadMode.LOAD_MODE_APPEND,
        rows_read=10,
        rows_loaded=7,
        rows_rejected=2,
        rows_skipped=1,
        rows_counted=7,
        sums=[ProvenSum(column="revenue", expected=1234.5, counted=1234.5)],
        interval=TimeRange(start_millis=JANUARY, end_millis=FEBRUARY + 3_600_000),
        druid_task_ids=["sluice-t1-1", "sluice-t1-2"],
        complete_time=done,
    )
    show_loads.receipt(receipt, console)
    facts = {line[:18].strip(): line[18:].strip() for line in out.getvalue().splitlines()}
    assert facts["rows"] == "10 read = 7 loaded + 2 rejected + 1 skipped"
    assert facts["counted in Druid"] == "7"
    assert facts["datasource"] == "sales, append"
    assert facts["sum of revenue"] == "1,234.5 (expected 1,234.5)"
    assert facts["time"] == "2024-01-01/2024-02-01T01:00"
    assert facts["Druid tasks"] == "sluice-t1-1, sluice-t1-2"
    assert facts["completed"] == "2026-01-02 03:04:05Z"
    assert facts["load state"] == "PARTLY_REPLACED"

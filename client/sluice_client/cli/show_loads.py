"""Text output of plans and receipts."""

from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from sluice.common.v1.task_pb2 import LoadMode, LoadState, TimeRange
from sluice.druid.v1.druid_pb2 import ColumnChange, Interval
from sluice.status.v1.status_pb2 import GetPlanResponse, GetReceiptResponse
from sluice_client.cli.show import plain
from sluice_client.enums import short_name

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHANGES = {
    ColumnChange.COLUMN_CHANGE_NEW: "new",
    ColumnChange.COLUMN_CHANGE_CHANGED: "type changes",
    ColumnChange.COLUMN_CHANGE_MISSING: "not in the file",
}


def plan(found: GetPlanResponse, out: Console) -> None:
    """Print a plan: row counts, changed columns, time chunks, and the command that applies it."""
    planned = found.plan
    out.print(
        plain(
            f"{_mode(found.load_mode)} into {found.datasource}: {planned.rows_added:,} rows added, {planned.rows_replaced:,} removed."
        )
    )
    out.print(
        plain(
            f"{planned.segment_granularity} chunks of {_range(planned.interval)}; about {planned.estimated_seconds:,.0f} s."
        )
    )
    changed = [each for each in planned.columns if each.change in _CHANGES]
    if changed:
        columns = Table("column", "", "type", "existing type")
        for each in changed:
            columns.add_row(plain(each.name), _CHANGES[each.change], each.type, each.existing_type)
        out.print(columns)
    chunks = Table("time", "rows added", "rows removed")
    for chunk in planned.chunks:
        chunks.add_row(_range(chunk.interval), f"{chunk.rows_added:,}", f"{chunk.rows_replaced:,}")
    out.print(chunks)
    out.print(plain(f"sluice apply {found.task_id} {found.plan_hash}"), soft_wrap=True)


def receipt(found: GetReceiptResponse, out: Console) -> None:
    """Print a receipt: the ledger of the rows and its evidence."""
    facts = Table(show_header=False, box=None)
    rows = f"{found.rows_read:,} read = {found.rows_loaded:,} loaded + {found.rows_rejected:,} rejected + {found.rows_skipped:,} skipped"
    facts.add_row("file", plain(f"{found.filename}, {found.file_size:,} bytes"))
    facts.add_row("sha256", found.sha256.hex())
    facts.add_row("datasource", plain(f"{found.datasource}, {_mode(found.load_mode)}"))
    facts.add_row("rows", rows)
    facts.add_row("counted in Druid", f"{found.rows_counted:,}")
    for each in found.sums:
        facts.add_row(
            plain(f"sum of {each.column}"), f"{each.counted:,.6g} (expected {each.expected:,.6g})"
        )
    facts.add_row("time", _range(found.interval))
    facts.add_row("Druid tasks", ", ".join(found.druid_task_ids))
    facts.add_row("completed", f"{found.complete_time.ToDatetime():%Y-%m-%d %H:%M:%S}Z")
    facts.add_row("load state", short_name(LoadState.DESCRIPTOR, found.load_state))
    out.print(facts)


def _mode(mode: "LoadMode.ValueType") -> str:
    return short_name(LoadMode.DESCRIPTOR, mode).lower().replace("_", " ")


def _range(found: Interval | TimeRange) -> str:
    return "/".join(_moment(each) for each in (found.start_millis, found.end_millis))


def _moment(millis: int) -> str:
    text = (_EPOCH + timedelta(milliseconds=millis)).strftime("%Y-%m-%dT%H:%M")
    return text.removesuffix("T00:00")

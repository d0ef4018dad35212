"""The exact JSON of responses."""

import json
import math

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.documents import wire
from gateway.live.event_stream import frame
from gateway.live.watches import WatchedEvent
from services.common.errors import problem
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, LoadState, TaskState
from sluice.status.v1.status_pb2 import EventKind, StageTiming, Task, TaskEvent
from sluice.validation.v1.validation_pb2 import (
    Column,
    ColumnType,
    FileFormat,
    LoadType,
    Report,
    Rule,
    RuleOutcome,
    Severity,
    Verdict,
)

MOMENT = Timestamp(seconds=1_700_000_000, nanos=120_000_000)


def test_a_task_that_succeeded() -> None:
    found = Task(
        task_id="t",
        state=TaskState.TASK_STATE_SUCCEEDED,
        load_state=LoadState.LOAD_STATE_LIVE,
        message="All rows are there.",
        datasource="sales",
        filename="a.csv",
        file_uri="s3://b/k",
        file_size=2**53 + 1,
        received_size=2**53 + 1,
        rows_read=3,
        rows_loaded=2**53 + 1,
        rows_rejected=0,
        rows_skipped=1,
        druid_task_id="d",
        sha256=b"\x01\xff",
        load_mode=LoadMode.LOAD_MODE_REPLACE,
        attempt=2,
        last_sequence=9,
        trace_id="f" * 32,
        timings=[StageTiming(stage="receive", seconds=0.12345, start_time=MOMENT)],
        create_time=MOMENT,
        complete_time=MOMENT,
    )
    assert wire.task(found).model_dump_json() == (
        '{"task_id":"t","status":"SUCCEEDED","datasource_name":"sales","original_filename":"a.csv","file_uri":"s3://b/k",'
        '"druid_task_id":"d","created_at":"2023-11-14T22:13:20.120Z","updated_at":null,"started_at":null,'
        '"completed_at":"2023-11-14T22:13:20.120Z","error_message":null,"validation_errors":[],"validation_warnings":[],'
        '"file_size":9007199254740993,'
        '"row_count":9007199254740993,"rows_read":3,"rows_rejected":0,"rows_skipped":1,"message":"All rows are there.","error":null,'
        '"received_size":9007199254740993,"load_state":"LIVE","mode":"replace","allow_duplicate":false,"sha256":"01ff","attempt":2,'
        '"retry_of":null,"duplicate_of":null,"repair_of":null,"last_sequence":9,"trace_id":"ffffffffffffffffffffffffffffffff",'
        '"timings":[{"stage":"receive","seconds":0.123,"started_at":"2023-11-14T22:13:20.120Z","completed_at":null}],'
        '"queue_position":null,"estimated_seconds_left":null,"files_deleted_at":null,"replaced_interval":null}'
    )


def test_problems_of_a_file_that_passed_are_warnings() -> None:
    note = problem(ErrorReason.ERROR_REASON_SHEETS_IGNORED, "Only one sheet was read.")
    task = wire.task(
        Task(task_id="t", state=TaskState.TASK_STATE_SUCCEEDED, validation_errors=[note])
    )
    assert (task.validation_errors, [each.code for each in task.validation_warnings]) == (
        [],
        ["SHEETS_IGNORED"],
    )


def test_a_task_that_was_rejected() -> None:
    why = problem(
        ErrorReason.ERROR_REASON_TOO_MANY_NULLS,
        "Region is empty in 90 % of the rows.",
        column="Region",
        value=0.9,
    )
    task = wire.task(
        Task(task_id="t", state=TaskState.TASK_STATE_REJECTED, problem=why, validation_errors=[why])
    )
    document = {
        "code": "TOO_MANY_NULLS",
        "message": "Region is empty in 90 % of the rows.",
        "line": None,
        "column": "Region",
        "value": "0.9",
        "action": "Fill or drop the named column.",
        "actor": "you",
    }
    assert json.dumps(task.error.model_dump() if task.error else None) == json.dumps(document)
    assert [each.model_dump() for each in task.validation_errors] == [document]
    assert task.error_message == document["message"]
    assert (task.file_size, task.row_count, task.rows_read, task.mode) == (
        None,
        None,
        None,
        "append",
    )


def test_an_event_on_its_stream() -> None:
    event = TaskEvent(
        task_id="t",
        sequence=7,
        position=99,
        time=MOMENT,
        kind=EventKind.EVENT_KIND_PROGRESS,
        state=TaskState.TASK_STATE_PENDING,
        message="two\nlines",
        done=2**53 + 1,
        unit="bytes",
    )
    assert frame(WatchedEvent(event, Task())) == (
        b'id: 7\ndata: {"task_id":"t","sequence":7,"time":"2023-11-14T22:13:20.120Z","kind":"progress","status":"PENDING",'
        b'"message":"two\\nlines","attempt":0,"done":9007199254740993,"total":null,"unit":"bytes","error":null}\n\n'
    )


def test_a_report_contains_every_field() -> None:
    report = Report(
        task_id="t",
        attempt=1,
        format=FileFormat.FILE_FORMAT_XLSX,
        file_size=2**60,
        sha256=bytes(32),
        verdict=Verdict.VERDICT_REJECTED,
        problems=[problem(ErrorReason.ERROR_REASON_NO_ROWS, "No row.", line=2)],
        columns=[
            Column(
                source_name="Sales",
                type=ColumnType.COLUMN_TYPE_DECIMAL,
                load_type=LoadType.LOAD_TYPE_DOUBLE,
                sum=math.inf,
                min="1",
            )
        ],
        rules=[
            RuleOutcome(
                rule=Rule(name="min_columns", severity=Severity.SEVERITY_BLOCK, limit=5),
                passed=False,
                found=4,
            )
        ],
    )
    document = wire.message(report)
    assert list(document) == [field.name for field in Report.DESCRIPTOR.fields]
    assert (document["format"], document["verdict"], document["file_size"], document["sha256"]) == (
        "XLSX",
        "REJECTED",
        2**60,
        "00" * 32,
    )
    assert (document["dialect"], document["time"], document["parts"]) == (None, None, [])
    assert (
        document["problems"][0]["code"],
        document["problems"][0]["line"],
        document["problems"][0]["actor"],
    ) == ("NO_ROWS", 2, "you")
    column = document["columns"][0]
    assert (column["type"], column["load_type"], column["sum"], column["min"], column["max"]) == (
        "DECIMAL",
        "DOUBLE",
        None,
        "1",
        None,
    )
    assert document["rules"][0]["rule"] == {
        "name": "min_columns",
        "severity": "BLOCK",
        "limit": 5.0,
    }
    json.dumps(document, allow_nan=False)

"""Requests that every service must reject, generated from the descriptors of the RPCs, for each
field including those of nested messages."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from services.common import errors
from services.common.values import FROM_FILES, NOT_FINITE

NOBODY = str(uuid.UUID(int=0))
"""The id of no task."""

TIMESTAMP = "google.protobuf.Timestamp"
UNKNOWN_ENUM_VALUE = 9_999

GARBAGE = {
    "no tag": b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "a length without its bytes": b"\x0a\xff\x7f",
    "groups without an end": b"\x0b" * 1000,
    "text": b"{}",
    "a truncated number": b"\x08\xff",
}
"""Bytes that are not a message."""

_SIGNED = {FieldDescriptor.CPPTYPE_INT32: 32, FieldDescriptor.CPPTYPE_INT64: 64}
_UNSIGNED = {FieldDescriptor.CPPTYPE_UINT32: 32, FieldDescriptor.CPPTYPE_UINT64: 64}
_FLOAT = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)

NOBODY = "00000000-0000-0000-0000-000000000000"

_LOAD: dict[str, Any] = {
    "task_id": NOBODY,
    "attempt": 1,
    "datasource": "never_loaded",
    "mode": 4,
    "columns": [{"name": "n", "type": 2}],
    "parts": [{"uri": "s3://nowhere/a.csv", "rows": 1}],
    "rows": 1,
    "deadline_s": 60,
    "replace": {"start_millis": 0, "end_millis": 3_600_000},
}

BREAKS_A_RULE: dict[str, dict[str, Any]] = {
    "CreateUpload": {"request_id": "", "filename": "a.csv"},
    "WriteUpload": {"chunk": {"data": b""}},
    "GetUpload": {"upload_id": "x"},
    "AbortUpload": {"upload_id": "x"},
    "ImportObject": {"request_id": "r", "uri": "http://x/a.csv"},
    "DeleteObjects": {"task_id": "x"},
    "ValidateObject": {"task_id": "x"},
    "Inspect": {"header": {"task_id": "x", "filename": "a.csv"}},
    "GetReport": {"task_id": NOBODY, "attempt": 0},
    "GetRejects": {"task_id": "x", "attempt": 1},
    "DeleteResults": {"task_id": "x"},
    "SubmitLoad": {"task_id": NOBODY, "attempt": 0},
    "PlanIngestion": {"load": {"task_id": "x"}},
    "WatchLoad": {"druid_task_id": ""},
    "VerifyLoad": {"task_id": "x"},
    "CountLoads": {"datasource": "x", "interval": {"end_millis": 1}, "task_ids": []},
    "RemoveLoad": {"task_id": NOBODY, "datasource": "x", "wait_ms": -1},
    "Query": {"sql": ""},
    "ListDatasources": {"limit": -1},
    "DescribeDatasource": {"name": ""},
    "PreviewRows": {"name": "x", "limit": 1001},
    "ProposeQueries": {"name": ""},
    "CreateTask": {"request_id": ""},
    "ReportReceiving": {"task_id": NOBODY, "received_size": -1},
    "CompleteUpload": {"task_id": NOBODY, "file_size": 0},
    "EndUpload": {"task_id": NOBODY, "state": 3},
    "GetTask": {"task_id": ""},
    "GetTasks": {"task_ids": [""]},
    "ListTasks": {"page_size": 501},
    "CancelTask": {"task_id": "x"},
    "GetDatasourceSettings": {"datasource": ""},
    "SetDatasourceSettings": {
        "datasource": "x",
        "settings": {"policy": {"rules": [{"name": "max_nulls"}]}},
    },
    "ListQuality": {"datasource": "x", "limit": 101},
    "RetryTask": {"task_id": "x"},
    "DeleteTaskFiles": {"task_id": "x"},
    "GetHistory": {"task_id": "x"},
    "GetStatistics": {"hours": -1},
    "RevertLoad": {"task_id": "x"},
    "GetPlan": {"task_id": "x"},
    "ApplyPlan": {"task_id": NOBODY, "plan_hash": ""},
    "GetReceipt": {"task_id": "x"},
    "SetWebhook": {"datasource": "x"},
    "GetWebhook": {"datasource": ""},
    "DeleteWebhook": {"datasource": ""},
    "ListWebhookDeliveries": {"datasource": "x", "page_size": -1},
    "WatchTask": {"task_id": ""},
    "WatchTasks": {"from_position": -1},
}
"""An invalid request for each RPC whose request has fields."""

SOUND: dict[str, dict[str, Any]] = {
    "CreateUpload": {
        "request_id": "bad-requests",
        "datasource": "never_loaded",
        "filename": "a.csv",
        "mode": 2,
    },
    "WriteUpload": {"header": {"upload_id": NOBODY}},
    "GetUpload": {"upload_id": NOBODY},
    "AbortUpload": {"upload_id": NOBODY},
    "ImportObject": {
        "request_id": "bad-requests",
        "uri": "s3://nowhere/a.csv",
        "datasource": "never_loaded",
    },
    "GetLimits": {},
    "DeleteObjects": {"task_id": NOBODY},
    "ValidateObject": {
        "task_id": NOBODY,
        "attempt": 1,
        "file_uri": "s3://nowhere/a.csv",
        "filename": "a.csv",
        "file_size": 1,
    },
    "Inspect": {"header": {"task_id": NOBODY, "filename": "a.csv"}},
    "GetReport": {"task_id": NOBODY, "attempt": 1},
    "GetRejects": {"task_id": NOBODY, "attempt": 1},
    "DeleteResults": {"task_id": NOBODY},
    "SubmitLoad": _LOAD,
    "PlanIngestion": {"load": _LOAD, "rows": [{"start_millis": 0, "rows": 1}]},
    "WatchLoad": {"druid_task_id": f"sluice-{NOBODY}-1", "datasource": "never_loaded"},
    "VerifyLoad": {
        "task_id": NOBODY,
        "datasource": "never_loaded",
        "interval": {"start_millis": 0, "end_millis": 1},
    },
    "CountLoads": {
        "task_ids": [NOBODY],
        "datasource": "never_loaded",
        "interval": {"start_millis": 0, "end_millis": 1},
    },
    "RemoveLoad": {"task_id": NOBODY, "datasource": "never_loaded"},
    "Query": {"sql": "SELECT CAST(? AS VARCHAR)", "parameters": [{"text": "x"}]},
    "ListDatasources": {},
    "DescribeDatasource": {"name": "never_loaded"},
    "PreviewRows": {"name": "never_loaded"},
    "ProposeQueries": {"name": "never_loaded"},
    "CreateTask": {
        "request_id": "bad-requests",
        "task_id": NOBODY,
        "datasource": "never_loaded",
        "filename": "a.csv",
        "file_uri": "s3://nowhere/a.csv",
        "upload_mode": 1,
        "load_mode": 1,
    },
    "ReportReceiving": {"task_id": NOBODY},
    "CompleteUpload": {"task_id": NOBODY, "file_size": 1},
    "EndUpload": {"task_id": NOBODY, "state": 11, "problem": {"code": 13}},
    "GetTask": {"task_id": NOBODY},
    "GetTasks": {"task_ids": [NOBODY]},
    "ListTasks": {"page_size": 1},
    "CancelTask": {"task_id": NOBODY},
    "RetryTask": {"task_id": NOBODY},
    "DeleteTaskFiles": {"task_id": NOBODY},
    "GetHistory": {"task_id": NOBODY},
    "GetStatistics": {"hours": 1},
    "RevertLoad": {"task_id": NOBODY},
    "GetPlan": {"task_id": NOBODY},
    "ApplyPlan": {"task_id": NOBODY, "plan_hash": "0"},
    "GetReceipt": {"task_id": NOBODY},
    "SetWebhook": {"datasource": "never_loaded", "url": "http://127.0.0.1/"},
    "GetWebhook": {"datasource": "never_loaded"},
    "DeleteWebhook": {"datasource": "never_loaded"},
    "ListWebhookDeliveries": {"datasource": "never_loaded"},
    "GetDatasourceSettings": {"datasource": "never_loaded"},
    "SetDatasourceSettings": {
        "datasource": "never_loaded",
        "settings": {"policy": {"rules": [{"name": "min_columns"}]}},
    },
    "ListQuality": {"datasource": "never_loaded"},
    "WatchTask": {"task_id": NOBODY},
    "WatchTasks": {"from_position": 1},
}
"""A valid request of each RPC, for objects that do not exist."""

Path = tuple[FieldDescriptor, ...]


@dataclass(frozen=True)
class Case:
    """A request. `field`: the path of the value, as in errors."""

    field: str
    value: object
    data: bytes

    def __str__(self) -> str:
        return f"{self.field} = {self.value!r:.60}"


async def failure(
    channel: aio.Channel,
    method: MethodDescriptor,
    data: bytes,
    *,
    timeout_s: float = 20,
    to_the_end: bool = False,
) -> errors.SluiceError | None:
    """Call the method with these bytes; return its error, or None if it answers. For a stream, one
    message is enough unless `to_the_end`."""
    kinds = [
        "stream" if streams else "unary"
        for streams in (method.client_streaming, method.server_streaming)
    ]
    path = f"/{method.containing_service.full_name}/{method.name}"
    running = getattr(channel, "_".join(kinds))(path)(
        iter([data]) if method.client_streaming else data, timeout=timeout_s
    )
    try:
        if method.server_streaming:
            async for _ in running:
                if not to_the_end:
                    running.cancel()
                    return None
        else:
            await running
    except grpc.RpcError as failed:
        return errors.from_rpc(failed, "any")
    return None


def paths(kind: Descriptor, above: Path = ()) -> Iterator[Path]:
    """Yield the paths to all scalar and enum fields and Timestamps."""
    for field in kind.fields:
        path = (*above, field)
        if field.message_type is None or field.message_type.full_name == TIMESTAMP:
            yield path
        else:
            yield from paths(field.message_type, path)


def refused(kind: Descriptor) -> Iterator[Case]:
    """Yield requests with values that every RPC rejects, for each field: NUL, an unknown enum value,
    a number that is not finite, a time without a date."""
    for path in paths(kind):
        for value in _refused_values(path[-1]):
            yield _case(GetMessageClass(kind)(), path, value)


def extreme(base: Message) -> Iterator[Case]:
    """Yield the request with each number at the limits of its type, and each text long or odd."""
    kind: Descriptor = base.DESCRIPTOR  # type: ignore[assignment]  # declared as one of two classes
    for path in paths(kind):
        for value in _extreme_values(path[-1]):
            made = type(base)()
            made.CopyFrom(base)
            yield _case(made, path, value)


def _refused_values(field: FieldDescriptor) -> tuple[Any, ...]:
    owner = field.containing_type.full_name if field.containing_type else ""
    if field.message_type is not None:
        return ((2**62, 0), (-(2**62), 0), (0, -1), (0, 2_000_000_000))
    if field.enum_type is not None:
        return (UNKNOWN_ENUM_VALUE, -1)
    if field.type == FieldDescriptor.TYPE_STRING and owner not in FROM_FILES:
        return ("a\0b",)
    if field.cpp_type in _FLOAT and owner not in FROM_FILES | NOT_FINITE:
        return (float("nan"), float("inf"), float("-inf"))
    return ()


def _extreme_values(field: FieldDescriptor) -> tuple[Any, ...]:
    if field.enum_type is not None or field.message_type is not None:
        return ()
    if field.cpp_type in _SIGNED:
        bits = _SIGNED[field.cpp_type]
        return (-(2 ** (bits - 1)), -1, 2 ** (bits - 1) - 1)
    if field.cpp_type in _UNSIGNED:
        return (0, 2 ** _UNSIGNED[field.cpp_type] - 1)
    if field.cpp_type in _FLOAT:
        return (-1e308, 1e308, 5e-324)
    if field.type == FieldDescriptor.TYPE_STRING:
        return ("", "\U0010ffff\u202e\ufeff '\"\\%00", "x" * 70_000)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return (b"\xff\x00", b"\xff" * 70_000)
    return ()


def _case(made: Message, path: Path, value: Any) -> Case:
    owner: Any = made
    for field in path[:-1]:
        child = getattr(owner, field.name)
        if field.is_repeated:
            owner = child[0] if child else child.add()
        else:
            child.SetInParent()
            owner = child
    _put(owner, path[-1], value)
    return Case(".".join(field.name for field in path), value, made.SerializeToString())


def _put(owner: Any, field: FieldDescriptor, value: Any) -> None:
    if field.message_type is not None:
        moment = getattr(owner, field.name)
        moment.seconds, moment.nanos = value
    elif field.is_repeated:
        getattr(owner, field.name).append(value)
    else:
        setattr(owner, field.name, value)

"""Calls every RPC of every service on the running stack, as an external client."""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from local.stack import Stack
from sluice.common.v1.errors_pb2 import Problem
from tests.bad_requests import BREAKS_A_RULE, NOBODY
from tests.contract.services import SERVICES, path_of

METHODS = [(process, method) for process, service in SERVICES.items() for method in service.methods]
WITH_FIELDS = [(process, method) for process, method in METHODS if method.input_type.fields]
IDS = [path_of(method)[1:] for _, method in METHODS]

KNOWS_NOBODY: dict[str, tuple[dict[str, Any], str]] = {
    "GetUpload": ({"upload_id": NOBODY}, "TASK_NOT_FOUND"),
    "WriteUpload": ({"header": {"upload_id": NOBODY}}, "TASK_NOT_FOUND"),
    "AbortUpload": ({"upload_id": NOBODY}, "TASK_NOT_FOUND"),
    "DeleteObjects": ({"task_id": NOBODY}, "TASK_NOT_FOUND"),
    "ImportObject": (
        {"request_id": "r", "uri": "s3://nowhere/a.csv", "datasource": "x"},
        "IMPORT_NOT_ALLOWED",
    ),
    "GetReport": ({"task_id": NOBODY, "attempt": 1}, "REPORT_NOT_FOUND"),
    "GetRejects": ({"task_id": NOBODY, "attempt": 1}, "REPORT_NOT_FOUND"),
    "ReportReceiving": ({"task_id": NOBODY}, "TASK_NOT_FOUND"),
    "CompleteUpload": ({"task_id": NOBODY, "file_size": 1}, "TASK_NOT_FOUND"),
    "EndUpload": ({"task_id": NOBODY, "state": 9, "problem": {"code": 12}}, "TASK_NOT_FOUND"),
    "GetTask": ({"task_id": "never seen"}, "TASK_NOT_FOUND"),
    "CancelTask": ({"task_id": NOBODY}, "TASK_NOT_FOUND"),
    "RetryTask": ({"task_id": NOBODY}, "TASK_NOT_FOUND"),
    "DeleteTaskFiles": ({"task_id": NOBODY}, "TASK_NOT_FOUND"),
    "GetHistory": ({"task_id": NOBODY}, "TASK_NOT_FOUND"),
    "RevertLoad": ({"task_id": NOBODY}, "TASK_NOT_FOUND"),
    "GetPlan": ({"task_id": NOBODY}, "TASK_NOT_FOUND"),
    "ApplyPlan": ({"task_id": NOBODY, "plan_hash": "0"}, "TASK_NOT_FOUND"),
    "GetReceipt": ({"task_id": NOBODY}, "TASK_NOT_FOUND"),
    "SetWebhook": ({"datasource": "x", "url": "http://127.0.0.1/"}, "WEBHOOK_TARGET_FORBIDDEN"),
    "GetWebhook": ({"datasource": "x"}, "WEBHOOK_NOT_FOUND"),
    "WatchTask": ({"task_id": NOBODY}, "TASK_NOT_FOUND"),
    "ListTasks": ({"page_token": "made up"}, "PAGE_TOKEN_INVALID"),
    "Query": ({"sql": "DROP TABLE x"}, "QUERY_FORBIDDEN"),
    "DescribeDatasource": ({"name": "never_loaded"}, "DATASOURCE_NOT_FOUND"),
    "PreviewRows": ({"name": "never_loaded"}, "DATASOURCE_NOT_FOUND"),
    "ProposeQueries": ({"name": "no spaces"}, "DATASOURCE_NAME_INVALID"),
    "CreateUpload": (
        {"request_id": "r", "datasource": "no spaces", "filename": "a.csv"},
        "DATASOURCE_NAME_INVALID",
    ),
}
"""Valid requests that must fail, and their codes."""


async def call(channel: aio.Channel, method: MethodDescriptor, fields: dict[str, Any]) -> Any:
    """The first response of an RPC, called by its descriptor."""
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    request = GetMessageClass(method.input_type)(**fields)
    rpc = getattr(channel, kind)(
        path_of(method),
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    running = rpc(iter([request]) if method.client_streaming else request, timeout=20)
    if method.server_streaming:
        async for answer in running:
            return answer
        raise AssertionError("the stream ended without an answer")
    return await running


async def failure(
    stack: Stack, process: str, method: MethodDescriptor, fields: dict[str, Any]
) -> tuple[str, Problem]:
    """The code and the Problem of a failed call."""
    async with aio.insecure_channel(stack.addresses[process]) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            await call(channel, method, fields)
    status = rpc_status.from_call(raised.value)
    assert status is not None, raised.value
    info, problem = error_details_pb2.ErrorInfo(), Problem()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(problem)
    assert info.domain == "sluice"
    assert problem.action
    return info.reason, problem


def test_the_tables_name_every_rpc() -> None:
    assert set(BREAKS_A_RULE) == {method.name for _, method in WITH_FIELDS}


@pytest.mark.parametrize(
    ("process", "method"), WITH_FIELDS, ids=lambda value: getattr(value, "name", value)
)
async def test_a_violated_rule_is_named(
    stack: Stack, process: str, method: MethodDescriptor
) -> None:
    code, problem = await failure(stack, process, method, BREAKS_A_RULE[method.name])
    assert code == "REQUEST_INVALID"
    assert problem.column
    assert problem.column.split(".")[0] in {field.name for field in method.input_type.fields}


@pytest.mark.parametrize(
    ("process", "method"),
    [(p, m) for p, m in METHODS if m.name in KNOWS_NOBODY],
    ids=lambda x: getattr(x, "name", x),
)
async def test_codes_of_missing_tasks(stack: Stack, process: str, method: MethodDescriptor) -> None:
    fields, expected = KNOWS_NOBODY[method.name]
    code, problem = await failure(stack, process, method, fields)
    assert code == expected
    assert problem.message


async def test_limits_are_returned(stack: Stack) -> None:
    (limits,) = [method for _, method in METHODS if method.name == "GetLimits"]
    async with aio.insecure_channel(stack.addresses["upload"]) as channel:
        told = await call(channel, limits, {})
    assert (told.max_file_bytes, list(told.extensions)) == (
        500 * 1024 * 1024,
        [".csv", ".xlsx", ".xls"],
    )
    assert 0 < told.max_uploads_per_client <= told.max_uploads


@pytest.mark.parametrize("process", SERVICES)
async def test_health_and_reflection(stack: Stack, process: str) -> None:
    name = SERVICES[process].full_name
    async with aio.insecure_channel(stack.addresses[process]) as channel:
        for service in ("", name):
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=5
            )
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        async for reply in reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            asked, timeout=5
        ):
            assert name in {service.name for service in reply.list_services_response.service}
            break

"""Invalid requests to every RPC of every service are rejected before the servicer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from services.common import errors
from services.common.serving import server
from services.common.settings import GrpcSettings
from services.common.values import FROM_FILES, check_values
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.status.v1.status_pb2 import ReportReceivingRequest
from tests.bad_requests import GARBAGE, SOUND, failure, paths, refused
from tests.contract.services import SERVICES

METHODS = [method for service in SERVICES.values() for method in service.methods]
NAMES = [method.name for method in METHODS]


def handler(method: MethodDescriptor, seen: list[str]) -> grpc.RpcMethodHandler:
    """Read the whole request and return an empty message."""
    answer = GetMessageClass(method.output_type)

    async def read(request: Any) -> None:
        if method.client_streaming:
            async for _ in request:
                pass
        seen.append(method.name)

    async def once(request: Any, context: Any) -> Any:
        await read(request)
        return answer()

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        await read(request)
        yield answer()

    kinds = [
        "stream" if streams else "unary"
        for streams in (method.client_streaming, method.server_streaming)
    ]
    make = getattr(grpc, f"{'_'.join(kinds)}_rpc_method_handler")
    return make(
        stream if method.server_streaming else once,
        GetMessageClass(method.input_type).FromString,
        answer.SerializeToString,
    )


@pytest.fixture
async def served() -> AsyncIterator[tuple[aio.Channel, list[str]]]:
    """The interceptors of all services, and the requests that passed them."""
    seen: list[str] = []

    def register(made: aio.Server) -> None:
        for service in SERVICES.values():
            handlers = {method.name: handler(method, seen) for method in service.methods}
            made.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service.full_name, handlers),)
            )

    async with AsyncExitStack() as stack:
        port = await server.start(
            stack, GrpcSettings(bind_addr="127.0.0.1:0", shutdown_grace_s=0), register, [], {}
        )
        yield await stack.enter_async_context(aio.insecure_channel(f"127.0.0.1:{port}")), seen


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
async def test_undecodable_requests_have_a_code(
    served: tuple[aio.Channel, list[str]], method: MethodDescriptor
) -> None:
    channel, seen = served
    for name, data in GARBAGE.items():
        failed = await failure(channel, method, data)
        assert failed is not None, name
        assert failed.code == "REQUEST_INVALID", name
    assert seen == []


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
async def test_text_that_is_not_utf_8_has_a_code(
    served: tuple[aio.Channel, list[str]], method: MethodDescriptor
) -> None:
    for field in method.input_type.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            failed = await failure(served[0], method, bytes([*_tag(field), 2, 0xED, 0xA0]))
            assert failed is not None, field.name
            assert failed.code == "REQUEST_INVALID", field.name


def _tag(field: FieldDescriptor) -> bytes:
    """The tag of a field with a length."""
    number = field.number << 3 | 2
    return bytes([number]) if number < 128 else bytes([number & 127 | 128, number >> 7])


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
async def test_no_field_accepts_values_that_cannot_be_stored(
    served: tuple[aio.Channel, list[str]], method: MethodDescriptor
) -> None:
    channel, seen = served
    for case in refused(method.input_type):
        failed = await failure(channel, method, case.data)
        assert failed is not None, case
        assert (failed.code, failed.problem.column) == ("REQUEST_INVALID", case.field), case
    assert seen == []


def test_every_rpc_has_a_valid_request() -> None:
    assert SOUND.keys() == set(NAMES)


def test_every_kind_of_field_is_checked() -> None:
    for method in METHODS:
        for path in paths(method.input_type):
            for field in path:
                assert (
                    field.message_type is None or not field.message_type.GetOptions().map_entry
                ), field.full_name


def test_content_of_files_may_be_anything() -> None:
    found = Problem(
        code=ErrorReason.ERROR_REASON_QUOTE_BROKEN, message="a\0b", column="\0", value="\0"
    )
    check_values(ReportReceivingRequest(findings=[found]))
    assert Problem.DESCRIPTOR.full_name in FROM_FILES


@pytest.mark.parametrize("char", ["x", "\u00e9", "\U0001f4a9"])
async def test_the_longest_error_arrives_with_its_code(char: str) -> None:
    method = SERVICES["upload"].methods_by_name["GetUpload"]
    long = char * 70_000

    async def refuse(request: Any, context: Any) -> Any:
        raise errors.error(
            ErrorReason.ERROR_REASON_UPLOAD_CLOSED,
            long,
            column=long,
            value=long,
            metadata={"state": long},
        )

    def register(made: aio.Server) -> None:
        refusing = grpc.unary_unary_rpc_method_handler(
            refuse, GetMessageClass(method.input_type).FromString, bytes
        )
        name = method.containing_service.full_name
        made.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {method.name: refusing}),)
        )

    async with AsyncExitStack() as stack:
        settings = GrpcSettings(bind_addr="127.0.0.1:0", shutdown_grace_s=0)
        port = await server.start(stack, settings, register, [], {})
        channel = await stack.enter_async_context(aio.insecure_channel(f"127.0.0.1:{port}"))
        data = GetMessageClass(method.input_type)(**SOUND[method.name]).SerializeToString()
        # Clients reject most headers above 8 KiB, and some that are slightly shorter.
        for _ in range(20):
            failed = await failure(channel, method, data)
            assert failed is not None
            assert failed.code == "UPLOAD_CLOSED"
            assert failed.problem.message.startswith(char * 100)


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x\udfffy"])
def test_an_error_can_name_any_text(text: str) -> None:
    told = errors.error(
        ErrorReason.ERROR_REASON_REQUEST_INVALID, f"{text} is wrong.", column=text, value=text
    )
    clean = "".join("\ufffd" if char in "\ud800\udfff" else char for char in text)
    assert (told.problem.message, told.problem.column, told.problem.value) == (
        f"{clean} is wrong.",
        clean,
        clean,
    )

"""What is no HTTP, no JSON or no message of the protocol, over real connections: it ends with a
code, and the gateway goes on."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from gateway.app import build
from gateway.http.server import MAX_WEBSOCKET_MESSAGE_BYTES
from gateway.settings import Settings
from tests.integration.gateway.fake_services import serve

TIMEOUT_S = 0.5


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with AsyncExitStack() as stack:
        fakes = await serve(stack)
        limits = {
            "head_timeout_s": TIMEOUT_S,
            "json_body_timeout_s": TIMEOUT_S,
            "upload_idle_s": TIMEOUT_S,
            "shutdown_grace_s": 1,
        }
        yield await build(stack, Settings(bind_addr="127.0.0.1:0", **limits, **fakes.addresses))  # type: ignore[arg-type]


async def answer_to(port: int, sent: bytes) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the first answer to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0])
            return int(head.split()[1]), json.loads(await reader.readexactly(length))
    finally:
        writer.close()


async def lives(port: int) -> bool:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/healthz") as answer,
    ):
        return answer.status == 200


GET = b"GET /api/limits HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

NO_HTTP = {
    "no request line": b"hello\r\n\r\n",
    "no method": b" / HTTP/1.1\r\n\r\n",
    "an unknown method": b"FOO!! / HTTP/1.1\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version that there is not": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "a header without a colon": GET + b"nonsense\r\n\r\n",
    "a header's name with a blank": GET + b"X Y: 1\r\n\r\n",
    "a NUL in a header": GET + b"X: a\0b\r\n\r\n",
    "a folded header": GET + b"X: a\r\n b\r\n\r\n",
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n{}",
    "a length that is no number": POST + b"Content-Length: two\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": POST
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk that is no chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk of too many digits": POST
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"f" * 40
    + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk without an end": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n",
    "an encoding that there is not": POST + b"Transfer-Encoding: zip\r\n\r\n{}",
    "a path outside": b"GET /api/datasources/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a query that is no text": b"GET /api/ingest/tasks?text=%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bytes in the query": b"GET /api/ingest/tasks?text=\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_has_a_code(port: int, sent: bytes) -> None:
    status, told = await answer_to(port, sent)
    assert (status, told["code"]) == (400, "REQUEST_INVALID")
    assert list(told) == ["code", "message", "line", "column", "value", "action", "actor"]
    assert await lives(port)


async def test_a_length_that_is_too_short_leaves_a_rest_that_is_no_request(port: int) -> None:
    status, told = await answer_to(port, POST + b'Content-Length: 2\r\n\r\n{"sql": "SELECT 1"}')
    assert (status, told["code"]) == (400, "REQUEST_INVALID")
    assert await lives(port)


LATE = {
    "a head": GET,
    "half a request line": b"GET /api/li",
    "a body that never comes": POST + b"Content-Length: 20\r\n\r\n",
    "half a body": POST + b'Content-Length: 20\r\n\r\n{"sql": ',
    "a chunk that never comes": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "a body for GraphQL": POST.replace(b"/api/query", b"/graphql") + b"Content-Length: 20\r\n\r\n{",
    "a body for settings": POST.replace(b"POST /api/query", b"PUT /api/datasources/x/settings")
    + b"Content-Length: 20\r\n\r\n{",
}


@pytest.mark.parametrize("sent", LATE.values(), ids=LATE)
async def test_what_never_comes_is_not_waited_for(port: int, sent: bytes) -> None:
    status, told = await answer_to(port, sent)
    told = told["errors"][0]["extensions"] if "errors" in told else told
    assert (status, told["code"]) == (408, "REQUEST_TIMEOUT")
    assert await lives(port)


async def test_a_body_that_drips_is_not_waited_for_either(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST + b"Content-Length: 100000\r\n\r\n")
    answered = asyncio.create_task(reader.readuntil(b"}"))
    async with asyncio.timeout(10):
        while not answered.done():
            writer.write(b" ")
            await asyncio.wait({answered}, timeout=TIMEOUT_S / 20)
    writer.close()
    assert b"REQUEST_TIMEOUT" in answered.result()


FORM = (
    b"Host: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Apollo-Require-Preflight: true\r\nContent-Length: 100000\r\n\r\n"
)
FORMS = {
    "a field": b"POST /api/ingest/upload?datasource_name=x HTTP/1.1\r\n"
    + FORM
    + b'--b\r\nContent-Disposition: form-data; name="mode"\r\n\r\n',
    "an operation": b"POST /graphql HTTP/1.1\r\n"
    + FORM
    + b'--b\r\nContent-Disposition: form-data; name="operations"\r\n\r\n',
    "a part's head": b"POST /api/ingest/upload HTTP/1.1\r\n" + FORM + b"--b\r\nX-Y: ",
}


@pytest.mark.parametrize("sent", FORMS.values(), ids=FORMS)
async def test_a_form_that_drips_before_its_file_is_not_waited_for(port: int, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answered = asyncio.create_task(reader.readuntil(b"}"))
    async with asyncio.timeout(10):
        while not answered.done():
            writer.write(b" ")
            await asyncio.wait({answered}, timeout=TIMEOUT_S / 20)
    writer.close()
    assert b" 408 " in answered.result()
    assert b"UPLOAD_STALLED" in answered.result()


INIT = {"type": "connection_init"}
SUBSCRIBE = {"type": "subscribe", "id": "1", "payload": {"query": "{__typename}"}}


def refused(**payload: Any) -> list[object]:
    return [INIT, {"type": "subscribe", "id": "1", "payload": payload}]


MESSAGES: dict[str, list[object]] = {
    "no JSON": [b"{"],
    "no JSON after the beginning": [INIT, b"nonsense"],
    "100,000 lists": [INIT, b"[" * 100_000],
    "a lone surrogate": [INIT, b'{"type": "ping", "payload": {"x": "\\ud800"}}'],
    "an infinite number": [INIT, b'{"type": "ping", "payload": {"x": 1e400}}'],
    "a list": [[]],
    "null": [None],
    "no type": [{}],
    "a type that is no text": [{"type": 1}],
    "a type that is a list": [{"type": []}],
    "an unknown type": [{"type": "start"}],
    "a beginning with another payload": [{"type": "connection_init", "payload": 1}],
    "nothing at all": [],
    "no beginning": [SUBSCRIBE],
    "two beginnings": [INIT, INIT],
    "one id twice": [
        INIT,
        {**SUBSCRIBE, "payload": {"query": "subscription {ingestionTasks {taskId}}"}},
    ]
    * 2,
    "no id": [INIT, {"type": "subscribe", "payload": {"query": "{__typename}"}}],
    "an id that is a list": [INIT, {**SUBSCRIBE, "id": []}],
    "an endless id": [INIT, {**SUBSCRIBE, "id": "x" * 5000}],
    "no payload": [INIT, {"type": "subscribe", "id": "1"}],
    "a payload that is a list": [INIT, {**SUBSCRIBE, "payload": [SUBSCRIBE]}],
    "no query": refused(),
    "a query that is an object": refused(query={}),
    "variables that are a list": refused(query="{__typename}", variables=[]),
    "a name that is a number": refused(query="{__typename}", operationName=1),
    "a NUL": refused(query="{__typename}", variables={"x": "a\0b"}),
    "an end without an id": [INIT, {"type": "complete"}],
    "an end of a list": [INIT, {"type": "complete", "id": []}],
}
MESSAGES["one id twice"] = MESSAGES["one id twice"][:2] + MESSAGES["one id twice"][1:2]


async def send(socket: aiohttp.ClientWebSocketResponse, messages: list[object]) -> None:
    for message in messages:
        await socket.send_str(
            message.decode() if isinstance(message, bytes) else json.dumps(message)
        )


async def closing_of(socket: aiohttp.ClientWebSocketResponse) -> tuple[int, str]:
    """Code and reason that the server closes with."""
    async with asyncio.timeout(10):
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    assert message.type is aiohttp.WSMsgType.CLOSE
    return int(message.data), message.extra or ""


def connected(session: aiohttp.ClientSession, port: int, **kwargs: Any) -> Any:
    return session.ws_connect(
        f"http://127.0.0.1:{port}/graphql",
        **{"protocols": ("graphql-transport-ws",), "autoclose": False, **kwargs},
    )


@pytest.mark.parametrize("messages", MESSAGES.values(), ids=MESSAGES)
async def test_messages_that_are_none_close_with_a_code(port: int, messages: list[object]) -> None:
    async with aiohttp.ClientSession() as session, connected(session, port) as socket:
        await send(socket, messages)
        code, reason = await closing_of(socket)
    assert 4400 <= code < 4500, (code, reason)
    assert reason.partition(": ")[0] == ("REQUEST_INVALID" if messages else "REQUEST_TIMEOUT"), (
        reason
    )
    assert await lives(port)


async def test_frames_that_are_none_close_with_a_code(port: int) -> None:
    long = "x" * (MAX_WEBSOCKET_MESSAGE_BYTES + 1)
    async with aiohttp.ClientSession() as session:
        async with connected(session, port) as socket:
            await socket.send_bytes(b"{}")
            assert await closing_of(socket) == (
                4400,
                "REQUEST_INVALID: A message must be text, not binary.",
            )
        async with connected(session, port) as socket:
            await socket.send_str(long)
            code, reason = await closing_of(socket)
            assert (code, reason.partition(": ")[0]) == (1009, "REQUEST_INVALID")
        async with connected(session, port, protocols=("graphql-ws",)) as socket:
            code, reason = await closing_of(socket)
            assert (code, reason.partition(": ")[0]) == (4406, "REQUEST_INVALID")


UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
)
VERSION = b"Sec-WebSocket-Version: 13\r\n\r\n"

RAW_FRAMES = {
    "no UTF-8": (b"\x81\x82\0\0\0\0\xff\xff", 1007),
    "not masked": (b"\x81\x02{}", 1002),
    "reserved bits": (b"\xf1\x82\0\0\0\0{}", 1002),
    "an unknown opcode": (b"\x83\x82\0\0\0\0{}", 1002),
    "a continuation of nothing": (b"\x80\x82\0\0\0\0{}", 1002),
    "a length beyond all": (b"\x81\xff" + b"\x7f" + b"\xff" * 7 + b"\0\0\0\0", 1009),
    "a close with half a code": (b"\x88\x81\0\0\0\0\x03", 1002),
}


@pytest.mark.parametrize(("frame", "expected"), RAW_FRAMES.values(), ids=RAW_FRAMES)
async def test_broken_frames_close_with_a_code(port: int, frame: bytes, expected: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(UPGRADE + VERSION)
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(frame)
        opcode, length = await reader.readexactly(2)
        payload = await reader.readexactly(length)
    writer.close()
    assert opcode == 0x88
    assert struct.unpack("!H", payload[:2]) == (expected,)
    assert payload[2:].startswith(b"REQUEST_INVALID: ")
    assert await lives(port)


HANDSHAKES = {
    "an old version": (UPGRADE + b"Sec-WebSocket-Version: 8\r\n\r\n", 400, "REQUEST_INVALID"),
    "a key that is none": (
        UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"x") + VERSION,
        400,
        "REQUEST_INVALID",
    ),
    "no key": (UPGRADE.replace(b"Sec-WebSocket-Key", b"X-Key") + VERSION, 400, "REQUEST_INVALID"),
    "a long header": (
        UPGRADE + b"Cookie: " + b"x" * 20_000 + b"\r\n" + VERSION,
        431,
        "HEADERS_TOO_LARGE",
    ),
    "many headers": (UPGRADE + b"X: y\r\n" * 500 + VERSION, 431, "HEADERS_TOO_LARGE"),
    "a long address": (
        UPGRADE.replace(b"/graphql", b"/graphql?" + b"x" * 20_000) + VERSION,
        414,
        "HEADERS_TOO_LARGE",
    ),
    "another host": (
        UPGRADE.replace(b"localhost", b"evil.example") + VERSION,
        421,
        "HOST_NOT_ALLOWED",
    ),
    "another address": (UPGRADE.replace(b"/graphql", b"/elsewhere") + VERSION, 404, "NOT_FOUND"),
    "an address that is no text": (
        UPGRADE.replace(b"/graphql", b"/graphql?x=%ff") + VERSION,
        400,
        "REQUEST_INVALID",
    ),
}


@pytest.mark.parametrize(("sent", "status", "code"), HANDSHAKES.values(), ids=HANDSHAKES)
async def test_handshakes_that_fail_have_a_code(
    port: int, sent: bytes, status: int, code: str
) -> None:
    found, told = await answer_to(port, sent)
    told = told["errors"][0]["extensions"] if "errors" in told else told
    assert (found, told["code"]) == (status, code)
    assert await lives(port)


DOCUMENTS = {
    "no GraphQL": ("{", {}),
    "an unknown field": ("{nothing}", {}),
    "fragments that fan out": (
        "{listIngestionTasks{...a}}"
        + "".join(
            f" fragment {x} on IngestionTaskStatus {{{f'...{y} ' * 3}}}"
            for x, y in zip("abcdefghijkl", "bcdefghijklm", strict=True)
        )
        + " fragment m on IngestionTaskStatus {taskId}",
        {},
    ),
    "a wrong variable": ("query ($x: Int) {listIngestionTasks(limit: $x) {taskId}}", {"x": "one"}),
    "an id that is none": (
        "subscription ($x: ID!) {ingestionTask(taskId: $x) {taskId}}",
        {"x": ""},
    ),
    "several operations": ("query a {__typename} query b {__typename}", {}),
    "no operation": ("fragment a on Query {__typename}", {}),
}


@pytest.mark.parametrize(("query", "variables"), DOCUMENTS.values(), ids=DOCUMENTS)
async def test_documents_that_fail_are_told_of_with_a_code(
    port: int, query: str, variables: dict[str, Any]
) -> None:
    async with aiohttp.ClientSession() as session, connected(session, port) as socket:
        payload = {"query": query, "variables": variables}
        await send(socket, [INIT, {"type": "subscribe", "id": "1", "payload": payload}])
        async with asyncio.timeout(10):
            assert (await socket.receive_json())["type"] == "connection_ack"
            told = await socket.receive_json()
        errors = told["payload"] if told["type"] == "error" else told["payload"].get("errors")
        if query.startswith("query a"):
            assert errors is None
        else:
            assert errors[0]["extensions"]["code"] not in ("", "INTERNAL")
        # The connection is still there for others.
        await send(socket, [{**SUBSCRIBE, "id": "2"}])
        async with asyncio.timeout(10):
            while (told := await socket.receive_json())["id"] != "2":
                pass
        assert told["payload"]["data"] == {"__typename": "Query"}


async def test_too_many_subscriptions_are_refused_with_a_code(port: int) -> None:
    async with aiohttp.ClientSession() as session, connected(session, port) as socket:
        payload = {"query": "subscription {ingestionTasks {taskId}}"}
        await send(
            socket,
            [
                INIT,
                *(
                    {"type": "subscribe", "id": str(number), "payload": payload}
                    for number in range(51)
                ),
            ],
        )
        async with asyncio.timeout(10):
            while (told := await socket.receive_json())["type"] != "error":
                pass
        assert (told["id"], told["payload"][0]["extensions"]["code"]) == ("50", "REQUEST_INVALID")

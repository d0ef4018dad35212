"""Sends bad values to every endpoint, parameter and argument: each is rejected with a client error,
never with an internal error."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from graphql import GraphQLArgument, GraphQLField, get_named_type, is_leaf_type, is_non_null_type

from gateway.graphql.schema import schema
from tests.unit.gateway.edge_fakes import BOUNDARY, CONTENT_TYPE, END, TASK_ID, application, part
from tests.unit.gateway.rpc_fakes import gateway_on_rpcs

INVALID = {
    "%00": "NUL",
    "a%00b": "NUL within",
    "%ff": "no UTF-8",
    "%ed%a0%80": "a surrogate",
    "%c3%28": "a broken sequence",
}
"""Percent-encoded texts that must be rejected everywhere."""

ODD = {
    "": "nothing",
    "%0d%0aX: y": "a line break",
    "%F0%9F%92%A9": "an emoji",
    "x" * 5000: "long",
    "%E2%80%AE%EF%BB%BF": "invisible",
    "..%2f..%2f": "folders",
    "%5C%22%27%3B%7B%7D": "quotes",
    "-1": "negative",
    "9223372036854775807": "the largest of 64 bits",
    "9223372036854775808": "beyond 64 bits",
    "9" * 4400: "beyond all bits",
    "1e400": "beyond doubles",
    "NaN": "not a number",
    "-Infinity": "infinite",
    "%D9%A1": "an Arabic digit",
    "0001-01-01T00%3A00%3A00%2B23%3A59": "before all times",
    "9999-12-31T23%3A59%3A59-23%3A59": "after all times",
    "0001-01-01T00%3A00%3A00%2B23%3A59%2F9999-12-31T23%3A59%3A59-23%3A59": "beyond all times",
    "{%22encoding%22%3A%22%5Cud800%22}": "a surrogate in JSON",
    "{%22header_row%22%3A1e400}": "an infinite number in JSON",
    "[" * 5000: "brackets",
    "PENDINGX": "an unknown name",
}
"""Percent-encoded texts that may be accepted or rejected, but never cause an internal error."""

INVALID_JSON = {
    "nothing": b"",
    "not JSON": b"{",
    "two values": b"{} {}",
    "100,000 lists": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "100,000 closed lists": b"[" * 100_000 + b"]" * 100_000,
    "NaN": b"NaN",
    "no UTF-8": b'{"a":"\xff"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a surrogate": b'"\\ud800"',
    "too many digits": b"1" * 5000,
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "a text": b'"x"',
    "the wrong case": b'{"\\ud800": 1}',
}
"""Bodies that every endpoint must reject."""

INVALID_VALUES = [
    '"\\ud800"',
    '"a\\udfffb"',
    '"\\u0000"',
    '"a\\u0000b"',
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "-Infinity",
    "1" + "0" * 400,
]
"""JSON values that every field must reject."""

ODD_VALUES = [
    "null",
    "true",
    "-1",
    "0",
    "1.5",
    "1e308",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    '""',
    '"' + "x" * 70_000 + '"',
    '"\\u202e\\ufeff\\ud83d\\ude00"',
    "[]",
    "{}",
    "[" * 150 + "]" * 150,
    '{"a":' * 150 + "1" + "}" * 150,
    '[1, "a", null, {}, [], true]',
    '{"delimiter": {}, "columns": [1]}',
    '{"columns": [{"name": "x", "type": "no such type"}]}',
    '{"header_row": 9223372036854775807}',
    '{"policy": {"type_share": 1e308}}',
]
"""JSON values that may be accepted or rejected."""

HEADERS = [
    b"\xff",
    b"\xc3\x28",
    b"a\tb",
    b"x" * 5000,
    b"-1",
    b"9223372036854775807",
    b"9" * 4400,
    b"\xd9\xa1",
    b"1e400",
    b"",
]

TUS = {"Tus-Resumable": "1.0.0"}


# One gateway for all cases: it must survive everything.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with (
        gateway_on_rpcs() as app,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost"
        ) as client,
    ):
        yield client


def check_response(response: httpx.Response, what: object, *, rejected: bool = False) -> None:
    """Raises AssertionError for an internal error, and for an error without a code."""
    assert response.status_code < 500, (what, response.text[:500])
    if rejected:
        assert response.status_code == 400, (what, response.status_code, response.text[:500])
    if response.status_code >= 400 and response.request.method != "HEAD":
        told = response.json()
        code = told["errors"][0]["extensions"]["code"] if "errors" in told else told["code"]
        assert code not in ("", "INTERNAL"), what
        assert not rejected or code == "REQUEST_INVALID", (what, code)


OPENAPI: dict[str, Any] = application()._app.openapi()  # type: ignore[attr-defined]
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in OPENAPI["paths"].items()
    for method, operation in methods.items()
}
BODIES = {
    name: operation["requestBody"]["content"]["application/json"]["schema"]
    for name, operation in OPERATIONS.items()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
}
UNDOCUMENTED = [
    "GET /tasks/{task_id}",
    "GET /datasources/{name}",
    "GET /page/{file}",
    "GET /assets/{file}",
    "GET /{anything}",
    "HEAD /api/ingest/uploads/{upload_id}",
    "PATCH /api/ingest/uploads/{upload_id}",
    "DELETE /api/ingest/uploads/{upload_id}",
]


def parameters(name: str, where: str) -> list[str]:
    """Names of an operation's parameters in its path, query or headers."""
    return [each["name"] for each in OPERATIONS[name].get("parameters", []) if each["in"] == where]


def address(name: str, /, **values: str) -> tuple[str, str]:
    """Method and path. Path parameters that are not given are a task id."""
    method, _, path = name.partition(" ")
    for piece in path.split("/"):
        if piece.startswith("{"):
            path = path.replace(piece, values.get(piece[1:-1], TASK_ID))
    return method, path


async def send(
    http: httpx.AsyncClient, name: str, /, query: str = "", **kwargs: Any
) -> httpx.Response:
    method, path = address(name, **kwargs.pop("values", {}))
    if name in BODIES and "content" not in kwargs:
        kwargs["json"] = EXAMPLES[name]
    return await http.request(method, f"{path}?{query}" if query else path, **kwargs)


EXAMPLES: dict[str, dict[str, Any]] = {
    "POST /api/ingest/import": {"uri": "s3://b/a.csv", "datasource_name": "sales"},
    "POST /api/ingest/tasks/{task_id}/revalidate": {"options": {}},
    "POST /api/ingest/tasks/{task_id}/apply": {"plan_hash": "h"},
    "PUT /api/datasources/{name}/settings": {},
    "PUT /api/datasources/{name}/webhook": {"url": "https://example.org/"},
    "POST /api/query": {"sql": "SELECT 1"},
}


async def test_the_examples_are_valid(http: httpx.AsyncClient) -> None:
    assert BODIES.keys() == EXAMPLES.keys()
    for name in BODIES:
        response = await send(http, name)
        assert response.status_code < 300, (name, response.text)


def path_cases() -> Iterator[str]:
    yield from (
        name
        for name in [*OPERATIONS, *UNDOCUMENTED]
        if "{" in name and not name.endswith("/events")
    )


@pytest.mark.parametrize("name", list(path_cases()))
async def test_paths(http: httpx.AsyncClient, name: str) -> None:
    pieces = [piece[1:-1] for piece in name.split("/") if piece.startswith("{")]
    headers = TUS if "/uploads/" in name else {}
    for piece in pieces:
        for value in INVALID:
            response = await send(http, name, values={piece: value}, headers=headers)
            check_response(response, (name, value), rejected=response.request.method != "HEAD")
            assert response.status_code == 400
        for value in ODD:
            check_response(
                await send(http, name, values={piece: value or "%20"}, headers=headers),
                (name, value),
            )


@pytest.mark.parametrize("name", [name for name in OPERATIONS if parameters(name, "query")])
async def test_queries(http: httpx.AsyncClient, name: str) -> None:
    content = part("datasource_name", b"sales") + part("file", b"a", "a.csv") + END
    form = (
        {"content": content, "headers": {"Content-Type": CONTENT_TYPE}} if "upload" in name else {}
    )
    for parameter in [*parameters(name, "query"), "unknown"]:
        for value in INVALID:
            check_response(
                await send(http, name, f"{parameter}={value}", **form),
                (name, parameter, value),
                rejected=True,
            )
        for value in ODD:
            check_response(
                await send(http, name, f"{parameter}={value}", **form), (name, parameter, value)
            )
        check_response(
            await send(http, name, "&".join([f"{parameter}=1"] * 1000), **form),
            (name, parameter, "often"),
        )


HEADER_NAMES = (
    "idempotency-key",
    "last-event-id",
    "accept",
    "cookie",
    "traceparent",
    "origin",
    "content-type",
    "user-agent",
)


@pytest.mark.parametrize(
    "name", [name for name in OPERATIONS if not name.startswith("GET /metrics")]
)
async def test_headers(http: httpx.AsyncClient, name: str) -> None:
    for header in HEADER_NAMES:
        for value in HEADERS:
            headers = (
                [(b"Content-Type", b"application/json")]
                if name in BODIES and header != "content-type"
                else []
            )
            content = json.dumps(EXAMPLES[name]).encode() if name in BODIES else b""
            response = await send(
                http, name, headers=[*headers, (header.encode(), value)], content=content
            )
            if name != "GET /readyz":
                check_response(response, (name, header, value))


@pytest.mark.parametrize("name", [*BODIES, "POST /graphql"])
async def test_bodies(http: httpx.AsyncClient, name: str) -> None:
    for what, content in INVALID_JSON.items():
        response = await send(
            http, name, content=content, headers={"Content-Type": "application/json"}
        )
        check_response(response, (name, what), rejected=True)
    for kind in (
        "",
        "text/plain",
        "application/json; charset=\xff",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ):
        check_response(
            await send(http, name, content=b"{}", headers={"Content-Type": kind.encode("latin-1")}),
            (name, kind),
        )
    large = b'{"a":"' + b"x" * 2_000_000 + b'"}'
    check_response(
        await send(http, name, content=large, headers={"Content-Type": "application/json"}),
        name,
        rejected=True,
    )


@pytest.mark.parametrize("name", BODIES)
async def test_fields_of_bodies(http: httpx.AsyncClient, name: str) -> None:
    fields = list(BODIES[name].get("properties", {})) or ["policy", "options"]
    for field in [*fields, "unknown"]:
        for value in [*INVALID_VALUES, *ODD_VALUES]:
            others = {key: given for key, given in EXAMPLES[name].items() if key != field}
            text = json.dumps(others)[:-1] + (", " if others else "") + f'"{field}": {value}}}'
            response = await send(
                http, name, content=text.encode(), headers={"Content-Type": "application/json"}
            )
            check_response(response, (name, field, value[:50]), rejected=value in INVALID_VALUES)


FORM_FIELDS = (
    "datasource_name",
    "mode",
    "interval",
    "apply",
    "allow_duplicate",
    "options",
    "unknown",
)


@pytest.mark.parametrize("field", FORM_FIELDS)
async def test_fields_of_forms(http: httpx.AsyncClient, field: str) -> None:
    values = [
        b"",
        b"\xff",
        b"\xed\xa0\x80",
        b"\0",
        b"a\0b",
        b"x" * 5000,
        b"{" * 50_000,
        "\u202e\ufeff".encode(),
    ]
    values += [
        b'{"encoding": "\\ud800"}',
        b'{"encoding": "\\u0000"}',
        b'{"header_row": 1e400}',
        b"[" * 60_000,
        b"null",
        b"NaN",
    ]
    values += [b"0001-01-01T00:00:00+23:59/9999-12-31T23:59:59-23:59", b"2024-01-01/2024-01-02"]
    for value in values:
        for mode in (b"append", b"replace_interval"):
            others = b"" if field == "datasource_name" else part("datasource_name", b"sales")
            others += b"" if field == "mode" else part("mode", mode)
            body = others + part(field, value) + part("file", b"a,b\r\n", "a.csv") + END
            check_response(
                await http.post(
                    "/api/ingest/upload", content=body, headers={"Content-Type": CONTENT_TYPE}
                ),
                (field, value[:40]),
            )


FILENAMES = [
    b"\xff.csv",
    b"\xed\xa0\x80.csv",
    b"a\0b.csv",
    b"",
    b"x" * 5000 + b".csv",
    b'a\\".csv',
    "\u202e.csv".encode(),
    b"%00.csv",
]


@pytest.mark.parametrize("filename", FILENAMES)
@pytest.mark.parametrize(
    "form", [b'filename="%s"', b"filename*=utf-8''%s", b"filename*=no-such-charset''%s"]
)
async def test_file_names(http: httpx.AsyncClient, filename: bytes, form: bytes) -> None:
    named = form % (filename if b"*" not in form else quote(filename).encode())
    body = part("datasource_name", b"sales") + f"--{BOUNDARY}\r\n".encode()
    body += b'Content-Disposition: form-data; name="file"; ' + named + b"\r\n\r\na,b\r\n" + END
    check_response(
        await http.post("/api/ingest/upload", content=body, headers={"Content-Type": CONTENT_TYPE}),
        (filename, form),
    )


TUS_HEADERS = {
    "Upload-Length": [*HEADERS, b"1e9", b"+1", b"0x10"],
    "Upload-Offset": [*HEADERS, b"1e9", b"+1", b"0x10"],
    "Upload-Metadata": [
        *HEADERS,
        b"filename",
        b"filename AAAA,datasource_name c2FsZXM=",
        b"filename YQBi,datasource_name c2FsZXM=",
    ],
    "Upload-Checksum": [*HEADERS, b"sha1", b"sha1 x", b"md5 \xff"],
    "Tus-Resumable": HEADERS,
    "Content-Type": HEADERS,
    "X-HTTP-Method-Override": HEADERS,
    "Idempotency-Key": HEADERS,
}
SOUND_TUS = {
    "Tus-Resumable": b"1.0.0",
    "Upload-Length": b"9",
    "Upload-Offset": b"0",
    "Upload-Metadata": b"filename YS5jc3Y=,datasource_name c2FsZXM=",
    "Content-Type": b"application/offset+octet-stream",
}


@pytest.mark.parametrize("header", TUS_HEADERS)
async def test_tus(http: httpx.AsyncClient, header: str) -> None:
    for name in (
        "POST /api/ingest/uploads",
        "PATCH /api/ingest/uploads/{upload_id}",
        "HEAD /api/ingest/uploads/{upload_id}",
    ):
        for value in TUS_HEADERS[header]:
            headers = [(key.encode(), given) for key, given in {**SOUND_TUS, header: value}.items()]
            check_response(
                await send(http, name, headers=headers, content=b""), (name, header, value)
            )


# GraphQL


def graphql_fields() -> Iterator[tuple[str, str, GraphQLField]]:
    for kind, root in (
        ("query", schema._schema.query_type),
        ("mutation", schema._schema.mutation_type),
    ):
        assert root is not None
        yield from ((kind, name, field) for name, field in root.fields.items() if field.args)


def document(kind: str, name: str, field: GraphQLField) -> str:
    """A document that calls the field with a variable per argument."""
    declared = ", ".join(f"${argument}: {given.type}" for argument, given in field.args.items())
    passed = ", ".join(f"{argument}: ${argument}" for argument in field.args)
    selected = "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
    return f"{kind} ({declared}) {{ {name}({passed}){selected} }}"


VALID: dict[str, Any] = {
    "String": "x",
    "ID": TASK_ID,
    "Int": 1,
    "Boolean": True,
    "JSON": {},
    "Upload": None,
}
VALID_BY_NAME: dict[str, Any] = {
    "uri": "s3://b/a.csv",
    "dataSourceName": "sales",
    "mode": "append",
    "name": "sales",
    "parameters": [],
    "status": ["PENDING"],
    "since": "2024-01-01",
    "until": "2024-01-01",
    "interval": "",
    "offset": 0,
}


def valid_value(name: str, argument: GraphQLArgument) -> Any:
    return VALID_BY_NAME.get(name, VALID[str(get_named_type(argument.type))])


async def send_query(
    http: httpx.AsyncClient, name: str, query: str, variables: str
) -> httpx.Response:
    text = f'{{"query": {json.dumps(query)}, "variables": {variables}}}'
    if name != "uploadSalesData":
        return await http.post(
            "/graphql", content=text.encode(), headers={"Content-Type": "application/json"}
        )
    form = (
        part("operations", text.encode())
        + part("map", b'{"0": ["variables.file"]}')
        + part("0", b"a,b\r\n", "a.csv")
        + END
    )
    headers = {"Content-Type": CONTENT_TYPE, "Apollo-Require-Preflight": "true"}
    return await http.post("/graphql", content=form, headers=headers)


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    list(graphql_fields()),
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_arguments(
    http: httpx.AsyncClient, kind: str, name: str, field: GraphQLField
) -> None:
    query = document(kind, name, field)
    usual = {argument: valid_value(argument, given) for argument, given in field.args.items()}
    response = await send_query(http, name, query, json.dumps(usual))
    assert "errors" not in response.json(), response.text
    for argument, given in field.args.items():
        values = [*INVALID_VALUES, *ODD_VALUES]
        if str(get_named_type(given.type)) == "String":
            texts = (
                *ODD.values(),
                "0001-01-01T00:00:00+23:59",
                "9999-12-31T23:59:59-23:59",
                "0001-01-01T00:00+23:59/2024-01-01",
            )
            values += [json.dumps(text) for text in texts]
        for value in values:
            others = {key: value for key, value in usual.items() if key != argument}
            variables = (
                json.dumps(others)[:-1] + (", " if others else "") + f'"{argument}": {value}}}'
            )
            response = await send_query(http, name, query, variables)
            check_response(response, (name, argument, value[:50]), rejected=value in INVALID_VALUES)
            for each in response.json().get("errors", []):
                assert each["extensions"]["code"] != "INTERNAL", (name, argument, value[:50], each)
        if not is_non_null_type(given.type):
            response = await send_query(http, name, query, json.dumps({**usual, argument: None}))
            check_response(response, (name, argument, "null"))


LITERALS = [
    '"\\ud800"',
    '"\\u{D800}"',
    '"a\\u0000b"',
    '"""\\ud800"""',
    "1e400",
    "9" * 400,
    "-1",
    "[[[[]]]]",
    "{a: 1e400}",
    "$x",
    "NOPE",
    '"',
]


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    list(graphql_fields()),
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_literals(http: httpx.AsyncClient, kind: str, name: str, field: GraphQLField) -> None:
    selected = "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
    for argument in field.args:
        for literal in LITERALS:
            others = {
                key: valid_value(key, given) for key, given in field.args.items() if key != argument
            }
            plain = " ".join(
                f"{key}: {'{}' if given == {} else json.dumps(given)}"
                for key, given in others.items()
            )
            query = f"{kind} {{ {name}({argument}: {literal} {plain}){selected} }}"
            response = await http.post("/graphql", json={"query": query})
            check_response(response, query[:200])
            for each in response.json().get("errors", []):
                assert each["extensions"]["code"] != "INTERNAL", (query[:200], each)


OPERATIONS_ODD = [
    {"query": "{__typename}", "variables": []},
    {"query": "{__typename}", "variables": "x"},
    {"query": "{__typename}", "operationName": 1},
    {"query": "{__typename}", "operationName": "x" * 5000},
    {"query": 1},
    {"query": None},
    {"query": {}},
    {"query": "query a {__typename} query b {__typename}"},
    {"query": "query a {__typename}", "operationName": "b"},
    {"query": "fragment a on Query {__typename}"},
    {"query": "type A {a: Int}"},
    {"query": "subscription {ingestionTasks {taskId}}"},
    {"query": "query ($x: [[[[[Int]]]]]) {__typename}"},
    {"query": "query ($x: Int = 1e400) {listIngestionTasks(limit: $x) {taskId}}"},
    {"query": '{__typename @skip(if: "x")}'},
    {"query": "{__typename @include(if: $x)}"},
    {"query": "{...a @defer} fragment a on Query {__typename}"},
    [{"query": "{__typename}"}] * 100,
    [],
]


@pytest.mark.parametrize("operation", OPERATIONS_ODD, ids=lambda each: json.dumps(each)[:60])
async def test_operations(http: httpx.AsyncClient, operation: object) -> None:
    response = await http.post("/graphql", json=operation)
    check_response(response, operation)
    for each in response.json().get("errors", []):
        assert each["extensions"]["code"] == "REQUEST_INVALID"


MAPS = [
    "null",
    "[]",
    "{}",
    '{"0": 1}',
    '{"0": ["variables.\\ud800"]}',
    '{"0": ["variables.a.b.c"]}',
    '{"0": ["query"]}',
    "[" * 1000,
    "1e400",
]


@pytest.mark.parametrize("mapping", MAPS)
async def test_file_maps(http: httpx.AsyncClient, mapping: str) -> None:
    query = 'mutation ($file: Upload!) { uploadSalesData(file: $file, dataSourceName: "sales") { __typename } }'
    operations = json.dumps({"query": query, "variables": {"file": None}})
    form = (
        part("operations", operations.encode())
        + part("map", mapping.encode())
        + part("0", b"a", "a.csv")
        + END
    )
    headers = {"Content-Type": CONTENT_TYPE, "Apollo-Require-Preflight": "true"}
    response = await http.post("/graphql", content=form, headers=headers)
    check_response(response, mapping)
    assert response.status_code == 400

"""Every error has one shape, a status and a code. Also tests the allow-lists."""

from typing import Any

import httpx
import pytest

from gateway.http.allowed import Allowed
from gateway.http.problems import status_of
from gateway.settings import Settings
from services.common.errors import SluiceError, error, info_of
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState
from tests.unit.gateway.edge_fakes import END, TASK_ID, FakeTasks, FakeUploads, application, part

SHAPE = ["code", "message", "line", "column", "value", "action", "actor"]


def client(
    tasks: FakeTasks | None = None, uploads: FakeUploads | None = None, **settings: Any
) -> httpx.AsyncClient:
    """A client of a gateway on fakes."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(application(tasks, uploads, **settings)),
        base_url="http://localhost",
    )


JSON = {"Content-Type": "application/json"}
REFUSED = {
    "no such address": ("GET", "/api/nothing", {}, b"", 404, "NOT_FOUND", None),
    "no such method": ("DELETE", "/api/query", {}, b"", 405, "METHOD_NOT_ALLOWED", None),
    "a limit that is no number": (
        "GET",
        "/api/ingest/tasks?limit=many",
        {},
        b"",
        400,
        "REQUEST_INVALID",
        "limit",
    ),
    "a limit that is too high": (
        "GET",
        "/api/ingest/tasks?limit=501",
        {},
        b"",
        400,
        "REQUEST_INVALID",
        "limit",
    ),
    "an offset below 0": (
        "GET",
        "/api/ingest/tasks?offset=-1",
        {},
        b"",
        400,
        "REQUEST_INVALID",
        "offset",
    ),
    "an unknown status": (
        "GET",
        "/api/ingest/tasks?status=DONE",
        {},
        b"",
        400,
        "REQUEST_INVALID",
        "status",
    ),
    "broken JSON": ("POST", "/api/query", JSON, b"{", 400, "REQUEST_INVALID", None),
    "no JSON": (
        "POST",
        "/api/query",
        {"Content-Type": "text/plain"},
        b'{"sql":"x"}',
        400,
        "REQUEST_INVALID",
        "Content-Type",
    ),
    "JSON that is too long": (
        "POST",
        "/api/query",
        JSON,
        b" " * 2_000_000,
        400,
        "REQUEST_INVALID",
        None,
    ),
    "no sql": ("POST", "/api/query", JSON, b"{}", 400, "REQUEST_INVALID", "sql"),
    "no object": ("POST", "/api/query", JSON, b"[]", 400, "REQUEST_INVALID", None),
    "a limit in JSON": (
        "POST",
        "/api/query",
        JSON,
        b'{"sql":"x","limit":0}',
        400,
        "REQUEST_INVALID",
        "limit",
    ),
    "no form": ("POST", "/api/ingest/upload", JSON, b"{}", 400, "MULTIPART_MALFORMED", None),
    "a foreign page": (
        "POST",
        "/api/query",
        {**JSON, "Origin": "https://evil.example"},
        b"{}",
        403,
        "ORIGIN_NOT_ALLOWED",
        "Origin",
    ),
    "a foreign host": (
        "GET",
        "/api/ingest/tasks",
        {"Host": "evil.example"},
        b"",
        421,
        "HOST_NOT_ALLOWED",
        "Host",
    ),
    "no report yet": (
        "GET",
        f"/api/ingest/tasks/{TASK_ID}/report",
        {},
        b"",
        404,
        "REPORT_NOT_FOUND",
        None,
    ),
}


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code", "column"), REFUSED.values(), ids=REFUSED
)
async def test_every_error_has_the_same_shape(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    status: int,
    code: str,
    column: str | None,
) -> None:
    async with client() as http:
        response = await http.request(method, path, headers=headers, content=body)
    problem = response.json()
    assert list(problem) == SHAPE
    assert (response.status_code, problem["code"]) == (status, code)
    if column is not None:
        assert problem["column"] == column
    assert problem["message"].endswith(".")
    assert problem["action"].endswith(".")


@pytest.mark.parametrize(
    "name", [name for name, reason in ErrorReason.items() if info_of(reason).http]
)
async def test_an_error_of_a_service_keeps_its_code_and_status(name: str) -> None:
    reason = ErrorReason.Value(name)
    tasks = FakeTasks()
    tasks.failure = error(reason, "So it is.", line=3, column="c", value="v")
    async with client(tasks) as http:
        response = await http.get(f"/api/ingest/tasks/{TASK_ID}")
    problem = response.json()
    assert response.status_code == info_of(reason).http == status_of(tasks.failure)
    assert (problem["code"], problem["message"], problem["line"]) == (
        name.removeprefix("ERROR_REASON_"),
        "So it is.",
        3,
    )
    assert ("retry-after" in response.headers) == (response.status_code in (429, 503))


async def test_an_internal_error_shows_only_its_trace_id() -> None:
    class Broken(FakeTasks):
        async def get(self, task_id: str) -> object:  # type: ignore[override]
            raise RuntimeError("secret")

    async with client(Broken()) as http:
        response = await http.get(f"/api/ingest/tasks/{TASK_ID}")
    assert (response.status_code, response.json()["code"]) == (500, "INTERNAL")
    assert response.headers["x-trace-id"] in response.json()["message"]
    assert "secret" not in response.text


async def test_graphql_errors_have_the_graphql_shape() -> None:
    async with client() as http:
        foreign = await http.post(
            "/graphql", json={"query": "{ __typename }"}, headers={"Origin": "null"}
        )
        broken = await http.post("/graphql", content=b"{", headers=JSON)
    assert (foreign.status_code, foreign.json()["errors"][0]["extensions"]["code"]) == (
        403,
        "ORIGIN_NOT_ALLOWED",
    )
    assert (broken.status_code, broken.json()["errors"][0]["extensions"]["code"]) == (
        400,
        "REQUEST_INVALID",
    )
    assert set(SHAPE) <= set(broken.json()["errors"][0]["extensions"])


async def test_a_long_content_length_is_rejected_before_a_task_is_created() -> None:
    uploads = FakeUploads()
    body = part("datasource_name", b"s") + part("file", bytes(9_000_000), "a.csv") + END
    async with client(uploads=uploads, max_file_size_bytes=1000) as http:
        response = await http.post(
            "/api/ingest/upload",
            content=body,
            headers={"Content-Type": "multipart/form-data; boundary=frontier"},
        )
    assert (response.status_code, response.json()["code"]) == (413, "FILE_TOO_LARGE")
    assert uploads.requests == []


async def test_an_event_stream_without_more_events_returns_204() -> None:
    tasks = FakeTasks()
    tasks.task.MergeFrom(type(tasks.task)(state=TaskState.TASK_STATE_FAILED, last_sequence=4))
    async with client(tasks) as http:
        response = await http.get(
            f"/api/ingest/tasks/{TASK_ID}/events", headers={"Last-Event-ID": "4"}
        )
    assert response.status_code == 204
    assert tasks.watched_from == []


async def test_probes_allow_any_host_and_readiness_names_unavailable_services() -> None:
    async with client() as http:
        alive = await http.get("/healthz", headers={"Host": "10.0.0.7:8000"})
        ready = await http.get("/readyz", headers={"Host": "10.0.0.7:8000"})
        figures = await http.get("/metrics", headers={"Host": "10.0.0.7:8000"})
    assert alive.status_code == figures.status_code == 200
    assert (ready.status_code, ready.json()) == (
        503,
        {"ready": False, "services": {"status": "UNREACHABLE"}},
    )


async def test_every_response_has_security_headers() -> None:
    async with client() as http:
        for path in (
            "/",
            "/docs",
            "/page/docs.js",
            "/assets/nothing.js",
            "/api/nothing",
            "/healthz",
        ):
            response = await http.get(path)
            assert response.headers["x-content-type-options"] == "nosniff", path
            assert "default-src 'none'" in response.headers["content-security-policy"], path
            assert "unsafe" not in response.headers["content-security-policy"], path
            assert response.headers["x-frame-options"] == "DENY", path


async def test_the_api_docs_load_nothing_from_other_hosts() -> None:
    async with client() as http:
        for path in ("/docs", "/page/docs.js", "/page/docs.css"):
            response = await http.get(path)
            assert response.status_code == 200, path
            assert "http://" not in response.text, path
            assert "https://" not in response.text, path
            # The Content-Security-Policy forbids inline scripts and styles.
            assert "<script>" not in response.text, path
            assert " style=" not in response.text, path
        api = (await http.get("/openapi.json")).json()
    assert {
        "/api/ingest/upload",
        "/api/ingest/tasks/{task_id}/events",
        "/api/query",
        "/readyz",
    } <= set(api["paths"])


async def test_only_allowed_origins_may_read() -> None:
    asked = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    async with client(allowed_origins="http://localhost:3000") as http:
        allowed = await http.options("/api/query", headers=asked)
        other = await http.options(
            "/api/query", headers={**asked, "Origin": "http://localhost:4000"}
        )
    assert allowed.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "access-control-allow-origin" not in other.headers


ALLOWED = Allowed(
    hosts=("localhost", "127.0.0.1", "[::1]", "sluice.example"), origins=("https://front.example",)
)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("LOCALHOST:1", True),
        ("127.0.0.1:8000", True),
        ("[::1]", True),
        ("[::1]:8000", True),
        ("sluice.example", True),
        ("sluice.example:443", True),
        ("", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("localhost:8000@evil.example", False),
        ("127.0.0.2", False),
        ("[::2]:8000", False),
        ("::1", False),
        ("localhost:", False),
        ("localhost:80x", False),
    ],
)
def test_hosts(host: str, allowed: bool) -> None:
    if allowed:
        ALLOWED.check_host(host)
        return
    with pytest.raises(SluiceError) as refused:
        ALLOWED.check_host(host)
    assert refused.value.code == "HOST_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "localhost:8000", True),
        ("http://localhost:8000", "localhost:8000", True),
        ("https://sluice.example", "sluice.example", True),
        ("https://sluice.example", "sluice.example:443", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("https://front.example", "sluice.example", True),
        ("null", "localhost:8000", False),
        ("", "localhost:8000", False),
        ("http://localhost:3000", "localhost:8000", False),
        ("http://localhost", "localhost:8000", False),
        ("http://127.0.0.1:8000", "localhost:8000", False),
        ("http://front.example", "sluice.example", False),
        ("https://front.example.evil.example", "sluice.example", False),
        ("file://localhost:8000", "localhost:8000", False),
        ("http://localhost:port", "localhost:8000", False),
        ("http://[", "localhost:8000", False),
    ],
)
def test_origins(origin: str | None, host: str, allowed: bool) -> None:
    if allowed:
        ALLOWED.check_origin(origin, host)
        return
    with pytest.raises(SluiceError) as refused:
        ALLOWED.check_origin(origin, host)
    assert refused.value.code == "ORIGIN_NOT_ALLOWED"


def test_lists_in_the_environment_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UPLOAD_ADDR", "VALIDATION_ADDR", "DRUID_GATEWAY_ADDR", "STATUS_ADDR"):
        monkeypatch.setenv(name, "127.0.0.1:1")
    monkeypatch.setenv("BIND_ADDR", "10.0.0.1:8000")
    monkeypatch.setenv("ALLOWED_HOSTS", "a.example, b.example,")
    settings = Settings()
    assert settings.hosts == ("a.example", "b.example", "10.0.0.1")
    assert settings.allowed_origins == ()

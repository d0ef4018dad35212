"""Serving the built page: files, encodings and caching."""

import gzip
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from gateway.rest import page as page_http

SCRIPT = b"export const answer = 42;\n"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>the page</title>")
    (tmp_path / "assets" / "index-1a2b.js").write_bytes(SCRIPT)
    (tmp_path / "assets" / "index-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    monkeypatch.setattr(page_http, "BUILT", tmp_path)
    return tmp_path


def client() -> httpx.AsyncClient:
    app = FastAPI()
    page_http.install(app)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


@pytest.mark.usefixtures("built")
async def test_every_path_of_the_page_serves_it_without_caching() -> None:
    async with client() as http:
        for path in (
            "/",
            "/tasks",
            "/tasks/11111111-1111-4111-8111-111111111111",
            "/query?sql=SELECT%201",
            "/datasources/sales",
        ):
            response = await http.get(path)
            assert (response.status_code, "the page" in response.text) == (200, True), path
            assert response.headers["content-type"].startswith("text/html"), path
            assert response.headers["cache-control"] == "no-cache", path
        assert (await http.get("/nothing")).status_code == 404


@pytest.mark.usefixtures("built")
async def test_hashed_files_are_cached_and_compressed_if_accepted() -> None:
    async with client() as http:
        packed = await http.get(
            "/assets/index-1a2b.js", headers={"Accept-Encoding": "deflate, gzip;q=0.8"}
        )
        plain = await http.get("/assets/index-1a2b.js", headers={"Accept-Encoding": "identity"})
        missing = await http.get("/assets/../index.html.br")
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    for response in (packed, plain):
        assert response.content == SCRIPT
        assert response.headers["content-type"].startswith("text/javascript")
        assert "immutable" in response.headers["cache-control"]
        assert response.headers["vary"] == "Accept-Encoding"
    assert missing.status_code == 404


async def test_a_missing_page_explains_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_http, "BUILT", tmp_path)
    async with client() as http:
        response = await http.get("/")
    assert response.status_code == 503
    assert "make page" in response.text

"""Serves the page and the API documentation from static files.

`make page` builds the page into frontend/dist: files with content hashes in their names, and
compressed copies beside them.
"""

from pathlib import Path

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PROJECT = Path(__file__).parents[2]
BUILT = PROJECT / "frontend" / "dist"
DOCS = Path(__file__).parents[1] / "page"

PAGE_PATHS = (
    "/",
    "/tasks",
    "/tasks/{task_id}",
    "/query",
    "/datasources",
    "/datasources/{name}",
    "/dashboard",
)
"""Paths of the single-page application; all serve index.html."""

REVALIDATE = "no-cache"
IMMUTABLE = "public, max-age=31536000, immutable"

ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
"""Content-Encoding and the extension of its files, best first."""


class _CompressedFiles(StaticFiles):
    """Static files with compressed copies."""

    def __init__(self, folder: Path, cache: str) -> None:
        super().__init__(directory=folder, check_dir=False)
        self._cache = cache

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file in the best encoding that the client accepts."""
        accepted = {
            each.partition(";")[0].strip()
            for each in Headers(scope=scope).get("accept-encoding", "").split(",")
        }
        for encoding, extension in ENCODINGS:
            if encoding in accepted and await run_in_threadpool(self._exists, path + extension):
                response = await super().get_response(path + extension, scope)
                response.headers["Content-Encoding"] = encoding
                break
        else:
            response = await super().get_response(path, scope)
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["Cache-Control"] = self._cache
        return response

    def _exists(self, path: str) -> bool:
        try:
            return self.lookup_path(path)[1] is not None
        except OSError:
            # Not a valid file name, for example too long.
            return False


def install(app: FastAPI) -> None:
    """Add the page, `/docs` and their files."""
    built = _CompressedFiles(BUILT, REVALIDATE)

    async def page(request: Request) -> Response:
        try:
            return await built.get_response("index.html", request.scope)
        except HTTPException:
            return PlainTextResponse(
                "The page is not built: run `make page`. The API is documented at /docs.", 503
            )

    for path in PAGE_PATHS:
        app.add_api_route(path, page, include_in_schema=False)

    @app.get("/icon.svg", include_in_schema=False)
    async def icon() -> Response:
        return FileResponse(DOCS / "icon.svg", headers={"Cache-Control": REVALIDATE})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return FileResponse(DOCS / "docs.html", headers={"Cache-Control": REVALIDATE})

    app.mount("/page", StaticFiles(directory=DOCS), name="page")
    app.mount("/assets", _CompressedFiles(BUILT / "assets", IMMUTABLE), name="assets")

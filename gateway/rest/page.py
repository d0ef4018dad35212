"""The page, and the documentation of the addresses: static files, nothing from other hosts.

The page is what `make page` builds into frontend/dist: files named by their content, with
compressed ones beside them.
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

ADDRESSES = (
    "/",
    "/tasks",
    "/tasks/{task_id}",
    "/query",
    "/datasources",
    "/datasources/{name}",
    "/dashboard",
)
"""All of them show the same file, whose script shows what the address names."""

FRESH = "no-cache"
FOR_EVER = "public, max-age=31536000, immutable"

ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
"""Content-Encoding and the ending of its files, best first."""


class _Built(StaticFiles):
    """Files that were compressed when they were built."""

    def __init__(self, folder: Path, cache: str) -> None:
        super().__init__(directory=folder, check_dir=False)
        self._cache = cache

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file in the best form that the client takes."""
        accepted = {
            each.partition(";")[0].strip()
            for each in Headers(scope=scope).get("accept-encoding", "").split(",")
        }
        for encoding, ending in ENCODINGS:
            if encoding in accepted and await run_in_threadpool(self._has, path + ending):
                answer = await super().get_response(path + ending, scope)
                answer.headers["Content-Encoding"] = encoding
                break
        else:
            answer = await super().get_response(path, scope)
        answer.headers["Vary"] = "Accept-Encoding"
        answer.headers["Cache-Control"] = self._cache
        return answer

    def _has(self, path: str) -> bool:
        try:
            return self.lookup_path(path)[1] is not None
        except OSError:
            # No file can have such a name, for example because it is too long.
            return False


def install(app: FastAPI) -> None:
    """Adds the page's addresses, `/docs` and the files that they need."""
    whole = _Built(BUILT, FRESH)

    async def page(request: Request) -> Response:
        try:
            return await whole.get_response("index.html", request.scope)
        except HTTPException:
            return PlainTextResponse(
                "The page is not built: run `make page`. The API is described at /docs.", 503
            )

    for address in ADDRESSES:
        app.add_api_route(address, page, include_in_schema=False)

    @app.get("/icon.svg", include_in_schema=False)
    async def icon() -> Response:
        return FileResponse(DOCS / "icon.svg", headers={"Cache-Control": FRESH})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return FileResponse(DOCS / "docs.html", headers={"Cache-Control": FRESH})

    app.mount("/page", StaticFiles(directory=DOCS), name="page")
    app.mount("/assets", _Built(BUILT / "assets", FOR_EVER), name="assets")

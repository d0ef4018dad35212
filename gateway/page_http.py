"""The page, and the documentation of the addresses: static files, nothing from other hosts."""

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent / "page"


def install(app: FastAPI) -> None:
    """Adds `/`, `/docs` and the files that they need."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(FOLDER / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return FileResponse(FOLDER / "docs.html", headers={"Cache-Control": "no-cache"})

    app.mount("/page", StaticFiles(directory=FOLDER), name="page")

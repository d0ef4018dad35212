"""Baseline for reading a task: Starlette and asyncpg, one query, one row as JSON."""

import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

COLUMNS = """task_id, status, message, file_size, row_count, validation_errors, error_message, created_at, updated_at"""


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=2, max_size=10) as pool:
        app.state.pool = pool
        yield


async def _task(request: Request) -> Response:
    sql = f"SELECT {COLUMNS} FROM ingestion_tasks WHERE task_id = $1"
    row = await request.app.state.pool.fetchrow(sql, request.path_params["task_id"])
    return Response(json.dumps(dict(row), default=str), media_type="application/json")


async def main() -> None:
    """Serve until terminated, on a free port that is written to standard error."""
    app = Starlette(routes=[Route("/tasks/{task_id}", _task)], lifespan=_lifespan)
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, http="httptools")
    )
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listening.getsockname()[1]
    sys.stderr.write(json.dumps({"port": port}) + "\n")
    sys.stderr.flush()
    await server.serve(sockets=[listening])


if __name__ == "__main__":
    uvloop.run(main())

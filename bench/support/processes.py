"""Processes outside the stack."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def serving(
    *arguments: str, environment: Mapping[str, str]
) -> AsyncIterator[tuple[str, int]]:
    """Run a Python module that logs its port; yield host:port and the process id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        cwd=ROOT,
        env={**environment, "BIND_ADDR": "127.0.0.1:0"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    reading: asyncio.Task[bytes] | None = None
    try:
        port = 0
        while not port:
            line = await process.stderr.readline()
            if not line:
                raise RuntimeError(f"{' '.join(arguments)} ended before it logged its port")
            port = json.loads(line).get("port", 0)
        reading = asyncio.create_task(process.stderr.read())
        yield f"127.0.0.1:{port}", process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        if reading is not None:
            await reading

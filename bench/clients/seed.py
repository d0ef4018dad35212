"""Runs `bench.clients.seed_server` in a separate environment, because FastAPI's form package
conflicts with one of our dependencies.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from local.stack import Stack

PACKAGES = ("fastapi", "uvicorn", "python-multipart", "boto3")
START_TIMEOUT_S = 120.0


@contextmanager
def serving(stack: Stack) -> Iterator[tuple[tuple[str, int], int]]:
    """Run the server; yield its address and process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "AWS_ACCESS_KEY_ID": stack.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": stack.s3_secret_key,
        "AWS_DEFAULT_REGION": stack.s3_region,
        "AWS_ENDPOINT_URL_S3": stack.s3_endpoint,
        "S3_BUCKET_NAME": stack.s3_bucket,
    }
    extra = [word for package in PACKAGES for word in ("--with", package)]
    script = Path(__file__).with_name("seed_server.py")
    command = [
        "uv",
        "run",
        "--no-project",
        "--isolated",
        "--quiet",
        *extra,
        "python",
        str(script),
        str(port),
    ]
    process = subprocess.Popen(command, env={**os.environ, **settings})
    try:
        _wait(port, process)
        # The server is a child process of uv.
        server = psutil.Process(process.pid).children()[0]
        yield ("127.0.0.1", port), server.pid
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the baseline server did not start")

"""An independent Druid client: submits, counts and drops; and files that Druid can read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import boto3
import httpx

from local.instance import Instance
from local.stack import Stack

DEADLINE_S = 900.0
POLL_S = 0.05


def druid_load(stack: Instance, spec: dict[str, Any], datasource: str, rows: int) -> None:
    """Submit a spec and wait until a query counts `rows`."""
    druid = stack.stack.druid_url
    task_id = (
        httpx.post(f"{druid}/druid/indexer/v1/task", json=spec, timeout=60)
        .raise_for_status()
        .json()["task"]
    )
    deadline = monotonic() + DEADLINE_S
    while monotonic() < deadline:
        state = (
            httpx.get(f"{druid}/druid/indexer/v1/task/{task_id}/status")
            .raise_for_status()
            .json()["status"]
        )
        if state["status"] == "FAILED":
            raise RuntimeError(f"Druid task {task_id} failed")
        if state["status"] == "SUCCESS":
            expect_rows(druid, datasource, rows)
            return
        sleep(POLL_S)
    raise TimeoutError(f"Druid task {task_id} did not end within {DEADLINE_S:g} s")


def count_rows(druid: str, datasource: str) -> int:
    """Return the number of rows; -1 if Druid does not know the datasource."""
    answer = httpx.post(
        f"{druid}/druid/v2/sql",
        json={"query": f'SELECT COUNT(*) AS n FROM "{datasource}"'},
        timeout=60,
    )
    return int(answer.json()[0]["n"]) if answer.status_code == httpx.codes.OK else -1


def expect_rows(druid: str, datasource: str, rows: int) -> None:
    """Wait until a query counts `rows`."""
    deadline, counted = monotonic() + DEADLINE_S, -1
    while monotonic() < deadline:
        counted = count_rows(druid, datasource)
        if counted == rows:
            return
        sleep(POLL_S)
    raise RuntimeError(f"a query counts {counted} rows in {datasource} instead of {rows}")


def drop(druid: str, datasource: str) -> None:
    """Drop a datasource, so that the next run starts under the same conditions."""
    httpx.delete(
        f"{druid}/druid/coordinator/v1/datasources/{datasource}", timeout=60
    ).raise_for_status()


@contextmanager
def raw_object(stack: Stack, path: Path) -> Iterator[str]:
    """Store the file in the stack's object store; yield a presigned URL; delete the object."""
    s3 = boto3.client(
        "s3",
        endpoint_url=stack.s3_endpoint,
        region_name=stack.s3_region,
        aws_access_key_id=stack.s3_access_key,
        aws_secret_access_key=stack.s3_secret_key,
    )
    key = f"bench/{uuid4().hex}.csv"
    s3.upload_file(str(path), stack.s3_bucket, key)
    try:
        yield s3.generate_presigned_url(
            "get_object", Params={"Bucket": stack.s3_bucket, "Key": key}, ExpiresIn=3600
        )
    finally:
        s3.delete_object(Bucket=stack.s3_bucket, Key=key)

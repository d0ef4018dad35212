"""Loading rows into Druid: Sluice beside the seed's own spec on the raw file, interleaved on the same Druid.

Both are counted by this foreign client. The seed's spec is run with its time column corrected and otherwise unchanged (DAY, no
intervals, discovery only); `--month` adds it with MONTH. Druid reads the raw file from a presigned URL of the same object store.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import boto3
import httpx

from bench import data, harness
from bench.edge import Edge
from bench.stack import FILES, running
from local.instance import Instance
from local.stack import Stack

WARM_ROWS = 100_000
DEADLINE_S = 900.0
POLL_S = 0.05


def main(pairs: int, rows: int, instance: str, month: bool) -> None:
    """Prints the table and the line with ratio_seed_load and ratio_seed_total (medians over the pairs)."""
    granularities = ["DAY", "MONTH"] if month else ["DAY"]
    seed: dict[str, list[float]] = {granularity: [] for granularity in granularities}
    load: list[float] = []
    total: list[float] = []
    table: list[tuple[object, ...]] = []
    with running(instance) as stack, httpx.Client(base_url=stack.stack.gateway_url, timeout=60) as http:
        edge = Edge(http)
        path = data.sales_by_rows(FILES / f"sales-{rows}-rows.csv", rows)
        warm = data.sales_by_rows(FILES / f"sales-{WARM_ROWS}-rows.csv", WARM_ROWS)
        edge.succeeded(edge.upload(warm, f"bench_warm_{uuid4().hex[:8]}"), DEADLINE_S)
        for pair in range(1, pairs + 1):
            pids = {name: stack.pid(name) for name in ("druid_indexer", "validation", "upload", "gateway", "status", "druid_gateway")}
            with harness.measured(pids) as sample:
                datasource = f"bench_sluice_{uuid4().hex[:8]}"
                task = edge.succeeded(edge.upload(path, datasource), DEADLINE_S)
                expect_rows(stack.stack.druid_url, datasource, rows)
            seconds = {timing["stage"]: timing["seconds"] for timing in task["timings"]}
            load.append(seconds["ingest"] + seconds["verify"])
            total.append(sample.wall_s)
            table.append((pair, "Sluice, first byte -> counted", sample.wall_s, sample.cpu_s, load[-1]))
            forget(stack.stack.druid_url, datasource)
            for granularity in granularities:
                with raw_object(stack.stack, path) as url, harness.measured({"druid_indexer": stack.pid("druid_indexer")}) as sample:
                    datasource = f"bench_seed_{uuid4().hex[:8]}"
                    druid_load(stack, seed_spec(datasource, url, granularity), datasource, rows)
                seed[granularity].append(sample.wall_s)
                table.append((pair, f"the seed's spec, {granularity}", sample.wall_s, sample.cpu_s, sample.wall_s))
                forget(stack.stack.druid_url, datasource)
    harness.table(f"{rows:,} rows, {path.stat().st_size / harness.MIB:.0f} MiB", ["pair", "what", "wall s", "CPU s", "load s"], table)
    figures = {"seed_load_s": harness.median(seed["DAY"]), "sluice_load_s": harness.median(load), "sluice_total_s": harness.median(total)}
    if month:
        figures["seed_month_load_s"] = harness.median(seed["MONTH"])
    harness.conclude(
        bench="ingest",
        pairs=pairs,
        rows=rows,
        **figures,
        ratio_seed_load=harness.median(ours / theirs for ours, theirs in zip(load, seed["DAY"], strict=True)),
        ratio_seed_total=harness.median(ours / theirs for ours, theirs in zip(total, seed["DAY"], strict=True)),
    )


def seed_spec(datasource: str, url: str, granularity: str) -> dict[str, Any]:
    """The seed's ingestion spec; changed are its time column and, as the file lies behind a URL, its input source."""
    return {
        "type": "index_parallel",
        "spec": {
            "dataSchema": {
                "dataSource": datasource,
                "timestampSpec": {"column": "order_date", "format": "auto"},
                "dimensionsSpec": {"useSchemaDiscovery": True},
                "granularitySpec": {"type": "uniform", "segmentGranularity": granularity, "queryGranularity": "NONE", "rollup": False},
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": {"type": "http", "uris": [url]},
                "inputFormat": {"type": "csv", "findColumnsFromHeader": True},
            },
            "tuningConfig": {"type": "index_parallel", "partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": 5_000_000}},
        },
    }


def druid_load(stack: Instance, spec: dict[str, Any], datasource: str, rows: int) -> None:
    """Submits a spec and waits until a query counts `rows`."""
    druid = stack.stack.druid_url
    task_id = httpx.post(f"{druid}/druid/indexer/v1/task", json=spec, timeout=60).raise_for_status().json()["task"]
    deadline = monotonic() + DEADLINE_S
    while monotonic() < deadline:
        state = httpx.get(f"{druid}/druid/indexer/v1/task/{task_id}/status").raise_for_status().json()["status"]
        if state["status"] == "FAILED":
            raise RuntimeError(f"Druid task {task_id} failed")
        if state["status"] == "SUCCESS":
            expect_rows(druid, datasource, rows)
            return
        sleep(POLL_S)
    raise TimeoutError(f"Druid task {task_id} did not end within {DEADLINE_S:g} s")


def expect_rows(druid: str, datasource: str, rows: int) -> None:
    """Waits until a query counts `rows`."""
    deadline, counted = monotonic() + DEADLINE_S, -1
    while monotonic() < deadline:
        answer = httpx.post(f"{druid}/druid/v2/sql", json={"query": f'SELECT COUNT(*) AS n FROM "{datasource}"'}, timeout=60)
        counted = answer.json()[0]["n"] if answer.status_code == httpx.codes.OK else -1
        if counted == rows:
            return
        sleep(POLL_S)
    raise RuntimeError(f"a query counts {counted} rows in {datasource} instead of {rows}")


def forget(druid: str, datasource: str) -> None:
    """Drops a measured datasource, so that the next run finds the machine as this one did."""
    httpx.delete(f"{druid}/druid/coordinator/v1/datasources/{datasource}", timeout=60).raise_for_status()


@contextmanager
def raw_object(stack: Stack, path: Path) -> Iterator[str]:
    """A presigned URL of the file in the stack's object store; the object is deleted afterwards."""
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
        yield s3.generate_presigned_url("get_object", Params={"Bucket": stack.s3_bucket, "Key": key}, ExpiresIn=3600)
    finally:
        s3.delete_object(Bucket=stack.s3_bucket, Key=key)

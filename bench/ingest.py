"""Loads into Druid: Sluice compared with the seed's spec on the raw file, interleaved on the same
Druid. Small files are in small.py.

This independent client counts both. The seed's spec is unchanged (DAY, no intervals, schema
discovery) except for its time column; `--month` adds a run with MONTH. Druid reads the raw file
from a presigned URL of the same object store.
"""

from typing import Any
from uuid import uuid4

import httpx

from bench.clients.druid import DEADLINE_S, drop, druid_load, expect_rows, raw_object
from bench.clients.gateway import Gateway
from bench.files import data
from bench.parts import small
from bench.support import harness
from bench.support.stack import FILES, running
from local.instance import Instance

WARM_ROWS = 100_000


def main(pairs: int, rows: int, rounds: int, only: list[str], instance: str, month: bool) -> None:
    """Print the tables, and the JSON line with the figures of the parts (seed, small, beside):
    medians over the pairs or rounds.
    """
    figures: dict[str, object] = {}
    with running(instance) as stack:
        if "small" in only:
            figures |= {"rounds": rounds, **small.measure(stack, rounds)}
        if "beside" in only:
            figures |= small.beside(stack, rows)
        if "seed" in only:
            figures |= {"pairs": pairs, "rows": rows, **_compare_seed(stack, pairs, rows, month)}
    harness.conclude(bench="ingest", **figures)


def _compare_seed(stack: Instance, pairs: int, rows: int, month: bool) -> dict[str, float]:
    granularities = ["DAY", "MONTH"] if month else ["DAY"]
    seed: dict[str, list[float]] = {granularity: [] for granularity in granularities}
    load: list[float] = []
    total: list[float] = []
    table: list[tuple[object, ...]] = []
    with httpx.Client(base_url=stack.stack.gateway_url, timeout=60) as http:
        gateway = Gateway(http)
        path = data.sales_by_rows(FILES / f"sales-{rows}-rows.csv", rows)
        warm = data.sales_by_rows(FILES / f"sales-{WARM_ROWS}-rows.csv", WARM_ROWS)
        gateway.succeeded(gateway.upload(warm, f"bench_warm_{uuid4().hex[:8]}"), DEADLINE_S)
        for pair in range(1, pairs + 1):
            pids = {
                name: stack.pid(name)
                for name in (
                    "druid_indexer",
                    "validation",
                    "upload",
                    "gateway",
                    "status",
                    "druid_gateway",
                )
            }
            with harness.measured(pids) as sample:
                datasource = f"bench_sluice_{uuid4().hex[:8]}"
                task = gateway.succeeded(gateway.upload(path, datasource), DEADLINE_S)
                expect_rows(stack.stack.druid_url, datasource, rows)
            seconds = {timing["stage"]: timing["seconds"] for timing in task["timings"]}
            load.append(seconds["ingest"] + seconds["verify"])
            total.append(sample.wall_s)
            table.append(
                (pair, "Sluice, first byte -> counted", sample.wall_s, sample.cpu_s, load[-1])
            )
            drop(stack.stack.druid_url, datasource)
            for granularity in granularities:
                with (
                    raw_object(stack.stack, path) as url,
                    harness.measured({"druid_indexer": stack.pid("druid_indexer")}) as sample,
                ):
                    datasource = f"bench_seed_{uuid4().hex[:8]}"
                    druid_load(stack, seed_spec(datasource, url, granularity), datasource, rows)
                seed[granularity].append(sample.wall_s)
                table.append(
                    (
                        pair,
                        f"the seed's spec, {granularity}",
                        sample.wall_s,
                        sample.cpu_s,
                        sample.wall_s,
                    )
                )
                drop(stack.stack.druid_url, datasource)
    harness.table(
        f"{rows:,} rows, {path.stat().st_size / harness.MIB:.0f} MiB",
        ["pair", "what", "wall s", "CPU s", "load s"],
        table,
    )
    figures = {
        "seed_load_s": harness.median(seed["DAY"]),
        "sluice_load_s": harness.median(load),
        "sluice_total_s": harness.median(total),
    }
    if month:
        figures["seed_month_load_s"] = harness.median(seed["MONTH"])
    return {
        **figures,
        "ratio_seed_load": harness.median(
            ours / theirs for ours, theirs in zip(load, seed["DAY"], strict=True)
        ),
        "ratio_seed_total": harness.median(
            ours / theirs for ours, theirs in zip(total, seed["DAY"], strict=True)
        ),
    }


def seed_spec(datasource: str, url: str, granularity: str) -> dict[str, Any]:
    """Return the seed's ingestion spec with a different time column and input source."""
    return {
        "type": "index_parallel",
        "spec": {
            "dataSchema": {
                "dataSource": datasource,
                "timestampSpec": {"column": "order_date", "format": "auto"},
                "dimensionsSpec": {"useSchemaDiscovery": True},
                "granularitySpec": {
                    "type": "uniform",
                    "segmentGranularity": granularity,
                    "queryGranularity": "NONE",
                    "rollup": False,
                },
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": {"type": "http", "uris": [url]},
                "inputFormat": {"type": "csv", "findColumnsFromHeader": True},
            },
            "tuningConfig": {
                "type": "index_parallel",
                "partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": 5_000_000},
            },
        },
    }

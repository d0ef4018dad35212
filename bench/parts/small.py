"""Small files: Sluice compared with a bare client of the same Druid, interleaved; and one next to a
load that keeps Druid busy.

The bare client submits typed CSV that is already in the object store, with `intervals`, and counts
its rows. For both, an independent client polls every 50 ms: with Sluice until SUCCEEDED (the count
must then be right immediately), with the bare client until the count is right.
"""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import httpx

from bench.clients.druid import POLL_S, count_rows, drop, expect_rows, raw_object
from bench.clients.gateway import Gateway
from bench.files import data
from bench.support import harness
from bench.support.stack import FILES
from local.instance import Instance

ROWS = 1_000
WARM = 5
DEADLINE_S = 120.0
START = datetime(2024, 5, 1, tzinfo=UTC)
TYPES = {
    "order_id": "long",
    "region": "string",
    "product": "string",
    "quantity": "long",
    "revenue": "double",
}


def measure(stack: Instance, rounds: int) -> dict[str, float]:
    """Return medians over the rounds. The contenders alternate, and so does the order."""
    ours: list[float] = []
    theirs: list[float] = []
    with httpx.Client(base_url=stack.stack.gateway_url, timeout=60) as http:
        gateway = Gateway(http)
        for number in range(-WARM, rounds):
            for contender in ((_sluice, _bare), (_bare, _sluice))[number % 2]:
                path = sales_of_a_day(number)
                seconds = contender(stack, gateway, path)
                if number >= 0:
                    (ours if contender is _sluice else theirs).append(seconds)
    table = [(n, "Sluice", a) for n, a in enumerate(ours, 1)] + [
        (n, "bare client", b) for n, b in enumerate(theirs, 1)
    ]
    harness.table(f"{ROWS:,} rows", ["round", "contender", "wall s"], sorted(table))
    small, bare = harness.median(ours), harness.median(theirs)
    return {
        "small_s": small,
        "bare_small_s": bare,
        "ratio_small": small / bare,
        "overhead_ms": (small - bare) * 1000,
    }


def beside(stack: Instance, big_rows: int) -> dict[str, float]:
    """Load a small file alone, and one while Druid loads a big one."""
    with httpx.Client(base_url=stack.stack.gateway_url, timeout=60) as http:
        gateway = Gateway(http)
        alone = harness.median(
            _sluice(stack, gateway, sales_of_a_day(number)) for number in range(3)
        )
        datasource = f"bench_big_{uuid4().hex[:8]}"
        big = gateway.upload(
            data.sales_by_rows(FILES / f"sales-{big_rows}-rows.csv", big_rows), datasource
        )
        _until_loading(gateway, big)
        seconds = _sluice(stack, gateway, sales_of_a_day(3))
        if (task := http.get(f"/api/ingest/tasks/{big}").json())["status"] != "INGESTING":
            raise RuntimeError(
                f"the big file was {task['status']} before the small one ended: make it bigger"
            )
        gateway.succeeded(big, 900)
        drop(stack.stack.druid_url, datasource)
    return {
        "small_alone_s": alone,
        "small_beside_big_s": seconds,
        "ratio_beside_big": seconds / alone,
    }


def sales_of_a_day(seed: int) -> Path:
    """Write 1,000 sales of one day."""
    path = FILES / f"day-{seed}.csv"
    chance = random.Random(seed)
    rows = (
        f"{START + timedelta(seconds=chance.randrange(86_400)):%Y-%m-%dT%H:%M:%SZ},{number},{chance.choice(data.REGIONS)},"
        f"{chance.choice(data.PRODUCTS)},{chance.randint(1, 20)},{chance.randrange(100, 99_999) / 100}"
        for number in range(ROWS)
    )
    path.write_text("\n".join([f"order_date,{','.join(TYPES)}", *rows]))
    return path


def _sluice(stack: Instance, gateway: Gateway, path: Path) -> float:
    datasource = f"bench_small_{uuid4().hex[:8]}"
    began = monotonic()
    gateway.succeeded(gateway.upload(path, datasource), DEADLINE_S)
    seconds = monotonic() - began
    if (counted := count_rows(stack.stack.druid_url, datasource)) != ROWS:
        raise RuntimeError(f"SUCCEEDED, but a query counts {counted} rows")
    drop(stack.stack.druid_url, datasource)
    return seconds


def _bare(stack: Instance, gateway: Gateway, path: Path) -> float:
    druid, datasource = stack.stack.druid_url, f"bench_bare_{uuid4().hex[:8]}"
    with raw_object(stack.stack, path) as url:
        began = monotonic()
        httpx.post(
            f"{druid}/druid/indexer/v1/task", json=_typed_spec(datasource, url), timeout=60
        ).raise_for_status()
        expect_rows(druid, datasource, ROWS)
        seconds = monotonic() - began
    drop(druid, datasource)
    return seconds


def _typed_spec(datasource: str, url: str) -> dict[str, Any]:
    """Return the spec that a Druid expert would submit."""
    interval = f"{START:%Y-%m-%d}/{START + timedelta(days=1):%Y-%m-%d}"
    granularity = {
        "type": "uniform",
        "segmentGranularity": "DAY",
        "queryGranularity": "NONE",
        "rollup": False,
        "intervals": [interval],
    }
    return {
        "type": "index_parallel",
        "spec": {
            "dataSchema": {
                "dataSource": datasource,
                "timestampSpec": {"column": "order_date", "format": "iso"},
                "dimensionsSpec": {
                    "dimensions": [{"type": kind, "name": name} for name, kind in TYPES.items()]
                },
                "granularitySpec": granularity,
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": {"type": "http", "uris": [url]},
                "inputFormat": {"type": "csv", "findColumnsFromHeader": True},
                "appendToExisting": True,
            },
            "tuningConfig": {"type": "index_parallel", "partitionsSpec": {"type": "dynamic"}},
        },
    }


def _until_loading(gateway: Gateway, task_id: str) -> None:
    deadline = monotonic() + 300
    while (
        status := gateway.http.get(f"/api/ingest/tasks/{task_id}").json()["status"]
    ) != "INGESTING":
        if monotonic() > deadline:
            raise TimeoutError(f"the big file is still {status}")
        sleep(POLL_S)

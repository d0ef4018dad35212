"""Memory of druid_gateway and gateway while a query streams a million rows, in each format."""

from time import perf_counter
from uuid import uuid4

import httpx

from bench.clients.druid import drop
from bench.clients.gateway import Gateway
from bench.files import data
from bench.support import harness
from bench.support.stack import FILES, running

PROCESSES = ("gateway", "druid_gateway")
FORMATS = ("application/json", "application/x-ndjson", "text/csv")
DEADLINE_S = 900.0
WARM = 1_000


def main(rows: int, instance: str) -> None:
    """Print the table, and the JSON line with growth_gateway_mib and growth_druid_gateway_mib: the
    maximum over the formats, relative to a query of 1,000 rows.
    """
    table = []
    growth = dict.fromkeys(PROCESSES, 0.0)
    with (
        running(instance) as stack,
        httpx.Client(base_url=stack.stack.gateway_url, timeout=300) as http,
    ):
        gateway = Gateway(http)
        datasource = f"bench_query_{uuid4().hex[:8]}"
        path = data.sales_by_rows(FILES / f"sales-{rows}-rows.csv", rows)
        gateway.succeeded(gateway.upload(path, datasource, mode="replace_all"), DEADLINE_S)
        pids = {name: stack.pid(name) for name in PROCESSES}
        for media_type in FORMATS:
            _read(http, datasource, WARM, media_type)
            before = {name: harness.rss_mib(pid) for name, pid in pids.items()}
            with harness.measured(pids) as sample:
                began = perf_counter()
                size = _read(http, datasource, rows, media_type)
                seconds = perf_counter() - began
            grown = {name: sample.peak_rss_mib[name] - before[name] for name in PROCESSES}
            growth = {name: max(growth[name], grown[name]) for name in PROCESSES}
            table.append((media_type, size / harness.MIB, seconds, *grown.values()))
        drop(stack.stack.druid_url, datasource)
    harness.table(
        f"{rows:,} rows",
        ["format", "MiB", "wall s", *(f"{name} +MiB" for name in PROCESSES)],
        table,
    )
    harness.conclude(
        bench="query", rows=rows, **{f"growth_{name}_mib": grown for name, grown in growth.items()}
    )


def _read(http: httpx.Client, datasource: str, rows: int, media_type: str) -> int:
    """Run the query and discard the response; return its size in bytes."""
    query = {
        "sql": f'SELECT __time, order_id, region, quantity, revenue FROM "{datasource}"',
        "limit": rows,
    }
    with http.stream("POST", "/api/query", json=query, headers={"Accept": media_type}) as answer:
        if answer.status_code != httpx.codes.OK:
            raise RuntimeError(answer.read().decode())
        return sum(len(piece) for piece in answer.iter_raw())

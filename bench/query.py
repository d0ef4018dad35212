"""A query that streams a million rows through druid_gateway and the edge, in each of its forms, and
the memory that it takes there.
"""

from time import perf_counter
from uuid import uuid4

import httpx

from bench.clients.druid import forget
from bench.clients.gateway import Edge
from bench.files import data
from bench.support import harness
from bench.support.stack import FILES, running

PROCESSES = ("gateway", "druid_gateway")
FORMS = ("application/json", "application/x-ndjson", "text/csv")
DEADLINE_S = 900.0
WARM = 1_000


def main(rows: int, instance: str) -> None:
    """Prints the table and the line with growth_gateway_mib and growth_druid_gateway_mib: the most
    over the forms, above an answer of 1,000 rows.
    """
    table = []
    growth = dict.fromkeys(PROCESSES, 0.0)
    with (
        running(instance) as stack,
        httpx.Client(base_url=stack.stack.gateway_url, timeout=300) as http,
    ):
        edge = Edge(http)
        datasource = f"bench_query_{uuid4().hex[:8]}"
        path = data.sales_by_rows(FILES / f"sales-{rows}-rows.csv", rows)
        edge.succeeded(edge.upload(path, datasource, mode="replace_all"), DEADLINE_S)
        pids = {name: stack.pid(name) for name in PROCESSES}
        for form in FORMS:
            _read(http, datasource, WARM, form)
            before = {name: harness.rss_mib(pid) for name, pid in pids.items()}
            with harness.measured(pids) as sample:
                began = perf_counter()
                size = _read(http, datasource, rows, form)
                seconds = perf_counter() - began
            grown = {name: sample.peak_rss_mib[name] - before[name] for name in PROCESSES}
            growth = {name: max(growth[name], grown[name]) for name in PROCESSES}
            table.append((form, size / harness.MIB, seconds, *grown.values()))
        forget(stack.stack.druid_url, datasource)
    harness.table(
        f"{rows:,} rows", ["form", "MiB", "wall s", *(f"{name} +MiB" for name in PROCESSES)], table
    )
    harness.conclude(
        bench="query", rows=rows, **{f"growth_{name}_mib": grown for name, grown in growth.items()}
    )


def _read(http: httpx.Client, datasource: str, rows: int, form: str) -> int:
    """Bytes of the answer, which is thrown away while it is read."""
    question = {
        "sql": f'SELECT __time, order_id, region, quantity, revenue FROM "{datasource}"',
        "limit": rows,
    }
    with http.stream("POST", "/api/query", json=question, headers={"Accept": form}) as answer:
        if answer.status_code != httpx.codes.OK:
            raise RuntimeError(answer.read().decode())
        return sum(len(piece) for piece in answer.iter_raw())

"""Peak memory of gateway and upload for a big upload, compared with a small one.

Each pair restarts both processes, sends a small file and then a big one, and compares the
high-water marks. Each task is cancelled once its file is stored, which excludes validation and
Druid from the measurement.
"""

from uuid import uuid4

import httpx

from bench.clients.gateway import Gateway
from bench.files import data
from bench.support import harness
from bench.support.stack import FILES, running

SMALL_MIB = 5
PROCESSES = ("gateway", "upload")


def main(pairs: int, big_mib: int, instance: str) -> None:
    """Print the table, and the JSON line with rss_growth_gateway_mib and rss_growth_upload_mib
    (medians over the pairs).
    """
    growth: dict[str, list[float]] = {name: [] for name in PROCESSES}
    rows = []
    with (
        running(instance) as stack,
        httpx.Client(base_url=stack.stack.gateway_url, timeout=60) as http,
    ):
        gateway = Gateway(http)
        files = {
            size: data.sales_by_size(FILES / f"sales-{size}-mib.csv", size)
            for size in (SMALL_MIB, big_mib)
        }
        for pair in range(1, pairs + 1):
            for name in PROCESSES:
                stack.restart(name)
            stack.wait_healthy()
            pids = {name: stack.pid(name) for name in PROCESSES}
            peaks = {}
            for size, path in files.items():
                with harness.measured(pids) as sample:
                    task_id = gateway.upload(path, f"bench_memory_{uuid4().hex[:8]}")
                peaks[size] = sample.peak_rss_mib
                rows.append(
                    (
                        pair,
                        f"{size} MiB",
                        sample.wall_s,
                        sample.cpu_s,
                        *(sample.peak_rss_mib[name] for name in PROCESSES),
                    )
                )
                http.post(f"/api/ingest/tasks/{task_id}/cancel").raise_for_status()
                gateway.until_terminal(task_id, seconds=120)
            for name in PROCESSES:
                growth[name].append(peaks[big_mib][name] - peaks[SMALL_MIB][name])
    harness.table(
        "Upload through the gateway",
        ["pair", "file", "wall s", "CPU s", *(f"{name} peak MiB" for name in PROCESSES)],
        rows,
    )
    medians = {f"rss_growth_{name}_mib": harness.median(values) for name, values in growth.items()}
    worst = {f"rss_growth_{name}_mib_worst": max(values) for name, values in growth.items()}
    harness.conclude(
        bench="memory", pairs=pairs, small_mib=SMALL_MIB, big_mib=big_mib, **medians, **worst
    )

"""Validation of a CSV of 466 MiB by the service's child process, compared with DuckDB's SUMMARIZE;
the same file through Inspect at a limited rate; a workbook of 20 million cells; and a comparison
with the report of a real upload.

Runs are interleaved. The report is complete before the parts are written, so one run gives both
times. This process takes the place of the service.
"""

import asyncio
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from time import perf_counter

from bench.files import orders, workbooks
from bench.parts import early, twins
from bench.support import harness, reading
from bench.support.stack import FILES
from services.validation.process.children import Children
from sluice.validation.v1.validation_pb2 import Report, Verdict

SMALL_ROWS = 10_000
WORKBOOK_ROWS = 1_000_000
_DUCKDB = """
import sys, time
import duckdb
connection = duckdb.connect()
connection.execute("SET threads = 2")
connection.execute("SET enable_progress_bar = false")
began = time.perf_counter()
connection.execute("SUMMARIZE SELECT * FROM read_csv($path)", {"path": sys.argv[1]}).fetchall()
print(time.perf_counter() - began, time.process_time())
"""


def main(pairs: int, rows: int, only: Collection[str], instance: str) -> None:
    """Print the tables, and the JSON line with the figures (medians over the pairs)."""
    FILES.mkdir(parents=True, exist_ok=True)
    figures: dict[str, object] = {}
    clean = orders.regular(FILES / f"orders-{rows}-rows.csv", rows)
    if not only or "report" in only:
        damaged = orders.damaged(FILES / f"orders-{rows}-rows-damaged.csv", clean)
        small = orders.regular(FILES / f"orders-{SMALL_ROWS}-rows.csv", SMALL_ROWS)
        figures |= asyncio.run(_measure(pairs, clean, damaged, small, rows))
    if not only or "early" in only:
        without = orders.without_time(FILES / f"orders-{rows}-rows-without-time.csv", clean)
        figures |= asyncio.run(early.measure(clean, without, FILES))
    if not only or "workbook" in only:
        figures |= asyncio.run(_workbook(WORKBOOK_ROWS))
    if not only or "upload" in only:
        figures |= asyncio.run(twins.compare(clean, lambda: _local_report(clean), instance))
    harness.conclude(bench="validate", pairs=pairs, rows=rows, **figures)


async def _local_report(source: Path) -> Report:
    async with reading.running_children() as children:
        return (await _examine(children, source))[1]


async def _workbook(rows: int) -> dict[str, object]:
    """Return the seconds and the child's MiB for a large workbook; check its counts and sums."""
    path = FILES / f"cells-{rows}-rows.xlsx"
    async with reading.running_children() as children:
        try:
            sums = workbooks.write(path, rows)
            wall, report, used = await _examine(children, path)
        finally:
            path.unlink(missing_ok=True)
    assert report.verdict == Verdict.VERDICT_PASSED, report.summary
    assert (report.rows_read, report.rows_loadable) == (rows, rows)
    for column in report.columns[1:]:
        assert math.isclose(column.sum, sums[column.source_name], rel_tol=1e-9), column.source_name
    return {"workbook_s": wall, "workbook_child_mib": round(used)}


async def _measure(
    pairs: int, clean: Path, damaged: Path, small: Path, rows: int
) -> dict[str, object]:
    table: list[tuple[object, ...]] = []
    found: dict[str, list[float]] = {
        name: [] for name in ("duckdb", "with_parts", "damaged", "small_ms", "ours_s", "duckdb_s")
    }
    peak = 0.0
    async with reading.running_children() as children:
        await _examine(children, small)
        for pair in range(1, pairs + 1):
            for _ in range(5):
                began = perf_counter()
                await _examine(children, small)
                found["small_ms"].append((perf_counter() - began) * 1000)
            theirs, cpu = _duckdb(clean)
            table.append((pair, "DuckDB SUMMARIZE", theirs, theirs, cpu, 0.0))
            walls = {}
            for name, source in (("clean", clean), ("damaged", damaged)):
                wall, report, used = await _examine(children, source)
                bad = (
                    sum(
                        1
                        for number in range(rows + 1)
                        if number % orders.BAD_EVERY == orders.BAD_EVERY // 2
                    )
                    if name == "damaged"
                    else 0
                )
                assert report.verdict == Verdict.VERDICT_PASSED, report.summary
                assert (report.rows_read, report.rows_rejected) == (rows, bad)
                steps = {timing.step: timing.seconds for timing in report.timings}
                walls[name] = wall - steps["parts"]
                peak = max(peak, used + harness.peak_mib(os.getpid()))
                table.append((pair, f"ours, {name}", walls[name], wall, 0.0, used))
                if name == "clean":
                    found["with_parts"].append(wall / theirs)
            found["duckdb"].append(walls["clean"] / theirs)
            found["damaged"].append(walls["damaged"] / walls["clean"])
            found["ours_s"].append(walls["clean"])
            found["duckdb_s"].append(theirs)
    harness.table(
        f"{rows:,} rows, {reading.request(clean).file_size / harness.MIB:.0f} MiB",
        ["pair", "what", "report s", "with parts s", "CPU s", "child MiB"],
        table,
    )
    return {
        "ours_s": harness.median(found["ours_s"]),
        "duckdb_s": harness.median(found["duckdb_s"]),
        "ratio_duckdb": harness.median(found["duckdb"]),
        "ratio_with_parts": harness.median(found["with_parts"]),
        "ratio_damaged": harness.median(found["damaged"]),
        "small_ms": harness.median(found["small_ms"]),
        "max_rss_mib": round(peak),
    }


def _duckdb(path: Path) -> tuple[float, float]:
    """Run SUMMARIZE in a separate process; return its wall and CPU seconds."""
    answer = subprocess.run(
        [sys.executable, "-c", _DUCKDB, str(path)], check=True, capture_output=True, text=True
    )
    wall, cpu = map(float, answer.stdout.split())
    return wall, cpu


async def _examine(children: Children, source: Path) -> tuple[float, Report, float]:
    with tempfile.TemporaryDirectory(dir=FILES) as folder:
        return await reading.examine(children, source, Path(folder), timeout_s=900)

"""The page in Chromium: size of the first load and time until usable, scrolling a result of 100,000
rows, and memory of the tab during a large upload.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import quantiles
from time import perf_counter
from typing import Any
from uuid import uuid4

import httpx
import psutil
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from bench.clients.druid import drop
from bench.clients.gateway import Gateway
from bench.files import data
from bench.support import harness
from bench.support.harness import MIB
from bench.support.stack import FILES, running
from local import chromium
from local.instance import Instance

PARTS = ("first", "scroll", "drop")
DEADLINE_S = 600.0
FRAMES = 300
LONG_FRAME_MS = 50.0
"""A longer frame is visible as a jerk."""

LONG_TASKS = """
window.busy = [];
new PerformanceObserver(list => list.getEntries().forEach(task => window.busy.push(task.startTime + task.duration)))
  .observe({ type: "longtask", buffered: true });
"""

USABLE = """() => {
  const button = [...document.querySelectorAll("button")].find(each => each.textContent === "Choose files");
  return button && document.querySelector(".rows, .empty") ? Math.max(performance.now(), 1) : 0;
}"""
"""Milliseconds from the start of the load until the button and the latest loads are shown."""

SCROLL = """async ({ frames, step }) => {
  const box = document.querySelector(".virtual"), took = [];
  let last = await new Promise(requestAnimationFrame), blank = 0;
  for (let frame = 0; frame < frames; frame += 1) {
    box.scrollTop = step > 0 ? box.scrollTop + step : Math.random() * box.scrollHeight;
    const now = await new Promise(requestAnimationFrame);
    took.push(now - last);
    last = now;
    const edge = box.getBoundingClientRect();
    const seen = document.elementFromPoint(edge.left + 40, edge.top + edge.height / 2);
    if (!seen?.closest('[role="row"]')) blank += 1;
  }
  return { took, blank };
}"""


def main(runs: int, rows: int, size_mib: int, only: list[str], instance: str) -> None:
    """Print a table for each part, and the JSON line with all figures."""
    figures: dict[str, Any] = {}
    with (
        running(instance) as stack,
        _chromium() as browser,
        httpx.Client(base_url=stack.stack.gateway_url, timeout=300) as http,
    ):
        gateway = Gateway(http)
        if "first" in only:
            figures |= _first_load(browser, stack.stack.gateway_url, runs)
        if "scroll" in only:
            figures |= _scroll(browser, stack, gateway, rows)
        if "drop" in only:
            figures |= _drop(browser, stack, gateway, size_mib)
    harness.conclude(bench="page", **figures)


@contextmanager
def _chromium() -> Iterator[Browser]:
    program = chromium.find(install=False)
    if program is None:
        raise SystemExit("no Chromium: set CHROMIUM or install it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser
        browser.close()


def _first_load(browser: Browser, url: str, runs: int) -> dict[str, Any]:
    """Measure first loads, each in a fresh browser context."""
    usable, scripts, everything = [], [], []
    for _ in range(runs):
        context = browser.new_context()
        page = context.new_page()
        page.add_init_script(LONG_TASKS)
        sizes = _transferred(page)
        page.goto(url, wait_until="commit")
        seen = page.wait_for_function(USABLE, polling="raf").json_value()
        page.wait_for_load_state("networkidle")
        # A long task that is still running would delay a click.
        usable.append(
            max([seen, *(end for end in page.evaluate("window.busy") if end < seen + 1000)])
        )
        scripts.append(sum(size for kind, size in sizes if kind == "Script"))
        everything.append(sum(size for _, size in sizes))
        context.close()
    row = (runs, harness.median(usable), max(usable), scripts[0] / 1024, everything[0] / 1024)
    harness.table(
        "First load", ["runs", "usable after ms", "slowest", "scripts KiB", "all KiB"], [row]
    )
    return {
        "usable_ms": row[1],
        "slowest_ms": row[2],
        "scripts_kib": row[3],
        "first_load_kib": row[4],
    }


def _transferred(page: Page) -> list[tuple[str, float]]:
    """Return a list that collects type and compressed bytes of each response of the tab."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    kinds: dict[str, str] = {}
    found: list[tuple[str, float]] = []
    session.on(
        "Network.responseReceived", lambda event: kinds.update({event["requestId"]: event["type"]})
    )
    session.on(
        "Network.loadingFinished",
        lambda event: found.append((kinds.get(event["requestId"], ""), event["encodedDataLength"])),
    )
    return found


def _scroll(browser: Browser, stack: Instance, gateway: Gateway, rows: int) -> dict[str, Any]:
    datasource = f"bench_page_{uuid4().hex[:8]}"
    path = data.sales_by_rows(FILES / f"sales-{rows}-rows.csv", rows)
    gateway.succeeded(gateway.upload(path, datasource), DEADLINE_S)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{stack.stack.gateway_url}/query")
    page.get_by_label("Limit").select_option(str(rows))
    page.locator(".editor .cm-content").click()
    page.keyboard.insert_text(f'SELECT * FROM "{datasource}"')
    began = perf_counter()
    page.get_by_role("button", name="Run").click()
    page.locator('.virtual-body [role="row"]').first.wait_for(timeout=120_000)
    shown_s = perf_counter() - began
    height = page.evaluate('document.querySelector(".virtual").scrollHeight')
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    table, figures = [], {"rows": rows, "shown_s": shown_s, "scroll_height_px": height}
    for name, step in (("steady", 120), ("leaping", 0)):
        before = _main_thread_s(session)
        result = page.evaluate(SCROLL, {"frames": FRAMES, "step": step})
        took = result["took"]
        cpu = 1000 * (_main_thread_s(session) - before) / len(took)
        p50, p95 = quantiles(took, n=2)[0], quantiles(took, n=20)[-1]
        long = sum(each > LONG_FRAME_MS for each in took)
        table.append((name, len(took), cpu, p50, p95, max(took), long, result["blank"]))
        figures |= {
            f"{name}_cpu_ms": cpu,
            f"{name}_p50_ms": p50,
            f"{name}_p95_ms": p95,
            f"{name}_long_frames": long,
            f"{name}_blank_frames": result["blank"],
        }
    harness.table(
        f"{rows:,} rows scrolled",
        ["", "frames", "CPU ms per frame", "p50 ms", "p95 ms", "max ms", "> 50 ms", "blank"],
        table,
    )
    page.close()
    drop(stack.stack.druid_url, datasource)
    return figures


def _main_thread_s(session: CDPSession) -> float:
    """Return the CPU seconds of the tab's main thread so far, independent of the machine's load."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "ThreadTime"))


def _drop(browser: Browser, stack: Instance, gateway: Gateway, size_mib: int) -> dict[str, Any]:
    datasource = f"bench_page_{uuid4().hex[:8]}"
    path = data.sales_by_size(FILES / f"sales-{size_mib}-mib.csv", size_mib)
    page = browser.new_page()
    page.goto(stack.stack.gateway_url)
    page.get_by_role("button", name="Choose files").wait_for()
    tabs = {str(pid): pid for pid in _renderers(browser)}
    before = max(harness.rss_mib(pid) for pid in tabs.values())
    with harness.measured(tabs) as sample:
        page.set_input_files("input[type=file]", str(path))
        page.get_by_label("Datasource").fill(datasource)
        page.get_by_role("button", name="Load", exact=True).click()
        page.wait_for_url("**/tasks/*", timeout=DEADLINE_S * 1000)
    task_id = page.url.rpartition("/")[2]
    page.close()
    gateway.http.post(f"/api/ingest/tasks/{task_id}/cancel").raise_for_status()
    gateway.until_terminal(task_id, DEADLINE_S)
    gateway.http.delete(f"/api/ingest/tasks/{task_id}").raise_for_status()
    peak = max(sample.peak_rss_mib.values())
    size = path.stat().st_size / MIB
    harness.table(
        "Dropped file",
        ["MiB", "wall s", "tab before MiB", "peak MiB"],
        [(size, sample.wall_s, before, peak)],
    )
    return {
        "drop_mib": size,
        "drop_s": sample.wall_s,
        "tab_before_mib": before,
        "tab_peak_mib": peak,
    }


def _renderers(browser: Browser) -> list[int]:
    """Return the ids of the browser's tab processes."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return [
        each["id"]
        for each in processes
        if each["type"] == "renderer" and psutil.pid_exists(each["id"])
    ]

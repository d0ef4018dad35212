"""In each stage, a reload shows the same state, and a cancel ends the task. A stage is held by
freezing the process that it waits for.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest
from playwright.sync_api import expect

from local.instance import Instance
from local.stack import Stack
from services.status.settings import Settings
from tests.browser.orders import orders
from tests.browser.visitor import Visitor

WORKERS = int(Settings.model_fields["validation_workers"].default)


@contextmanager
def frozen(instance: Instance, program: str) -> Iterator[None]:
    """Freeze the program."""
    process = instance.kill(program, signal.SIGSTOP)
    try:
        yield
    finally:
        assert instance.kill(program, signal.SIGCONT) == process


def reload_and_cancel(visitor: Visitor, state: str, stage: str | None) -> None:
    visitor.page.reload()
    visitor.until(state)
    if stage:
        expect(visitor.page.locator(f'[data-stage="{stage}"].running')).to_be_visible()
    visitor.look(f"task-{state.lower()}")
    visitor.cancel()


@pytest.mark.parametrize(
    ("state", "stage", "program"),
    [("VALIDATING", "validate", "validation"), ("INGESTING", "ingest", "druid_gateway")],
)
def test_while_a_service_works_on_it(
    visitor: Visitor,
    instance: Instance,
    tmp_path: Path,
    new_datasource: Callable[[str], str],
    state: str,
    stage: str,
    program: str,
) -> None:
    with frozen(instance, program):
        visitor.load(orders(tmp_path, "held.csv"), new_datasource("held"))
        visitor.until(state)
        reload_and_cancel(visitor, state, stage)
    visitor.until("CANCELLED")


def until_druid_has_it(stack: Stack, task: str) -> None:
    """Wait for the Druid task. Before it, the broker is needed for the existing segments."""
    until = monotonic() + 60
    while (
        not httpx.get(f"{stack.gateway_url}/api/ingest/tasks/{task}")
        .raise_for_status()
        .json()["druid_task_id"]
    ):
        assert monotonic() < until
        sleep(0.02)


def test_while_its_rows_are_counted(
    visitor: Visitor,
    instance: Instance,
    stack: Stack,
    tmp_path: Path,
    new_datasource: Callable[[str], str],
) -> None:
    page = visitor.page
    task = visitor.load(orders(tmp_path, "held.csv"), new_datasource("held"))
    until_druid_has_it(stack, task)
    with frozen(instance, "druid_broker"):
        visitor.until("VERIFYING")
        reload_and_cancel(visitor, "VERIFYING", "verify")
    visitor.until("CANCELLED")
    page.reload()
    visitor.until("CANCELLED")
    visitor.look("task-cancelled")
    # The stored file still exists.
    page.get_by_role("button", name="Load again").click()
    visitor.look("task-confirm")
    page.get_by_role("button", name="Load it again").click()
    page.wait_for_url(lambda url: "/tasks/" in url and task not in url)
    visitor.until("SUCCEEDED")


def test_while_it_waits_in_the_queue(
    visitor: Visitor,
    instance: Instance,
    stack: Stack,
    tmp_path: Path,
    new_datasource: Callable[[str], str],
) -> None:
    file, api = orders(tmp_path, "queued.csv"), f"{stack.gateway_url}/api/ingest"
    with frozen(instance, "validation"):
        before = []
        for _ in range(WORKERS):
            sent = httpx.post(
                f"{api}/upload",
                data={"datasource_name": new_datasource("before")},
                files={"file": ("a.csv", file.read_bytes())},
            )
            before.append(sent.json()["task_id"])
        visitor.load(file, new_datasource("queued"))
        visitor.until("UPLOADED")
        expect(visitor.page.locator(".task-message")).to_contain_text("Position 1 in the queue")
        reload_and_cancel(visitor, "UPLOADED", None)
        visitor.until("CANCELLED")
        for task in before:
            httpx.post(f"{api}/tasks/{task}/cancel").raise_for_status()


def test_while_its_plan_waits(
    visitor: Visitor, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    visitor.open("/")
    visitor.choose(orders(tmp_path, "planned.csv"), datasource=new_datasource("planned"))
    visitor.page.get_by_label("Show me the changes before loading").check()
    visitor.send()
    visitor.page.wait_for_url("**/tasks/*")
    visitor.until("PLANNED")
    reload_and_cancel(visitor, "PLANNED", "plan")
    visitor.until("CANCELLED")


def test_at_its_end_a_reload_shows_the_same(
    visitor: Visitor, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    visitor.load(orders(tmp_path, "ended.csv"), new_datasource("ended"))
    visitor.until("SUCCEEDED")
    visitor.page.reload()
    visitor.until("SUCCEEDED")
    assert visitor.rows("loaded") == 600
    expect(visitor.page.locator(".columns tbody tr")).to_have_count(5)

"""A load is followed through reloads, in two tabs, through a restart of the server, and cancelled."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from local.instance import Instance
from local.stack import Stack
from tests.browser.visitor import ROOT, Visitor

SAMPLE = ROOT / "examples" / "sales.csv"


@pytest.mark.parametrize("name", ["Sample - Superstore.csv", "Sample - Superstore.xls"])
def test_the_superstore_is_loaded_whole(visitor: Visitor, hard_files: Path, name: str, new_datasource: Callable[[str], str]) -> None:
    visitor.load(hard_files / "sales" / name, new_datasource("superstore"))
    visitor.until("SUCCEEDED")
    expect(visitor.page.locator(".account-read")).to_contain_text("10,194")
    assert visitor.rows("loaded") == 10_194


def test_two_tabs_and_reloads_see_the_same_load(visitor: Visitor, new_datasource: Callable[[str], str]) -> None:
    page = visitor.page
    task = visitor.load(SAMPLE, new_datasource("tabs"))
    other = Visitor(page.context.new_page(), visitor.url)
    other.open(f"/tasks/{task}")
    for _ in range(3):
        page.reload()
        expect(visitor.status()).to_be_visible()
    other.until("SUCCEEDED")
    visitor.until("SUCCEEDED")
    assert visitor.rows("loaded") == other.rows("loaded") == 10_000
    other.nothing_went_wrong()


def test_a_load_is_cancelled_after_asking(visitor: Visitor, stack: Stack, new_datasource: Callable[[str], str]) -> None:
    page = visitor.page
    task = visitor.load(SAMPLE, new_datasource("cancelled"))
    visitor.until("UPLOADED", "VALIDATING", "INGESTING")
    page.get_by_role("button", name="Cancel", exact=True).click()
    visitor.look("task-cancel")
    page.get_by_role("button", name="Cancel the load").click()
    visitor.until("CANCELLED")
    assert httpx.get(f"{stack.gateway_url}/api/ingest/tasks/{task}").json()["status"] == "CANCELLED"
    # The stored file is still there.
    page.get_by_role("button", name="Load again").click()
    page.get_by_role("button", name="Load it again").click()
    page.wait_for_url(lambda url: "/tasks/" in url and task not in url)
    visitor.until("SUCCEEDED")


def test_the_server_restarts_under_the_page(
    new_visitor: Callable[..., Visitor], instance: Instance, new_datasource: Callable[[str], str]
) -> None:
    visitor = new_visitor()
    page = visitor.page
    visitor.load(SAMPLE, new_datasource("restart"))
    instance.supervisor.stop_program("gateway")
    try:
        expect(page.locator(".lost")).to_be_visible(timeout=20_000)
        visitor.look("server-away")
    finally:
        instance.supervisor.start_program("gateway")
    expect(page.locator(".lost")).to_be_hidden(timeout=60_000)
    visitor.until("SUCCEEDED")

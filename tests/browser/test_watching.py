"""Watching a load across reloads, in two tabs, and across a restart of the server."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from local.instance import Instance
from tests.browser.visitor import AWAY, ROOT, Visitor

SAMPLE = ROOT / "examples" / "sales.csv"


@pytest.mark.parametrize("name", ["Sample - Superstore.csv", "Sample - Superstore.xls"])
def test_the_superstore_is_loaded_whole(
    visitor: Visitor, hard_files: Path, name: str, new_datasource: Callable[[str], str]
) -> None:
    page, datasource = visitor.page, new_datasource("superstore")
    visitor.load(hard_files / "sales" / name, datasource)
    visitor.until("SUCCEEDED")
    expect(page.locator(".account-read")).to_contain_text("10,194")
    assert visitor.rows("loaded") == 10_194
    page.locator(".ready-link").first.click()
    expect(page.locator(".plot canvas")).to_be_visible()
    assert visitor.ask(f'SELECT COUNT(*) FROM "{datasource}"') == "10,194"


def test_two_tabs_and_reloads_see_the_same_load(
    visitor: Visitor, new_datasource: Callable[[str], str]
) -> None:
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
    other.expect_no_errors()


def test_the_server_restarts_under_the_page(
    new_visitor: Callable[..., Visitor], instance: Instance, new_datasource: Callable[[str], str]
) -> None:
    visitor = new_visitor()
    page = visitor.page
    visitor.load(SAMPLE, new_datasource("restart"))
    expect(visitor.status()).to_be_visible()
    instance.stop_program("gateway")
    try:
        expect(page.locator(".lost")).to_be_visible(timeout=20_000)
        visitor.look("task-server-away")
    finally:
        instance.start_program("gateway")
        instance.wait_healthy("gateway")
    expect(page.locator(".lost")).to_be_hidden(timeout=60_000)
    visitor.until("SUCCEEDED")
    visitor.expect_in_console(*AWAY)

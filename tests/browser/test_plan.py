"""Plans of replaces, and receipts."""

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.orders import orders
from tests.browser.visitor import Visitor

ROWS = 600


def test_a_replace_waits_for_its_plan_to_be_applied(
    visitor: Visitor, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    page, datasource = visitor.page, new_datasource("planned")
    visitor.load(orders(tmp_path, "first.csv", rows=ROWS), datasource)
    visitor.until("SUCCEEDED")

    visitor.open("/")
    visitor.choose(
        orders(tmp_path, "second.csv", rows=ROWS // 2, last_column="store"), datasource=datasource
    )
    page.get_by_label("Replace the time range of this file").check()
    expect(page.get_by_label("Show me the changes before loading")).to_be_checked()
    visitor.send()
    page.wait_for_url("**/tasks/*")
    visitor.until("PLANNED")
    expect(
        page.get_by_text(f"Replaces about {ROWS} rows of {datasource} by {ROWS // 2} rows.")
    ).to_be_visible()
    for column in ("shop", "store"):
        expect(
            page.locator("section", has_text="Changed columns").get_by_text(column, exact=True)
        ).to_be_visible()
    visitor.look("task-planned")
    page.reload()
    page.get_by_role("button", name="Apply this plan").click()
    visitor.until("SUCCEEDED")

    assert visitor.rows("loaded") == ROWS // 2
    # The waiting time is still shown afterwards.
    expect(page.locator('[data-stage="plan"].done')).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download the receipt").click()
    assert json.loads(Path(saved.value.path()).read_bytes())["rows_counted"] == ROWS // 2
    visitor.look("task-receipt")
    assert visitor.ask(f'SELECT COUNT(*) FROM "{datasource}"') == str(ROWS // 2)

"""The page of a datasource: drift and settings."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.orders import orders
from tests.browser.visitor import Visitor

GAPS = (1, 2, 4, 5)


def test_drift_is_shown_and_rejected_by_a_contract_set_on_the_page(
    visitor: Visitor, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    page, datasource = visitor.page, new_datasource("drifting")
    visitor.load(orders(tmp_path, "first.csv", months=GAPS), datasource)
    visitor.until("SUCCEEDED")
    visitor.load(
        orders(tmp_path, "second.csv", months=GAPS, last_column="store", price=50), datasource
    )
    visitor.until("SUCCEEDED")
    for kind, column in (("ADDED", "store"), ("MISSING", "shop"), ("SHIFTED", "price")):
        expect(page.locator(f'.report [data-drift="{kind}"]')).to_contain_text(column)
    # Numbers and times as bars, texts by their most frequent values.
    expect(page.locator(".distribution svg")).to_have_count(3)
    expect(page.locator(".covered .gap")).not_to_have_count(0)
    # All differences are in one box.
    expect(page.get_by_role("region", name="Notes")).to_have_count(1)
    visitor.look("task-drift")

    visitor.open(f"/datasources/{datasource}")
    expect(page.locator(".quality .plot canvas")).to_be_visible()
    expect(page.locator(".quality .table-scroll tbody tr")).to_have_count(2)
    page.get_by_text("Reading and validation settings").click()
    page.get_by_label("When a file's columns differ").select_option("FREEZE")
    page.get_by_label("Limit Minimum number of columns").fill("3")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.reload()
    page.get_by_text("Reading and validation settings").click()
    expect(page.get_by_label("When a file's columns differ")).to_have_value("FREEZE")
    expect(page.get_by_label("Limit Minimum number of columns")).to_have_value("3")
    visitor.look("datasource")

    visitor.load(orders(tmp_path, "third.csv", months=GAPS, last_column="branch"), datasource)
    visitor.until("REJECTED")
    expect(page.locator('.problems [data-code="CONTRACT_BROKEN"]').first).to_contain_text("store")
    visitor.look("task-contract")

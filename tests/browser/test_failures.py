"""The server or Druid is unavailable, or the sign-in expired: the page shows it in place, retries,
and loses no input.
"""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from local.instance import Instance
from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason
from tests.browser.orders import orders
from tests.browser.visitor import AWAY, Visitor

SQL = "SELECT 40 + 2 AS answer"
EXPIRED = errors.info_of(ErrorReason.ERROR_REASON_UNAUTHENTICATED)


def editor(page: Page) -> str:
    return page.locator(".editor .cm-content").inner_text()


def let_sign_in_expire(page: Page) -> None:
    """Answer every request like an authenticating proxy, until `unroute_all`."""
    location = {"line": None, "column": None, "value": None}
    problem = {
        "code": "UNAUTHENTICATED",
        "message": "The sign-in has expired.",
        **location,
        "action": EXPIRED.action,
        "actor": "you",
    }
    for path in ("**/api/**", "**/graphql"):
        page.route(path, lambda route: route.fulfill(status=401, json=problem))


def test_the_server_is_unavailable_while_a_user_types(
    visitor: Visitor, instance: Instance, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    page, datasource = visitor.page, new_datasource("away")
    visitor.open("/")
    visitor.choose(orders(tmp_path, "typed.csv"), datasource=datasource)
    instance.stop_program("gateway")
    try:
        visitor.send()
        expect(
            page.get_by_text("Connection lost. The upload resumes automatically.")
        ).to_be_visible(timeout=20_000)
        expect(page.locator(".lost")).to_be_visible()
        visitor.look("server-away")
        # A page that was not open before appears as soon as the server is back.
        page.get_by_role("link", name="Query", exact=True).click()
    finally:
        instance.start_program("gateway")
        instance.wait_healthy("gateway")
    expect(page.locator(".lost")).to_be_hidden(timeout=60_000)
    visitor.type_sql(SQL)
    page.get_by_role("button", name="Run").click()
    expect(page.locator('.virtual-body [role="cell"]').first).to_have_text("42")
    page.get_by_role("link", name="History", exact=True).click()
    page.get_by_role("searchbox").fill(datasource)
    page.get_by_role("link", name="typed.csv").click(timeout=60_000)
    visitor.until("SUCCEEDED")
    visitor.expect_in_console(*AWAY)


def test_the_sign_in_has_expired(
    visitor: Visitor, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    page, datasource = visitor.page, new_datasource("expired")
    visitor.open("/")
    visitor.choose(orders(tmp_path, "expired.csv"), datasource=datasource)
    let_sign_in_expire(page)
    visitor.send()
    card = page.get_by_role("article", name="expired.csv")
    expect(card.locator('[data-code="UNAUTHENTICATED"]')).to_contain_text(
        "Your sign-in has expired"
    )
    expect(page.get_by_label("Datasource")).to_have_value(datasource)
    visitor.look("sign-in-expired")
    page.get_by_role("link", name="Query", exact=True).click()
    visitor.type_sql(SQL)
    page.get_by_role("button", name="Run").click()
    problem = page.locator('[data-code="UNAUTHENTICATED"]')
    expect(problem).to_contain_text(EXPIRED.action)

    page.unroute_all()
    problem.get_by_role("button", name="Try again").click()
    expect(page.locator('.virtual-body [role="cell"]').first).to_have_text("42")
    page.get_by_role("link", name="Load", exact=True).click()
    card.get_by_role("button", name="Try again").click()
    page.wait_for_url("**/tasks/*")
    visitor.until("SUCCEEDED")
    visitor.expect_in_console("status of 401")


def test_druid_is_down(visitor: Visitor, instance: Instance) -> None:
    page = visitor.page
    visitor.open("/query")
    visitor.type_sql(SQL)
    instance.stop_program("druid_router")
    try:
        page.get_by_role("button", name="Run").click()
        problem = page.locator('[data-code="DRUID_UNAVAILABLE"]').first
        expect(problem).to_contain_text("Druid unavailable", timeout=60_000)
        visitor.look("druid-down")
    finally:
        instance.start_program("druid_router")
    instance.wait_healthy("druid_router")
    assert SQL in editor(page)
    page.get_by_role("button", name="Run").click()
    expect(page.locator('.virtual-body [role="cell"]').first).to_have_text("42", timeout=60_000)
    visitor.expect_in_console("status of 503")

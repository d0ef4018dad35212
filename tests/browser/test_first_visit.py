"""First visits, keyboard use, and notifications."""

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.browser.orders import orders
from tests.browser.visitor import Visitor

NOTHING = {
    "columns": [],
    "rows": [],
    "row_count": 0,
    "truncated": False,
    "elapsed_ms": 1,
    "query_id": "none",
}
EMPTY = {
    "Tasks": {"listIngestionTasks": []},
    "Datasources": {"listDatasources": []},
    "Statistics": {
        "statistics": {
            "hours": 24,
            "buckets": [],
            "stages": [],
            "topErrors": [],
            "queue": {"waiting": 0, "running": 0},
        }
    },
}


def make_empty(page: Page) -> None:
    """Make all lists empty, as on a new server."""

    def answer(route: Route) -> None:
        operation = json.loads(route.request.post_data or "{}").get("operationName")
        if operation in EMPTY:
            route.fulfill(json={"data": EMPTY[operation]})
        else:
            route.continue_()

    page.route("**/graphql", answer)
    page.route("**/api/query", lambda route: route.fulfill(json=NOTHING))


def test_a_first_visit_is_shown_what_to_do(
    visitor: Visitor, new_datasource: Callable[[str], str]
) -> None:
    page = visitor.page
    make_empty(page)
    for path, text in (
        ("/tasks", "No loads yet."),
        ("/datasources", "No datasources yet."),
        ("/query", "No tables yet."),
        ("/dashboard", "No loads in this time range."),
        ("/nowhere", "Page not found."),
        ("/", "Try it with a sample"),
    ):
        if path == "/nowhere":
            # A path that the server does not know is reachable only within the page.
            page.evaluate("history.pushState({}, '', '/nowhere')")
        else:
            visitor.open(path)
        expect(page.get_by_text(text)).to_be_visible()
        visitor.look(f"empty-{path.strip('/') or 'load'}")
    page.get_by_role("button", name="Try it with a sample").click()
    page.get_by_label("Datasource").fill(new_datasource("sample"))
    visitor.send()
    page.wait_for_url("**/tasks/*")
    visitor.until("SUCCEEDED")
    assert visitor.rows("loaded") == 10_000


def test_everything_works_with_the_keyboard(
    visitor: Visitor, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    page, file = visitor.page, orders(tmp_path, "keys.csv")
    page.on("filechooser", lambda chooser: chooser.set_files(str(file)))
    visitor.open("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()
    page.keyboard.press("Enter")
    field = page.get_by_label("Datasource")
    expect(field).to_be_visible()
    tab_to(page, field)
    page.keyboard.press("Control+A")
    page.keyboard.type(new_datasource("keys"))
    tab_to(page, page.get_by_role("button", name="Load", exact=True))
    page.keyboard.press("Enter")
    page.wait_for_url("**/tasks/*")
    visitor.until("SUCCEEDED")
    tab_to(page, page.get_by_role("button", name="Undo"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    tab_to(page, page.locator(".ready-link").first)
    page.keyboard.press("Enter")
    expect(page.locator(".plot canvas")).to_be_visible()


def tab_to(page: Page, wanted: object) -> None:
    for _ in range(40):
        if wanted.evaluate("node => node === document.activeElement"):  # type: ignore[attr-defined]
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{wanted} is not reachable with the Tab key")


HIDDEN_TAB = """
  window.shown = [];
  window.Notification = class { constructor(title) { window.shown.push(title); } };
  window.Notification.permission = "default";
  window.Notification.requestPermission = async () => (window.Notification.permission = "granted");
  Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
"""


def test_the_end_of_a_load_is_notified(
    visitor: Visitor, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    page = visitor.page
    page.add_init_script(HIDDEN_TAB)
    visitor.open("/")
    visitor.choose(orders(tmp_path, "notified.csv"), datasource=new_datasource("notified"))
    page.get_by_label("Show me the changes before loading").check()
    visitor.send()
    page.wait_for_url("**/tasks/*")
    visitor.until("PLANNED")
    page.get_by_role("button", name="Notify me when done").click()
    expect(page.get_by_role("button", name="Notification is on")).to_be_disabled()
    page.get_by_role("button", name="Apply this plan").click()
    visitor.until("SUCCEEDED")
    page.wait_for_function("() => window.shown.length > 0")
    assert page.evaluate("window.shown") == ["notified.csv was loaded"]


def test_all_pages_show_data(
    visitor: Visitor, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    """History, datasources and dashboard of a server with data."""
    page, datasource = visitor.page, new_datasource("pages")
    visitor.load(orders(tmp_path, "pages.csv"), datasource)
    visitor.until("SUCCEEDED")
    visitor.open("/tasks")
    page.get_by_role("searchbox").fill(datasource)
    expect(page.locator(".rows .row")).to_have_count(1)
    visitor.look("history")
    page.get_by_role("button", name="Not loaded").click()
    expect(page.get_by_text("No matching loads.")).to_be_visible()
    visitor.look("history-none")
    visitor.open("/datasources")
    expect(page.get_by_role("link", name=datasource, exact=True)).to_be_visible()
    visitor.look("datasources")
    visitor.open("/dashboard")
    expect(page.locator(".dashboard canvas").first).to_be_visible()
    visitor.look("dashboard")
    visitor.open("/")
    expect(page.locator(".rows .row").first).to_be_visible()
    visitor.look("load")
    # Choosing a table replaces the content of the editor.
    visitor.open("/query")
    visitor.type_sql("SELECT 1")
    table = page.locator("details", has_text=datasource)
    table.locator("summary").click()
    table.get_by_role("button", name="Newest rows").click()
    expect(page.locator(".editor .cm-content")).to_contain_text(f'FROM "{datasource}"')
    # The URL of a query can be shared.
    page.goto(f"{visitor.url}/query?sql=SELECT%20COUNT(*)%20FROM%20%22{datasource}%22")
    expect(page.locator('.virtual-body [role="cell"]').first).to_have_text("600")


def test_the_theme_is_kept(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/")
    button = page.get_by_role("button", name="Theme:")
    button.click()
    button.click()
    expect(button).to_have_attribute("title", "Dark")
    page.reload()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"

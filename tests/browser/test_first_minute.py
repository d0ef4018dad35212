"""From a dropped file to a chart of its data: the browser tests that `make test` runs."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.visitor import ROOT, Visitor
from tests.seed_documents import STATUS

SAMPLE = ROOT / "examples" / "sales.csv"

DRAG = """([kinds, name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, { type: "text/csv" }));
  for (const kind of kinds)
    document.querySelector(".drop").dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


def test_a_dropped_file_becomes_a_chart(
    visitor: Visitor, new_datasource: Callable[[str], str]
) -> None:
    page, datasource = visitor.page, new_datasource("first")
    visitor.open("/")
    dragged = ["My sales (2024).csv", SAMPLE.read_text()]
    page.evaluate(DRAG, [["dragenter", "dragover"], *dragged])
    expect(page.get_by_text("Release to add")).to_be_visible()
    page.evaluate(DRAG, [["drop"], *dragged])
    expect(page.get_by_text("Drop files here")).to_be_visible()
    expect(page.get_by_label("Datasource")).to_have_value("my_sales_2024")
    expect(page.locator(".preview tbody tr")).to_have_count(6)
    expect(page.locator(".preview")).to_contain_text("Gooseneck kettle")
    visitor.look("load-chosen")
    page.get_by_label("Datasource").fill(datasource)
    visitor.send()
    page.wait_for_url("**/tasks/*")
    visitor.until("SUCCEEDED")
    assert (visitor.rows("loaded"), visitor.rows("rejected")) == (10_000, 0)
    for stage in ("receive", "validate", "ingest", "verify"):
        expect(page.locator(f'[data-stage="{stage}"].done')).to_be_visible()
    expect(page.locator(".columns tbody tr")).to_have_count(14)
    visitor.look("task-loaded")

    page.locator(".ready-link").first.click()
    expect(page.locator(".plot canvas")).to_be_visible()
    visitor.look("query-chart")
    page.get_by_role("button", name="Table").click()
    expect(page.locator('.virtual [role="row"]').nth(5)).to_be_visible()
    visitor.look("query-table")
    # The URL contains the query: another tab shows the same.
    linked = page.url
    page.goto(linked)
    expect(page.locator(".plot canvas")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export CSV").click()
    assert Path(saved.value.path()).read_text().startswith("month,rows\n2024-01-01")


def test_the_editor_completes_tables_and_says_what_is_wrong(
    visitor: Visitor, new_datasource: Callable[[str], str]
) -> None:
    page, datasource = visitor.page, new_datasource("completed")
    visitor.load(SAMPLE, datasource)
    visitor.until("SUCCEEDED")
    visitor.open("/query")
    expect(page.get_by_text(datasource)).to_be_visible()
    editor = page.get_by_role("textbox", name="SQL")
    editor.press_sequentially(f"SELECT * FROM {datasource[:12]}")
    expect(page.get_by_role("option", name=datasource)).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.type("SELECT nothing_such FROM nowhere")
    with page.expect_response("**/api/query") as refused:
        page.keyboard.press("Control+Enter")
    assert refused.value.status == 400
    expect(page.locator('[data-code="QUERY_INVALID"]')).to_be_visible()
    visitor.look("query-wrong")
    visitor.expect_in_console("status of 400")


def test_the_first_load_is_small(visitor: Visitor) -> None:
    page = visitor.page
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    visitor.open("/")
    page.get_by_role("button", name="Choose files").click(trial=True)
    assert sum(sizes) < 250 * 1024, sizes


def test_the_documents_of_existing_clients_run_unchanged(visitor: Visitor) -> None:
    """Sent from a browser, like the existing page does."""
    visitor.open("/")
    answer = visitor.page.evaluate(
        """async ([query]) => (await fetch("/graphql", {
          method: "POST", headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ query, variables: { taskId: "11111111-1111-4111-8111-111111111111" } }) })).json()""",
        [STATUS],
    )
    assert answer == {"data": {"getIngestionTaskStatus": None}}

"""Interrupted uploads (paused, cancelled, cut, reloaded) arrive complete."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import CDPSession, expect

from local.stack import Stack
from tests.browser.line import Line, line_to
from tests.browser.visitor import AWAY, ROOT, Visitor

SAMPLE = ROOT / "examples" / "sales.csv"
COPIES = 10
ROWS = 10_000 * COPIES
SLOW = 3 * 1024 * 1024


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """About 10 MiB: three seconds at the slow rate."""
    header, _, rows = SAMPLE.read_text().partition("\n")
    file = tmp_path / "large.csv"
    file.write_text(header + "\n" + rows * COPIES)
    return file


@pytest.fixture
def line(stack: Stack) -> Iterator[Line]:
    with line_to(stack.gateway_url) as connection:
        yield connection


class UploadRate:
    """The upload rate of a tab."""

    def __init__(self, visitor: Visitor, bytes_per_s: int) -> None:
        self._session: CDPSession = visitor.page.context.new_cdp_session(visitor.page)
        self._session.send("Network.enable")
        self.to(bytes_per_s)

    def to(self, bytes_per_s: int) -> None:
        """Set the rate; -1 for no limit."""
        limits = {
            "offline": False,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": bytes_per_s,
        }
        self._session.send("Network.emulateNetworkConditions", limits)


def until_sent(visitor: Visitor, percent: int) -> None:
    script = "percent => Number(document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow')) >= percent"
    visitor.page.wait_for_function(script, arg=percent, timeout=60_000)


def sent(visitor: Visitor) -> int:
    return int(visitor.page.get_by_role("progressbar").get_attribute("aria-valuenow") or 0)


def begin(visitor: Visitor, file: Path, datasource: str, bytes_per_s: int = SLOW) -> UploadRate:
    visitor.open("/")
    rate = UploadRate(visitor, bytes_per_s)
    visitor.choose(file, datasource=datasource)
    visitor.send()
    return rate


def loaded_whole(visitor: Visitor) -> None:
    visitor.page.wait_for_url("**/tasks/*", timeout=60_000)
    visitor.until("SUCCEEDED")
    assert visitor.rows("loaded") == ROWS


def test_an_upload_is_paused_resumed_cancelled_and_repeated(
    visitor: Visitor, large: Path, new_datasource: Callable[[str], str]
) -> None:
    page = visitor.page
    rate = begin(visitor, large, new_datasource("paused"))
    until_sent(visitor, 30)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    visitor.look("load-paused")
    at = sent(visitor)
    page.get_by_role("button", name="Resume").click()
    until_sent(visitor, at + 10)
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_text("Stopped. Nothing was kept.")).to_be_visible()
    rate.to(-1)
    page.get_by_role("button", name="Try again").click()
    loaded_whole(visitor)


def test_an_upload_resumes_automatically_after_a_connection_loss(
    new_visitor: Callable[..., Visitor],
    line: Line,
    large: Path,
    new_datasource: Callable[[str], str],
) -> None:
    visitor = new_visitor(url=line.url)
    begun: list[str] = []
    visitor.page.on(
        "request",
        lambda request: (
            begun.append(request.method) if "/api/ingest/uploads" in request.url else None
        ),
    )
    rate = begin(visitor, large, new_datasource("cut"))
    until_sent(visitor, 50)
    line.cut()
    expect(
        visitor.page.get_by_text("Connection lost. The upload resumes automatically.")
    ).to_be_visible()
    at = sent(visitor)
    visitor.look("load-line-lost")
    line.restore()
    until_sent(visitor, at + 5)
    rate.to(-1)
    loaded_whole(visitor)
    visitor.expect_in_console(*AWAY)
    # One upload, and one more request for the bytes after the cut.
    assert (begun.count("POST"), begun.count("PATCH")) == (1, 2)


def test_after_a_reload_the_same_file_resumes(
    visitor: Visitor, large: Path, new_datasource: Callable[[str], str]
) -> None:
    page = visitor.page
    page.on("dialog", lambda dialog: dialog.accept())
    rate = begin(visitor, large, new_datasource("reloaded"), SLOW // 3)
    until_sent(visitor, 5)
    other = Visitor(page.context.new_page(), visitor.url)
    other.open("/")
    # This tab is uploading it, so another tab does not offer it.
    expect(other.page.get_by_text("Unfinished uploads")).to_have_count(0)
    until_sent(visitor, 50)
    page.reload()
    expect(page.get_by_text("Unfinished uploads")).to_be_visible()
    visitor.look("load-unfinished")
    visitor.choose(large)
    with page.expect_response(lambda answer: answer.request.method == "HEAD") as looked:
        page.get_by_role("button", name="Resume").click()
    assert int(looked.value.headers["upload-offset"]) > large.stat().st_size // 4
    rate.to(-1)
    loaded_whole(visitor)
    visitor.open("/")
    expect(page.get_by_text("Unfinished uploads")).to_have_count(0)
    other.expect_no_errors()


def test_another_tab_shows_what_is_being_sent_and_cancels_it(
    visitor: Visitor, large: Path, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("elsewhere")
    rate = begin(visitor, large, datasource)
    until_sent(visitor, 30)
    visitor.page.get_by_role("button", name="Pause").click()
    other = Visitor(visitor.page.context.new_page(), visitor.url)
    other.open(f"/tasks?text={datasource}")
    other.page.get_by_role("link", name="large.csv").click()
    other.until("PENDING")
    other.page.reload()
    other.until("PENDING")
    expect(other.page.locator('[data-stage="receive"].running')).to_be_visible()
    other.look("task-pending")
    other.cancel()
    other.until("CANCELLED")
    visitor.page.get_by_role("button", name="Resume").click()
    expect(visitor.page.get_by_role("article").locator(".problem")).to_be_visible()
    visitor.look("load-cancelled-elsewhere")
    visitor.expect_in_console("status of 410")
    rate.to(-1)
    visitor.page.get_by_role("button", name="Try again").click()
    loaded_whole(visitor)
    other.expect_no_errors()

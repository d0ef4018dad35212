"""A person at the page: what they do, what they see, and that nothing went wrong behind it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import ConsoleMessage, Locator, Page, ViewportSize, expect

ROOT = Path(__file__).parent.parent.parent
AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = ROOT / "screenshots"

ENDS = ("SUCCEEDED", "REJECTED", "FAILED", "CANCELLED", "TIMEOUT")
LOAD_MS = 120_000

WINDOW: ViewportSize = {"width": 1280, "height": 800}
LOOKS: list[tuple[str, Literal["light", "dark"], ViewportSize]] = [
    ("light", "light", WINDOW),
    ("dark", "dark", WINDOW),
    ("phone", "light", {"width": 390, "height": 844}),
]
DRAWN = "() => scrollTo(0, 0) ?? new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

AWAY = ("net::ERR_", "WebSocket connection to")
"""What the browser notes while the server or the line to it is away."""


@dataclass
class Visitor:
    """One tab."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)
    """What the browser's console complained about, and what the page threw."""

    def __post_init__(self) -> None:
        self.page.on("console", self._noted)
        self.page.on("pageerror", lambda thrown: self.wrong.append(str(thrown)))

    def _noted(self, told: ConsoleMessage) -> None:
        if told.type in {"error", "warning"}:
            self.wrong.append(f"{told.text} {told.location['url']}")

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)
        expect(self.page.locator("h1")).to_be_visible()

    def choose(self, *files: Path, datasource: str | None = None) -> None:
        """Chooses files on the first page; they are not sent yet."""
        self.page.set_input_files("input[type=file]", [str(file) for file in files])
        if datasource:
            self.page.get_by_label("Datasource").fill(datasource)

    def send(self) -> None:
        self.page.get_by_role("button", name="Load", exact=True).click()

    def load(self, file: Path, datasource: str) -> str:
        """Loads one file; the task's id, once the page shows the task."""
        self.open("/")
        self.choose(file, datasource=datasource)
        self.send()
        self.page.wait_for_url("**/tasks/*", timeout=LOAD_MS)
        return self.page.url.rpartition("/")[2]

    def status(self) -> Locator:
        return self.page.locator(".task-title .status")

    def until(self, *states: str) -> None:
        """Waits until the shown task is in one of the states; another end fails."""
        shown = self.page.locator(
            ", ".join(f'.task-title [data-status="{state}"]' for state in {*states, *ENDS})
        )
        shown.wait_for(timeout=LOAD_MS)
        found = shown.get_attribute("data-status")
        assert found in states, (
            f"{found}, not {states}: {self.page.locator('.task-message').text_content()}"
        )

    def cancel(self) -> None:
        """Cancels the shown task, and says so twice."""
        self.page.get_by_role("button", name="Cancel", exact=True).click()
        self.page.get_by_role("button", name="Cancel the load").click()

    def rows(self, what: str) -> int:
        """Rows of the account: loaded, rejected, skipped."""
        told = self.page.locator(f'.account-parts [data-rows="{what}"] b').text_content() or ""
        return int(told.replace(",", ""))

    def type_sql(self, sql: str) -> None:
        """Into the editor, in place of what is there."""
        self.page.locator(".editor .cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(sql)

    def ask(self, sql: str) -> str:
        """Runs a query in the page; the first cell of its answer."""
        self.open("/query")
        self.type_sql(sql)
        self.page.get_by_role("button", name="Run").click()
        self.page.locator(".result").wait_for()
        if (table := self.page.get_by_role("button", name="Table")).get_attribute(
            "aria-pressed"
        ) == "false":
            table.click()
        return self.page.locator('.virtual-body [role="cell"]').first.text_content() or ""

    def look(self, name: str) -> None:
        """Takes pictures into screenshots/ (light, dark, and on a phone); in each axe finds nothing
        that keeps somebody out, and nothing has to be scrolled sideways.
        """
        SCREENSHOTS.mkdir(exist_ok=True)
        # evaluate() is not held by the page's policy, as a script element would be.
        self.page.evaluate(AXE.read_text())
        before = self.page.viewport_size
        for look, scheme, size in LOOKS:
            self.page.emulate_media(color_scheme=scheme)
            self.page.set_viewport_size(size)
            self.page.evaluate(DRAWN)
            self.page.screenshot(
                path=str(SCREENSHOTS / f"{name}-{look}.png"), full_page=True, animations="disabled"
            )
            found: list[dict[str, Any]] = self.page.evaluate(
                "async () => (await axe.run()).violations"
            )
            told = [
                f"{each['id']}: {each['help']}: {[node['html'][:160] for node in each['nodes'][:3]]}"
                for each in found
            ]
            assert told == [], f"{name} ({look}): {told}"
            assert self.page.evaluate("document.documentElement.scrollWidth") <= size["width"], (
                f"{name} ({look}) is too wide"
            )
        self.page.emulate_media(color_scheme=None)
        self.page.set_viewport_size(before or LOOKS[0][2])

    def expect_in_console(self, *texts: str) -> None:
        """What the browser itself notes there when something is refused or away that the test has
        refused or taken away.
        """
        self.wrong = [told for told in self.wrong if not any(text in told for text in texts)]

    def nothing_went_wrong(self) -> None:
        assert self.wrong == [], self.wrong

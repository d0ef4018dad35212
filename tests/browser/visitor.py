"""A user of the page: actions, observations, and checks that no error occurred."""

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
"""Console messages while the server is unreachable."""


@dataclass
class Visitor:
    """A tab."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    """Errors and warnings in the console, and exceptions of the page."""

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"{message.text} {message.location['url']}")

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)
        expect(self.page.locator("h1")).to_be_visible()

    def choose(self, *files: Path, datasource: str | None = None) -> None:
        """Choose files on the start page, without sending them."""
        self.page.set_input_files("input[type=file]", [str(file) for file in files])
        if datasource:
            self.page.get_by_label("Datasource").fill(datasource)

    def send(self) -> None:
        self.page.get_by_role("button", name="Load", exact=True).click()

    def load(self, file: Path, datasource: str) -> str:
        """Load a file; return the task id once the page shows the task."""
        self.open("/")
        self.choose(file, datasource=datasource)
        self.send()
        self.page.wait_for_url("**/tasks/*", timeout=LOAD_MS)
        return self.page.url.rpartition("/")[2]

    def status(self) -> Locator:
        return self.page.locator(".task-title .status")

    def until(self, *states: str) -> None:
        """Wait until the shown task is in one of the states. Another final state fails."""
        shown = self.page.locator(
            ", ".join(f'.task-title [data-status="{state}"]' for state in {*states, *ENDS})
        )
        shown.wait_for(timeout=LOAD_MS)
        found = shown.get_attribute("data-status")
        assert found in states, (
            f"{found}, not {states}: {self.page.locator('.task-message').text_content()}"
        )

    def cancel(self) -> None:
        """Cancel the shown task, and confirm."""
        self.page.get_by_role("button", name="Cancel", exact=True).click()
        self.page.get_by_role("button", name="Cancel the load").click()

    def rows(self, what: str) -> int:
        """Return a number of the ledger: loaded, rejected or skipped."""
        number = self.page.locator(f'.account-parts [data-rows="{what}"] b').text_content() or ""
        return int(number.replace(",", ""))

    def type_sql(self, sql: str) -> None:
        """Replace the content of the editor."""
        self.page.locator(".editor .cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(sql)

    def ask(self, sql: str) -> str:
        """Run a query on the page; return the first cell of its result."""
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
        """Write screenshots (light, dark, phone) into screenshots/; check each for accessibility
        violations with axe, and that nothing is too wide.
        """
        SCREENSHOTS.mkdir(exist_ok=True)
        # The content security policy would block a script element, but not evaluate().
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
            violations = [
                f"{each['id']}: {each['help']}: {[node['html'][:160] for node in each['nodes'][:3]]}"
                for each in found
            ]
            assert violations == [], f"{name} ({look}): {violations}"
            assert self.page.evaluate("document.documentElement.scrollWidth") <= size["width"], (
                f"{name} ({look}) is too wide"
            )
        self.page.emulate_media(color_scheme=None)
        self.page.set_viewport_size(before or LOOKS[0][2])

    def expect_in_console(self, *texts: str) -> None:
        """Ignore console messages that the test provokes."""
        self.errors = [error for error in self.errors if not any(text in error for text in texts)]

    def expect_no_errors(self) -> None:
        assert self.errors == [], self.errors

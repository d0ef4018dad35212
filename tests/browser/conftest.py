"""A real browser on the real stack."""

import os
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, sync_playwright

from local import chromium
from local.stack import Stack
from tests.browser.visitor import ROOT, WINDOW, Visitor

REQUIRED = bool(os.environ.get("BROWSER_REQUIRED"))
"""`make test-browser` fails without a browser; `make test` skips its tests."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = chromium.find(install=REQUIRED)
    if program is None:
        (pytest.fail if REQUIRED else pytest.skip)("no Chromium: set CHROMIUM or install it")
    if not (ROOT / "frontend" / "dist" / "index.html").is_file():
        pytest.fail("the page is not built: run `make page`")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield launched
        launched.close()


@pytest.fixture
def new_visitor(browser: Browser, stack: Stack) -> Iterator[Callable[..., Visitor]]:
    """Return a function that opens a separate browser context, at the server or another `url`, with
    options of Browser.new_context. Any error in its tabs fails the test.
    """
    contexts, visitors = [], []

    def open_tab(url: str = stack.gateway_url, **options: object) -> Visitor:
        context = browser.new_context(**{"viewport": WINDOW, **options})  # type: ignore[arg-type]
        contexts.append(context)
        visitors.append(Visitor(context.new_page(), url))
        return visitors[-1]

    yield open_tab
    for visitor in visitors:
        visitor.expect_no_errors()
    for context in contexts:
        context.close()


@pytest.fixture
def visitor(new_visitor: Callable[..., Visitor]) -> Visitor:
    """A tab."""
    return new_visitor()


@pytest.fixture
def new_datasource() -> Callable[[str], str]:
    """Return a function that makes unique datasource names."""
    return lambda name: f"{name}_{uuid4().hex[:8]}"

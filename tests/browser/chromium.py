"""Debian's Chromium, driven by Playwright, and axe-core's rules of accessibility.

A test takes the fixture `page` of `tests/conftest.py`, a new tab of 1280 x 900 pixels:

    if TYPE_CHECKING:
        from tests.browser.chromium import Page

    def test_the_page_is_for_everyone(page: Page, server_url: str) -> None:
        page.goto(server_url)
        assert [] == violations(page)

An error of the page's scripts, or a request to another host, fails the test at its end. Playwright
keeps an event loop in the thread of the tests: use it in synchronous tests, in a file without
asynchronous ones, and run a server of the test in another thread or process. Without Playwright,
Chromium or npm a test is skipped; in CI it fails.
"""

# mypy: disable-error-code="import-not-found"
# Playwright is a development dependency; without it everything else can still be checked.

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tests.brokers import unavailable
from tests.npm_packages import HOW_TO_GET_NPM, installed_packages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page

__all__ = ["Browser", "Page", "new_page", "running_chromium", "violations"]

_AXE: Final = Path(__file__).parent / "axe" / "package.json"
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_LOOPBACK: Final = frozenset({None, "127.0.0.1", "::1", "localhost"})
_SIZE: Final = (1280, 900)
_RULES: Final = "axe.run(document, {resultTypes: ['violations']})"


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Run Chromium; skip the test without it, or fail it in CI."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        unavailable("Chromium is not installed; Debian's package chromium has it")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - may be missing
    except ImportError:
        unavailable("Playwright is not installed; pip install playwright")
    with sync_playwright() as playwright:
        # Its sandbox needs rights that containers often lack; it only opens pages made here.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(browser: Browser, *, dark: bool = False) -> Iterator[Page]:
    """Open a tab with settings of its own.

    Raises:
        AssertionError: At the end, if a script failed or asked another host for something.
    """
    width, height = _SIZE
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    faults: list[str] = []

    def logged(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(message.text)

    def asked(url: str) -> None:
        if urlsplit(url).hostname not in _LOOPBACK:
            faults.append(f"the page asked for {url}")

    try:
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", logged)
        page.on("request", lambda request: asked(request.url))
        yield page
    finally:
        context.close()
    if faults:
        raise AssertionError("; ".join(faults))


def violations(page: Page) -> list[str]:
    """Return what axe-core finds on a page with its styles, one line for each element.

    Skips the test without npm, or fails it in CI.
    """
    try:
        source = installed_packages(_AXE) / "axe-core" / "axe.min.js"
    except FileNotFoundError:
        unavailable(HOW_TO_GET_NPM)
    # Headings are there before the style sheet is.
    page.wait_for_load_state("load")
    # Evaluated, not added as an element, which the page's own policy would refuse.
    page.evaluate(source.read_text(encoding="utf-8"))
    return [
        f"{rule['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for rule in page.evaluate(_RULES)["violations"]
        for node in rule["nodes"]
    ]

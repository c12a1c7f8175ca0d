from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import new_page, violations

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.chromium import Browser, Page

pytestmark = pytest.mark.integration

WHOLE = "<!doctype html><html lang='en'><title>A page</title><main><h1>Title</h1>{}</main></html>"


def test_a_page_that_everyone_can_use_has_no_violation(page: Page) -> None:
    page.set_content(WHOLE.format("<button>Send</button>"))

    assert [] == violations(page)


def test_a_button_without_a_name_is_a_violation(page: Page) -> None:
    page.set_content(WHOLE.format("<button></button>"))

    (line,) = violations(page)
    assert line.startswith("button-name: <button></button>")


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("throw new Error('no data')", "no data"),
        ("fetch('http://host.invalid/a').catch(() => 0)", "http://host.invalid/a"),
    ],
)
def test_what_goes_wrong_in_a_page_fails_its_test(
    browser: Browser, tmp_path: Path, script: str, fault: str
) -> None:
    file = tmp_path / "page.html"
    file.write_text(WHOLE.format(f"<script>{script}</script>"))

    with pytest.raises(AssertionError, match=fault), new_page(browser) as page:
        page.goto(file.as_uri())
        page.wait_for_load_state("networkidle")

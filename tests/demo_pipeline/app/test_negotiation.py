"""Content negotiation: JSON is the default, and quality decides."""

from __future__ import annotations

import pytest

from demo_pipeline.app.negotiation import preferred_type

JSON, HTML = "application/json", "text/html"
_BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("text/html", HTML),
        (_BROWSER, HTML),
        ("application/json", JSON),
        ("text/html, application/json", JSON),
        ("application/json;q=0.9, text/html", HTML),
        ("application/json;q=0.9, text/html;q=0.900", JSON),
        ("text/html;q=0.5, application/json;q=0.4", HTML),
        ("text/html;q=0, */*", JSON),
        ("application/json;q=0, */*;q=0.1", HTML),
        ("text/*, application/*;q=0.5", HTML),
        ("text/*;q=0.9, text/html;q=0.1, application/json;q=0.2", JSON),
        ("TEXT/HTML ; Q=1", HTML),
        ("text/html;charset=utf-8", HTML),
        ("image/png", JSON),
        ("text/html;q=2", JSON),
        ("text/html;q=0.1234", JSON),
        ("text/html;q=", JSON),
        ("text/html;level=1", JSON),
        ("html, text, */", JSON),
        (";;,,;q=1", JSON),
        ("text/html" + ",text/html" * 500, HTML),
    ],
)
def test_the_preferred_type(accept: str | None, expected: str) -> None:
    assert expected == preferred_type(accept, (JSON, HTML))

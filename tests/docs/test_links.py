"""Links between the pages, and from them to files, lead somewhere; nothing is fetched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.docs.pages import PAGES, README, ROOT

if TYPE_CHECKING:
    from pathlib import Path

_FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING: Final = re.compile(r"^#+ (.*)$", re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def _broken(page: Path, text: str) -> list[str]:
    broken = []
    for target, anchor in _LINK.findall(_FENCE.sub("", text)):
        file = (page.parent / target).resolve() if target else page
        inside = file.is_relative_to(ROOT) and file.exists()
        if not inside or (anchor and anchor not in _anchors(file)):
            broken.append(f"{target}#{anchor}" if anchor else target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert [] == _broken(page, page.read_text())


def test_a_broken_link_is_noticed() -> None:
    text = "[a](docs/nowhere.md) [b](docs/cost.md#nowhere) [c](docs/cost.md#figures) [d](../x)"

    assert ["docs/nowhere.md", "docs/cost.md#nowhere", "../x"] == _broken(README, text)

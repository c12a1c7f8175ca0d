"""The documentation avoids a short list of words, each with what to write instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.docs.pages import PAGES, README

if TYPE_CHECKING:
    from pathlib import Path

INSTEAD: Final = {
    r"tells?|told": "reports, records, receives",
    r"whoever|somebody|nobody": "name who it is",
    r"stands? still|stood still": "is stalled",
    r"turned back": "compensated",
    r"came to nothing": "cancelled",
    r"(?<!dead )(?<!dead-)letters?(?! of)": "dead letter",
    r"simply|obviously|easily": "nothing",
    r"utili[sz]es?|utili[sz]ed": "use",
}
_CODE: Final = re.compile(r"^```.*?^```|<!--.*?-->|`[^`]*`", re.MULTILINE | re.DOTALL)


def _found(text: str) -> list[str]:
    prose = " ".join(_CODE.sub("", text).split())
    return [
        f"{match[0]!r}: write {better!r}"
        for words, better in INSTEAD.items()
        for match in re.finditer(rf"\b(?:{words})\b", prose, re.IGNORECASE)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_none_of_the_words(page: Path) -> None:
    assert [] == _found(page.read_text())


def test_a_word_of_the_list_is_noticed_outside_of_code() -> None:
    assert ["'told': write 'reports, records, receives'"] == _found("It is told. `told`")
    assert [] == _found(README.read_text().partition("\n## ")[0])

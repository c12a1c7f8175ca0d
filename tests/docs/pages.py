"""The pages of the documentation, with their blocks of Python."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sybil import Document, Region, Sybil
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, RawFencedCodeBlockLexer

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
PAGES: Final = (README, *sorted((ROOT / "docs").rglob("*.md")))

_FENCED: Final = RawFencedCodeBlockLexer(re.compile(r"python(?P<options>.*)\n"))
# What a page needs to run and a reader does not need to see.
_HIDDEN: Final = DirectiveInHTMLCommentLexer("invisible-code-block", "python")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of Python.

    Attributes:
        source: Its text.
        line: The number of the line before it.
        title: The file that the block is; empty for a block that runs where it stands.
    """

    source: str
    line: int
    title: str


def _parsed(document: Document) -> list[Region]:
    regions = [*_FENCED(document), *_HIDDEN(document)]
    for region in regions:
        title = re.search(r'title="(.*?)"', region.lexemes.get("options", ""))
        region.parsed = Block(
            source=region.lexemes["source"].text,
            line=document.text.count("\n", 0, region.start) + 1,
            title=title[1] if title else "",
        )
        region.evaluator = _not_evaluated
    return regions


def _not_evaluated(_example: object) -> None:
    """Leave running to the tests, which await."""


def blocks_of(page: Path) -> list[Block]:
    """Return the Python blocks of a page, hidden ones included, in their order."""
    document = Sybil([_parsed]).parse(page)
    return [example.parsed for example in document.examples()]


def file_in(page: Path, title: str) -> str:
    """Return the text of the block that is the file of that name."""
    (block,) = (block for block in blocks_of(page) if title == block.title)
    return block.source

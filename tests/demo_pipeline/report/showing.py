"""The report as printed text, and as a parsed page."""

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from rich.console import Console

from demo_pipeline.report import RunResult, print_summary, write_report


def printed(result: RunResult, width: int | None = None, *, tables: bool = True) -> str:
    """Print to a terminal of this width, or to a pipe without a width."""
    file = io.StringIO()
    terminal = width is not None
    print_summary(
        result,
        Console(file=file, width=width, force_terminal=terminal, color_system=None, _environ={}),
        tables=tables,
    )
    return file.getvalue()


def line_with(text: str, printed_text: str) -> str:
    return next(line for line in printed_text.splitlines() if text in line)


class Page(HTMLParser):
    """Collects the elements of a page, and the text of its scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.text = ""
        self._open = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.raw:
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in self.raw:
            self.raw[self._open][-1] += data
        else:
            self.text += data

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.raw["script"][0])
        return data


def page(result: RunResult, directory: Path) -> Page:
    write_report(result, directory)
    return Page((directory / "report.html").read_text(encoding="utf-8"))

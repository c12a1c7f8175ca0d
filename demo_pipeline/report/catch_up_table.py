"""Groups that started on history, as a table for the terminal and for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from demo_pipeline.report.chart import seconds
from demo_pipeline.report.markup import html_cells, html_table
from demo_pipeline.report.plain import plain_table
from demo_pipeline.report.wording import escaped, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from demo_pipeline.report.catch_up import CatchUp

_TITLE: Final = "catch-up-title"
_HEADINGS: Final = ("History read", "Oldest", "Took", "Per second", "Other records")
_NOTE: Final = (
    "History is what a group found when it started: in no figure of wait, end-to-end lag or "
    "objectives."
)


def catch_up_part(catch_ups: Sequence[CatchUp], width: int) -> list[RenderableType]:
    """Show the history that groups read; nothing where none did."""
    if not catch_ups:
        return []
    table = plain_table(width)
    table.add_column("service ← topics", overflow="fold")
    for heading in _HEADINGS:
        table.add_column(heading.lower(), justify="right", no_wrap=True)
    for each in catch_ups:
        name = f"{printable(each.reader)} ← {', '.join(map(printable, each.topics))}"
        table.add_row(Text(name), *_figures(each))
    return [Text("Catch-up", "bold"), table, Text(_NOTE, "dim"), ""]


def catch_up_section(catch_ups: Sequence[CatchUp]) -> str:
    """Return the section of the page; empty where no group read history."""
    if not catch_ups:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escaped(each.reader)} '
        f'<span class="from">← {escaped(", ".join(each.topics))}</span></th>'
        f"{html_cells(_figures(each))}</tr>"
        for each in catch_ups
    )
    table = html_table(_TITLE, f"Groups that started on history. {_NOTE}", _PAGE_HEADINGS, [rows])
    return f'<section aria-labelledby="{_TITLE}"><h2 id="{_TITLE}">Catch-up</h2>{table}</section>'


_PAGE_HEADINGS: Final = ("Service ← topics", *_HEADINGS)


def _figures(catch_up: CatchUp) -> tuple[str, ...]:
    return (
        f"{catch_up.records:,}",
        seconds(catch_up.age_ns),
        seconds(catch_up.took_ns),
        f"{catch_up.per_second:,.0f}",
        f"{catch_up.others:,}",
    )

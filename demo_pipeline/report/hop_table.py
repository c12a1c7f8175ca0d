"""Hops and their lag as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from demo_pipeline.report.plain import WIDE, plain_table
from demo_pipeline.report.wording import percentiles, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from demo_pipeline.report.model import Hop


def hop_part(hops: Sequence[Hop], width: int) -> list[RenderableType]:
    """Show each hop's times, waits for a connection and age of its flows; nothing without hops."""
    if not hops:
        return []
    shown: list[RenderableType] = [Text("Hops (ms)", "bold"), _hop_table(hops, width), ""]
    connected = [hop for hop in hops if hop.connection]
    if connected:
        title = Text("Wait for a database connection, not in the processing (ms)", "bold")
        shown += [title, _connection_table(connected, width), ""]
    if any(hop.end_to_end or hop.retry for hop in hops):
        shown += [Text("Lag by hop (ms)", "bold"), _lag_table(hops, width), ""]
    return shown


def _hop_table(hops: Sequence[Hop], width: int) -> Table:
    headings = ("records", *_headings("wait"), *_headings("processing"), "errors")
    table = _table(headings, width)
    for hop in hops:
        table.add_row(
            _name(hop, width),
            f"{hop.records:,}",
            *percentiles(hop.wait),
            *percentiles(hop.processing),
            Text(f"{hop.errors:,}", "bold red" if hop.errors else ""),
        )
    return table


def _connection_table(hops: Sequence[Hop], width: int) -> Table:
    table = _table(_headings("connection"), width)
    for hop in hops:
        table.add_row(_name(hop, width), *percentiles(hop.connection))
    return table


def _lag_table(hops: Sequence[Hop], width: int) -> Table:
    table = _table((*_headings("retry"), *_headings("end to end")), width)
    for hop in hops:
        table.add_row(_name(hop, width), *percentiles(hop.retry), *percentiles(hop.end_to_end))
    return table


def _table(headings: Sequence[str], width: int) -> Table:
    table = plain_table(width)
    wide = width >= WIDE
    table.add_column("service ← topic" if wide else "service\n← topic", overflow="fold")
    for heading in headings:
        table.add_column(heading if wide else heading.replace("processing", "proc."))
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    return table


def _name(hop: Hop, width: int) -> Text:
    between = " " if width >= WIDE else "\n"
    return Text(f"{printable(hop.reader)}{between}← {printable(hop.topic)}")


def _headings(what: str) -> tuple[str, str, str]:
    return f"{what}\np50", "\np95", "\np99"

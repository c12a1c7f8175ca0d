"""Outboxes and consumer lag: what waited to be sent, and what waited to be handled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from demo_pipeline.report.markup import html_cells, html_table
from demo_pipeline.report.plain import plain_table
from demo_pipeline.report.wording import escaped, human, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

    from demo_pipeline.report.analysis import Analysis

_TITLE: Final = "queues-title"
_OUTBOX: Final = ("Service → topic", "Messages", "Most at once", "p50", "p95", "Max")
_LAG: Final = ("Service ← topic", "Records", "Most behind", "Left at the end", "Longest wait")


def queue_section(analysis: Analysis) -> str:
    """Return the section on outboxes and consumer lag; empty without messages."""
    tables = ""
    if analysis.outboxes:
        tables += html_table(
            _TITLE,
            "Outbox: messages that were created in a transaction and not yet on the broker, at "
            "most at one moment, and how long they waited.",
            _OUTBOX,
            [_rows(_outbox_rows(analysis))],
        )
    if analysis.hops:
        tables += html_table(
            _TITLE,
            "Consumer lag: records on the broker that a group had not yet handled, at most and "
            "when the run ended, and the longest time that a handled one waited. A group that "
            "handled no record of a topic has no row.",
            _LAG,
            [_rows(_lag_rows(analysis))],
        )
    if not tables:
        return ""
    return (
        f'<section aria-labelledby="{_TITLE}">'
        f'<h2 id="{_TITLE}">Outbox and consumer lag</h2>{tables}</section>'
    )


def queue_part(analysis: Analysis, width: int) -> list[RenderableType]:
    """Show outboxes and consumer lag as tables for the terminal."""
    parts: list[RenderableType] = []
    for title, headings, rows in (
        ("Outbox", _OUTBOX, _outbox_rows(analysis)),
        ("Consumer lag", _LAG, _lag_rows(analysis)),
    ):
        if not rows:
            continue
        table = plain_table(width)
        first, *others = headings
        table.add_column(first.lower(), overflow="fold")
        for heading in others:
            table.add_column(heading.lower(), justify="right")
        for name, *figures in rows:
            table.add_row(Text(printable(name)), *figures)
        parts += [Text(title, "bold"), table, ""]
    return parts


def _outbox_rows(analysis: Analysis) -> Sequence[tuple[str, ...]]:
    return [
        (
            f"{outbox.service} → {outbox.topic}",
            f"{outbox.messages:,}",
            f"{outbox.most_pending:,}",
            *map(human, (outbox.delay.p50, outbox.delay.p95, outbox.delay.max)),
        )
        for outbox in analysis.outboxes
    ]


def _lag_rows(analysis: Analysis) -> Sequence[tuple[str, ...]]:
    backlogs = {hop.name: hop for hop in (analysis.backlogs.hops if analysis.backlogs else ())}
    rows = []
    for hop in analysis.hops:
        name = f"{hop.reader} ← {hop.topic}"
        behind = backlogs.get(name)
        rows.append(
            (
                name,
                f"{hop.records:,}",
                f"{behind.highest:,}" if behind else "0",
                f"{analysis.left_behind.get(name, 0):,}",
                human(hop.wait.max if hop.wait else None),
            )
        )
    return rows


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(
        f'<tr><th scope="row">{escaped(name)}</th>{html_cells(figures)}</tr>'
        for name, *figures in rows
    )

"""Retries, duplicates and dead letters as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from demo_pipeline.report.plain import WIDE, plain_table
from demo_pipeline.report.wording import LIST_DEAD_LETTERS, NOTHING, by_error, class_of, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from demo_pipeline.report.analysis import Analysis
    from demo_pipeline.report.delivery import DeadLetterKind, Delivery


def delivery_part(analysis: Analysis, width: int) -> list[RenderableType]:
    """Show retries, duplicates, dead letters and records out of order; one line without any."""
    if not analysis.deliveries:
        return [Text("No retries, duplicates, dead letters or records out of order", "dim")]
    shown: list[RenderableType] = [
        Text("Delivery", "bold"),
        _deliveries(analysis.deliveries, width),
    ]
    if analysis.dead_letters:
        shown += [
            "",
            Text("Dead letters", "bold"),
            _dead_letters(analysis.dead_letters, width),
            Text(f"On a permanent cluster, list them with {LIST_DEAD_LETTERS}", "dim"),
        ]
    return shown


def _deliveries(deliveries: Sequence[Delivery], width: int) -> Table:
    table = plain_table(width, tight=True)
    table.add_column("service ← topic", overflow="fold")
    table.add_column("retries", overflow="fold")
    table.add_column("recovered", justify="right")
    table.add_column("duplicates", justify="right")
    table.add_column("dead letters", justify="right")
    # Rare, and a narrow terminal has little room.
    out_of_order = any(delivery.out_of_order for delivery in deliveries)
    if out_of_order:
        table.add_column("out of order", justify="right")
    for delivery in deliveries:
        # The table of dead letters shows their errors.
        dead_letters = delivery.dead_letters.total()
        table.add_row(
            Text(f"{printable(delivery.reader)} ← {printable(delivery.topic)}"),
            Text(by_error(delivery.retries) or NOTHING),
            f"{delivery.recovered:,}" if delivery.retries else NOTHING,
            f"{delivery.duplicates:,}" if delivery.duplicates else NOTHING,
            _bad(dead_letters),
            *((_bad(delivery.out_of_order),) if out_of_order else ()),
        )
    return table


def _bad(number: int) -> Text | str:
    return Text(f"{number:,}", "bold red") if number else NOTHING


def _dead_letters(kinds: Sequence[DeadLetterKind], width: int) -> Table:
    table = plain_table(width, tight=True)
    table.add_column("dead-letter topic", overflow="fold")
    table.add_column("error", overflow="fold")
    table.add_column("count", justify="right")
    # Never wrapped, so that it can be copied.
    table.add_column("trace of one", no_wrap=width >= WIDE, overflow="fold")
    for kind in kinds:
        table.add_row(
            Text(printable(kind.topic)),
            Text(printable(class_of(kind.error))),
            f"{kind.count:,}",
            NOTHING if kind.trace_id is None else f"{kind.trace_id:032x}",
        )
    return table

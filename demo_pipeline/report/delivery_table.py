"""Retries, duplicates and dead letters as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from demo_pipeline.report.plain import WIDE, plain_table
from demo_pipeline.report.wording import HOW_TO_LOOK, NOTHING, by_error, class_of, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from demo_pipeline.report.analysis import Analysis
    from demo_pipeline.report.delivery import Delivery, LetterKind


def delivery_part(analysis: Analysis, width: int) -> list[RenderableType]:
    """Show what did not just go through; one line where everything did."""
    if not analysis.deliveries:
        return [Text("No retries, duplicates or dead letters", "dim")]
    shown: list[RenderableType] = [
        Text("Delivery", "bold"),
        _deliveries(analysis.deliveries, width),
    ]
    if analysis.letters:
        shown += [
            "",
            Text("Dead letters", "bold"),
            _letters(analysis.letters, width),
            Text(f"On a cluster that stays, look at them with {HOW_TO_LOOK}", "dim"),
        ]
    return shown


def _deliveries(deliveries: Sequence[Delivery], width: int) -> Table:
    table = plain_table(width, tight=True)
    table.add_column("service ← topic", overflow="fold")
    table.add_column("retries", overflow="fold")
    table.add_column("recovered", justify="right")
    table.add_column("duplicates", justify="right")
    table.add_column("dead letters", justify="right")
    for delivery in deliveries:
        # Their errors are told by the table of dead letters.
        letters = delivery.dead_letters.total()
        table.add_row(
            Text(f"{printable(delivery.reader)} ← {printable(delivery.topic)}"),
            Text(by_error(delivery.retries) or NOTHING),
            f"{delivery.recovered:,}" if delivery.retries else NOTHING,
            f"{delivery.duplicates:,}" if delivery.duplicates else NOTHING,
            Text(f"{letters:,}", "bold red") if letters else NOTHING,
        )
    return table


def _letters(kinds: Sequence[LetterKind], width: int) -> Table:
    table = plain_table(width, tight=True)
    table.add_column("dead-letter topic", overflow="fold")
    table.add_column("error", overflow="fold")
    table.add_column("count", justify="right")
    # Whole, so that it can be copied.
    table.add_column("trace of one", no_wrap=width >= WIDE, overflow="fold")
    for kind in kinds:
        table.add_row(
            Text(printable(kind.topic)),
            Text(printable(class_of(kind.error))),
            f"{kind.count:,}",
            NOTHING if kind.trace_id is None else f"{kind.trace_id:032x}",
        )
    return table

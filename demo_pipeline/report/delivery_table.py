"""Retries, duplicates and dead letters as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from demo_pipeline.report.wording import printable

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from rich.console import RenderableType

    from demo_pipeline.report.delivery import Delivery


def delivery_table(deliveries: Sequence[Delivery]) -> list[RenderableType]:
    """Show what did not just go through; one line where everything did."""
    if not deliveries:
        return [Text("No retries, no duplicates, no dead letters", "dim")]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("group ← topic", overflow="fold")
    table.add_column("retries", overflow="fold")
    table.add_column("duplicates skipped", justify="right")
    table.add_column("dead letters", overflow="fold")
    for delivery in deliveries:
        table.add_row(
            f"{printable(delivery.group)} ← {printable(delivery.topic)}",
            by_error(delivery.retries),
            f"{delivery.duplicates:,}" if delivery.duplicates else "",
            Text(by_error(delivery.dead_letters), "bold red"),
        )
    shown: list[RenderableType] = [Text("Delivery", "bold"), table]
    if any(delivery.dead_letters for delivery in deliveries):
        shown.append(
            Text("on a cluster that stays: python -m tracing dlq list, show, replay", "dim")
        )
    return shown


def by_error(counts: Counter[str]) -> str:
    """How many of which error, the most frequent first."""
    return ", ".join(f"{count:,} {printable(error)}" for error, count in counts.most_common())

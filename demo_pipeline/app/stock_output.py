"""Printing the stock on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from demo_pipeline.report.plain import list_width, plain_table, print_plainly
from demo_pipeline.report.wording import NOTHING, counted, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType
    from rich.table import Table

    from demo_pipeline.app.stock_status import EventStatus, StockStatus
    from demo_pipeline.app.stock_verify import StockCheck


def print_stock(stock: Sequence[StockStatus], console: Console) -> None:
    """Print one line per product."""
    if not stock:
        console.print("no products found")
        return
    width = list_width(console)
    table = plain_table(width, tight=True)
    table.add_column("product", overflow="fold")
    for heading in ("available", "received", "reserved", "released", "events"):
        table.add_column(heading, justify="right")
    table.add_column("last event", overflow="fold")
    for each in stock:
        table.add_row(
            Text(printable(each.sku)),
            *_figures(each.available, each.received, each.reserved, each.released, each.sequence),
            each.at or NOTHING,
        )
    print_plainly(console, table, width)


def print_product(stock: StockStatus, console: Console) -> None:
    """Print one product with its last events."""
    width = list_width(console)
    origin = f"snapshot {stock.snapshot}" if stock.snapshot else "the beginning"
    available, *totals = _figures(stock.available, stock.received, stock.reserved, stock.released)
    parts: list[RenderableType] = [
        Text.assemble((printable(stock.sku), "bold"), f" · {available} available"),
        Text("received {} · reserved {} · released {}".format(*totals)),
        Text(
            f"event {stock.sequence:,} · {stock.at or 'before the first event'} · built from "
            f"{origin} and {counted(stock.events_read, 'event')}"
        ),
    ]
    if stock.events:
        parts += ["", _events(stock.events, width)]
    print_plainly(console, Group(*parts), width)


def print_check(check: StockCheck, console: Console) -> None:
    """Print one line per product that was checked."""
    width = list_width(console)
    table = plain_table(width, tight=True)
    table.add_column("product", overflow="fold")
    for heading in ("events", "snapshots", "available"):
        table.add_column(heading, justify="right")
    table.add_column("result")
    for each in check.products:
        table.add_row(
            Text(printable(each.sku)),
            *_figures(each.events, each.snapshots, each.available),
            Text(counted(len(each.problems), "problem"), "bold red") if each.problems else "ok",
        )
    print_plainly(console, table, width)


def _events(events: Sequence[EventStatus], width: int) -> Table:
    table = plain_table(width, tight=True)
    for heading in ("event", "at", "change", "pieces", "order"):
        right = heading in {"event", "pieces"}
        table.add_column(heading, overflow="fold", justify="right" if right else "left")
    for each in events:
        table.add_row(
            f"{each.sequence:,}",
            each.at,
            Text(printable(each.change)),
            f"{each.quantity:,}",
            Text(printable(each.order_id or NOTHING)),
        )
    return table


def _figures(*figures: int) -> tuple[str, ...]:
    return tuple(f"{figure:,}" for figure in figures)

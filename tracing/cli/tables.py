"""Print tables without breaking words, for people at a terminal and for programs behind a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.measure import Measurement
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

WIDEST: Final = 100_000
"""Columns of a console that is no terminal: nothing is wrapped, so that programs find names."""


def print_table(table: Table, console: Console) -> None:
    """Print a table: one line for each row, where there is room.

    At a terminal that is too narrow, cells are wrapped between words. If a word does not fit
    either, each row becomes a block of lines with a heading and a cell. Behind a pipe, rows are
    never wrapped, and have no trailing blanks.
    """
    if not console.is_terminal:
        with console.capture() as captured:
            console.print(table)
        for line in captured.get().splitlines():
            console.file.write(f"{line.rstrip()}\n")
        return
    least, most = _widths(table, console)
    between = Measurement.get(
        console, console.options.update(max_width=WIDEST), table
    ).maximum - sum(most)
    if sum(most) + between <= console.width:
        console.print(table)
    elif sum(least) + between <= console.width:
        _narrow(table, least, most, console.width - between)
        console.print(table)
    else:
        _print_blocks(table, console)


def _widths(table: Table, console: Console) -> tuple[list[int], list[int]]:
    """Return the widths of the longest word and of the longest line of each column."""
    options = console.options.update(max_width=WIDEST)
    measured = [
        [Measurement.get(console, options, each) for each in (column.header, *column.cells)]
        for column in table.columns
    ]
    return (
        [max(each.minimum for each in column) for column in measured],
        [max(each.maximum for each in column) for column in measured],
    )


def _narrow(table: Table, least: list[int], most: list[int], room: int) -> None:
    """Share the room: first the columns that need little of it are complete."""
    spare = room - sum(least)
    for number in sorted(range(len(least)), key=lambda each: most[each] - least[each]):
        more = min(spare, most[number] - least[number])
        table.columns[number].width = least[number] + more
        table.columns[number].no_wrap = False
        spare -= more


def _print_blocks(table: Table, console: Console) -> None:
    headings = [str(column.header) for column in table.columns]
    longest = max(map(len, headings))
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    for number, row in enumerate(rows):
        if number:
            console.print()
        for heading, cell in zip(headings, row, strict=True):
            line = Text.assemble((f"{heading:<{longest}}  ", "bold"), _text(cell))
            console.print(line, soft_wrap=True)


def _text(cell: RenderableType) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))

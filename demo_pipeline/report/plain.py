"""Printing and tables for a chosen width, on whatever characters the output can take."""

from dataclasses import dataclass
from typing import Final

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table

WIDE: Final = 100
"""From so many columns on there is room for comfort."""

# Keeps the waterfall's signs apart where blocks and lines cannot be shown.
_STAND_INS: Final = str.maketrans("░▒█╌▓✕═▄─━│├└·←…\N{REPLACEMENT CHARACTER}", ".=#:%X_+--||`,<~?")


def plain_table(width: int, *, tight: bool = False) -> Table:
    """Make a table without columns, as tight as the width, or what goes into it, asks for."""
    padding = (0, 0 if width < WIDE else 1, 0, 0 if width < WIDE or tight else 1)
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=padding)


def print_plainly(console: Console, renderable: RenderableType, width: int) -> None:
    """Print at `width`, also where the console believes itself narrower.

    An output that is not Unicode gets plain characters instead of an error.
    """
    fixed = _Fixed(renderable, width)
    if not console.options.ascii_only:
        console.print(fixed, crop=False)
        return
    with console.capture() as captured:
        console.print(fixed, crop=False)
    plain = captured.get().translate(_STAND_INS)
    console.file.write(plain.encode("ascii", "replace").decode("ascii"))


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A renderable that has its own idea of the width."""

    renderable: RenderableType
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render at the fixed width."""
        yield from console.render(self.renderable, options.update(width=self.width))

"""Printing at a chosen width, with ASCII stand-ins for an output that is not Unicode."""

from dataclasses import dataclass
from typing import Final

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table

WIDE: Final = 100
"""From this many columns on, tables are padded."""

_ENDLESS: Final = 100_000

# Keeps the waterfall's glyphs distinct in ASCII.
_STAND_INS: Final = str.maketrans(
    "░▒█╌▓✕═▄─━│├└·←…▁▂▃▅▆▇┈→µ✓✗\N{REPLACEMENT CHARACTER}", ".=#:%X_+--||`,<~.:-=*%;>uvx?"
)


def width_of(console: Console) -> int:
    """Return the columns to use: the terminal's own, or at least `WIDE` in a pipe or a file."""
    return console.width if console.is_terminal else max(WIDE, console.width)


def list_width(console: Console) -> int:
    """Return the columns for a list: in a pipe or a file, as many as its longest row needs."""
    return console.width if console.is_terminal else _ENDLESS


def plain_table(width: int, *, tight: bool = False) -> Table:
    """Return a table without columns; `tight`, or a small width, reduces its padding."""
    padding = (0, 0 if width < WIDE else 1, 0, 0 if width < WIDE or tight else 1)
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=padding)


def print_plainly(console: Console, renderable: RenderableType, width: int) -> None:
    """Print at `width`, even if the console reports a smaller one.

    An output that is not Unicode gets ASCII characters.
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
    """A renderable with a width of its own."""

    renderable: RenderableType
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render at the fixed width."""
        yield from console.render(self.renderable, options.update(width=self.width))

"""Draws the waterfall that the demo prints, for the README.

Run it as `python -m tests.docs.picture`; it runs the demo, and writes `docs/images/waterfall.svg`.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from typing import Final

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from tests.docs.pages import ROOT

PICTURE: Final = ROOT / "docs" / "images" / "waterfall.svg"
WIDTH: Final = 110
_DEMO: Final = ("-m", "demo_pipeline", "run", "--orders", "5", "--rate", "1", "--tables")
# rich names a font of a foreign host, which a picture in a page cannot load, and its own.
_FOREIGN: Final = re.compile(r"\s*(?:@font-face \{.*?\}|<!--.*?-->)", re.DOTALL)


def waterfall_of(printed: str) -> str:
    """Return the part of the demo's output that is the waterfall of an order."""
    lines = printed.splitlines()
    plain = [Text.from_ansi(line).plain for line in lines]
    first = next(number for number, line in enumerate(plain) if line.startswith("span  "))
    below = next((number for number in range(first, len(plain)) if not plain[number]), len(plain))
    return "\n".join(lines[first:below]).rstrip()


def drawn(text: str) -> str:
    """Draw terminal output, with its colours, as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi(text))
    # A fixed id: with the hash of the content, every run would change every line.
    svg = console.export_svg(title="make demo", theme=DIMMED_MONOKAI, unique_id="waterfall")
    svg = _FOREIGN.sub("", svg).replace("Fira Code", "ui-monospace")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def main() -> None:
    """Run the demo and write the picture."""
    printed = subprocess.run(
        [sys.executable, *_DEMO],
        env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(drawn(waterfall_of(printed)))


if __name__ == "__main__":
    main()

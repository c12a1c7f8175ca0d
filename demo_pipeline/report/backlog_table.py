"""Records behind over the run, as a line of bars per hop for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from demo_pipeline.report.chart import seconds
from demo_pipeline.report.plain import WIDE, plain_table
from demo_pipeline.report.wording import milliseconds, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from demo_pipeline.report.backlog import Backlogs, HopBacklog
    from demo_pipeline.report.model import Distribution

_MOST_HOPS: Final = 3
_BARS: Final = " ▁▂▃▄▅▆▇█"


def backlog_part(
    backlogs: Backlogs | None, answers: Distribution | None, width: int
) -> list[RenderableType]:
    """Show the hops that were furthest behind, and how quickly orders were accepted meanwhile.

    Nothing is shown where no hop was far behind.

    Args:
        backlogs: The records behind.
        answers: How long customers waited for the answer to their order.
        width: The columns to use.
    """
    if backlogs is None or not backlogs.furthest:
        return []
    table = plain_table(width)
    table.add_column("service ← topic", overflow="fold")
    table.add_column(f"over {seconds(backlogs.end_ns - backlogs.start_ns)}", no_wrap=True)
    for heading in ("most", "at", "drained"):
        table.add_column(heading, justify="right", no_wrap=True)
    for hop in backlogs.furthest[:_MOST_HOPS]:
        table.add_row(
            Text(printable(hop.name)),
            Text(_line(hop, 40 if width >= WIDE else 24)),
            f"{hop.highest:,}",
            seconds(hop.peak_ns - backlogs.start_ns),
            "no" if hop.drained_ns is None else seconds(hop.drained_ns - backlogs.start_ns),
        )
    parts: list[RenderableType] = [Text("Records behind", "bold"), table]
    if answers is not None:
        accepted = ", ".join(
            f"{name} {milliseconds(value)}"
            for name, value in (("p50", answers.p50), ("p95", answers.p95), ("max", answers.max))
        )
        parts.append(Text(f"Orders were accepted within (ms): {accepted}", "dim"))
    return [*parts, ""]


def _line(hop: HopBacklog, length: int) -> str:
    """Draw the records behind as bars, each for several slots."""
    slots, bars = len(hop.most), ""
    for place in range(length):
        part = hop.most[place * slots // length : max((place + 1) * slots // length, 1)]
        most = max((number for number in part if number is not None), default=0)
        # A bar for anything at all: 0 alone has none.
        bars += _BARS[-(-most * (len(_BARS) - 1) // hop.highest)]
    return bars

"""The summary that a run prints: headline, tables, and the waterfall of the slowest order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.text import Text

from demo_pipeline.report.analysis import analyse
from demo_pipeline.report.backlog_table import backlog_part
from demo_pipeline.report.catch_up_table import catch_up_part
from demo_pipeline.report.coupling_table import coupling_part
from demo_pipeline.report.delivery_table import delivery_part
from demo_pipeline.report.hop_table import hop_part
from demo_pipeline.report.message_table import message_part
from demo_pipeline.report.plain import WIDE, plain_table, print_plainly, width_of
from demo_pipeline.report.saga_table import saga_part
from demo_pipeline.report.schema_table import schema_part
from demo_pipeline.report.waterfall import order_part
from demo_pipeline.report.wording import counted, milliseconds, per_second, percentiles, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from demo_pipeline.report.analysis import Analysis
    from demo_pipeline.report.model import Distribution, RunResult

_NARROW: Final = 40
_FAULTS_AT_MOST: Final = 5


def print_summary(result: RunResult, console: Console) -> None:
    """Print the summary of a run at the terminal's width, or in at least 100 columns elsewhere."""
    analysis = analyse(result)
    width = max(_NARROW, width_of(console))
    parts: list[RenderableType] = [*_headline(result, analysis), ""]
    parts += message_part(analysis.messages, width)
    parts += coupling_part(analysis.couplings, width)
    parts += schema_part(analysis.schemas, width)
    parts += hop_part(analysis.hops, width)
    if analysis.end_to_end:
        parts += [Text("End to end (ms)", "bold"), _end_to_end(analysis, analysis.end_to_end), ""]
    parts += backlog_part(analysis.backlogs, analysis.answers, width)
    parts += catch_up_part(analysis.catch_ups, width)
    parts += saga_part(analysis.sagas, width)
    parts += [*delivery_part(analysis, width), ""]
    slowest = next((order for order in analysis.orders if order.timing), None)
    dead_lettered = analysis.dead_lettered_order
    if slowest:
        both = "Slowest order, dead-lettered"
        parts += order_part(both if slowest is dead_lettered else "Slowest order", slowest, width)
    if dead_lettered and dead_lettered is not slowest:
        parts += ["", *order_part("Dead-lettered order", dead_lettered, width)]
    print_plainly(console, Group(*parts), width)


def _headline(result: RunResult, analysis: Analysis) -> list[Text]:
    orders = len(analysis.orders)
    figures = (
        counted(orders, "order"),
        per_second(orders, result.duration_s),
        f"{result.duration_s:.1f} s",
        f"scenario {printable(result.scenario)}",
    )
    faults = analysis.faults
    if result.problems:
        verdict = Text("the run failed", "bold red")
    elif not orders:
        verdict = Text("no orders were placed", "yellow")
    elif not faults:
        verdict = Text("all traces complete", "bold green")
    else:
        verdict = Text(f"{counted(len(faults), 'broken trace')}", "bold red")
    lines = [Text.assemble(" · ".join(figures), " · ", verdict)]
    lines += [Text(f"  {printable(problem)}", "bold red") for problem in result.problems]
    lines += [Text(f"  {fault}", "red") for fault in faults[:_FAULTS_AT_MOST]]
    if len(faults) > _FAULTS_AT_MOST:
        lines.append(Text(f"  ... and {len(faults) - _FAULTS_AT_MOST} more", "red"))
    return lines


def _end_to_end(analysis: Analysis, spread: Distribution) -> Table:
    table = plain_table(WIDE)
    for heading in ("orders", "p50", "p95", "p99", "max"):
        table.add_column(heading, justify="right")
    timed = sum(order.timing is not None for order in analysis.orders)
    table.add_row(f"{timed:,}", *percentiles(spread), milliseconds(spread.max))
    return table

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
from demo_pipeline.report.figure_lines import figure_lines
from demo_pipeline.report.hop_table import hop_part
from demo_pipeline.report.message_table import message_part
from demo_pipeline.report.order_state import OrderState, is_troubled, state_of
from demo_pipeline.report.plain import WIDE, plain_table, print_plainly, width_of
from demo_pipeline.report.queue_tables import queue_part
from demo_pipeline.report.saga_table import saga_part
from demo_pipeline.report.schema_table import schema_part
from demo_pipeline.report.waterfall import order_part
from demo_pipeline.report.wording import (
    counted,
    human,
    milliseconds,
    per_second,
    percentiles,
    printable,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from demo_pipeline.report.analysis import Analysis
    from demo_pipeline.report.model import Distribution, RunResult

_NS: Final = 1_000_000_000
_NARROW: Final = 40
_FAULTS_AT_MOST: Final = 5
_MOST_ROWS: Final = 60
# With headline, legend, figures and the names of the written files, 40 lines.
_FEW_ROWS: Final = 18
_SEVERITY: Final = {state: place for place, state in enumerate(OrderState)}


def print_summary(result: RunResult, console: Console, *, tables: bool = False) -> None:
    """Print the summary of a run at the terminal's width, or in at least 100 columns elsewhere.

    The verdict and one order's waterfall come first; they and the figures fit on one screen.

    Args:
        result: The run.
        console: Where to print.
        tables: Whether to print all tables, and the whole waterfall.
    """
    analysis = analyse(result)
    width = max(_NARROW, width_of(console))
    parts: list[RenderableType] = [*_headline(result, analysis)]
    parts += _examples(analysis, width, tables=tables)
    parts += ["", *(_tables(analysis, width) if tables else figure_lines(analysis))]
    print_plainly(console, Group(*parts), width)


def _examples(analysis: Analysis, width: int, *, tables: bool) -> list[RenderableType]:
    """Show the worst order; with tables, also the slowest."""
    timed = [order for order in analysis.orders if order.timing]
    if not timed:
        return []
    slowest = timed[0]
    worst = min(timed, key=lambda order: (not is_troubled(order), _SEVERITY[state_of(order)]))
    most = _MOST_ROWS if tables else _FEW_ROWS
    if worst is slowest or not is_troubled(worst):
        state = f", {state_of(slowest)}" if is_troubled(slowest) else ""
        return ["", *order_part(f"Slowest order{state}", slowest, width, most)]
    parts = ["", *order_part(f"{state_of(worst).capitalize()} order", worst, width, most)]
    if tables:
        parts += ["", *order_part("Slowest order", slowest, width, most)]
    return parts


def _tables(analysis: Analysis, width: int) -> list[RenderableType]:
    parts: list[RenderableType] = []
    parts += message_part(analysis.messages, width)
    parts += coupling_part(analysis.couplings, width)
    parts += schema_part(analysis.schemas, width)
    parts += hop_part(analysis.hops, width)
    if analysis.end_to_end:
        parts += [Text("End to end (ms)", "bold"), _end_to_end(analysis, analysis.end_to_end), ""]
    parts += backlog_part(analysis.backlogs, analysis.answers, width)
    parts += queue_part(analysis, width)
    parts += catch_up_part(analysis.catch_ups, width)
    parts += saga_part(analysis.sagas, width)
    return [*parts, *delivery_part(analysis, width), ""]


def _headline(result: RunResult, analysis: Analysis) -> list[Text]:
    orders = len(analysis.orders)
    figures = (
        counted(orders, "order"),
        per_second(orders, result.duration_s),
        human(round(result.duration_s * _NS)),
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

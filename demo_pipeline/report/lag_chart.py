"""End-to-end lag, and records behind, over time as charts with one row per hop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo_pipeline.report.chart import Chart, Row, chart_section, seconds
from demo_pipeline.report.wording import counted, milliseconds

if TYPE_CHECKING:
    from demo_pipeline.report.backlog import Backlogs
    from demo_pipeline.report.hops import LagsOverTime


def lag_section(lags: LagsOverTime | None) -> str:
    """Return the section on end-to-end lag; empty if no span has one."""
    if lags is None:
        return ""
    chart = Chart(
        "lags",
        "Lag over time",
        "Highest end-to-end lag by hop.",
        [Row(hop.name, hop.worst_ns) for hop in lags.hops],
        lags.end_ns - lags.start_ns,
        lambda lag_ns: f"{milliseconds(lag_ns)} ms",
    )
    return chart_section(
        chart,
        "The highest end-to-end lag of the records that each hop finished in each "
        f"{_slot(chart)} of the run. {_scale(chart)}{_left_out(chart, 'less lag')}",
    )


def backlog_section(backlogs: Backlogs | None) -> str:
    """Return the section on records behind; empty where no hop was far behind."""
    if backlogs is None or not backlogs.furthest:
        return ""
    chart = Chart(
        "backlogs",
        "Records behind",
        "Most records behind by hop.",
        [Row(hop.name, hop.most) for hop in backlogs.hops],
        backlogs.end_ns - backlogs.start_ns,
        lambda number: f"{number:,}",
    )
    return chart_section(
        chart,
        "How many records were on the broker and not yet handled by each hop, at most, in each "
        f"{_slot(chart)} of the run. A group counts from its first record on. "
        f"{_scale(chart)}{_left_out(chart, 'fewer records')}",
    )


def _slot(chart: Chart) -> str:
    return seconds(chart.duration_ns // max(1, len(chart.rows[0].values)))


def _scale(chart: Chart) -> str:
    return f"All rows share one scale: a bar of full height is {chart.shown(chart.highest)}."


def _left_out(chart: Chart, fewer: str) -> str:
    left_out = len(chart.rows) - len(chart.drawn)
    return f" {counted(left_out, 'hop')} with {fewer} not shown." if left_out else ""

"""One order's way through the services, for the terminal."""

from rich.console import RenderableType
from rich.text import Text

from demo_pipeline.report.model import Breakdown, OrderReport
from demo_pipeline.report.waterfall import legend, waterfall
from demo_pipeline.report.wording import milliseconds, printable, shares


def way_of(title: str, report: OrderReport, width: int) -> list[RenderableType]:
    """Show an order's waterfall, and where its time went; nothing of one that was not timed."""
    timing = report.timing
    if timing is None:
        return []
    spans = [span for trace in report.order.traces for span in trace.spans]
    traces = ", ".join(f"{trace.trace_id:032x}" for trace in report.order.traces[:2])
    return [
        Text.assemble(
            (f"{title} ", "bold"),
            (printable(report.order.order_id), "bold"),
            f" · {milliseconds(timing.duration_ns)} ms",
        ),
        Text(f"trace {traces}", "dim"),
        "",
        *waterfall(spans, width),
        "",
        *legend(spans, width),
        _where_it_went(timing.breakdown),
    ]


def _where_it_went(breakdown: Breakdown) -> Text:
    """Say where the time on the critical path went, in ms and in percent."""
    parts = breakdown.parts()
    percent = shares([duration for _, duration in parts])
    return Text.assemble(
        (f"Critical path {milliseconds(breakdown.total_ns)} ms: ", "bold"),
        ", ".join(
            f"{name} {milliseconds(duration)} ms ({share} %)"
            for (name, duration), share in zip(parts, percent, strict=True)
            # Most orders need no second attempt, and are not burdened with one.
            if duration or name != "retry"
        ),
    )

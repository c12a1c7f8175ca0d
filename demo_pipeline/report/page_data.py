"""The data from which the page's script draws orders and waterfalls, as compact JSON.

Texts repeat from span to span, so each is written once and referred to by its index. A trace is
written once, even if orders share it. `assets/report.js` reads this layout: change both together.
"""

import json

from demo_pipeline.report.analysis import Analysis
from demo_pipeline.report.model import OrderReport, SpanFacts, Trace
from demo_pipeline.report.tree import rows

_NS_PER_US = 1_000


def page_data(analysis: Analysis, started_unix_ns: int) -> str:
    """Return orders and traces as JSON that is safe inside a `<script>` element."""
    texts: dict[str, int] = {}
    shapes: dict[tuple[int, ...], int] = {}

    def text(value: str) -> int:
        return texts.setdefault(value, len(texts))

    def span_row(span: SpanFacts, depth: int) -> list[int | str]:
        keys = tuple(text(key) for key in span.attributes)
        return [
            text(span.title),
            text(span.service),
            text(span.role.value),
            text(span.kind),
            depth,
            _us(span.start_ns - started_unix_ns),
            _us(span.duration_ns),
            -1 if span.lead_ns is None else _us(span.lead_ns),
            text("error" if span.failed else span.mark),
            f"{span.span_id:016x}",
            shapes.setdefault(keys, len(shapes)),
            *(text(_shown(value)) for value in span.attributes.values()),
        ]

    numbers: dict[Trace, int] = {}
    for report in analysis.orders:
        for trace in report.order.traces:
            numbers.setdefault(trace, len(numbers))
    traces = [
        [f"{trace.trace_id:032x}", [span_row(row.span, row.depth) for row in rows(trace.spans)]]
        for trace in numbers
    ]
    orders = [_order(report, numbers) for report in analysis.orders]
    data = {
        "orders": orders,
        "traces": traces,
        "shapes": [list(keys) for keys in shapes],
        "texts": list(texts),
    }
    encoded = json.dumps(data, separators=(",", ":"))
    # These could end the script element, or begin a comment that swallows the page.
    return encoded.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _order(report: OrderReport, numbers: dict[Trace, int]) -> list[object]:
    timing = report.timing
    return [
        report.order.order_id,
        [numbers[trace] for trace in report.order.traces],
        _us(timing.duration_ns) if timing else None,
        [_us(duration) for _, duration in timing.breakdown.parts()] if timing else [],
        report.fault,
        int(report.dead_lettered),
    ]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return str(value)


def _us(duration_ns: int) -> int:
    return round(duration_ns / _NS_PER_US)

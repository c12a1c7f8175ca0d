"""The data from which the page's script draws orders and waterfalls, as compact JSON.

Texts repeat from span to span, so each is written once and referred to by its index. A trace is
written once, even if orders share it. `assets/base.js` reads this layout: change both together.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from demo_pipeline.report.analysis import Analysis
from demo_pipeline.report.model import EventFacts, LogLine, OrderReport, RunResult, SpanFacts, Trace
from demo_pipeline.report.order_state import is_troubled, state_of
from demo_pipeline.report.tree import rows

_NS_PER_US: Final = 1_000
MOST_ORDERS: Final = 1_000
"""The page has no more: its size, and the time to search it, are bounded."""


def orders_on_page(analysis: Analysis) -> Sequence[OrderReport]:
    """Return the orders on the page: those that need a person, then the slowest."""
    ranked = sorted(analysis.orders, key=lambda report: not is_troubled(report))
    kept = {report.order.order_id for report in ranked[:MOST_ORDERS]}
    return [report for report in analysis.orders if report.order.order_id in kept]


def page_data(analysis: Analysis, result: RunResult) -> str:
    """Return orders and traces of a run as JSON that is safe inside a `<script>` element."""
    reports = orders_on_page(analysis)
    started_unix_ns = result.started_unix_ns
    texts: dict[str, int] = {}
    shapes: dict[tuple[int, ...], int] = {}

    def text(value: str) -> int:
        return texts.setdefault(value, len(texts))

    def event_row(event: EventFacts) -> list[object]:
        pairs = [[text(key), text(_shown(value))] for key, value in event.attributes.items()]
        return [_us(event.at_ns - started_unix_ns), text(event.name), *pairs]

    def log_row(line: LogLine) -> list[object]:
        at_us = _us(line.at_ns - started_unix_ns)
        return [at_us, text("log"), [text(line.level), text(line.text)]]

    def span_row(span: SpanFacts, depth: int) -> list[object]:
        keys = tuple(text(key) for key in span.attributes)
        return [
            text(span.name),
            text(span.service),
            text(span.role.value),
            text(span.kind),
            depth,
            _us(span.start_ns - started_unix_ns),
            _us(span.duration_ns),
            -1 if span.lead_ns is None else _us(span.lead_ns),
            text("error" if span.failed else span.mark),
            f"{span.span_id:016x}",
            [
                *map(event_row, span.events),
                *map(log_row, result.logs.get((span.trace_id, span.span_id), ())),
            ],
            shapes.setdefault(keys, len(shapes)),
            *(text(_shown(value)) for value in span.attributes.values()),
        ]

    numbers: dict[Trace, int] = {}
    for report in reports:
        for trace in report.order.traces:
            numbers.setdefault(trace, len(numbers))
    traces = [
        [f"{trace.trace_id:032x}", [span_row(row.span, row.depth) for row in rows(trace.spans)]]
        for trace in numbers
    ]
    orders = [_order(report, numbers, result.users) for report in reports]
    data = {
        "orders": orders,
        "traces": traces,
        "shapes": [list(keys) for keys in shapes],
        "texts": list(texts),
    }
    encoded = json.dumps(data, separators=(",", ":"))
    # These could end the script element, or begin a comment that swallows the page.
    return encoded.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _order(
    report: OrderReport, numbers: Mapping[Trace, int], users: Mapping[str, str]
) -> list[object]:
    timing = report.timing
    return [
        report.order.order_id,
        [numbers[trace] for trace in report.order.traces],
        _us(timing.duration_ns) if timing else None,
        [_us(duration) for _, duration in timing.breakdown.parts()] if timing else [],
        report.fault,
        state_of(report).value,
        int(is_troubled(report)),
        users.get(report.order.order_id, ""),
    ]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return str(value)


def _us(duration_ns: int) -> int:
    return round(duration_ns / _NS_PER_US)

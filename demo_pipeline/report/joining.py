"""Joining spans into the traces of orders."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from demo_pipeline.report.facts import read_span
from demo_pipeline.report.model import OrderTrace, Role, SpanFacts, Trace

# A poll span is a tiny root trace of its own that links to the messages of many orders.
_NAMES_AN_ORDER: Final = frozenset({Role.SEND, Role.PROCESS})


def read_spans(spans: Iterable[ReadableSpan]) -> tuple[SpanFacts, ...]:
    """Read spans, each once even if it was exported twice, by start."""
    unique: dict[tuple[int, int], SpanFacts] = {}
    for span in spans:
        facts = read_span(span)
        unique.setdefault((facts.trace_id, facts.span_id), facts)
    return tuple(sorted(unique.values(), key=lambda span: (span.start_ns, span.span_id)))


def join(spans: Iterable[SpanFacts], order_ids: Iterable[str]) -> tuple[OrderTrace, ...]:
    """Give each order the traces in which one of its records was sent or processed.

    Orders keep their order; an order that was named twice is there once.
    """
    by_trace: defaultdict[int, list[SpanFacts]] = defaultdict(list)
    named: defaultdict[str, dict[int, None]] = defaultdict(dict)
    for span in spans:
        by_trace[span.trace_id].append(span)
        if span.conversation_id and span.role in _NAMES_AN_ORDER:
            named[span.conversation_id][span.trace_id] = None
    wanted = tuple(dict.fromkeys(order_ids))
    shared = {
        trace_id: Trace(trace_id, tuple(by_trace[trace_id]))
        for order_id in wanted
        for trace_id in named.get(order_id, {})
    }
    return tuple(
        OrderTrace(order_id, tuple(shared[trace_id] for trace_id in named.get(order_id, {})))
        for order_id in wanted
    )

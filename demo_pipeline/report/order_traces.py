"""Joining spans into the traces of orders, and checking that every order is in one whole trace."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from demo_pipeline.report.model import OrderTrace, Role, SpanFacts, Trace
from demo_pipeline.report.wording import counted, printable

_NAMED_AT_MOST: Final = 3
# A poll span is a tiny root trace of its own that links to the messages of many orders.
_NAMES_AN_ORDER: Final = frozenset({Role.SEND, Role.PROCESS})


def join(spans: Iterable[SpanFacts], order_ids: Iterable[str]) -> tuple[OrderTrace, ...]:
    """Return each order with the traces in which one of its records was sent or processed.

    Orders keep their sequence; duplicate ids count once.
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


def fault_finder(services: Sequence[str]) -> Callable[[OrderTrace], str | None]:
    """Return a check of orders whose traces must span all `services`.

    The check returns one sentence about what is broken in an order's trace, or `None`. It checks
    traces that orders share once.
    """
    checked: dict[int, tuple[str, ...]] = {}

    def find(order: OrderTrace) -> str | None:
        name = f"order {printable(order.order_id)}"
        if not order.traces:
            return f"{name} has no trace"
        if len(order.traces) > 1:
            return f"{name} is in {len(order.traces)} traces instead of one: " + _several(
                [f"{trace.trace_id:032x} ({_services(trace)})" for trace in order.traces]
            )
        (trace,) = order.traces
        if trace.trace_id not in checked:
            checked[trace.trace_id] = _faults(trace, services)
        faults = checked[trace.trace_id]
        return f"{name}, trace {trace.trace_id:032x}: {'; '.join(faults)}" if faults else None

    return find


def _faults(trace: Trace, services: Sequence[str]) -> tuple[str, ...]:
    present = {span.service for span in trace.spans}
    span_ids = {None, *(span.span_id for span in trace.spans)}
    # A saga's span exists only once the saga has ended; its steps and sends exist before.
    span_ids |= {span.parent_id for span in trace.spans if span.role is Role.SAGA_STEP}
    roots = [span for span in trace.spans if span.parent_id is None]
    orphans = [span for span in trace.spans if span.parent_id not in span_ids]
    # A dead letter or a compensated saga goes no further; the trace is complete without the rest.
    must_reach_all = not (trace.dead_lettered or trace.saga_not_completed)
    faults = [
        f"service {printable(service)} is missing"
        for service in services
        if service not in present and must_reach_all
    ]
    if not roots:
        faults.append("it has no root span")
    elif len(roots) > 1:
        faults.append(f"it has {len(roots)} root spans instead of one: {_names(roots)}")
    elif roots[0].kind != "SERVER":
        faults.append(f"its root {_names(roots)} is {roots[0].kind}, not an HTTP server's span")
    if orphans:
        faults.append(f"{counted(len(orphans), 'span')} with a missing parent: {_names(orphans)}")
    return tuple(faults)


def _services(trace: Trace) -> str:
    return ", ".join(dict.fromkeys(printable(span.service) for span in trace.spans))


def _names(spans: Sequence[SpanFacts]) -> str:
    return _several([f"'{printable(span.name)}' of {printable(span.service)}" for span in spans])


def _several(texts: Sequence[str]) -> str:
    rest = len(texts) - _NAMED_AT_MOST
    shown = ", ".join(texts[:_NAMED_AT_MOST])
    return f"{shown} and {rest} more" if rest > 0 else shown

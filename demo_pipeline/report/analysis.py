"""Turning a run into what the terminal and the page show."""

from collections import defaultdict
from collections.abc import Iterable

from demo_pipeline.report.checking import fault_finder
from demo_pipeline.report.delivery import deliveries
from demo_pipeline.report.joining import join, read_spans
from demo_pipeline.report.letters import letter_kinds
from demo_pipeline.report.model import Analysis, Hop, OrderReport, Role, RunResult, SpanFacts
from demo_pipeline.report.sagas import sum_up_sagas
from demo_pipeline.report.timing import add, distribution, time_order, time_trace


def analyse(result: RunResult) -> Analysis:
    """Join, check and time all orders of a run, and sum up its hops."""
    spans = read_spans(result.spans)
    orders = join(spans, result.order_ids)
    fault_of = fault_finder(result.services)
    timings = {
        trace: time_trace(trace)
        for trace in dict.fromkeys(trace for order in orders for trace in order.traces)
    }
    reports = [
        OrderReport(order, time_order(timings[trace] for trace in order.traces), fault_of(order))
        for order in orders
    ]
    reports.sort(key=_slowest_first)
    timed = [report.timing for report in reports if report.timing]
    delivered = deliveries(result.metrics, spans)
    return Analysis(
        orders=tuple(reports),
        hops=sum_up_hops(spans),
        end_to_end=distribution(timing.duration_ns for timing in timed),
        breakdown=add(timing.breakdown for timing in timed),
        deliveries=delivered,
        letters=letter_kinds(delivered, spans),
        sagas=sum_up_sagas(result.metrics, spans),
    )


def check_traces(result: RunResult) -> tuple[str, ...]:
    """Say in one sentence for each broken order what is wrong; nothing when all is well.

    Whole is an order that is in exactly one trace, which spans all services, has one root, that
    an HTTP server's, and lacks no span's parent, except sagas that have not ended. Where a record
    was given up, its order need not have reached all services.
    """
    fault_of = fault_finder(result.services)
    orders = join(read_spans(result.spans), result.order_ids)
    return tuple(fault for fault in map(fault_of, orders) if fault)


def sum_up_hops(spans: Iterable[SpanFacts]) -> tuple[Hop, ...]:
    """Sum processing up by service, group and topic; the hop that worked first comes first."""
    by_hop: defaultdict[tuple[str, str, str], list[SpanFacts]] = defaultdict(list)
    for span in spans:
        if span.role is Role.PROCESS:
            by_hop[span.service, span.group, span.topic].append(span)
    ranked = sorted(
        by_hop.items(), key=lambda item: (min(span.start_ns for span in item[1]), item[0])
    )
    return tuple(
        Hop(
            service=service,
            group=group,
            topic=topic,
            records=len(handled),
            wait=distribution(span.wait_ns for span in handled if span.wait_ns is not None),
            processing=distribution(span.duration_ns for span in handled),
            rejected=sum(span.outcome == "rejected" for span in handled),
            errors=sum(span.failed for span in handled),
        )
        for (service, group, topic), handled in ranked
    )


def _slowest_first(report: OrderReport) -> tuple[int, str]:
    duration = report.timing.duration_ns if report.timing else -1
    return -duration, report.order.order_id

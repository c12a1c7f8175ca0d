"""Analysing a run: everything that the terminal and the page show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from demo_pipeline.report.backlog import backlogs, left_behind
from demo_pipeline.report.catch_up import catch_ups
from demo_pipeline.report.coupling import couplings
from demo_pipeline.report.delivery import dead_letter_kinds, deliveries
from demo_pipeline.report.facts import read_spans
from demo_pipeline.report.hops import lags_over_time, sum_up_hops
from demo_pipeline.report.message_map import message_map
from demo_pipeline.report.model import OrderReport
from demo_pipeline.report.order_traces import fault_finder, join
from demo_pipeline.report.outbox import outboxes
from demo_pipeline.report.sagas import sum_up_sagas
from demo_pipeline.report.schema_versions import schema_versions
from demo_pipeline.report.timing import add, distribution, time_order, time_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from demo_pipeline.report.backlog import Backlogs
    from demo_pipeline.report.catch_up import CatchUp
    from demo_pipeline.report.coupling import Coupling
    from demo_pipeline.report.delivery import DeadLetterKind, Delivery
    from demo_pipeline.report.hops import LagsOverTime
    from demo_pipeline.report.message_map import MappedTopic
    from demo_pipeline.report.model import Breakdown, Distribution, Hop, RunResult
    from demo_pipeline.report.outbox import Outbox
    from demo_pipeline.report.sagas import Saga
    from demo_pipeline.report.schema_versions import SchemaVersions


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that the terminal and the page show; the slowest of `orders` comes first."""

    orders: tuple[OrderReport, ...]
    hops: tuple[Hop, ...]
    end_to_end: Distribution | None
    breakdown: Breakdown
    deliveries: tuple[Delivery, ...] = ()
    dead_letters: tuple[DeadLetterKind, ...] = ()
    sagas: tuple[Saga, ...] = ()
    lags: LagsOverTime | None = None
    messages: tuple[MappedTopic, ...] = ()
    couplings: tuple[Coupling, ...] = ()
    schemas: tuple[SchemaVersions, ...] = ()
    backlogs: Backlogs | None = None
    catch_ups: tuple[CatchUp, ...] = ()
    answers: Distribution | None = None
    outboxes: tuple[Outbox, ...] = ()
    left_behind: Mapping[str, int] = field(default_factory=dict)

    @property
    def dead_lettered_order(self) -> OrderReport | None:
        """The slowest order with a dead letter; `None` if there is none."""
        return next((report for report in self.orders if report.dead_lettered), None)

    @property
    def faults(self) -> tuple[str, ...]:
        """One sentence for each broken order."""
        return tuple(report.fault for report in self.orders if report.fault)


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
        dead_letters=dead_letter_kinds(delivered, spans),
        sagas=sum_up_sagas(result.metrics, spans),
        lags=lags_over_time(spans),
        messages=message_map(result.metrics),
        couplings=couplings(spans),
        schemas=schema_versions(spans),
        backlogs=backlogs(spans),
        catch_ups=catch_ups(spans),
        answers=distribution(_answers_ns(reports)),
        outboxes=outboxes(spans),
        left_behind=left_behind(spans),
    )


def check_traces(result: RunResult) -> tuple[str, ...]:
    """Return one sentence for each order with a broken trace.

    An order must be in exactly one trace. The trace must span all services, have one root, which is
    an HTTP server's span, and have every span's parent, except those of active sagas. An order with
    a dead letter or a compensated saga need not have reached all services.
    """
    fault_of = fault_finder(result.services)
    orders = join(read_spans(result.spans), result.order_ids)
    return tuple(fault for fault in map(fault_of, orders) if fault)


def _answers_ns(reports: Iterable[OrderReport]) -> Iterator[int]:
    """Generate how long the customers of orders waited for the answer, in ns."""
    for trace in dict.fromkeys(trace for report in reports for trace in report.order.traces):
        for span in trace.spans:
            if span.parent_id is None and span.kind == "SERVER":
                yield span.duration_ns


def _slowest_first(report: OrderReport) -> tuple[int, str]:
    duration = report.timing.duration_ns if report.timing else -1
    return -duration, report.order.order_id

"""Check the telemetry: one trace per order, one span per saga, totals equal to the stored rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.databases import SAGAS
from tests.chaos.saga_counts import counts_from_metrics, counts_from_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.chaos.collector import Collector


def trace_problems(collector: Collector, accepted: Mapping[str, str]) -> list[str]:
    """List orders and sagas with spans outside the customer's trace, or with no span at all."""
    problems = [
        f"order {order_id} is in the traces {sorted(traces)}, not in {trace_id} alone"
        for order_id, trace_id in accepted.items()
        if (traces := collector.traces_of.get(order_id, set())) - {trace_id}
    ]
    unseen = [order_id for order_id in accepted if not collector.traces_of.get(order_id)]
    if unseen:
        problems.append(f"{len(unseen)} orders have no span at all: {', '.join(unseen[:3])}")
    for (saga, saga_id), spans in collector.saga_spans.items():
        if len(spans) > 1:
            problems.append(
                f"saga {saga} of order {saga_id} has {len(spans)} spans: {sorted(spans)}"
            )
        # An order whose HTTP answer was lost has a trace too, but no accepted trace id.
        elsewhere = {trace_id for trace_id, _ in spans} - {accepted.get(saga_id, "")}
        if saga_id in accepted and elsewhere:
            problems.append(f"saga {saga} of order {saga_id} is in the traces {sorted(elsewhere)}")
    return problems


def sagas_without_span(collector: Collector, accepted: Mapping[str, str], service: str) -> int:
    """Count sagas without a span: their process was killed between commit and export."""
    saga = SAGAS[service]
    return sum(not collector.saga_spans.get((saga, order_id)) for order_id in accepted)


def metric_problems(collector: Collector, folder: Path) -> list[str]:
    """List differences between the services' last metrics and their stored rows."""
    metrics = collector.metrics
    problems = list(metrics.decreases)
    for service, saga in SAGAS.items():
        stored, exported = counts_from_rows(folder, service), counts_from_metrics(metrics, service)
        if stored != exported:
            problems.append(f"{service} exported {exported}, but its rows say {stored}")
        active = metrics.active(service, saga)
        if active:
            problems.append(f"{service} exported {active} active {saga} sagas")
    return problems

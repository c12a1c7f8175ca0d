"""Whether telemetry tells what happened: orders in one trace, sagas once, totals as stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.books import SAGAS
from tests.chaos.figures import counted, exported

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.chaos.collector import Collector


def torn(collector: Collector, accepted: Mapping[str, str]) -> list[str]:
    """Say which orders have spans outside the trace that the customer was told, or none at all."""
    found = [
        f"order {order_id} is in the traces {sorted(traces)}, not in {trace_id} alone"
        for order_id, trace_id in accepted.items()
        if (traces := collector.traces_of.get(order_id, set())) - {trace_id}
    ]
    unseen = [order_id for order_id in accepted if not collector.traces_of.get(order_id)]
    if unseen:
        found.append(f"{len(unseen)} orders have no span at all: {', '.join(unseen[:3])}")
    for (saga, saga_id), spans in collector.saga_spans.items():
        if len(spans) > 1:
            found.append(f"saga {saga} of order {saga_id} has {len(spans)} spans: {sorted(spans)}")
        # Orders whose answer the customer never got have a trace as well, which nobody was told.
        elsewhere = {trace_id for trace_id, _ in spans} - {accepted.get(saga_id, "")}
        if saga_id in accepted and elsewhere:
            found.append(f"saga {saga} of order {saga_id} is in the traces {sorted(elsewhere)}")
    return found


def untold(collector: Collector, accepted: Mapping[str, str], service: str) -> int:
    """How many sagas have no span: their teller was killed between commit and export."""
    saga = SAGAS[service]
    return sum(not collector.saga_spans.get((saga, order_id)) for order_id in accepted)


def mismeasured(collector: Collector, folder: Path) -> list[str]:
    """Say where the services' last metrics differ from the rows that they have stored."""
    metrics = collector.metrics
    found = list(metrics.fallen)
    for service, saga in SAGAS.items():
        stored, told = counted(folder, service), exported(metrics, service)
        if stored != told:
            found.append(f"{service} told {told}, but its rows say {stored}")
        active = metrics.active(service, saga)
        if active:
            found.append(f"{service} told that {active} {saga} sagas are active")
    return found

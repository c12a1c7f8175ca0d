"""The figures of a whole run against each other: lag against its parts, what came against went."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint

from demo_pipeline.app.load import Load
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.broker import EmbeddedBroker
from demo_pipeline.domain.topics import PARTITIONS
from demo_pipeline.report.facts import read_spans
from demo_pipeline.report.order_traces import join
from tests.demo_pipeline.decomposing import decompose
from tests.demo_pipeline.pending import pending_records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.metrics.export import MetricsData

TOPIC = "messaging.destination.name"
GROUP = "messaging.consumer.group.name"


class _Silent:
    def step(self, what: str) -> None: ...

    def placed(self) -> None: ...

    def ended(self, orders: int) -> None: ...


OPTIONS = RunOptions(
    load=Load(orders=25, rate=10, seed=1),
    scenario="steady",
    bootstrap_servers=None,
    kafka=False,
    http_port=0,
    timeout_s=60,
)


@pytest.mark.integration
@pytest.mark.parametrize("scenario", ["steady", "payment-outage"])
async def test_end_to_end_lag_is_the_sum_of_its_parts_for_every_order(scenario: str) -> None:
    outcome = await run(replace(OPTIONS, scenario=scenario), _Silent())

    orders = join(read_spans(outcome.result.spans), outcome.result.order_ids)
    assert () == outcome.problems
    assert 25 == len(orders)
    for order in orders:
        (trace,) = order.traces
        if scenario != "steady" and trace.given_up:
            # What a timer asks for again is created by no handler.
            continue
        decomposed = decompose(trace.spans)
        assert {"orchestrator ← shipping.events", "observer ← notification.events"} <= {
            found.hop for found in decomposed
        }
        for found in decomposed:
            assert found.missing <= 5, found
            # The parts are times that passed where they are said to have passed.
            assert max(part.outside for part in found.parts) <= 3, found
            assert min(min(p.publish, p.wait, p.processing) for p in found.parts) >= -3, found


@pytest.mark.integration
async def test_what_was_produced_was_consumed_or_dead_lettered_or_is_pending() -> None:
    async with EmbeddedBroker() as broker:
        options = replace(OPTIONS, scenario="poison", bootstrap_servers=broker.bootstrap_servers)
        outcome = await run(options, _Silent())
        gone = _gone(outcome.result.metrics)
        readers: defaultdict[str, set[str]] = defaultdict(set)
        for group, topic in gone:
            readers[group].add(topic)
        pending = await pending_records(broker.bootstrap_servers, readers, PARTITIONS)
    metrics = outcome.result.metrics
    produced = Counter[str]()
    for attributes, value in _points(metrics, "messaging.client.sent.messages"):
        produced[attributes[TOPIC]] += value

    assert () == outcome.problems
    assert len(gone) >= 15
    assert {hop: produced[hop[1]] for hop in gone} == {
        hop: number + pending[hop] for hop, number in gone.items()
    }


def _gone(metrics: Iterable[MetricsData]) -> Counter[tuple[str, str]]:
    """The records that each group has done with, by group and topic."""
    gone = Counter[tuple[str, str]]()
    for attributes, value in _points(metrics, "messaging.process.duration"):
        # Attempts that failed are no records; what they led to is below.
        if "error.type" not in attributes:
            gone[attributes[GROUP], attributes[TOPIC]] += value
    for attributes, value in _points(metrics, "pipeline.dead_letters"):
        gone[attributes[GROUP], attributes[TOPIC]] += value
    return gone


def _points(metrics: Iterable[MetricsData], name: str) -> Iterable[tuple[dict[str, Any], int]]:
    for data in metrics:
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points if metric.name == name else ():
                        if isinstance(point, NumberDataPoint):
                            yield dict(point.attributes or {}), int(point.value)
                        elif isinstance(point, HistogramDataPoint):
                            yield dict(point.attributes or {}), point.count

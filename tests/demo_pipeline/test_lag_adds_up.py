"""The figures of a whole run agree: lag with its parts, produced records with consumed ones."""

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
        if scenario != "steady" and trace.dead_lettered:
            # A command repeated by a timer was created by no handler.
            continue
        decomposed = decompose(trace.spans)
        assert {"orchestrator ← shipping.events", "observer ← notification.events"} <= {
            each.hop for each in decomposed
        }
        for each in decomposed:
            assert each.missing <= 5, each
            # Every part is a time that really passed in its hop.
            assert max(part.outside for part in each.parts) <= 3, each
            assert min(min(p.publish, p.wait, p.processing) for p in each.parts) >= -3, each


@pytest.mark.integration
async def test_every_produced_record_was_consumed_or_dead_lettered_or_is_pending() -> None:
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
    """Return the number of records that each group has finished, by group and topic."""
    gone = Counter[tuple[str, str]]()
    for attributes, value in _points(metrics, "messaging.process.duration"):
        # Failed attempts are not finished records; dead letters are counted below.
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

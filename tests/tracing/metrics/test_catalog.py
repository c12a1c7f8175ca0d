"""The recorded metrics match the catalogue, and the other way round."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    PeriodicExportingMetricReader,
)

import tracing
from tests.tracing.kept_metrics import KeptMetrics
from tests.tracing.sagas.saga_doubles import Source
from tracing import SagaHealth, Telemetry, TracedConsumer, TracedProducer
from tracing.cli.metrics import markdown
from tracing.delivery.inbox import Duplicates
from tracing.export.account import ExportAccount
from tracing.export.metrics import AggregatedMetricExporter
from tracing.headers.dead_letter import Replay
from tracing.headers.identity import EventIdentity
from tracing.lag import (
    ClusterState,
    CommandTopic,
    DeadLetterDepth,
    GroupLag,
    PartitionLag,
    RetentionUse,
    Status,
    Sweep,
    Velocity,
)
from tracing.lag.gauges import LagGauges
from tracing.metrics import catalog
from tracing.metrics.histograms import Aggregator
from tracing.replay import Freshness
from tracing.replay.progress import Account
from tracing.sql.backlog import Backlog
from tracing.sql.staleness import StalenessGauge
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Recorded = dict[str, list[tuple[Any, frozenset[str]]]]

# Needs a broker with an admin interface; tests/dlq looks at its labels.
_ELSEWHERE: Final = {catalog.DEAD_LETTERS_REPLAYED}
_SOURCES: Final = Path(tracing.__file__).parent
_DATA: Final = {"counter": "Sum", "gauge": "Gauge", "histogram": "Histogram"}
_SWEEP: Final = Sweep(
    0.0, 0.1,
    (GroupLag("g", "Stable", 1,
              (PartitionLag("orders", 0, 0, 5, 5, 50.0, True, True, Status.OK,
                            retention=RetentionUse(0.5, 50.0),
                            velocity=Velocity(1.0, 2.0, True, 5.0)),
               PartitionLag("old", 0, 0, 5, 5, 50.0, True, False, Status.ABANDONED)),
              Status.OK),),
    (DeadLetterDepth("orders", "g", "orders.g.dlq", 1, 1.0),),
    commands=(CommandTopic("orders", ("g",)),),
    cluster=ClusterState(1, 0, 0, 0),
)  # fmt: skip


class _Failing:
    """Succeeds with the record at offset 0 at the second attempt, and with no other."""

    def __init__(self) -> None:
        self._calls = 0

    async def __call__(self, record: Any) -> None:
        self._calls += 1
        tracing.waited_for("database", 0.0)
        if record.offset or self._calls == 1:
            raise ConnectionError


async def _health() -> SagaHealth:
    return SagaHealth(
        active={"charge-card": 1}, overdue=1, oldest_started_ns=1, started=2,
        moved_ns={"charge-card": 1},
        ended={"completed": 1}, compensations={"refund-card": 1},
    )  # fmt: skip


async def _scene(telemetry: Telemetry) -> Callable[[], Awaitable[None]]:
    """Do everything that metrics measure, and return a function that ends it."""
    broker = InMemoryBroker()
    for topic in ("orders", "orders.g.dlq", "history"):
        broker.create_topic(topic, partitions=1)
    producer = TracedProducer(InMemoryProducer(broker), telemetry)
    polled = TracedConsumer(_reader(broker), telemetry, group="p")
    async with producer, polled:
        with pytest.raises(AssertionError):
            await producer.send_and_wait("orders", b"v", partition=99)
        for _ in range(2):
            await producer.send_and_wait("orders", b"v")
        again = Replay(group="g", id="orders/0/0").headers()
        await producer.wrapped.send_and_wait("orders", b"v", headers=again)
        records = [r for batch in (await polled.getmany(timeout_ms=100)).values() for r in batch]
        async with polled.process_batch(records):
            Duplicates(telemetry, "g").skipped("orders", EventIdentity.of(records[0]))
        await _give_up(TracedConsumer(_reader(broker, group_id="g"), telemetry), producer, broker)
        await producer.send_and_wait("history", b"v", timestamp_ms=1)
        late = InMemoryConsumer("history", broker=broker, auto_offset_reset="earliest")
        behind = TracedConsumer(late, telemetry, group="late")
        await behind.start()
        async with behind.process(await behind.getone()):
            pass
    counting = tracing.SagaTracker("counted", telemetry)
    context = counting.begin("s-1")
    counting.started(context)
    counting.step(context, "undo", started_ns=1, outcome="ok", compensation=True)
    counting.ended(context, "completed")
    reading = tracing.SagaTracker("read", telemetry, health=Source(_health))
    gauges = LagGauges(telemetry.metrics, partitions=True, max_series=10)
    gauges.start()
    gauges.show(_SWEEP, valid_s=600)
    backlog = Backlog(telemetry, "orders")
    backlog.begin()
    backlog.measured(1, 1)
    staleness = StalenessGauge(telemetry, "orders")
    staleness.begin()
    staleness.show({"view": Freshness(1, 1, 1)})
    replayed = Account(telemetry, "orders", 1, resumed=False)
    tracing.Schemas(telemetry, {1: ("orders-value", 1)}).written(b"\0\0\0\0\1")

    async def end() -> None:
        await behind.stop()
        await reading.aclose()
        gauges.end()
        backlog.end()
        staleness.end()
        replayed.close()

    return end


def _reader(broker: InMemoryBroker, **options: Any) -> InMemoryConsumer:
    return InMemoryConsumer(
        "orders", broker=broker, auto_offset_reset="earliest", enable_auto_commit=False, **options
    )


async def _give_up(
    consumer: TracedConsumer, producer: TracedProducer, broker: InMemoryBroker
) -> None:
    stop = asyncio.Event()
    async with consumer, InMemoryConsumer(
        "orders.g.dlq", broker=broker, auto_offset_reset="earliest"
    ) as letters:  # fmt: skip
        consuming = asyncio.create_task(
            tracing.consume(
                consumer, _Failing(), retry=tracing.Retry(attempts=2, delay_s=0),
                dead_letters=tracing.DeadLetters(producer), stop=stop,
            )
        )  # fmt: skip
        for _ in range(2):
            await letters.getone()
        stop.set()
        await consuming


async def _recorded(*, aggregated: bool) -> Recorded:
    """Every metric of the scene, each with the labels of its series."""
    keeps, account = KeptMetrics(), ExportAccount()
    aggregator = Aggregator() if aggregated else None
    exporter = keeps if aggregator is None else AggregatedMetricExporter(keeps, aggregator, account)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)], shutdown_on_exit=False)
    telemetry = Telemetry(
        "orders",
        meter_provider=provider,
        aggregator=aggregator,
        order_check=True,
        message_kinds={"orders": "event"},
        body_sizes=True,
    )
    account.report_with(telemetry.metrics)
    end = await _scene(telemetry)
    # In a thread, as it is in services: readings of sagas are made on the event loop.
    await asyncio.to_thread(provider.force_flush)
    await end()
    data = keeps.exported[-1]
    await asyncio.to_thread(provider.shutdown)
    assert data is not None
    found: Recorded = {}
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                series = found.setdefault(metric.name, [])
                series += [
                    (metric, frozenset(point.attributes or {})) for point in metric.data.data_points
                ]
    return found


@pytest.mark.parametrize("aggregated", [True, False])
async def test_the_recorded_metrics_are_those_of_the_catalogue(*, aggregated: bool) -> None:
    recorded = await _recorded(aggregated=aggregated)

    known = {metric.name: metric for metric in catalog.METRICS}
    assert known.keys() - {metric.name for metric in _ELSEWHERE} == recorded.keys()
    for name, series in recorded.items():
        labels: set[str] = set()
        for metric, keys in series:
            assert (known[name].unit, known[name].description) == (metric.unit, metric.description)
            assert _DATA[known[name].kind] == type(metric.data).__name__
            labels |= keys
        assert (name, sorted(known[name].labels)) == (name, sorted(labels))


def test_only_metrics_of_the_catalogue_can_be_created() -> None:
    makers = re.compile(r"\.create_(observable_)?(counter|gauge|histogram|up_down_counter)\(")
    found = [
        path.relative_to(_SOURCES).as_posix()
        for path in sorted(_SOURCES.rglob("*.py"))
        if makers.search(path.read_text())
    ]
    assert ["metrics/instruments.py"] == found


def test_metric_names_are_unique_and_buckets_ascend() -> None:
    names = [metric.name for metric in catalog.METRICS]
    assert len(names) == len(set(names)) == len({metric.prometheus for metric in catalog.METRICS})
    for metric in catalog.METRICS:
        assert sorted(metric.buckets) == list(metric.buckets)
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert metric.description.endswith(".")


def test_the_table_of_metrics_matches_the_catalogue() -> None:
    assert markdown() == (_SOURCES / "METRICS.md").read_text(), (
        "mend it: python -m tracing metrics --markdown > tracing/METRICS.md"
    )

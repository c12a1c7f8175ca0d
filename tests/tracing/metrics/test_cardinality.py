"""An unbounded number of labels: a bounded number of series, one for the rest, and a count."""

from __future__ import annotations

import time
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from tracing import Telemetry, TracedConsumer
from tracing.metrics import catalog
from tracing.metrics.histograms import Aggregator
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer

OVERFLOW = {"otel.metric.overflow": True}
DROPPED = ("pipeline.telemetry.dropped", {"reason": "series"})


def _telemetry(capture: Capture, **options: Any) -> Telemetry:
    return Telemetry("orders", meter_provider=capture.meter_provider, **options)


def _record(topic: str) -> Any:
    now_ms = int(time.time() * 1000)
    flow = f"pipeline.name=orders,pipeline.origin={now_ms}".encode()
    return ConsumerRecord(topic, 0, 0, now_ms, 0, None, b"x", None, 0, 1, (("baggage", flow),))


def test_counters_beyond_the_bound_share_one_series_and_lose_nothing() -> None:
    with Capture() as capture:
        metrics = _telemetry(capture, max_series=100).metrics
        for number in range(120):
            metrics.count(
                catalog.DUPLICATES, {"messaging.destination.name": f"t{number}"}
            ).value += 1

        assert 120 == capture.metric("pipeline.duplicates")
        assert 21 == capture.metric("pipeline.duplicates", OVERFLOW)
        assert 1 == capture.metric("pipeline.duplicates", {"messaging.destination.name": "t98"})
        assert capture.metric("pipeline.duplicates", {"messaging.destination.name": "t99"}) is None
        assert 21 == capture.metric(*DROPPED)


@pytest.mark.parametrize("aggregated", [True, False])
async def test_an_unbounded_number_of_topics_has_a_bounded_number_of_series(
    *, aggregated: bool
) -> None:
    aggregator = Aggregator() if aggregated else None
    with Capture() as capture:
        telemetry = _telemetry(capture, max_series=100, aggregator=aggregator)
        bare = InMemoryConsumer("t", broker=InMemoryBroker())
        consumer = TracedConsumer(bare, telemetry, group="g")
        for number in range(115):
            async with consumer.process(_record(f"t{number}")):
                pass
        if aggregator is None:
            found: Any = capture.metric("pipeline.wait.duration", OVERFLOW)
            assert 16 == found.count
        else:
            series = aggregator.totals()[catalog.WAIT_DURATION]
            assert 16 == series[frozenset(OVERFLOW.items())].count
            assert 100 == len(series)
        # Processing, wait, end to end, and skipped replays, which are counted from 0 on.
        assert 4 * 16 == capture.metric(*DROPPED)


def test_an_existing_series_stays() -> None:
    with Capture() as capture:
        metrics = _telemetry(capture, max_series=100).metrics
        for _ in range(300):
            metrics.count(catalog.DUPLICATES, {"messaging.destination.name": "t"}).value += 1
        assert 300 == capture.metric("pipeline.duplicates", {"messaging.destination.name": "t"})
        assert 0 == capture.metric(*DROPPED)


def test_readings_beyond_the_bound_are_dropped_and_counted() -> None:
    with Capture() as capture:
        metrics = _telemetry(capture, max_series=100).metrics
        metrics.observe(
            catalog.SAGA_ACTIVE, lambda: [({"saga": f"s{number}"}, 1.0) for number in range(115)]
        )
        assert 100 == capture.metric("pipeline.saga.active")
        assert 15 == capture.metric(*DROPPED)


def test_a_bound_of_one_series_is_refused() -> None:
    with pytest.raises(ValueError, match="max_series must be at least 100, not 1"):
        Telemetry("orders", max_series=1)

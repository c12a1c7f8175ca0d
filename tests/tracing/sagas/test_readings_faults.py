"""Reading saga health from a store that is slow, fails, hangs or closes: nothing else suffers."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.tracing.sagas.saga_doubles import Source, fail, hang, telemetry_on
from tracing import SagaHealth, SagaTracker, Telemetry
from tracing.core import log
from tracing.sagas import readings
from tracing.testing import Capture, eventually
from tracing.testing.metric_values import points_of

DROPPED = ("pipeline.telemetry.dropped", {"reason": "saga_health"})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "_TIMEOUT_S", 0.05)


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own time-out, five times shorter."""
    monkeypatch.setattr(readings, "_TIMEOUT_S", readings._TIMEOUT_S / 5)


async def in_thread(capture: Capture, name: str, labels: dict[str, Any] | None = None) -> Any:
    """Collect in another thread, as exporters do."""
    return await asyncio.to_thread(capture.metric, name, labels)


@pytest.mark.parametrize("answer", [fail, hang])
@pytest.mark.usefixtures("impatient")
async def test_an_unresponsive_store_leaves_out_only_its_own_series(
    answer: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_warned", set())
    source = Source(answer)
    with Capture() as capture, caplog.at_level(logging.WARNING, "tracing"):
        tracker = SagaTracker("p", telemetry_on(capture), health=source)
        SagaTracker("q", telemetry_on(capture)).started(tracker.begin("o-1", 1))
        for collection in range(1, 4):
            for name in ("started", "active", "overdue"):
                assert None is await in_thread(capture, f"pipeline.saga.{name}", {"saga": "p"})
            assert 1 == await in_thread(capture, "pipeline.saga.started", {"saga": "q"})
            assert source.asked <= collection * 4
        # A failure of this collection is counted in this one or in the next.
        assert await in_thread(capture, *DROPPED) in {12, 13}

    warnings = [record.message for record in caplog.records if "saga_health" in record.message]
    assert 1 == len(warnings)


async def test_two_readers_each_get_a_current_reading() -> None:
    one, other = InMemoryMetricReader(), InMemoryMetricReader()
    provider = MeterProvider([one, other], shutdown_on_exit=False)
    source = Source()

    def figures(reader: InMemoryMetricReader) -> list[Any]:
        return [
            point.value
            for point in points_of(reader.get_metrics_data())
            if point.name in {"pipeline.saga.started", "pipeline.saga.overdue"}
        ]

    SagaTracker("p", Telemetry("orders", meter_provider=provider), health=source)
    collections = [await asyncio.to_thread(figures, reader) for reader in (one, other, one)]
    provider.shutdown()

    assert [[1, 0], [2, 0], [3, 0]] == collections
    assert 3 == source.asked


@pytest.mark.usefixtures("scaled")
async def test_two_sagas_of_a_hanging_store_are_read_once_per_collection() -> None:
    sources = [Source(hang), Source(hang)]
    with Capture() as capture:
        for name, source in zip("pq", sources, strict=True):
            SagaTracker(name, telemetry_on(capture), health=source)
        await in_thread(capture, "pipeline.saga.started")

        assert [1, 1] == [source.asked for source in sources]


@pytest.mark.usefixtures("scaled")
async def test_two_sagas_of_a_slow_store_are_read_once_per_collection() -> None:
    async def slow() -> SagaHealth:
        # Both together take longer than the time-out of one.
        await asyncio.sleep(readings._TIMEOUT_S * 0.6)
        return SagaHealth(started=1)

    sources = [Source(slow), Source(slow)]
    with Capture() as capture:
        for name, source in zip("pq", sources, strict=True):
            SagaTracker(name, telemetry_on(capture), health=source)
        assert 2 == await in_thread(capture, "pipeline.saga.started")

        assert [1, 1] == [source.asked for source in sources]


@pytest.mark.usefixtures("impatient")
async def test_a_reading_that_timed_out_is_not_reported_later() -> None:
    go = asyncio.Event()

    async def late() -> SagaHealth:
        await go.wait()
        return SagaHealth(started=7)

    source = Source(late)
    with Capture() as capture:
        SagaTracker("p", telemetry_on(capture), health=source)
        assert None is await in_thread(capture, "pipeline.saga.started")
        source.answer = fail
        go.set()
        assert None is await in_thread(capture, "pipeline.saga.started")


def test_a_closed_loop_leaves_a_gap() -> None:
    source = Source()

    async def living(capture: Capture) -> None:
        SagaTracker("p", telemetry_on(capture), health=source)
        assert 1 == await in_thread(capture, "pipeline.saga.started")

    with Capture() as capture:
        asyncio.run(living(capture))
        for _ in range(2):
            assert None is capture.metric("pipeline.saga.started")
            assert 0 == capture.metric("pipeline.telemetry.dropped", {"reason": "send"})
        assert capture.metric(*DROPPED)
        assert 1 == source.asked


async def test_a_collection_on_another_loop_waits_for_the_loop_of_the_store() -> None:
    source = Source()
    with Capture() as capture:
        SagaTracker("p", telemetry_on(capture), health=source)

        async def collect() -> Any:
            return capture.metric("pipeline.saga.started")

        assert 1 == await asyncio.to_thread(partial(asyncio.run, collect()))


async def test_an_invalid_answer_is_counted() -> None:
    async def wrong() -> Any:
        return {"started": 1}

    with Capture() as capture:
        SagaTracker("p", telemetry_on(capture), health=Source(wrong))
        assert None is await in_thread(capture, "pipeline.saga.started")

        assert await in_thread(capture, *DROPPED)


async def test_the_shared_series_of_rare_states_falls_to_zero_like_others() -> None:
    async def many() -> SagaHealth:
        return SagaHealth(active={f"state-{number}": 1 for number in range(40)})

    async def none() -> SagaHealth:
        return SagaHealth()

    source = Source(many)
    with Capture() as capture:
        SagaTracker("p", telemetry_on(capture), health=source)
        rare = ("pipeline.saga.active", {"state": "_OTHER"})
        assert 8 == await in_thread(capture, *rare)
        source.answer = none

        assert 0 == await in_thread(capture, *rare)


async def test_a_collection_on_the_loop_reads_once_for_all_instruments() -> None:
    source = Source()
    with Capture() as capture:
        SagaTracker("p", telemetry_on(capture), health=source)
        assert None is capture.metric("pipeline.saga.started")
        await eventually(lambda: source.asked)
        await asyncio.sleep(0)

        assert 1 == source.asked
        assert 1 == capture.metric("pipeline.saga.started")

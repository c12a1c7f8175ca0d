"""An unbounded number of names is remembered within a bound."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tracing.sagas.saga_doubles import telemetry_on
from tracing import TracedProducer
from tracing.core import bounded
from tracing.core.bounded import BoundedDict, OncePerInterval
from tracing.messaging.flow_lag import Arrivals, Publications
from tracing.metrics import catalog
from tracing.metrics.series import ErrorCounts, OperationSeries
from tracing.testing import Capture, InMemoryBroker, InMemoryProducer


def test_a_bounded_dict_makes_each_value_once_and_drops_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded, "MAX_KEPT", 2)
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return key.upper()

    cache = BoundedDict(make)

    assert ["A", "B", "A", "C", "B", "A"] == [cache[key] for key in "abacba"]
    assert ["a", "b", "c", "a"] == made
    assert {"c": "C", "a": "A"} == cache
    assert "z" not in cache
    assert cache.get("z") is None


def test_a_value_that_cannot_be_made_is_not_kept() -> None:
    cache: BoundedDict[str, int] = BoundedDict(int)

    with pytest.raises(ValueError, match="invalid literal"):
        cache["a"]

    assert {} == cache


def test_each_key_has_its_own_interval() -> None:
    intervals: OncePerInterval[str] = OncePerInterval(60.0)

    assert [True, False, True, True] == [
        intervals.due("a", 0.0),
        intervals.due("a", 59.0),
        intervals.due("b", 59.0),
        intervals.due("a", 60.0),
    ]


async def test_a_producer_of_ever_new_topics_keeps_few_of_them_and_counts_all_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded, "MAX_KEPT", 5)
    broker = InMemoryBroker()
    with Capture() as capture:
        producer = TracedProducer(InMemoryProducer(broker), telemetry_on(capture))
        async with producer:
            for number in [*range(20), *range(20)]:
                broker.create_topic(f"t{number}", partitions=1)
                await producer.send_and_wait(f"t{number}", b"v")
        assert 5 == len(producer._destinations)
        for topic in ("t0", "t19"):
            labels = {"messaging.destination.name": topic}
            assert 2 == capture.metric("messaging.client.sent.messages", labels)


@pytest.mark.parametrize("kind", [Arrivals, Publications])
def test_pipelines_beyond_the_first_share_one_series_that_is_looked_up_once(
    kind: type[Any],
) -> None:
    with Capture() as capture:
        telemetry = telemetry_on(capture)
        known: Any = Publications(telemetry, "t")
        if kind is Arrivals:
            known = Arrivals(telemetry, "t", None, {})
        first = known.of({"pipeline.name": "name-0"})
        for number in range(100):
            known.of({"pipeline.name": f"name-{number}"})
            known.of({"pipeline.name": object()})

        assert first is known.of({"pipeline.name": "name-0"})
        assert known.of({"pipeline.name": "name-98"}) is known.of({"pipeline.name": "name-99"})
        assert known.of({"pipeline.name": "name-99"}) is not known.of({})
        assert 33 == len(known._by_pipeline)


def test_error_types_beyond_the_first_share_one_series() -> None:
    with Capture() as capture:
        metrics = telemetry_on(capture).metrics
        labels = {"messaging.destination.name": "t"}
        counts = ErrorCounts(metrics, catalog.RETRIES, labels)
        series = OperationSeries(metrics, labels, durations=catalog.PROCESS_DURATION)
        for number in range(100):
            counts.add(f"Error{number}")
            series.failed(f"Error{number}").record(1.0)
        counts.add("Error0")

        assert 68 == capture.metric("pipeline.retries", {"error.type": "_OTHER"})
        assert 2 == capture.metric("pipeline.retries", {"error.type": "Error0"})
        found: Any = capture.metric("messaging.process.duration", {"error.type": "_OTHER"})
        assert 68 == found.count
        assert series.failed("Error90") is series.failed("Error91")

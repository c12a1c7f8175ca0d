"""Sizes of what is read: a histogram by topic and type, only where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tracing import Telemetry, TracedConsumer, TracedProducer, cloudevent
from tracing.messaging.body_size import SizedProcessing
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tracing.metrics.instruments import Durations
    from tracing.metrics.metric import Labels, Metric

SIZE = "pipeline.message.body.size"
SIZES = (3, 300)


class Reader:
    """Two records in memory, one of each type, and a consumer of them."""

    def __init__(self, capture: Capture, **options: Any) -> None:
        self.telemetry = Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
            **options,
        )
        self._broker = InMemoryBroker()

    async def records(self) -> AsyncIterator[tuple[TracedConsumer, Any]]:
        self._broker.create_topic("orders", partitions=1)
        async with TracedProducer(InMemoryProducer(self._broker), self.telemetry) as producer:
            for size in SIZES:
                headers = cloudevent(type=f"Of{size}")
                await producer.send_and_wait("orders", b"x" * size, headers=headers)
        bare = InMemoryConsumer("orders", broker=self._broker, auto_offset_reset="earliest")
        async with TracedConsumer(bare, self.telemetry, group="g") as consumer:
            for _ in SIZES:
                yield consumer, await consumer.getone()


def _recorded(capture: Capture, size: int) -> tuple[int, float]:
    found: Any = capture.metric(
        SIZE, {"messaging.destination.name": "orders", "message.type": f"Of{size}"}
    )
    return (0, 0) if found is None else (found.count, found.sum)


async def test_the_size_of_each_record_is_counted_by_topic_and_type() -> None:
    with Capture() as capture:
        async for consumer, record in Reader(capture, body_sizes=True).records():
            async with consumer.process(record):
                pass

        assert [(1, 3), (1, 300)] == [_recorded(capture, size) for size in SIZES]


async def test_sizes_do_not_depend_on_sampling() -> None:
    with Capture(sampler=ALWAYS_OFF) as capture:
        async for consumer, record in Reader(capture, body_sizes=True).records():
            async with consumer.process(record):
                pass

        assert () == capture.spans()
        assert [(1, 3), (1, 300)] == [_recorded(capture, size) for size in SIZES]


async def test_a_batch_counts_each_record_once_however_often_it_is_tried() -> None:
    with Capture() as capture:
        records = []
        async for consumer, record in Reader(capture, body_sizes=True).records():
            records.append(record)
            if len(records) == len(SIZES):
                batch = consumer.process_batch(records)
                for error in (ConnectionError, TimeoutError):
                    with pytest.raises(error):
                        async with batch:
                            raise error

        assert [(1, 3), (1, 300)] == [_recorded(capture, size) for size in SIZES]


@pytest.mark.parametrize("suppressed", [True, False])
async def test_nothing_is_counted_where_sizes_are_off_or_instrumentation_is_suppressed(
    *, suppressed: bool
) -> None:
    with Capture() as capture:
        async for consumer, record in Reader(capture, body_sizes=suppressed).records():
            if suppressed:
                with suppress_instrumentation():
                    async with consumer.process(record):
                        pass
            else:
                async with consumer.process(record):
                    pass

        assert None is capture.metric(SIZE)


async def test_where_sizes_are_off_records_are_handled_as_if_there_were_no_such_option() -> None:
    with Capture() as capture, pytest.MonkeyPatch.context() as patch:
        reader, made = Reader(capture), []
        durations = reader.telemetry.metrics.durations

        def noted(metric: Metric, labels: Labels) -> Durations:
            made.append(metric.name)
            return durations(metric, labels)

        patch.setattr(reader.telemetry.metrics, "durations", noted)
        async for consumer, record in reader.records():
            processing = consumer.process(record)
            assert not isinstance(processing, SizedProcessing)
            async with processing:
                pass

    assert "messaging.process.duration" in made
    assert SIZE not in made

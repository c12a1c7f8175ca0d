"""Lags of flows: publish, wait and end-to-end are measured where they are meaningful."""

from __future__ import annotations

import time
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import SpanProcessor

from tests.tracing.kept_metrics import KeptMetrics
from tracing import Rejected, Telemetry, TracedConsumer, TracedProducer, otlp
from tracing.delivery.inbox import Duplicates
from tracing.headers import cloudevents
from tracing.headers.flow import in_flow
from tracing.headers.identity import EventIdentity
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer

LABELS = {"pipeline": "orders", "messaging.destination.name": "t"}
END_TO_END = "pipeline.end_to_end.duration"
WAIT = "pipeline.wait.duration"
PUBLISH = "pipeline.publish.duration"


def _telemetry(capture: Capture) -> Telemetry:
    return Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        logger_provider=capture.logger_provider,
    )


def _record(*headers: tuple[str, bytes], age_s: float = 2.0, flow_s: float = 5.0) -> Any:
    now_ms = int(time.time() * 1000)
    flow = f"pipeline.name=orders,pipeline.origin={now_ms - int(flow_s * 1000)}".encode()
    return ConsumerRecord(
        "t", 0, 8, now_ms - int(age_s * 1000), 0, None, b"x", None, 0, 1,
        (("baggage", flow), *headers),
    )  # fmt: skip


def _consumer(telemetry: Telemetry) -> TracedConsumer:
    return TracedConsumer(InMemoryConsumer("t", broker=InMemoryBroker()), telemetry, group="g")


def _count_and_sum(capture: Capture, name: str, **labels: str) -> Any:
    found: Any = capture.metric(name, {**LABELS, **labels})
    return (0, 0.0) if found is None else (found.count, found.sum)


async def test_a_record_gives_its_wait_and_the_duration_of_its_flow() -> None:
    with Capture() as capture:
        async with _consumer(_telemetry(capture)).process(_record()):
            pass
        (span,) = capture.spans()
        group = {"messaging.consumer.group.name": "g"}
        assert (1, pytest.approx(2.0, abs=0.5)) == _count_and_sum(capture, WAIT, **group)
        assert (1, pytest.approx(5.0, abs=0.5)) == _count_and_sum(capture, END_TO_END, **group)
    attributes: Any = span.attributes
    assert 5.0 == pytest.approx(attributes["pipeline.end_to_end.duration"], abs=0.5)


async def test_a_rejection_ends_a_flow_and_an_error_does_not() -> None:
    with Capture() as capture:
        consumer = _consumer(_telemetry(capture))
        for error in (Rejected("no"), ConnectionError()):
            with pytest.raises(type(error)):
                async with consumer.process(_record()):
                    raise error
        assert (2, 1) == (_count_and_sum(capture, WAIT)[0], _count_and_sum(capture, END_TO_END)[0])


async def test_replays_record_no_lag() -> None:
    with Capture() as capture:
        marks = (("__pipeline.replay.group", b"g"), ("__pipeline.replay.id", b"t/0/7"))
        async with _consumer(_telemetry(capture)).process(_record(*marks)):
            pass
        assert (0, 0) == (_count_and_sum(capture, WAIT)[0], _count_and_sum(capture, END_TO_END)[0])


async def test_a_duplicate_does_not_end_its_flow() -> None:
    with Capture() as capture:
        telemetry = _telemetry(capture)
        record = _record()
        async with _consumer(telemetry).process(record):
            Duplicates(telemetry, "g").skipped("t", EventIdentity.of(record))
        assert (1, 0) == (_count_and_sum(capture, WAIT)[0], _count_and_sum(capture, END_TO_END)[0])


async def test_an_origin_in_the_future_is_ignored_and_counted() -> None:
    with Capture() as capture:
        async with _consumer(_telemetry(capture)).process(_record(flow_s=-60)):
            pass
        assert (1, 0.0) == _count_and_sum(capture, END_TO_END)
        assert 1 == capture.metric("pipeline.clock_skew", {"reason": "end_to_end"})


async def test_an_unbounded_number_of_pipeline_names_shares_one_series() -> None:
    with Capture() as capture:
        consumer = _consumer(_telemetry(capture))
        for number in range(50):
            record = _record()
            flow = f"pipeline.name=p{number},pipeline.origin={record.timestamp}".encode()
            async with consumer.process(record.__class__(**{
                **{name: getattr(record, name) for name in record.__dataclass_fields__},
                "headers": (("baggage", flow),),
            })):  # fmt: skip
                pass
        rest: Any = capture.metric(END_TO_END, {"pipeline": "_OTHER"})
        assert 19 == rest.count


async def test_an_event_with_a_creation_time_gives_the_publish_duration() -> None:
    with Capture() as capture:
        producer = TracedProducer(InMemoryProducer(InMemoryBroker()), _telemetry(capture))
        created = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 60))
        token = attach(Context(in_flow({"pipeline.name": "billing"})))
        async with producer:
            await producer.send_and_wait("t", b"x")
            await producer.send_and_wait("t", b"x", headers=[("ce_time", created.encode())])
        detach(token)
        found: Any = capture.metric(PUBLISH, {"pipeline": "billing"})
    assert (2, pytest.approx(60, abs=2)) == (found.count, found.sum)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b"2026-01-02T03:04:05.678Z", 1767323045678),
        (b"2026-01-02T03:04:05.679Z", 1767323045679),
        (b"2026-01-02T04:04:05.678+01:00", 1767323045678),
        (b"2026-01-02T03:04:05.678999Z", 1767323045678),
        (b"1969-12-31T23:59:59.9995Z", -1),
        (b"2026-01-02T03:04:05", None),
        (b"2026-01-02T03:04:05.6x8Z", None),
        (b"", None),
        (b"\xff" * 24, None),
        (b"9" * 1000, None),
        (None, None),
        (7, None),
    ],
)
def test_a_time_is_parsed_or_ignored(written: Any, expected: int | None) -> None:
    assert [expected] * 2 == [cloudevents.time_ms(written) for _ in range(2)]


def _exemplars(exporter: KeptMetrics, name: str) -> list[int | None]:
    """Return the trace ids of an instrument's exemplars in the last export."""
    return [exemplar.trace_id for point in exporter.points(name) for exemplar in point.exemplars]


async def test_an_outlier_has_one_exemplar_with_its_trace() -> None:
    exporter = KeptMetrics()
    providers = otlp.configure("test", span_processor=SpanProcessor(), metric_exporter=exporter)
    try:
        processing = _consumer(providers.telemetry("orders")).process(_record())
        async with processing:
            pass
        trace_id = processing.span.get_span_context().trace_id
        providers.meter_provider.force_flush()
        first = {name: _exemplars(exporter, name) for name in (WAIT, END_TO_END)}
        providers.meter_provider.force_flush()
        second = _exemplars(exporter, WAIT)
    finally:
        providers.shutdown()
    assert {WAIT: [trace_id], END_TO_END: [trace_id]} == first
    assert [] == second

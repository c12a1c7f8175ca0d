"""The same work gives the same telemetry at the collector, with and without fast paths."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import tracing
from tests.tracing.export.collectors import METRICS, REQUESTS, TRACES, Collector
from tracing import (
    DeadLetters,
    Rejected,
    Retry,
    Telemetry,
    TracedConsumer,
    TracedProducer,
    otlp,
)
from tracing.core import semconv
from tracing.export.span_exporter import LightSpanExporter
from tracing.spans.choose import ApiSpans
from tracing.spans.fast import LightSpans
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer, eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

TOPICS = ("orders", "orders.shipping.dlq", "totals", "reports", "audit")
# What depends on the clock: it is there both ways, and its value differs from run to run.
TIMES = {
    semconv.ORIGIN, semconv.WAIT, semconv.PUBLISH, semconv.END_TO_END, semconv.BACKOFF,
}  # fmt: skip
RANDOM = {semconv.MESSAGE_ID, "service.instance.id"}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


@contextmanager
def current(context: Context) -> Iterator[None]:
    token = attach(context)
    try:
        yield
    finally:
        detach(token)


class Scenario:
    """A service that sends, receives, retries, gives up, batches and fails, in memory."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.broker = InMemoryBroker()
        for topic in TOPICS:
            self.broker.create_topic(topic, partitions=1)
        self.producer = TracedProducer(InMemoryProducer(self.broker), telemetry)
        self.attempts = 0

    async def run(self) -> None:
        async with self.producer:
            await self._send()
            await self._retry_and_give_up()
            await self._batch()
            await self._link()
            await self._fail()
            await self._send_unsampled()

    def consumer(self, topic: str, group: str) -> TracedConsumer:
        bare = InMemoryConsumer(
            topic, broker=self.broker, group_id=group,
            auto_offset_reset="earliest", enable_auto_commit=False,
        )  # fmt: skip
        return TracedConsumer(bare, self.telemetry)

    async def _send(self) -> None:
        with current(baggage.set_baggage("tenant", "a b, ü", Context())):
            await self.producer.send_and_wait("orders", b"good", key=b"k")
        headers = tracing.cloudevent(type="OrderPlaced", subject="o-2")
        for value in (b"bad", b"refused"):
            await self.producer.send_and_wait("orders", value, headers=headers)

    async def _retry_and_give_up(self) -> None:
        stop = asyncio.Event()
        async with self.consumer("orders", "shipping") as consumer:
            consuming = asyncio.create_task(
                tracing.consume(
                    consumer,
                    self._handle,
                    retry=Retry(attempts=2, delay_s=0),
                    dead_letters=DeadLetters(self.producer),
                    stop=stop,
                    commit_interval_s=60,
                )
            )
            assert await eventually(lambda: self.attempts == 5, timeout_s=20)
            stop.set()
            await consuming

    async def _handle(self, record: Any) -> None:
        self.attempts += 1
        if record.value == b"refused":
            raise Rejected("card_declined")
        if record.value == b"bad" or self.attempts == 1:
            raise ConnectionError("no stock service")
        trace.get_current_span().add_event("packed", {"boxes": 2})
        await self.producer.send_and_wait("totals", b"1")

    async def _batch(self) -> None:
        batch = self.producer.create_batch()
        for value in (b"2", b"3"):
            batch.append(key=None, value=value, timestamp=None)
        await (await self.producer.send_batch(batch, "totals", partition=0))
        records: list[Any] = []
        async with self.consumer("totals", "totals") as consumer:
            while len(records) < 3:
                for received in (await consumer.getmany(timeout_ms=1000)).values():
                    records += received
            async with consumer.process_batch(records):
                await self.producer.send_and_wait("reports", b"6")

    async def _link(self) -> None:
        await self.producer.send_and_wait("audit", b"v")
        async with self.consumer("audit", "audit") as consumer:
            async for _ in consumer:
                break

    async def _fail(self) -> None:
        with pytest.raises(AssertionError):
            await self.producer.send_and_wait("orders", b"v", partition=99)

    async def _send_unsampled(self) -> None:
        parent = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(0))
        with current(trace.set_span_in_context(NonRecordingSpan(parent), Context())):
            await self.producer.send_and_wait("reports", b"unseen")
        async with self.consumer("reports", "readers") as consumer:
            received = 0
            async for _ in consumer:
                received += 1
                if received == 2:
                    break


class Recorded(NamedTuple):
    """What came out of a run, with nothing in it that differs from run to run."""

    spans: list[str]
    metrics: list[str]
    headers: list[str]
    exemplars: dict[str, set[str]]


async def recorded(collector: Collector, *, fast: bool) -> Recorded:
    """Run the scenario, and read what the collector received."""
    collector.bodies.clear()
    providers = otlp.configure("shop", fast=fast)
    telemetry = providers.telemetry("orders", source="/shop", relation={"audit": "link"})
    assert isinstance(telemetry.spans, LightSpans if fast else ApiSpans)
    scenario = Scenario(telemetry)
    await scenario.run()
    await asyncio.to_thread(providers.shutdown)
    assert fast == bool(providers.aggregator.totals())
    spans, names = trace_lines(collector.bodies[TRACES])
    metrics, exemplars = metric_lines(collector.bodies[METRICS][-1], names)
    return Recorded(spans, metrics, header_lines(scenario.broker), exemplars)


def header_lines(broker: InMemoryBroker) -> list[str]:
    """Describe the headers of all records: names, and the baggage without its origin."""
    lines = []
    for topic in TOPICS:
        for record in broker.records(topic):
            headers = [
                name if name != "baggage" else f"{name}={_without_digits(value or b'')}"
                for name, value in record.headers
            ]
            lines.append(f"{topic}: {' '.join(headers)}")
    return lines


def _without_digits(value: bytes) -> str:
    return "".join("#" if character.isdigit() else character for character in value.decode())


def trace_lines(bodies: Iterable[bytes]) -> tuple[list[str], dict[bytes, str]]:
    """Draw all spans as indented lines; also returns their names by id."""
    spans: list[tuple[str, Span]] = []
    for body in bodies:
        for resource in REQUESTS[TRACES].FromString(body).resource_spans:
            of = f"{_attributes(resource.resource.attributes)} {resource.schema_url}"
            for scope in resource.scope_spans:
                where = f"{of} {scope.scope.name} {scope.scope.version} {scope.schema_url}"
                spans += [(where, span) for span in scope.spans]
    names = {span.span_id: span.name for _, span in spans}
    children: dict[bytes, list[tuple[str, Span]]] = {}
    for where, span in spans:
        parent = span.parent_span_id if span.parent_span_id in names else b""
        children.setdefault(parent, []).append((where, span))

    def drawn(parent: bytes) -> list[str]:
        trees = [
            "\n".join(
                [_span_line(where, span, names)]
                + ["  " + line for tree in drawn(span.span_id) for line in tree.split("\n")]
            )
            for where, span in children.get(parent, ())
        ]
        return sorted(trees)

    return "\n".join(drawn(b"")).split("\n"), names


def _span_line(where: str, span: Span, names: dict[bytes, str]) -> str:
    links = sorted(
        f"~> {names.get(link.span_id, '?')} {link.flags:x} {_attributes(link.attributes)}"
        for link in span.links
    )
    events = [f"! {event.name} {_attributes(event.attributes)}" for event in span.events]
    dropped = (
        span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count,
    )  # fmt: skip
    assert span.start_time_unix_nano <= span.end_time_unix_nano
    assert (16, 8) == (len(span.trace_id), len(span.span_id))
    return " ".join(
        [
            span.name,
            str(span.kind),
            f"{span.status.code} {span.status.message}",
            _attributes(span.attributes),
            *events,
            *links,
            f"flags={span.flags:x} state={span.trace_state} dropped={dropped}",
            where,
        ]
    )


def _attributes(attributes: Iterable[KeyValue]) -> str:
    return "{" + ", ".join(sorted(_attribute(each) for each in attributes)) + "}"


def _attribute(attribute: KeyValue) -> str:
    value: AnyValue = attribute.value
    kind = value.WhichOneof("value")
    varies = attribute.key in TIMES | RANDOM
    return f"{attribute.key}={kind if varies else getattr(value, kind or '')}"


def metric_lines(body: bytes, names: dict[bytes, str]) -> tuple[list[str], dict[str, set[str]]]:
    """Describe all series: labels, counts and bounds; also returns the exemplars' spans."""
    lines: list[str] = []
    exemplars: dict[str, set[str]] = {}
    for resource in REQUESTS[METRICS].FromString(body).resource_metrics:
        for scope in resource.scope_metrics:
            where = f"{scope.scope.name} {scope.scope.version} {scope.schema_url}"
            for metric in scope.metrics:
                about, points = _series(metric)
                for point in points:
                    labels = _attributes(point.attributes)
                    lines.append(f"{where} {about} {labels} {_value(point)}")
                    if about.startswith("histogram") and point.exemplars:
                        examples = {names.get(each.span_id, "?") for each in point.exemplars}
                        exemplars[f"{metric.name} {labels}"] = examples
    return sorted(lines), exemplars


def _series(metric: Any) -> tuple[str, Iterable[Any]]:
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    about = f"{kind} {metric.name} {metric.unit} {metric.description}"
    if kind != "gauge":
        about += f" {AggregationTemporality.Name(data.aggregation_temporality)}"
    return about, data.data_points


def _value(point: Any) -> str:
    if hasattr(point, "bucket_counts"):
        assert point.count == sum(point.bucket_counts)
        assert 0 <= point.min <= point.max <= point.sum
        return f"{point.count} {list(point.explicit_bounds)}"
    return str(point.as_int) if point.WhichOneof("value") == "as_int" else "a number"


def difference(fast: list[str], plain: list[str]) -> list[str]:
    """Return the lines that come out one way alone."""
    return [
        *(f"fast alone: {line}" for line in fast if line not in plain),
        *(f"plain alone: {line}" for line in plain if line not in fast),
    ]


async def test_the_same_spans_metrics_and_headers_come_out_both_ways(collector: Collector) -> None:
    fast = await recorded(collector, fast=True)
    plain = await recorded(collector, fast=False)

    assert [] == difference(fast.spans, plain.spans)
    assert [] == difference(fast.metrics, plain.metrics)
    assert [] == difference(fast.headers, plain.headers)
    assert (fast.spans, fast.metrics, fast.headers) == (plain.spans, plain.metrics, plain.headers)
    # The SDK makes an exemplar of the current span where the library gives none.
    both = fast.exemplars.keys() & plain.exemplars.keys()
    assert both == fast.exemplars.keys()
    assert {key: fast.exemplars[key] for key in both} == {key: plain.exemplars[key] for key in both}


def test_the_environment_switches_fast_paths_off_and_an_argument_overrides_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fast(**options: Any) -> bool:
        provider = TracerProvider(shutdown_on_exit=False)
        return Telemetry("orders", tracer_provider=provider, **options).fast

    assert fast()
    for setting, expected in (("0", False), ("off", False), ("1", True), ("perhaps", True)):
        monkeypatch.setenv("PIPELINE_TRACING_FAST", setting)
        assert expected == fast()
    assert "PIPELINE_TRACING_FAST is 'on' or 'off'" in caplog.text
    monkeypatch.setenv("PIPELINE_TRACING_FAST", "off")
    assert fast(fast=True)
    monkeypatch.delenv("PIPELINE_TRACING_FAST")
    assert not fast(fast=False)
    with pytest.raises(TypeError, match="fast must be"):
        fast(fast="no")


def test_the_set_up_passes_the_switch_on_to_its_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    monkeypatch.setenv("PIPELINE_TRACING_FAST", "off")

    providers = otlp.configure("shop")

    assert (False, False) == (providers.fast, providers.telemetry("orders").fast)
    assert otlp.configure("shop", fast=True).fast


def test_a_counting_processor_has_the_sdks_exporter_without_fast_paths(
    collector: Collector,
) -> None:
    with Capture() as capture:
        made = [
            otlp.counting_span_processor(
                Telemetry("orders", meter_provider=capture.meter_provider, fast=fast)
            )
            for fast in (True, False)
        ]
    exporters = [processor.span_exporter._exporter for processor in made]  # type: ignore[attr-defined]
    for processor in made:
        processor.shutdown()

    assert [LightSpanExporter, OTLPSpanExporter] == [type(exporter) for exporter in exporters]
    assert not collector.bodies

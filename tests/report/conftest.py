"""Orders as the demo's services would trace them, with chosen times."""

from collections.abc import Callable, Iterable, Mapping

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context

from demo_pipeline.report import RunResult

START_NS = 1_790_000_000_000_000_000
MS = 1_000_000
SERVICES = ("orders", "inventory", "payment", "shipping", "analytics")


class Recorder:
    """Records spans of several services; moments are ms after the start of the run."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._providers: dict[str, TracerProvider] = {}

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def span(
        self,
        service: str,
        name: str,
        kind: SpanKind,
        start: float,
        end: float,
        *,
        parent: Span | None = None,
        attributes: Mapping[str, str | int | float] | None = None,
        links: Iterable[Span] = (),
        error: BaseException | None = None,
    ) -> Span:
        provider = self._providers.get(service)
        if provider is None:
            resource = Resource({"service.name": service})
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            provider.add_span_processor(SimpleSpanProcessor(self._exporter))
            self._providers[service] = provider
        span = provider.get_tracer("test", "1").start_span(
            name,
            context=set_span_in_context(parent, Context()) if parent else Context(),
            kind=kind,
            attributes=attributes,
            links=[Link(other.get_span_context()) for other in links],
            start_time=START_NS + round(start * MS),
        )
        if error:
            span.record_exception(error, timestamp=START_NS + round(end * MS))
            span.set_status(Status(StatusCode.ERROR, str(error)))
        span.end(START_NS + round(end * MS))
        return span

    def request(self, start: float, end: float, service: str = "orders") -> Span:
        return self.span(service, "POST /orders", SpanKind.SERVER, start, end)

    def send(
        self, service: str, topic: str, order: str, start: float, end: float, parent: Span | None
    ) -> Span:
        return self.span(
            service,
            f"send {topic}",
            SpanKind.PRODUCER,
            start,
            end,
            parent=parent,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": topic,
                "messaging.destination.partition.id": "1",
                "messaging.message.id": f"event-of-{order}-{topic}",
                "messaging.message.conversation_id": order,
                "pipeline.name": "orders",
            },
        )

    def process(
        self,
        service: str,
        topic: str,
        order: str,
        start: float,
        end: float,
        parent: Span | None,
        *,
        wait: float | None = None,
        outcome: str = "ok",
        error: BaseException | None = None,
    ) -> Span:
        attributes: dict[str, str | int | float] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": "1",
            "messaging.kafka.offset": 7,
            "messaging.consumer.group.name": service,
            "messaging.message.id": f"event-of-{order}-{topic}",
            "messaging.message.conversation_id": order,
            "pipeline.name": "orders",
            "pipeline.origin": START_NS // MS,
            "pipeline.outcome": outcome,
        }
        if wait is not None:
            attributes["pipeline.wait.duration"] = wait / 1000
        return self.span(
            service,
            f"process {topic}",
            SpanKind.CONSUMER,
            start,
            end,
            parent=parent,
            attributes=attributes,
            error=error,
        )

    def order(self, order: str, at: float = 0, *, slow: float = 0) -> Span:
        """Place an order that takes 90 ms, and `slow` ms more of waiting before the payment.

        Critical path: 2 ms of HTTP, then (publish, wait, processing up to the next event) of
        inventory (1, 10, 6), payment (1, 20 + slow, 8), shipping (2, 15, 5) and analytics
        (1, 14, 5).
        """
        request = self.request(at, at + 5)
        sent = self.send("orders", "orders.events", order, at + 2, at + 4, request)
        self.process("analytics", "orders.events", order, at + 12, at + 13, sent, wait=9)
        stock = self.process("inventory", "orders.events", order, at + 13, at + 22, sent, wait=10)
        sent = self.send("inventory", "inventory.events", order, at + 19, at + 21, stock)
        self.process("analytics", "inventory.events", order, at + 30, at + 31, sent, wait=10)
        at += slow
        money = self.process(
            "payment", "inventory.events", order, at + 40, at + 51, sent, wait=20 + slow
        )
        sent = self.send("payment", "payment.events", order, at + 48, at + 50, money)
        self.process("analytics", "payment.events", order, at + 55, at + 56, sent, wait=5)
        parcel = self.process("shipping", "payment.events", order, at + 65, at + 73, sent, wait=15)
        sent = self.send("shipping", "shipping.events", order, at + 70, at + 72, parcel)
        self.process("analytics", "shipping.events", order, at + 85, at + 90, sent, wait=14)
        return request

    def poll(
        self, service: str, topic: str, order: str, start: float, links: Iterable[Span]
    ) -> Span:
        return self.span(
            service,
            f"poll {topic}",
            SpanKind.CLIENT,
            start,
            start + 1,
            attributes={
                "messaging.operation.name": "poll",
                "messaging.message.conversation_id": order,
            },
            links=links,
        )

    def result(self, *order_ids: str, metrics: tuple[MetricsData, ...] = ()) -> RunResult:
        return RunResult(
            spans=self.spans,
            metrics=metrics,
            order_ids=order_ids,
            services=SERVICES,
            scenario="steady",
            started_unix_ns=START_NS,
            duration_s=2.0,
        )


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def collect_metrics() -> Callable[[str], MetricsData]:
    """Count and time a few messages of a service."""

    def collect(service: str) -> MetricsData:
        reader = InMemoryMetricReader()
        provider = MeterProvider(
            [reader], resource=Resource({"service.name": service}), shutdown_on_exit=False
        )
        meter = provider.get_meter("test")
        sent = meter.create_counter("messaging.client.sent.messages", "{message}")
        sent.add(2, {"messaging.destination.name": "b"})
        sent.add(0, {"messaging.destination.name": "a"})
        meter.create_histogram("messaging.process.duration", "s").record(0.25)
        data = reader.get_metrics_data()
        provider.shutdown()
        assert data is not None
        return data

    return collect

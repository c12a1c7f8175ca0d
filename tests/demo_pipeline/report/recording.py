"""Traces of orders as the demo's services record them, with chosen times."""

from collections.abc import Iterable, Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context

from demo_pipeline.report import RunResult
from tracing.core.semconv import error_type

START_NS = 1_790_000_000_000_000_000
MS = 1_000_000
SERVICES = ("orders", "inventory", "payment", "shipping", "analytics")
CARD_PROVIDER_AWAY = ConnectionError("no card provider")


class Recorder:
    """Records spans of several services; times are ms after the start of the run."""

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
        events: Iterable[str] = (),
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
        for event in events:
            span.add_event(event, timestamp=START_NS + round(start * MS))
        if error:
            span.set_attribute("error.type", error_type(error))
            span.record_exception(error, timestamp=START_NS + round(end * MS))
            span.set_status(Status(StatusCode.ERROR, str(error)))
        span.end(START_NS + round(end * MS))
        return span

    def request(self, start: float, end: float, service: str = "orders") -> Span:
        return self.span(service, "POST /orders", SpanKind.SERVER, start, end)

    def send(
        self,
        service: str,
        topic: str,
        order: str,
        start: float,
        end: float,
        parent: Span | None,
        *,
        message_type: str = "",
    ) -> Span:
        return self.span(
            service,
            f"send {topic}",
            SpanKind.PRODUCER,
            start,
            end,
            parent=parent,
            attributes=_about("send", topic, order) | _typed(message_type),
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
        end_to_end: float | None = None,
        outcome: str = "ok",
        attempts: int = 1,
        duplicate: bool = False,
        out_of_order: bool = False,
        error: BaseException | None = None,
        message_type: str = "",
        body_size: int | None = None,
        catch_up: bool = False,
        connection: float | None = None,
        publish: float | None = None,
    ) -> Span:
        attributes = (
            _about("process", topic, order)
            | _typed(message_type)
            | {
                "kafka.offset": 7,
                "messaging.consumer.group.name": service,
                "pipeline.origin": START_NS // MS,
                "pipeline.outcome": outcome,
            }
        )
        if attempts > 1:
            attributes["pipeline.attempts"] = attempts
        if catch_up:
            attributes["pipeline.catch_up"] = True
        if body_size is not None:
            attributes["messaging.message.body.size"] = body_size
        if wait is not None:
            attributes["pipeline.wait.duration"] = wait / 1000
        if publish is not None:
            attributes["pipeline.publish.duration"] = publish / 1000
        if connection is not None:
            attributes["pipeline.resource.wait.database"] = connection / 1000
        if end_to_end is not None:
            attributes["pipeline.end_to_end.duration"] = end_to_end / 1000
        return self.span(
            service,
            f"process {topic}",
            SpanKind.CONSUMER,
            start,
            end,
            parent=parent,
            attributes=attributes,
            events=["pipeline.duplicate"] * duplicate + ["pipeline.out_of_order"] * out_of_order,
            error=error,
        )

    def retry(
        self,
        service: str,
        topic: str,
        order: str,
        start: float,
        end: float,
        parent: Span,
        *,
        backoff: float,
        connection: float = 0,
        error: BaseException | None = None,
    ) -> Span:
        """Record another attempt, `backoff` ms after the previous one."""
        attributes = _about("retry", topic, order) | {
            "pipeline.retry.backoff": backoff / 1000,
            "pipeline.resource.wait.database": connection / 1000,
        }
        return self.span(
            service,
            f"retry {topic}",
            SpanKind.CONSUMER,
            start,
            end,
            parent=parent,
            attributes=attributes,
            error=error,
        )

    def given_up(
        self, order: str, at: float = 0, *, error: BaseException = CARD_PROVIDER_AWAY
    ) -> Span:
        """Place an order that payment dead-letters at its third attempt, after 500 ms.

        Of the 476 ms in the payment, 100 and 300 are backoff.
        """
        request = self.request(at, at + 5)
        sent = self.send("orders", "orders.events", order, at + 2, at + 4, request)
        stock = self.process("inventory", "orders.events", order, at + 6, at + 14, sent, wait=3)
        sent = self.send("inventory", "inventory.events", order, at + 12, at + 14, stock)
        at += 24
        topic = "inventory.events"
        money = self.process(
            "payment", topic, order, at, at + 476, sent,
            wait=10, outcome="dead_lettered", attempts=3, error=error,
        )  # fmt: skip
        self.retry("payment", topic, order, at + 130, at + 140, money, backoff=100, error=error)
        self.retry("payment", topic, order, at + 440, at + 460, money, backoff=300, error=error)
        self.span(
            "payment",
            f"dead_letter {topic}.payment.dlq",
            SpanKind.PRODUCER,
            at + 465,
            at + 475,
            parent=money,
            attributes=_about("dead_letter", f"{topic}.payment.dlq", order),
        )
        return request

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


def _about(operation: str, topic: str, order: str) -> dict[str, str | int | float]:
    return {
        "messaging.system.name": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": {"retry": "process", "dead_letter": "send"}.get(
            operation, operation
        ),
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": "1",
        "messaging.message.id": f"event-of-{order}-{topic}",
        "messaging.message.conversation_id": order,
        "pipeline.name": "orders",
    }


def _typed(message_type: str) -> dict[str, str | int | float]:
    return {"cloudevents.event_type": message_type} if message_type else {}

"""Set up an instrumentation of aiokafka, and what its user has to add to the application.

The official instrumentation has no span that is current in a handler: its consumer span ends before
`getone` returns. So its user needs more code for what this library gives:

- `official`: a span of the user's own around the handler, as a child of the message. Attributes are
  set on it, and what is sent inside continues the trace.
- `official, least`: attributes are set by the instrumentation's hook on the consumer span, which is
  possible if the record alone says them; to forward, the message's context is attached. There is no
  span around the handler.

The modules that one variant needs are imported only for it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.overhead.application import Gate
from benchmarks.overhead.flat_path import flat_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from opentelemetry.sdk.trace import SpanProcessor

    from benchmarks.overhead.application import Handle, Receive
    from benchmarks.overhead.flat_path import FlatPath
    from benchmarks.overhead.rows import Variant


def _same(client: Any) -> Any:
    return client


def _nothing() -> None:
    """Do nothing."""


def _no_flat_path() -> FlatPath | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrumented:
    """How the application runs with one instrumentation.

    Attributes:
        producer: Wraps a producer.
        consumer: Wraps a consumer.
        around: Adds to the handler what the user has to.
        set_attributes: Sets three attributes on the span that is current in the handler.
        flush: Ends what messages have left to be done, such as encoding.
        verify: Ends this process if telemetry failed: the result would be meaningless.
        flat_path: Returns how many messages took the flat path.
    """

    producer: Callable[[Any], Any] = _same
    consumer: Callable[[Any], Any] = _same
    around: Callable[[Handle], Handle] = _same
    set_attributes: Callable[[], None] = _nothing
    flush: Callable[[], object] = _nothing
    verify: Callable[[], None] = _nothing
    flat_path: Callable[[], FlatPath | None] = _no_flat_path


def instrumented(variant: Variant) -> Instrumented:
    """Set up a variant in this process. Call it before anything loads OpenTelemetry."""
    if variant.instrumentation == "none":
        return Instrumented()
    set_environment(variant)
    return _ours(variant) if variant.instrumentation == "ours" else _official(variant)


def set_environment(variant: Variant) -> None:
    """Set what the SDK reads: the sampler, and a queue that keeps every span."""
    samplers = {1.0: "parentbased_always_on", 0.0: "parentbased_always_off"}
    os.environ["OTEL_TRACES_SAMPLER"] = samplers.get(variant.sampled, "parentbased_traceidratio")
    os.environ["OTEL_TRACES_SAMPLER_ARG"] = str(variant.sampled)
    # The queue keeps every span until it is exported: dropping some would flatter the result.
    os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = "1000000"
    os.environ["OTEL_LOGS_EXPORTER"] = "none"


def consume_loop(consumer: Any, handle: Handle) -> tuple[Receive, Callable[[], Awaitable[None]]]:
    """Run `tracing.consume`; return what receives messages from it, and what ends it."""
    import tracing  # noqa: PLC0415 - only one variant may load it

    gate, stop = Gate(handle), asyncio.Event()
    running = asyncio.ensure_future(tracing.consume(consumer, gate.handle, stop=stop))

    async def receive(messages: int) -> None:
        handled = asyncio.ensure_future(gate.receive(messages))
        await asyncio.wait((handled, running), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            handled.cancel()
            await running
            raise RuntimeError("consume() has ended before all messages were handled")
        await handled

    async def end() -> None:
        stop.set()
        gate.open()
        await running

    return receive, end


def _describe_current_span() -> None:
    from opentelemetry.trace import get_current_span  # noqa: PLC0415 - see above

    span = get_current_span()
    span.set_attribute("order.id", "order-000017")
    span.set_attribute("order.total", 4200)
    span.set_attribute("order.express", value=True)


def _ours(variant: Variant) -> Instrumented:
    import tracing  # noqa: PLC0415 - only this variant may load it
    from benchmarks.null_export import NullMetricExporter, light_span_processor  # noqa: PLC0415
    from tracing import otlp  # noqa: PLC0415 - as above

    os.environ["PIPELINE_TRACING_FLAT"] = "on" if variant.flat else "off"
    if not variant.metrics:
        _leave_metrics_out()
    exporter = NullMetricExporter()
    providers = otlp.configure(
        "bench",
        span_processor=light_span_processor(encoded=variant.encoded),
        metric_exporter=exporter,
    )
    # So many topics in one process need more series than the default.
    options = {"max_series": 10 * variant.work.topics} if variant.work.topics > 1 else {}
    telemetry = providers.telemetry("bench", **options)

    def flush() -> None:
        # What messages leave to be done. A collection of the metrics is not that: it is due once a
        # minute, whatever the number of messages, and would be shared by those of a phase alone.
        providers.tracer_provider.force_flush()
        providers.aggregator.count()

    def verify() -> None:
        providers.force_flush()
        if exporter.dropped:
            sys.exit(f"telemetry of {exporter.dropped} messages failed")

    return Instrumented(
        producer=lambda client: tracing.TracedProducer(client, telemetry),
        consumer=lambda client: tracing.TracedConsumer(client, telemetry),
        set_attributes=_describe_current_span,
        flush=flush,
        verify=verify,
        flat_path=lambda: flat_path(telemetry),
    )


def _leave_metrics_out() -> None:
    """Discard metric values instead of counting them; the saving is the cost of metrics.

    The calls themselves, some 50 ns each, and the reading of clocks stay.
    """
    from tracing.metrics.histograms import LocalHistogram  # noqa: PLC0415 - only this variant

    begin = LocalHistogram.__init__

    def discard(_value: float) -> None:
        """Discard a value."""

    def record(_self: object, _value: float, _span: object = None) -> None:
        """Discard a value."""

    def begin_discarding(histogram: LocalHistogram, *args: Any, **kwargs: Any) -> None:
        begin(histogram, *args, **kwargs)
        histogram.later = discard

    LocalHistogram.__init__ = begin_discarding  # type: ignore[assignment, method-assign]  # on purpose
    LocalHistogram.record = record  # type: ignore[assignment, method-assign]  # on purpose


def official_provider(*, encoded: bool) -> Any:
    """Make the tracer provider of an official instrumentation, and set it globally."""
    from opentelemetry import trace  # noqa: PLC0415 - bare clients must not load it
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above

    from benchmarks.null_export import sdk_encoder, span_processor  # noqa: PLC0415 - as above

    processor: SpanProcessor = span_processor(sdk_encoder() if encoded else None)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return provider


def _official(variant: Variant) -> Instrumented:
    from opentelemetry.instrumentation.aiokafka import (  # noqa: PLC0415 - only this variant
        AIOKafkaInstrumentor,
    )

    provider = official_provider(encoded=variant.encoded)
    work, least = variant.work, variant.instrumentation == "official, least"
    options: dict[str, Any] = {}
    if work.attributes and least:
        options["async_consume_hook"] = _hook
    AIOKafkaInstrumentor().instrument(**options)
    around: Callable[[Handle], Handle] = _same
    if least and work.forwards:
        around = _in_context
    elif not least and (work.forwards or work.attributes):
        around = _in_own_span
    return Instrumented(
        around=around,
        set_attributes=_nothing if least else _describe_current_span,
        flush=provider.force_flush,
    )


async def _hook(span: Any, _record: Any, _args: Any, _options: Any) -> None:
    if span.is_recording():
        span.set_attribute("order.id", "order-000017")
        span.set_attribute("order.total", 4200)
        span.set_attribute("order.express", value=True)


def _carrier(record: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers if value is not None}


def _in_own_span(handle: Handle) -> Handle:
    from opentelemetry import propagate, trace  # noqa: PLC0415 - see above

    tracer = trace.get_tracer("bench")

    async def handle_in_span(record: Any) -> None:
        with tracer.start_as_current_span(
            f"process {record.topic}",
            context=propagate.extract(_carrier(record)),
            kind=trace.SpanKind.CONSUMER,
        ):
            await handle(record)

    return handle_in_span


def _in_context(handle: Handle) -> Handle:
    from opentelemetry import context, propagate  # noqa: PLC0415 - see above

    async def handle_in_context(record: Any) -> None:
        token = context.attach(propagate.extract(_carrier(record)))
        try:
            await handle(record)
        finally:
            context.detach(token)

    return handle_in_context

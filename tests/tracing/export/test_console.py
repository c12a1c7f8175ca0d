"""Traces as trees on standard error."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import set_span_in_context

from tracing import Rejected, TracedConsumer, TracedProducer, otlp
from tracing.console import TraceTreeExporter
from tracing.messaging.flat.engine import engine_of
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer, eventually

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from tracing.otlp import Providers

LATER = 3600.0
DURATION = re.compile(r" \d+\.\d (?:ms|s)")


@pytest.fixture
def printed() -> StringIO:
    return StringIO()


def tracer_of(exporter: TraceTreeExporter) -> Tracer:
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("t")


def child_of(tracer: Tracer, parent: Span, name: str) -> None:
    tracer.start_span(name, set_span_in_context(parent)).end()


def trees(text: str) -> str:
    """Remove ids and times."""
    return DURATION.sub("", re.sub(r"trace [0-9a-f]{32}", "trace", text))


async def handle(
    providers: Providers, *, kind: bytes = b"OrderPlaced", error: type[Exception] | None = None
) -> dict[str, int]:
    """Send messages in requests, and handle them in the same process.

    Returns:
        How many messages took the flat path, and how many did not, by reason.
    """
    telemetry = providers.telemetry("orders")
    broker = InMemoryBroker()
    producer = TracedProducer(InMemoryProducer(broker), telemetry)
    consumer = TracedConsumer(
        InMemoryConsumer("orders", broker=broker, group_id="pay", auto_offset_reset="earliest"),
        telemetry,
    )
    async with producer, consumer:
        # The first record of a new group is history, which the flat path does not take.
        for _ in range(2):
            with providers.tracer_provider.get_tracer("http").start_as_current_span("POST /orders"):
                headers = [("ce_type", kind)]
                await producer.send_and_wait("orders", b"card 4111", b"user-7", headers=headers)
            with suppress(ValueError):
                async with consumer.process(await consumer.getone()):
                    if error is not None:
                        raise error("card 4111")
    engine = engine_of(telemetry)
    assert engine is not None
    return {
        str(name): number for name, number in (*engine.taken.items(), *engine.fallbacks.items())
    }


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    for signal in ("METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")


@pytest.mark.usefixtures("console")
@pytest.mark.parametrize("fast", [True, False])
async def test_a_newcomer_sees_the_trace_of_a_service_without_any_backend(
    fast: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_TRACING_FAST", "on" if fast else "off")
    providers = otlp.configure("shop")
    telemetry = providers.telemetry("orders")
    broker = InMemoryBroker()
    async with TracedProducer(InMemoryProducer(broker), telemetry) as producer:
        with providers.tracer_provider.get_tracer("http").start_as_current_span("POST /orders"):
            await producer.send_and_wait("orders", b"card 4111", b"user-7")
    consumer = TracedConsumer(
        InMemoryConsumer("orders", broker=broker, group_id="pay", auto_offset_reset="earliest"),
        telemetry,
    )
    async with consumer, consumer.process(await consumer.getone()):
        pass
    # Without a shutdown: it is printed while the service goes on.
    text = await eventually(lambda: capsys.readouterr().err)
    providers.shutdown()

    assert (
        "trace shop, 3 spans,\n"
        "  POST /orders INTERNAL\n"
        "    send orders · orders PRODUCER\n"
        "      process orders · orders CONSUMER\n"
    ) == trees(text)


@pytest.mark.usefixtures("console")
async def test_no_payload_is_printed_and_foreign_text_is_escaped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    providers = otlp.configure("shop")
    await handle(providers, kind=b"Order\x1b[31mPlaced", error=ValueError)
    providers.shutdown()

    text = capsys.readouterr().err
    assert "process orders" in text
    assert "CONSUMER" in text
    assert "ERROR error.type=ValueError" in DURATION.sub("", text)
    for private in ("4111", "user-7", "\x1b"):
        assert private not in text


@pytest.mark.usefixtures("console")
async def test_a_rejected_record_differs_from_a_handled_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    providers = otlp.configure("shop")
    await handle(providers)
    with suppress(Rejected):
        await handle(providers, error=Rejected)
    providers.shutdown()

    lines = [line for line in trees(capsys.readouterr().err).splitlines() if "process " in line]
    handled = "    process orders · OrderPlaced CONSUMER"
    assert [handled] * 2 + [f"{handled} pipeline.outcome=rejected"] == [
        line.removeprefix("  ") for line in lines
    ]


async def test_the_console_costs_no_message_the_flat_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = []
    for signal in ("METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    for exporter in ("none", "console"):
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", exporter)
        providers = otlp.configure("shop")
        taken.append(await handle(providers))
        providers.shutdown()

    without, with_console = taken
    assert without == with_console
    assert without["send"]
    assert without["process"]


def test_a_trace_is_printed_once_it_is_quiet_and_later_spans_are_continued(
    printed: StringIO,
) -> None:
    exporter = TraceTreeExporter(printed, quiet_s=LATER, most_s=LATER)
    tracer = tracer_of(exporter)
    root = tracer.start_span("poll")
    child_of(tracer, root, "first")
    assert "" == printed.getvalue()

    exporter.force_flush()
    child_of(tracer, root, "second")
    root.end()
    exporter.shutdown()

    assert (
        "trace shop, 1 span,\n"
        "  first INTERNAL (parent elsewhere)\n"
        "trace continued shop, 2 spans,\n"
        "  poll INTERNAL\n"
        "    second INTERNAL\n"
    ) == trees(printed.getvalue())


async def test_a_trace_that_is_never_quiet_is_printed_after_a_while(printed: StringIO) -> None:
    exporter = TraceTreeExporter(printed, quiet_s=LATER, most_s=0.01)
    tracer = tracer_of(exporter)
    exporter._quiet_s = 0.02  # looks often
    tracer.start_span("endless").end()

    await eventually(lambda: "endless" in printed.getvalue())
    exporter.shutdown()


def test_memory_is_bounded_and_the_oldest_trace_is_printed_first(printed: StringIO) -> None:
    exporter = TraceTreeExporter(printed, quiet_s=LATER, most_s=LATER, max_spans=3)
    tracer = tracer_of(exporter)
    for number in range(5):
        tracer.start_span(f"message {number}").end()
    before_the_end = trees(printed.getvalue())
    exporter.shutdown()

    assert before_the_end.startswith("trace shop, 1 span,\n  message 0 INTERNAL\n")
    assert "message 4" not in before_the_end
    assert [f"message {number}" for number in range(5)] == re.findall(
        r"message \d", printed.getvalue()
    )


def test_what_takes_longer_than_a_second_is_in_seconds(printed: StringIO) -> None:
    exporter = TraceTreeExporter(printed, quiet_s=LATER, most_s=LATER)
    tracer_of(exporter).start_span("slow", start_time=1).end(5_473_500_001)
    exporter.shutdown()

    head, line = printed.getvalue().splitlines()
    assert head.endswith(", 1 span, 5.5 s")
    assert "  slow INTERNAL 5.5 s" == line


def test_a_large_trace_is_cut(printed: StringIO) -> None:
    exporter = TraceTreeExporter(printed, quiet_s=LATER, most_s=LATER, max_spans=3)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1e6))
    tracer = provider.get_tracer("t")
    root = tracer.start_span("root")
    for number in range(5):
        child_of(tracer, root, f"child {number}")
    provider.shutdown()

    assert printed.getvalue().endswith("  ... and 2 more spans\n")
    assert 5 == len(printed.getvalue().splitlines())


def test_an_output_that_fails_never_hurts(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    exporter = TraceTreeExporter(Broken(), quiet_s=LATER, most_s=LATER)
    tracer = tracer_of(exporter)
    for _ in range(2):
        tracer.start_span("message").end()
        exporter.force_flush()
    exporter.shutdown()

    assert 1 == sum("cannot be printed" in record.getMessage() for record in caplog.records)


def test_a_forked_child_prints_only_its_own(printed: StringIO, tmp_path: object) -> None:
    exporter = TraceTreeExporter(printed, quiet_s=LATER, most_s=LATER)
    tracer = tracer_of(exporter)
    tracer.start_span("of the parent").end()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        tracer.start_span("of the child").end()
        exporter.shutdown()
        os.write(write, trees(printed.getvalue()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    text = os.read(read, 10_000).decode()
    os.close(read)
    os.close(write)
    exporter.shutdown()

    assert "trace shop, 1 span,\n  of the child INTERNAL\n" == text
    assert "trace shop, 1 span,\n  of the parent INTERNAL\n" == trees(printed.getvalue())


@pytest.mark.parametrize("options", [{"quiet_s": 0}, {"most_s": -1}, {"max_spans": 0}])
def test_an_option_that_is_not_usable_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        TraceTreeExporter(sys.stderr, **options)

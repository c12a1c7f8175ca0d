"""Measure the cost per message of this library and of the official instrumentation.

Every variant runs in its own process against one broker. The variants take turns, so that changes
in the machine's speed affect all of them. CPU time is that of the process (`time.process_time`),
without the broker. The result shows the cost that each variant adds to bare aiokafka, the ratio of
ours to the official instrumentation, and the shares of metrics and spans in ours.

    python -m benchmarks.overhead [--messages N] [--rounds R] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.overhead_figures import VARIANTS, Cost, Variant, medians, ratios_of, shares_of
from benchmarks.overhead_table import table
from demo_pipeline.broker import EmbeddedBroker, create_topics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from opentelemetry.sdk.trace import SpanProcessor

TOPIC: Final = "bench"
PARTITIONS: Final = 4
VALUE: Final = b"x" * 200
IN_FLIGHT: Final = 1000


async def measure(variant: Variant, servers: str, messages: int) -> Cost:
    """Measure sending and receiving with one variant in this process."""
    flush = _set_up(variant)
    producer: Any = AIOKafkaProducer(bootstrap_servers=servers)
    consumer: Any = AIOKafkaConsumer(
        TOPIC, bootstrap_servers=servers, auto_offset_reset="latest", fetch_max_wait_ms=10
    )
    receive: Callable[[int], Awaitable[None]]
    if variant.library == "ours":
        producer, consumer = _wrapped(producer, consumer)
    async with producer, consumer:
        await consumer.seek_to_end()
        for partition in consumer.assignment():
            await consumer.position(partition)
        await _send(producer, 200)
        receive = _receiver(consumer)
        await receive(200)
        flush()
        # Hide imports and set-up from the garbage collector in every variant: a full collection
        # then costs as much as the messages' objects, not as the imports.
        gc.collect()
        gc.freeze()
        send_us, send_rate = await _timed(_send(producer, messages), messages, flush)
        receive_us, receive_rate = await _timed(receive(messages), messages, flush)
    _check_nothing_was_dropped()
    return Cost(
        send_us=send_us, send_rate=send_rate, receive_us=receive_us, receive_rate=receive_rate
    )


async def _timed(
    work: Awaitable[None], messages: int, flush: Callable[[], object]
) -> tuple[float, float]:
    started, cpu = perf_counter(), process_time()
    await work
    flush()
    cpu = process_time() - cpu
    return cpu / messages * 1e6, messages / (perf_counter() - started)


async def _send(producer: Any, messages: int) -> None:
    pending: list[asyncio.Future[Any]] = []
    for number in range(messages):
        pending.append(await producer.send(TOPIC, VALUE, key=b"%d" % (number % 100)))
        if len(pending) == IN_FLIGHT:
            await asyncio.gather(*pending)
            pending.clear()
    await asyncio.gather(*pending)


def _receiver(consumer: Any) -> Callable[[int], Awaitable[None]]:
    async def receive(messages: int) -> None:
        async for _record in consumer:
            messages -= 1
            if not messages:
                return

    return receive


def _wrapped(producer: Any, consumer: Any) -> tuple[Any, Any]:
    import tracing  # noqa: PLC0415 - only this variant may load it

    telemetry = _PROVIDERS["ours"].telemetry("bench")
    return (
        tracing.TracedProducer(producer, telemetry),
        tracing.TracedConsumer(consumer, telemetry),
    )


_PROVIDERS: dict[str, Any] = {}


def _check_nothing_was_dropped() -> None:
    """Stop if telemetry failed: the result would be meaningless."""
    exporter = _PROVIDERS.get("metrics")
    if exporter is not None and exporter.dropped:
        sys.exit(f"telemetry of {exporter.dropped} messages failed")


def _set_up(variant: Variant) -> Callable[[], object]:
    """Set up the variant's instrumentation, and return its flush function."""
    if variant.library == "bare":
        return lambda: None
    os.environ["OTEL_TRACES_SAMPLER"] = (
        "parentbased_always_on" if variant.sampled else "parentbased_always_off"
    )
    # The queue keeps every span until it is exported: dropping some would flatter the result.
    os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = "1000000"
    from opentelemetry import trace  # noqa: PLC0415 - bare aiokafka must not load it
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above

    from benchmarks.null_export import (  # noqa: PLC0415 - as above
        NullMetricExporter,
        light_encoder,
        sdk_encoder,
        span_processor,
    )

    encoder = light_encoder if variant.library == "ours" else sdk_encoder
    processor: SpanProcessor = span_processor(encoder() if variant.exported else None)
    if variant.library == "ours":
        from tracing import otlp  # noqa: PLC0415 - only this variant may load it

        if not variant.metrics:
            _leave_metrics_out()
        os.environ["OTEL_LOGS_EXPORTER"] = "none"
        exporter = _PROVIDERS["metrics"] = NullMetricExporter()
        providers = _PROVIDERS["ours"] = otlp.configure(
            "bench", span_processor=processor, metric_exporter=exporter
        )
        return providers.force_flush
    provider = TracerProvider()
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    from opentelemetry.instrumentation.aiokafka import (  # noqa: PLC0415 - only this variant
        AIOKafkaInstrumentor,
    )

    AIOKafkaInstrumentor().instrument()
    return provider.force_flush


def _leave_metrics_out() -> None:
    """Discard metric values instead of counting them; the saving is the cost of metrics.

    The calls themselves, some 50 ns each, and the reading of clocks stay.
    """
    from tracing.metrics.histograms import LocalHistogram  # noqa: PLC0415 - only this variant

    def record(_self: object, _value: float, _span: object = None) -> None:
        """Discard a value."""

    LocalHistogram.record = record  # type: ignore[assignment, method-assign]  # on purpose


def run_variant(variant: Variant, servers: str, messages: int) -> Cost:
    """Measure a variant in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.overhead", "--one", json.dumps(asdict(variant))]
    command += ["--bootstrap-servers", servers, "--messages", str(messages)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root)  # noqa: S603 - ourselves
    if done.returncode:
        sys.exit(f"{variant.name} failed:\n{done.stderr}")
    return Cost(**json.loads(done.stdout))


async def compare(messages: int, rounds: int) -> dict[Variant, Cost]:
    """Measure all variants in turns against one broker."""
    costs: dict[Variant, list[Cost]] = {variant: [] for variant in VARIANTS}
    async with EmbeddedBroker() as broker:
        await create_topics(broker.bootstrap_servers, {TOPIC: PARTITIONS})
        for round_number in range(rounds):
            for variant in VARIANTS:
                print(f"round {round_number + 1}/{rounds}: {variant.name}", file=sys.stderr)
                cost = await asyncio.to_thread(
                    run_variant, variant, broker.bootstrap_servers, messages
                )
                costs[variant].append(cost)
    return {variant: medians(measured) for variant, measured in costs.items()}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--messages", type=int, default=20_000, help="messages per measurement")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the result is the median")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--bootstrap-servers", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.messages < 1 or options.rounds < 1:
        parser.error("--messages and --rounds must be at least 1")
    if options.one:
        variant = Variant(**json.loads(options.one))
        cost = asyncio.run(measure(variant, options.bootstrap_servers, options.messages))
        print(json.dumps(asdict(cost)))
        return
    results = asyncio.run(compare(options.messages, options.rounds))
    if options.json:
        document = {
            "messages": options.messages,
            "rounds": options.rounds,
            "cost": {variant.name: asdict(cost) for variant, cost in results.items()},
            "ratios": ratios_of(results),
            "shares_us": shares_of(results),
        }
        print(json.dumps(document, indent=2))
    else:
        print(table(results))


if __name__ == "__main__":
    main()

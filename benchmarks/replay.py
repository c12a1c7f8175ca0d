"""Measure how fast a replay rebuilds the read models of the demo, with telemetry on.

`python -m benchmarks.replay` writes the events of many orders to an embedded broker, as the demo's
services do, with CloudEvents and trace context, and replays each read model into an SQLite
database. Spans are started, linked and encoded as OTLP; metrics are collected. The broker and the
replay share two cores. Memory is the growth of the process's high-water mark during the replay, so
another process writes the events.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import multiprocessing
import os
import resource
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.null_export import EncodingSpanExporter, NullMetricExporter, light_encoder
from demo_pipeline.broker import EmbeddedBroker, KafkaCluster, create_topics
from demo_pipeline.domain.codec import Codec, headers_of
from demo_pipeline.domain.events import (
    Order,
    OrderLine,
    OrderPlaced,
    OrderShipped,
    PaymentCharged,
    StockReserved,
)
from demo_pipeline.domain.topics import PARTITIONS, TOPIC_OF, key_of
from demo_pipeline.runtime.database import open_database
from demo_pipeline.services import analytics
from demo_pipeline.services.read_models import PROJECTIONS, READ_MODELS
from tracing import otlp
from tracing.replay import ReplayOptions, kafka_source, replay
from tracing.sql import SqlReplayStore

if TYPE_CHECKING:
    from demo_pipeline.domain.events import Event
    from tracing.replay import ReplayProgress

_PRODUCTS = ("kettle", "espresso-cup", "milk-jug", "coffee-beans")


def story(number: int) -> tuple[Event, ...]:
    """Return the events of an order."""
    skus = _PRODUCTS[: 1 + number % 2]
    lines = tuple(OrderLine(sku, 1 + number % 3, 1200 + 10 * number % 700) for sku in skus)
    order = Order(
        order_id=f"order-{number:08}",
        user_id=f"user-{number % 500:03}",
        lines=lines,
        total_cents=sum(line.quantity * line.unit_price_cents for line in lines),
        card_token=f"card-{number % 500:03}",
        ship_to=f"{number % 90} Harbour Street",
    )
    return (
        OrderPlaced(order),
        StockReserved(order, f"reservation-{number}"),
        PaymentCharged(order, f"payment-{number}"),
        OrderShipped(order, f"shipment-{number}"),
    )


async def write(servers: str, events: int) -> None:
    """Write history."""
    codec = Codec()
    producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=20, max_batch_size=262_144)
    async with producer:
        sent: list[Any] = []
        for number in range(events // 4):
            for event in story(number):
                trace, span = os.urandom(16).hex(), os.urandom(8).hex()
                headers = [
                    *headers_of(event),
                    ("ce_source", b"/orders"),
                    ("traceparent", f"00-{trace}-{span}-01".encode()),
                    ("baggage", b"pipeline.name=orders,pipeline.origin=1795978249922"),
                ]
                sent.append(
                    await producer.send(
                        TOPIC_OF[type(event)],
                        codec.encode(event),
                        key=key_of(event),
                        headers=headers,
                    )
                )
            if len(sent) >= 2000:  # noqa: PLR2004 - bounds the memory of the writer
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)


def write_in_process(servers: str, events: int) -> None:
    """Write history, in a process of its own."""
    asyncio.run(write(servers, events))


async def measure(servers: str, folder: Path, name: str, batch: int) -> ReplayProgress:
    """Replay one read model."""
    providers = otlp.configure(
        "analytics-replay",
        span_processor=BatchSpanProcessor(EncodingSpanExporter(light_encoder())),
        metric_exporter=NullMetricExporter(),
    )
    telemetry = providers.telemetry("orders", source="/analytics-replay")
    url = f"sqlite+aiosqlite:///{folder / 'analytics'}.sqlite3"
    async with (
        open_database(analytics.SERVICE, url) as database,
        kafka_source(bootstrap_servers=servers, fetch_max_wait_ms=30) as source,
    ):
        store = SqlReplayStore(database, READ_MODELS, PROJECTIONS[name])
        options = ReplayOptions(batch_size=batch, group="analytics")
        result = await replay(source, store, Codec().decode, telemetry, options)
    await asyncio.to_thread(providers.shutdown)
    return result


async def run(options: argparse.Namespace) -> None:
    """Write history and replay it."""
    broker = KafkaCluster() if options.kafka else EmbeddedBroker()
    async with broker as running:
        servers = running.bootstrap_servers
        await create_topics(servers, PARTITIONS)
        writer = multiprocessing.get_context("spawn").Process(
            target=write_in_process, args=(servers, options.events)
        )
        writer.start()
        await asyncio.to_thread(writer.join)
        with tempfile.TemporaryDirectory() as folder:
            for name in PROJECTIONS:
                before = resource.getrusage(resource.RUSAGE_SELF)
                began = perf_counter()
                result = await measure(servers, Path(folder), name, options.batch)
                took = perf_counter() - began
                after = resource.getrusage(resource.RUSAGE_SELF)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                print(
                    f"{name:<9} {result.applied:>9,} events  {took:6.1f} s  "
                    f"{result.applied / took:>8,.0f} events/s  "
                    f"{cpu / result.applied * 1e6:5.0f} µs CPU per event  "
                    f"memory +{(after.ru_maxrss - before.ru_maxrss) / 1024:.0f} MiB"
                )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=ReplayOptions().batch_size)
    parser.add_argument("--kafka", action="store_true", help="use Apache Kafka")
    parser.add_argument("--profile", help="write a profile to this file")
    options = parser.parse_args()
    if options.profile:
        profile = cProfile.Profile()
        profile.runcall(asyncio.run, run(options))
        profile.dump_stats(options.profile)
    else:
        asyncio.run(run(options))


if __name__ == "__main__":
    main()

"""Starts a service of the tutorial, and ends it in good order on SIGTERM or Ctrl-C."""

import asyncio
import os
import signal
from collections.abc import Awaitable
from typing import Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tracing import Telemetry, TracedConsumer, TracedProducer, otlp

SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")


class Run(Protocol):
    """A service on started clients."""

    def __call__(
        self, telemetry: Telemetry, consumer: TracedConsumer, producer: TracedProducer,
        engine: AsyncEngine, stop: asyncio.Event,
    ) -> Awaitable[None]:  # fmt: skip
        """Work until `stop` is set."""


async def serve(name: str, topics: tuple[str, ...], run: Run) -> None:
    """Run a service that reads topics as the consumer group of its own name."""
    providers = otlp.configure(name)
    telemetry = providers.telemetry(pipeline="orders")
    bare = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=SERVERS,
        group_id=name,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    consumer = TracedConsumer(bare, telemetry)
    producer = TracedProducer(AIOKafkaProducer(bootstrap_servers=SERVERS), telemetry)
    engine = create_async_engine(f"sqlite+aiosqlite:///{name}.db")
    stop = asyncio.Event()
    try:
        async with producer, consumer:
            # Before this, they end the start, which waits for the broker and the group.
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            print(f"{name}: reading {', '.join(topics)}", flush=True)
            await run(telemetry, consumer, producer, engine, stop)
    finally:
        await engine.dispose()
        await asyncio.to_thread(providers.shutdown)

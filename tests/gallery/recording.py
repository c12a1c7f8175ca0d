"""Some minutes of the shop on Apache Kafka, with its trouble, in a Prometheus."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaProducer

from demo_pipeline.broker import KafkaCluster
from tests.chaos.collector import Collector
from tests.chaos.customers import Customers
from tests.chaos.shop import Shop
from tests.dashboards.prometheus_server import prometheus_server
from tests.outage.story import poison
from tests.outage.watch import lag_monitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.dashboards.prometheus_server import PrometheusServer

_POISON: Final = 10
_PARTS: Final = 3


@asynccontextmanager
async def recorded_shop(
    binaries: Path, folder: Path, *, minutes: float, rate: float, report: Callable[[str], None]
) -> AsyncIterator[PrometheusServer]:
    """Run the shop, and yield the Prometheus with its metrics while services still report.

    Args:
        binaries: The folder with Prometheus.
        folder: For databases, logs and Prometheus.
        minutes: The length of each of the four parts: all is well; after records that no group can
            read; payment is dead; it has come back.
        rate: Orders per second.
        report: Gets a line for each part.
    """
    began = time.monotonic()

    async def wait(part: str) -> None:
        report(f"{time.monotonic() - began:6.0f} s  {part}")
        await asyncio.sleep(minutes * 60 / _PARTS)

    async with KafkaCluster() as kafka:
        servers = kafka.bootstrap_servers
        with prometheus_server(binaries, folder) as server, Collector() as collector:
            shop = Shop(servers, folder, collector.url, metrics_url=server.otlp_metrics)
            async with shop, lag_monitor(server, servers):
                customers = Customers(shop.url, rate)
                placing = asyncio.create_task(customers.run())
                try:
                    await wait("all is well")
                    await _send_poison(servers)
                    await wait("records that nothing can read")
                    shop.kill("payment")
                    await wait("payment is dead")
                    yield server
                finally:
                    customers.stop()
                    await placing


async def _send_poison(bootstrap_servers: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        for number in range(_POISON):
            value, headers = poison(number)
            await producer.send_and_wait("orders.events", value, key=b"poison", headers=headers)

"""Put a shop under load while a fault is injected, then check its state."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING

from tests.chaos.collector import Collector
from tests.chaos.customers import Customers
from tests.chaos.database_checks import discrepancies
from tests.chaos.dead_letter_check import dead_letter_problems
from tests.chaos.saga_counts import counts_from_rows, delays
from tests.chaos.shop import Shop
from tests.chaos.storm_result import StormResult
from tests.chaos.telemetry_checks import metric_problems, sagas_without_span, trace_problems

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_DRAIN_S = 600.0


async def run_storm(
    bootstrap_servers: str,
    folder: Path,
    disturb: Callable[[Shop], Awaitable[None]],
    *,
    rate: float,
    most: int | None = None,
) -> StormResult:
    """Place orders while `disturb` runs, then wait until all orders are finished.

    Args:
        bootstrap_servers: A cluster without topics.
        folder: Folder for databases and logs.
        disturb: Injects the fault.
        rate: Orders per second.
        most: The highest number of orders.
    """
    with Collector() as collector:
        async with Shop(bootstrap_servers, folder, collector.url) as shop:
            customers = Customers(shop.url, rate, most=most)
            started = time.monotonic()
            placing = asyncio.create_task(customers.run())
            try:
                await disturb(shop)
            finally:
                customers.stop()
                await placing
            placing_s = time.monotonic() - started
            stopped = time.monotonic()
            await _wait_until_drained(folder, customers)
            drained_s = time.monotonic() - stopped
            ended = [f"service {name} has ended: {shop.log(name)}" for name in shop.ended()]
        dead_letters = await dead_letter_problems(bootstrap_servers)
    accepted = customers.accepted
    # Stopping services finish their work and export once more, so check after that.
    contradictions = discrepancies(folder, accepted)
    return StormResult(
        accepted=len(accepted),
        refused=customers.refused,
        placing_s=placing_s,
        drained_s=drained_s,
        redelivered=collector.redelivered,
        sagas=counts_from_rows(folder, "orchestrator"),
        delays=delays(folder),
        sagas_without_span=sagas_without_span(collector, accepted, "orchestrator"),
        exports=collector.metrics.exports,
        discrepancies=(*contradictions, *dead_letters, *ended, *shop.unclean),
        trace_problems=tuple(trace_problems(collector, accepted)),
        metric_problems=tuple(metric_problems(collector, folder)),
    )


async def _wait_until_drained(folder: Path, customers: Customers) -> None:
    """Wait until the databases agree, for a bounded time."""
    deadline = time.monotonic() + _DRAIN_S
    while time.monotonic() < deadline:
        # A service that was killed during its first start has no tables until it has restarted.
        with contextlib.suppress(sqlite3.OperationalError):
            if not await asyncio.to_thread(discrepancies, folder, tuple(customers.accepted)):
                return
        await asyncio.sleep(1.0)

"""A shop under load while something is broken again and again, and what is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING

from tests.chaos.aftermath import Aftermath
from tests.chaos.collector import Collector
from tests.chaos.customers import Customers
from tests.chaos.dead_letters import dead_letters
from tests.chaos.figures import counted, delays
from tests.chaos.ledger import discrepancies
from tests.chaos.shop import Shop
from tests.chaos.telling import mismeasured, torn, untold

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_DRAIN_S = 600.0


async def storm(
    bootstrap_servers: str,
    folder: Path,
    disturb: Callable[[Shop], Awaitable[None]],
    *,
    rate: float,
    most: int | None = None,
) -> Aftermath:
    """Place orders while `disturb` does its work, then wait until all are done.

    Args:
        bootstrap_servers: The cluster; its topics are new.
        folder: Takes databases and logs.
        disturb: What goes wrong.
        rate: Orders per second.
        most: So many orders at most.
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
            await _drained(folder, customers)
            drained_s = time.monotonic() - stopped
            ended = [f"service {name} has ended: {shop.log(name)}" for name in shop.ended()]
        letters = await dead_letters(bootstrap_servers)
    accepted = customers.accepted
    # Only now: services that stop finish what they have begun, and export a last time.
    wrong = discrepancies(folder, accepted)
    return Aftermath(
        accepted=len(accepted),
        refused=customers.refused,
        placing_s=placing_s,
        drained_s=drained_s,
        redelivered=collector.redelivered,
        sagas=counted(folder, "orchestrator"),
        delays=delays(folder),
        untold=untold(collector, accepted, "orchestrator"),
        exports=collector.metrics.exports,
        discrepancies=(*wrong, *letters, *ended, *shop.unclean),
        torn=tuple(torn(collector, accepted)),
        mismeasured=tuple(mismeasured(collector, folder)),
    )


async def _drained(folder: Path, customers: Customers) -> None:
    """Wait until the databases add up, for as long as that can take."""
    deadline = time.monotonic() + _DRAIN_S
    while time.monotonic() < deadline:
        # A service that was killed as it began has its tables only when it has begun again.
        with contextlib.suppress(sqlite3.OperationalError):
            if not await asyncio.to_thread(discrepancies, folder, tuple(customers.accepted)):
                return
        await asyncio.sleep(1.0)

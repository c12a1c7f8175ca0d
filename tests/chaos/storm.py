"""A shop under load while something is broken again and again, and what is left of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.collector import Collector
from tests.chaos.customers import Customers
from tests.chaos.ledger import discrepancies
from tests.chaos.shop import Shop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_DRAIN_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What a storm left.

    Attributes:
        accepted: Orders that were accepted over HTTP.
        refused: Orders that were not, because the shop was down.
        placing_s: For how long orders were placed, in seconds.
        drained_s: How long it took afterwards until all were done, in seconds.
        redelivered: Records that a service handled again.
        discrepancies: What does not add up in the databases; nothing when all is well.
        torn: Orders whose spans are not all in the trace that the customer was told.
    """

    accepted: int
    refused: int
    placing_s: float
    drained_s: float
    redelivered: int
    discrepancies: tuple[str, ...]
    torn: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Accepted orders per second."""
        return self.accepted / self.placing_s

    def __str__(self) -> str:
        problems = [*self.discrepancies, *self.torn]
        orders = f"{self.accepted} orders accepted in {self.placing_s:.0f} s"
        return "\n".join(
            (
                f"{orders} ({self.rate:.1f}/s), {self.refused} refused",
                f"all done {self.drained_s:.1f} s later, {self.redelivered} records redelivered",
                *(problems or ["nothing lost, nothing doubled, all traces joined"]),
            )
        )


async def storm(
    bootstrap_servers: str,
    folder: Path,
    disturb: Callable[[Shop], Awaitable[None]],
    *,
    rate: float,
) -> Aftermath:
    """Place orders while `disturb` does its work, then wait until all are done.

    Args:
        bootstrap_servers: The cluster; its topics are new.
        folder: Takes databases and logs.
        disturb: What goes wrong.
        rate: Orders per second.
    """
    with Collector() as collector:
        async with Shop(bootstrap_servers, folder, collector.url) as shop:
            customers = Customers(shop.url, rate)
            started = time.monotonic()
            placing = asyncio.create_task(customers.run())
            try:
                await disturb(shop)
            finally:
                customers.stop()
                await placing
            placing_s = time.monotonic() - started
            stopped = time.monotonic()
            wrong = await _drained(folder, customers)
            drained_s = time.monotonic() - stopped
            ended = [f"service {name} has ended: {shop.log(name)}" for name in shop.ended()]
        torn = tuple(
            f"order {order_id} is in the traces {sorted(found)}, not in {trace_id} alone"
            for order_id, trace_id in customers.accepted.items()
            if (found := collector.traces_of.get(order_id, set())) - {trace_id}
        )
        unseen = [
            order_id for order_id in customers.accepted if not collector.traces_of.get(order_id)
        ]
    if unseen:
        torn = (*torn, f"{len(unseen)} orders have no span at all: {', '.join(unseen[:3])}")
    return Aftermath(
        accepted=len(customers.accepted),
        refused=customers.refused,
        placing_s=placing_s,
        drained_s=drained_s,
        redelivered=collector.redelivered,
        discrepancies=(*wrong, *ended),
        torn=torn,
    )


async def _drained(folder: Path, customers: Customers) -> list[str]:
    """Wait until the databases add up; returns what does not in time."""
    deadline = time.monotonic() + _DRAIN_S
    while True:
        found = await asyncio.to_thread(discrepancies, folder, tuple(customers.accepted))
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.5)

"""A steady stream of orders, whatever happens to the shop."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import httpx

from demo_pipeline.app.load import Load, order_bodies

if TYPE_CHECKING:
    from collections.abc import Mapping


class Customers:
    """Place orders at a steady rate until told to stop.

    Args:
        url: Where the shop takes orders.
        rate: Orders per second.
        declined_every: Of so many orders, one is to be paid by a card that never pays; 0 for none.
        seed: The same seed makes the same orders.
        most: Place so many orders at most; on a slow machine a steady rate is more than it can do.

    Attributes:
        accepted: The trace id of each order that was accepted, by order id.
        refused: How many were not: the shop was down, or did not answer.
    """

    def __init__(
        self,
        url: str,
        rate: float,
        *,
        declined_every: int = 5,
        seed: int = 1,
        most: int | None = None,
    ) -> None:
        self.accepted: dict[str, str] = {}
        self.refused = 0
        self._url = url
        self._rate = rate
        self._numbers = itertools.count() if most is None else range(most)
        load = Load(orders=1_000_000, rate=rate, seed=seed, declined_every=declined_every)
        self._bodies = order_bodies(load)
        self._stop = asyncio.Event()

    async def run(self) -> Mapping[str, str]:
        """Place orders; returns what was accepted."""
        loop = asyncio.get_running_loop()
        limits = httpx.Limits(max_connections=50)
        async with (
            httpx.AsyncClient(
                base_url=self._url, timeout=10.0, limits=limits, trust_env=False
            ) as client,
            asyncio.TaskGroup() as tasks,
        ):
            started = loop.time()
            for number in self._numbers:
                await asyncio.sleep(max(0.0, started + number / self._rate - loop.time()))
                if self._stop.is_set():
                    break
                tasks.create_task(self._place(client, next(self._bodies)))
        return self.accepted

    def stop(self) -> None:
        """Place no more."""
        self._stop.set()

    async def _place(self, client: httpx.AsyncClient, body: dict[str, object]) -> None:
        try:
            response = await client.post("/orders", json=body)
            response.raise_for_status()
        except httpx.HTTPError:
            self.refused += 1
            return
        answer = response.json()
        self.accepted[answer["order_id"]] = answer["trace_id"]

"""Place orders at a steady rate, whether or not the shop is up."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import httpx

from demo_pipeline.app.load import Load, order_bodies

if TYPE_CHECKING:
    from collections.abc import Mapping


class Customers:
    """Place orders at a steady rate until `stop` is called.

    Args:
        url: The shop's URL.
        rate: Orders per second.
        declined_every: One in this many orders uses a card that is always declined; 0 for none.
        seed: The same seed makes the same orders.
        most: The highest number of orders: a slow machine cannot keep up with the rate.

    Attributes:
        accepted: The trace id of each accepted order, by order id.
        refused: Number of orders that the shop refused or did not answer.
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
        """Place orders, and return the accepted ones."""
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
        """Stop placing orders."""
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

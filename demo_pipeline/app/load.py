"""Customers: orders placed over HTTP at a steady rate."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from demo_pipeline.app.http_limits import HttpLimits
from demo_pipeline.domain.burst import steady_moments
from demo_pipeline.domain.catalogue import PRICES
from demo_pipeline.services.payment import DECLINED_CARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo_pipeline.domain.burst import Burst

_TIMEOUT_S: Final = 30.0
_KEEP_ALIVE_S: Final = 1.0
# If orders come faster than they are accepted, further ones wait here: the server would end
# connections beyond its limit, and with them requests that it has not read yet.
_CONNECTIONS: Final = HttpLimits().connections // 2


@dataclass(frozen=True, slots=True)
class Load:
    """The orders that customers place.

    Attributes:
        orders: Number of orders.
        rate: Orders per second.
        seed: The same seed gives the same orders.
        declined_every: Every nth order is paid with a card that is declined; 0 for none.
        customers: Number of customers who place them.
        burst: When orders come faster; by default never.
    """

    orders: int
    rate: float
    seed: int
    declined_every: int = 0
    customers: int = 20
    burst: Burst | None = None

    def moments(self) -> Iterator[float]:
        """Generate when each order is placed, in seconds after the first one."""
        if self.burst is None:
            return steady_moments(self.orders, self.rate)
        return self.burst.moments(self.orders, self.rate)


def order_bodies(load: Load) -> Iterator[dict[str, object]]:
    """Generate the bodies of `POST /orders`."""
    chance = random.Random(load.seed)  # noqa: S311 - repeatable, and nothing to protect
    for number in range(load.orders):
        user = chance.randrange(load.customers)
        products = chance.sample(sorted(PRICES), k=chance.randint(1, 3))
        yield {
            "user_id": f"user-{user:02}",
            "card_token": DECLINED_CARD if _declined(load, number) else f"card-{user:02}",
            "ship_to": f"{user + 1} Harbour Street",
            "lines": [{"sku": sku, "quantity": chance.randint(1, 3)} for sku in products],
        }


def _declined(load: Load, number: int) -> bool:
    # Begin with the third one: a short run has one too.
    every = load.declined_every
    return bool(every) and number % every == 2 % every


async def place_orders(
    url: str, load: Load, accepted: Callable[[str, str], object]
) -> tuple[str, ...]:
    """Place all orders at their rate, without waiting for earlier answers, up to 128 at once.

    Args:
        url: The base URL of the orders API.
        load: The orders.
        accepted: Called with the id and the customer of each accepted order.

    Returns:
        The reasons of all orders that were not accepted.
    """
    refused: list[str] = []
    loop = asyncio.get_running_loop()

    async def place(client: httpx.AsyncClient, body: dict[str, object]) -> None:
        try:
            response = await client.post("/orders", json=body)
        except httpx.HTTPError as error:
            refused.append(type(error).__name__)
            return
        if response.status_code == httpx.codes.ACCEPTED:
            accepted(response.json()["order_id"], str(body["user_id"]))
        else:
            refused.append(f"HTTP {response.status_code}")

    timeout = httpx.Timeout(_TIMEOUT_S, pool=None)
    # Shorter than the server's: an order must not be sent on a connection that is closing.
    limits = httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=_KEEP_ALIVE_S)
    # Without the environment's proxies, which cannot reach a loopback address.
    async with (
        httpx.AsyncClient(base_url=url, timeout=timeout, limits=limits, trust_env=False) as client,
        asyncio.TaskGroup() as tasks,
    ):
        # The first request loads code and opens a connection; no order should be timed with that.
        await client.get("/health")
        started = loop.time()
        for moment_s, body in zip(load.moments(), order_bodies(load), strict=True):
            await asyncio.sleep(started + moment_s - loop.time())
            tasks.create_task(place(client, body))
    return tuple(refused)

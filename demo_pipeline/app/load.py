"""Customers: orders placed over HTTP at a steady rate."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from demo_pipeline.domain.catalogue import PRICES
from demo_pipeline.services.payment import DECLINED_CARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_USERS: Final = 20
_TIMEOUT_S: Final = 30.0
_KEEP_ALIVE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """What customers do.

    Attributes:
        orders: Number of orders.
        rate: Orders per second.
        seed: The same seed makes the same orders.
        declined_every: Of so many orders, one is to be paid by a card that never pays; 0 for none.
    """

    orders: int
    rate: float
    seed: int
    declined_every: int = 0


def order_bodies(load: Load) -> Iterator[dict[str, object]]:
    """Make up the orders, as `POST /orders` takes them."""
    chance = random.Random(load.seed)  # noqa: S311 - repeatable, and nothing to protect
    for number in range(load.orders):
        user = chance.randrange(_USERS)
        products = chance.sample(sorted(PRICES), k=chance.randint(1, 3))
        yield {
            "user_id": f"user-{user:02}",
            "card_token": DECLINED_CARD if _declined(load, number) else f"card-{user:02}",
            "ship_to": f"{user + 1} Harbour Street",
            "lines": [{"sku": sku, "quantity": chance.randint(1, 3)} for sku in products],
        }


def _declined(load: Load, number: int) -> bool:
    # The third one first: a short run has one, too.
    every = load.declined_every
    return bool(every) and number % every == 2 % every


async def place_orders(url: str, load: Load, accepted: Callable[[str], None]) -> tuple[str, ...]:
    """Place all orders at the given rate, whether or not earlier ones were answered.

    Args:
        url: Where `orders` takes HTTP.
        load: What to place.
        accepted: Called with the id of each order that was accepted.

    Returns:
        Why orders were not accepted, one reason for each.
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
            accepted(response.json()["order_id"])
        else:
            refused.append(f"HTTP {response.status_code}")

    timeout = httpx.Timeout(_TIMEOUT_S, pool=None)
    # Less than the server's: an order must not be sent on a connection that is being closed.
    limits = httpx.Limits(keepalive_expiry=_KEEP_ALIVE_S)
    # Without the environment's proxies: the way to a loopback address leads through none.
    async with (
        httpx.AsyncClient(base_url=url, timeout=timeout, limits=limits, trust_env=False) as client,
        asyncio.TaskGroup() as tasks,
    ):
        # The first request of all loads code and opens a connection, which is no order's fault.
        await client.get("/health")
        started = loop.time()
        for number, body in enumerate(order_bodies(load)):
            await asyncio.sleep(started + number / load.rate - loop.time())
            tasks.create_task(place(client, body))
    return tuple(refused)

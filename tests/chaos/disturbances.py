"""What can go wrong: services and brokers that are killed at random moments."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from demo_pipeline.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from demo_pipeline.broker import KafkaCluster
    from tests.chaos.shop import Shop


def killed_services(
    kills: int,
    *,
    every_s: float,
    seed: int,
    told: Callable[[str], None] = lambda _: None,
) -> Callable[[Shop], Awaitable[None]]:
    """Kill a random service so many times, at random moments, and start it again at once.

    Args:
        kills: How many times.
        every_s: The mean time between two kills, in seconds.
        seed: The same seed kills the same services after the same pauses.
        told: Hears of each kill.
    """
    chance = random.Random(seed)

    async def disturb(shop: Shop) -> None:
        for number in range(kills):
            await asyncio.sleep(chance.uniform(0.5, 1.5) * every_s)
            service = chance.choice(sorted(SERVICES))
            told(f"kill {number + 1}/{kills}: {service}")
            await asyncio.to_thread(shop.kill, service)
            shop.start(service)
        await asyncio.sleep(every_s)

    return disturb


def killed_broker(
    kafka: KafkaCluster, node: int, *, down_s: float, before_s: float, back: bool = True
) -> Callable[[Shop], Awaitable[None]]:
    """Kill a broker, and start it again after a while unless the others are to do without it."""

    async def disturb(_shop: Shop) -> None:
        await asyncio.sleep(before_s)
        await kafka.kill(node)
        await asyncio.sleep(down_s)
        if back:
            await kafka.restart(node)
        await asyncio.sleep(before_s)

    return disturb

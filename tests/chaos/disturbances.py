"""What can go wrong: services and brokers that are killed at random moments."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from typing import TYPE_CHECKING

from demo_pipeline.services import SERVICES
from tests.chaos.books import rows
from tests.chaos.group_members import evict_members

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from demo_pipeline.broker import KafkaCluster
    from tests.chaos.shop import Shop

_POLL_S = 0.1


def killed_services(
    kills: int,
    *,
    every_s: float,
    seed: int,
    services: Collection[str] = tuple(SERVICES),
    told: Callable[[str], None] = lambda _: None,
) -> Callable[[Shop], Awaitable[None]]:
    """Kill a random service so many times, at random moments, and start it again at once.

    Args:
        kills: How many times.
        every_s: The mean time between two kills, in seconds.
        seed: The same seed kills the same services after the same pauses.
        services: Which ones may be killed.
        told: Hears of each kill.
    """
    chance = random.Random(seed)

    async def disturb(shop: Shop) -> None:
        for number in range(kills):
            await asyncio.sleep(chance.uniform(0.5, 1.5) * every_s)
            service = chance.choice(sorted(services))
            told(f"kill {number + 1}/{kills}: {service}")
            await asyncio.to_thread(shop.kill, service)
            shop.start(service)
        await asyncio.sleep(every_s)

    return disturb


def killed_orchestrator(
    kills: int,
    *,
    every_s: float,
    seed: int,
    patience_s: float = 60.0,
    told: Callable[[str], None] = lambda _: None,
) -> Callable[[Shop], Awaitable[None]]:
    """Kill the orchestrator so many times, at random moments of its work, and start it again.

    Each kill comes at a random moment after the orchestrator has begun to move sagas again. The
    broker is told that its group's member is gone: it would wait for that one's session to end,
    ten seconds in which there is nothing to interrupt.

    Args:
        kills: How many times.
        every_s: For how long it works between two kills, in the mean, in seconds.
        seed: The same seed makes the same pauses.
        patience_s: If it does not work for so long, in seconds, it is killed nevertheless.
        told: Hears of each kill.
    """
    chance = random.Random(seed)

    async def disturb(shop: Shop) -> None:
        started_ns = 0
        for number in range(kills):
            idle_s = await _until_it_works(shop, started_ns, patience_s)
            await asyncio.sleep(chance.uniform(0.0, 2.0) * every_s)
            told(f"kill {number + 1}/{kills}: orchestrator, at work after {idle_s:.1f} s")
            await asyncio.to_thread(shop.kill, "orchestrator")
            await evict_members(shop.bootstrap_servers, "orchestrator")
            started_ns = time.time_ns()
            shop.start("orchestrator")
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


async def _until_it_works(shop: Shop, since_ns: int, patience_s: float) -> float:
    """Wait until a saga has moved since a moment, unix ns; returns for how long, in seconds."""
    began = time.monotonic()
    while (waited_s := time.monotonic() - began) < patience_s:
        if await asyncio.to_thread(_last_move_ns, shop) > since_ns:
            break
        await asyncio.sleep(_POLL_S)
    return waited_s


def _last_move_ns(shop: Shop) -> int:
    try:
        moved = rows(shop.folder, "orchestrator", "SELECT max(moved_ns) FROM saga_instances")
    except sqlite3.OperationalError:
        # It has not made its tables yet.
        return 0
    return int(moved[0][0] or 0)

"""Kill services and brokers at random moments."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from typing import TYPE_CHECKING

from demo_pipeline.services import SERVICES
from tests.chaos.databases import rows
from tests.chaos.group_members import evict_members

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from demo_pipeline.broker import KafkaCluster
    from tests.chaos.shop import Shop

_POLL_S = 0.1


def kill_services(
    kills: int,
    *,
    every_s: float,
    seed: int,
    services: Collection[str] = tuple(SERVICES),
    report: Callable[[str], None] = lambda _: None,
) -> Callable[[Shop], Awaitable[None]]:
    """Kill random services at random moments, and restart each at once.

    Args:
        kills: Number of kills.
        every_s: The mean time between two kills, in seconds.
        seed: The same seed kills the same services after the same pauses.
        services: The services that may be killed.
        report: Called with a line for each kill.
    """
    chance = random.Random(seed)

    async def disturb(shop: Shop) -> None:
        for number in range(kills):
            await asyncio.sleep(chance.uniform(0.5, 1.5) * every_s)
            service = chance.choice(sorted(services))
            report(f"kill {number + 1}/{kills}: {service}")
            await asyncio.to_thread(shop.kill, service)
            shop.start(service)
        await asyncio.sleep(every_s)

    return disturb


def kill_orchestrator(
    kills: int,
    *,
    every_s: float,
    seed: int,
    patience_s: float = 60.0,
    report: Callable[[str], None] = lambda _: None,
) -> Callable[[Shop], Awaitable[None]]:
    """Kill the orchestrator at random moments of its work, and restart it.

    Each kill comes at a random moment after the orchestrator has moved a saga again. The killed
    member is then removed from its group: otherwise the broker would wait ten seconds for its
    session to end, without any work to interrupt.

    Args:
        kills: Number of kills.
        every_s: The mean working time between two kills, in seconds.
        seed: The same seed makes the same pauses.
        patience_s: How long to wait for it to work before it is killed anyway, in seconds.
        report: Called with a line for each kill.
    """
    chance = random.Random(seed)

    async def disturb(shop: Shop) -> None:
        started_ns = 0
        for number in range(kills):
            idle_s = await _wait_until_working(shop, started_ns, patience_s)
            await asyncio.sleep(chance.uniform(0.0, 2.0) * every_s)
            report(f"kill {number + 1}/{kills}: orchestrator, at work after {idle_s:.1f} s")
            await asyncio.to_thread(shop.kill, "orchestrator")
            await evict_members(shop.bootstrap_servers, "orchestrator")
            started_ns = time.time_ns()
            shop.start("orchestrator")
        await asyncio.sleep(every_s)

    return disturb


def kill_broker(
    kafka: KafkaCluster, node: int, *, down_s: float, before_s: float, back: bool = True
) -> Callable[[Shop], Awaitable[None]]:
    """Kill a broker, and restart it after a while if `back` is set."""

    async def disturb(_shop: Shop) -> None:
        await asyncio.sleep(before_s)
        await kafka.kill(node)
        await asyncio.sleep(down_s)
        if back:
            await kafka.restart(node)
        await asyncio.sleep(before_s)

    return disturb


async def _wait_until_working(shop: Shop, since_ns: int, patience_s: float) -> float:
    """Wait until a saga has moved since `since_ns`; return the waiting time, in seconds."""
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

"""Durable timers: sagas that have waited too long are looked after, also after a restart."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

from demo_pipeline.runtime.database import outlast

if TYPE_CHECKING:
    from demo_pipeline.sagas.orchestrator import Orchestrator

_logger = logging.getLogger("demo_pipeline.orchestrator")

_POLL_S: Final = 0.2
_ASIDE_S: Final = 30.0
_AT_A_TIME: Final = 100
_STALL_S: Final = 1.0


async def run_timers(orchestrator: Orchestrator, *, grace_s: float) -> None:
    """Look after the sagas that are due, until cancelled.

    A database that is away is waited for. A saga that cannot be moved is left aside for a while,
    and keeps no other one waiting.

    Args:
        orchestrator: Moves the sagas.
        grace_s: Seconds to wait at first: answers that came while nobody was there are read
            meanwhile, so that a restart does not look like silence.
    """
    await asyncio.sleep(grace_s)
    aside: dict[str, float] = {}
    failures = 0
    while True:
        try:
            due = await orchestrator.due(_AT_A_TIME)
        except Exception as error:
            failures += 1
            await outlast(failures, error)
            continue
        failures = 0
        aside = {order_id: until for order_id, until in aside.items() if until > monotonic()}
        for order_id in due:
            if order_id not in aside:
                try:
                    await orchestrator.look_after(order_id)
                # Whatever is wrong with one saga, the timers of all others have to go off.
                except Exception:
                    _logger.exception("the saga of order %s cannot be moved on time", order_id)
                    aside[order_id] = monotonic() + _ASIDE_S
        slept = monotonic()
        await asyncio.sleep(_POLL_S)
        stalled_s = monotonic() - slept - _POLL_S
        if stalled_s > _STALL_S:
            # The process stood still. What came meanwhile is read first, as after a restart.
            await asyncio.sleep(min(stalled_s, grace_s))

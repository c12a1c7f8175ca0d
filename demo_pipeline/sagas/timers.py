"""Durable timers: timeouts of sagas fire on time, also after a restart."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

from demo_pipeline.runtime.database_outage import DatabaseOutage

if TYPE_CHECKING:
    from demo_pipeline.sagas.orchestrator import Orchestrator

_logger = logging.getLogger("demo_pipeline.orchestrator")

_POLL_S: Final = 0.2
_ASIDE_S: Final = 30.0
_AT_A_TIME: Final = 100
_STALL_S: Final = 1.0


async def run_timers(orchestrator: Orchestrator, *, grace_s: float) -> None:
    """Fire the timers of sagas until cancelled.

    It waits while the database is unavailable. A saga that cannot be moved is set aside for a
    while, so that it does not delay the others.

    Args:
        orchestrator: Moves the sagas.
        grace_s: Seconds to wait first: answers that arrived during a restart are read in that
            time, and must not look late.
    """
    await asyncio.sleep(grace_s)
    aside: dict[str, float] = {}
    outage = DatabaseOutage()
    while True:
        try:
            due = await orchestrator.due(_AT_A_TIME)
        except Exception as error:
            await outage.outlast(error)
            continue
        outage = DatabaseOutage()
        aside = {order_id: until for order_id, until in aside.items() if until > monotonic()}
        for order_id in due:
            if order_id not in aside:
                try:
                    await orchestrator.look_after(order_id)
                # One broken saga must not stop the timers of all others.
                except Exception:
                    _logger.exception("the timeout of order %s's saga cannot be handled", order_id)
                    aside[order_id] = monotonic() + _ASIDE_S
        slept = monotonic()
        await asyncio.sleep(_POLL_S)
        stalled_s = monotonic() - slept - _POLL_S
        if stalled_s > _STALL_S:
            # The process was suspended. Answers that arrived meanwhile are read first, as after a
            # restart.
            await asyncio.sleep(min(stalled_s, grace_s))

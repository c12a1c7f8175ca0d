"""Durable timers: sagas that have waited too long are looked after, also after a restart."""

from __future__ import annotations

import asyncio
import logging
from time import time_ns
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from demo_pipeline.sagas.orchestrator import Orchestrator

_logger = logging.getLogger("demo_pipeline.orchestrator")

_POLL_S: Final = 0.2
_AWAY_S: Final = 1.0
_AT_A_TIME: Final = 100
_NS: Final = 1_000_000_000


async def run_timers(orchestrator: Orchestrator, *, grace_s: float) -> None:
    """Look after the sagas that are due, until cancelled.

    A database that is away is waited for.

    Args:
        orchestrator: Moves the sagas.
        grace_s: Seconds after the start in which none is: answers that came while nobody was
            there are read first, so that a restart does not look like silence.
    """
    postponed = False
    while True:
        try:
            if not postponed:
                await orchestrator.postpone(time_ns() + int(grace_s * _NS))
                postponed = True
            for order_id in await orchestrator.due(_AT_A_TIME):
                await orchestrator.look_after(order_id)
        except (SQLAlchemyError, OSError) as error:
            _logger.warning("timers wait for the database: %s", type(error).__name__)
            await asyncio.sleep(_AWAY_S)
        await asyncio.sleep(_POLL_S)

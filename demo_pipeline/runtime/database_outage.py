"""A service's database that is away for a while: how that is known, and how it is outlasted."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError

import tracing

_logger = logging.getLogger("demo_pipeline.database")
_DELAYS: Final = tracing.Retry(delay_s=0.2, max_delay_s=5.0)


def is_away(error: Exception, *, connected: bool) -> bool:
    """Whether an error says that the database is away, and not that something is wrong in it.

    Args:
        error: What was raised.
        connected: Whether there was a connection; without, drivers raise whatever they like.
    """
    if not connected:
        return True
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, OperationalError)


async def outlast(failures: int, error: Exception) -> None:
    """Wait before it is tried again, after so many failures in a row; say so at the first."""
    if failures == 1:
        # Without its text, which may hold what was to be stored.
        _logger.warning("waiting for the database, which is away (%s)", type(error).__name__)
    await asyncio.sleep(_DELAYS.delay_after(failures))

"""A database that is unavailable: how that shows, and waiting for it."""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError

from demo_pipeline.runtime.outage import DELAYS, Outage

_DELAYS: Final = DELAYS

_logger = logging.getLogger("demo_pipeline.database")


def is_away(error: Exception, *, connected: bool) -> bool:
    """Return whether an error means that the database is unavailable.

    Args:
        error: The error.
        connected: Whether there was a connection; before that, drivers raise errors of any type.
    """
    if not connected:
        return True
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, OperationalError)


class DatabaseOutage:
    """The database is unavailable, from the first failure on. For one task and piece of work."""

    __slots__ = ("_outage",)

    def __init__(self) -> None:
        self._outage = Outage(_logger, "it", delays=_DELAYS)

    async def outlast(self, error: Exception) -> None:
        """Wait before the next attempt; log the first failure, and then one a minute."""
        # Without the error's text, which may hold what was to be stored.
        await self._outage.outlast(f"the database is unavailable ({type(error).__name__})")

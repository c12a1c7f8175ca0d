"""Waiting for something that is away, and saying so for as long as that lasts."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

import tracing

if TYPE_CHECKING:
    import logging

DELAYS: Final = tracing.Retry(delay_s=0.2, max_delay_s=5.0)
"""How long to wait between two attempts."""

_WARN_EVERY_S: Final = 60.0


class Outage:
    """Something gives no usable answer, from the first failure on. For one task.

    Make a new one for each piece of work that has to wait::

        outage = Outage(logger, "the database")
        while True:
            try:
                return await attempt()
            except OSError as error:
                await outage.outlast(f"it does not answer ({type(error).__name__})")

    Args:
        logger: Gets a warning at the first failure, and then one a minute.
        awaited: What is waited for.
        delays: How long to wait between two attempts.
    """

    __slots__ = ("_awaited", "_began", "_delays", "_failures", "_logger", "_warn_at")

    def __init__(
        self, logger: logging.Logger, awaited: str, *, delays: tracing.Retry = DELAYS
    ) -> None:
        self._logger, self._awaited, self._delays = logger, awaited, delays
        self._failures = 0
        self._began = self._warn_at = 0.0

    async def outlast(self, problem: str) -> None:
        """Wait before the next attempt, after one that failed.

        Args:
            problem: What is wrong now, for the log: it must hold nothing that was to be stored.
        """
        now = monotonic()
        self._failures += 1
        if self._failures == 1:
            self._began = now
        if self._failures == 1 or now >= self._warn_at:
            self._warn_at = now + _WARN_EVERY_S
            self._warn(problem if problem.endswith((".", "?", "!")) else f"{problem}.", now)
        await asyncio.sleep(self._delays.delay_after(self._failures))

    def _warn(self, problem: str, now: float) -> None:
        if self._failures == 1:
            self._logger.warning("%s Waiting for %s.", problem, self._awaited)
        else:
            self._logger.warning(
                "%s Still waiting for %s, after %d failures in %.0f s.",
                problem,
                self._awaited,
                self._failures,
                now - self._began,
            )

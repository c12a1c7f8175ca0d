"""Ordinary log lines about a consume loop: its start, its end and its partitions.

Lines are at INFO, of the logger `tracing.consume`; a loop that ends with an error logs at ERROR.
They carry `group` and `partitions` as `extra` fields too, for structured logging.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tracing.core import semconv
from tracing.core.log import EventLog
from tracing.messaging.outcome import decisive

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tracing.messaging.reading import ConsumerPort

LOGGER: Final = "tracing.consume"

_logger = EventLog(LOGGER)


class LoopLog:
    """Logs one consume loop. It observes its rebalances."""

    def __init__(self, consumer: ConsumerPort) -> None:
        self._consumer = consumer
        self._group = consumer.info.group
        self._named_group = "no group" if self._group is None else f"group {self._group}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Log the start, and how it ends."""
        self._log("consuming starts with", self._assignment())
        try:
            yield
        except asyncio.CancelledError:
            self._log("consuming was cancelled; it had", self._assignment())
            raise
        except BaseException as error:
            # Without its message, which may be private, as in a traceback.
            _logger.error(  # noqa: TRY400 - a traceback has the message
                "consuming ended with %s; what was not handled is not committed (%s)",
                semconv.error_type(decisive(error)),
                self._named_group,
                extra={"group": self._group, "error_type": semconv.error_type(decisive(error))},
            )
            raise
        self._log("consuming has ended; it had", self._assignment())

    async def revoked(self, partitions: Collection[Any]) -> None:
        """Log partitions that are about to move."""
        if partitions:
            self._log("partitions go:", partitions)

    def arriving(self, partitions: Collection[Any]) -> None:
        """Log nothing yet."""

    async def assigned(self, partitions: Collection[Any]) -> None:
        """Log partitions that came."""
        self._log("partitions came:", partitions)

    def _assignment(self) -> Collection[Any]:
        try:
            return tuple(self._consumer.lanes())
        except Exception:
            # A double without it, or a consumer that is closed.
            return ()

    def _log(self, what: str, partitions: Collection[Any]) -> None:
        places = self._consumer.info.transport.lane_names(partitions)
        _logger.info(
            "%s %s (%s)",
            what,
            places or "no partitions",
            self._named_group,
            extra={"group": self._group, "partitions": places},
        )

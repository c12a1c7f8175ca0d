"""Ordinary log lines about a consume loop: its start, its end and its lanes.

Lines are at INFO, of the logger `tracing.consume`; a loop that ends with an error logs at ERROR.
They carry `group` and the lanes as `extra` fields too, for structured logging: with Kafka, the
lanes' field is `partitions`.
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

    def __init__(self, consumer: ConsumerPort[Any]) -> None:
        self._consumer = consumer
        self._group = consumer.info.group
        self._transport = consumer.info.transport
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

    async def revoked(self, lanes: Collection[Any]) -> None:
        """Log lanes that are about to move."""
        if lanes:
            self._log(f"{self._transport.lane_plural} go:", lanes)

    def arriving(self, partitions: Collection[Any]) -> None:
        """Log nothing yet."""

    async def assigned(self, lanes: Collection[Any]) -> None:
        """Log lanes that came."""
        self._log(f"{self._transport.lane_plural} came:", lanes)

    def _assignment(self) -> Collection[Any]:
        try:
            return tuple(self._consumer.lanes())
        except Exception:
            # A double without it, or a consumer that is closed.
            return ()

    def _log(self, what: str, lanes: Collection[Any]) -> None:
        places, plural = self._transport.lane_names(lanes), self._transport.lane_plural
        _logger.info(
            "%s %s (%s)",
            what,
            places or f"no {plural}",
            self._named_group,
            extra={"group": self._group, plural: places},
        )

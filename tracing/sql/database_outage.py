"""A database that does not answer: how long to leave it alone, and what to say of it, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracing.core import semconv
from tracing.core.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.delivery.retry import Retry

_logger = EventLog("tracing")


class DatabaseOutage:
    """Whether the database of an outbox answers.

    Args:
        delays: Tells how long to wait after each failure.
        message_of: Makes the text of an error, for logs.
    """

    def __init__(self, delays: Retry, message_of: Callable[[BaseException], str]) -> None:
        self._delays = delays
        self._message_of = message_of
        self._failures = 0

    def failed(self, error: Exception) -> float:
        """Take a failure; returns for how long to wait, in seconds."""
        self._failures += 1
        if self._failures == 1:
            # Without the statement that SQLAlchemy adds: its parameters are the keys of records.
            cause = getattr(error, "orig", None) or error
            _logger.warning(
                "the database of the outbox does not answer (%s: %s); it is tried again until it "
                "does",
                semconv.error_type(error),
                self._message_of(cause),
            )
        return self._delays.delay_after(self._failures)

    def over(self) -> None:
        """Take it that the database answers."""
        if self._failures:
            self._failures = 0
            _logger.info("the database of the outbox answers again")

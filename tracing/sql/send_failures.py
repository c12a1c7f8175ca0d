"""The failures of an outbox's broker and database: when to retry, and what to log once."""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.core.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tracing.delivery.retry import Retry
    from tracing.sql.outbox_rows import OrderKey, StoredRecord

MAX_WAITING: Final = 100
"""The number of waiting keys of one topic at which the whole topic waits."""

_logger = EventLog("tracing")

# Kafka calls these not retriable, because the producer has retried long enough, but the record is
# not at fault. Compared by name, because aiokafka is not a dependency.
_BROKER_FAILURES: Final = frozenset({"KafkaTimeoutError", "ProducerClosed", "KafkaError"})


_Cause = tuple[str, str, int | None]


@dataclass(frozen=True, slots=True)
class _Failure:
    attempts: int
    due_at: float
    cause: _Cause

    @property
    def topic(self) -> str:
        """The topic that did not accept the record."""
        return self.cause[1]


class SendFailures:
    """The order keys whose first record could not be sent.

    Args:
        delays: Computes how long a key waits after each failure.
        message_of: Returns the text of an error, for logs.
    """

    def __init__(self, delays: Retry, message_of: Callable[[BaseException], str]) -> None:
        self._delays = delays
        self._message_of = message_of
        self._failures: dict[OrderKey, _Failure] = {}
        self._since: dict[_Cause, float] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def failed(self, record: StoredRecord, error: Exception) -> None:
        """Make a record's key wait, longer after each failure."""
        before = self._failures.get(record.order_key)
        attempts = 1 if before is None else before.attempts + 1
        kind = semconv.error_type(error)
        # While the broker is away, all records fail; a record that can never be sent fails alone.
        alone = _is_fault_of_record(error)
        cause = (kind, record.topic, record.sequence if alone else None)
        self._failures[record.order_key] = _Failure(
            attempts, monotonic() + self._delays.delay_after(attempts), cause
        )
        if before is not None and before.cause != cause:
            self._settle(before.cause)
        if cause in self._since:
            return
        self._since[cause] = monotonic()
        _logger.log(
            logging.ERROR if alone else logging.WARNING,
            "record %d of the outbox cannot be sent to %s (%s: %s); it stays there and is tried "
            "again, the records of its key wait, others go on%s",
            record.sequence,
            record.topic,
            kind,
            self._message_of(error),
            "" if alone else "; further ones are not logged until that is over",
        )

    def over(self, key: OrderKey) -> None:
        """End a key's failure: a record of it was sent, or the failing record was removed."""
        failure = self._failures.pop(key, None)
        if failure is not None:
            self._settle(failure.cause)

    def waiting(self) -> set[OrderKey]:
        """Return the keys whose delay has not passed yet."""
        now = monotonic()
        return {key for key, failure in self._failures.items() if failure.due_at > now}

    def keys_of(self, topics: Collection[str]) -> set[OrderKey]:
        """Return all failing keys of some topics, whether they wait or are being retried."""
        return {key for key, failure in self._failures.items() if failure.topic in topics}

    def topics(self) -> tuple[set[str], set[str]]:
        """Return the topics with failures that may be tried, and those with too many waiting keys.

        A topic that accepts no record has as many failing keys as it has keys. Naming each in a
        query would cost more with every key, and trying each would leave no time for other topics.
        """
        now = monotonic()
        waiting: Counter[str] = Counter()
        for failure in self._failures.values():
            waiting[failure.topic] += failure.due_at > now
        full = {topic for topic, number in waiting.items() if number >= MAX_WAITING}
        return waiting.keys() - full, full

    def due_in_s(self, keys: Collection[OrderKey]) -> float:
        """Return the seconds until the first of some keys may be retried; infinite without any."""
        times = [self._failures[key].due_at for key in keys if key in self._failures]
        return max(0.0, min(times) - monotonic()) if times else math.inf

    def _settle(self, cause: _Cause) -> None:
        if any(failure.cause == cause for failure in self._failures.values()):
            return
        since = self._since.pop(cause, None)
        if since is not None:
            _logger.info(
                "the outbox is over %s of %s after %.1f s", *cause[:2], monotonic() - since
            )


class DatabaseOutage:
    """Tracks whether the database of an outbox answers.

    Args:
        delays: Computes how long to wait after each failure.
        message_of: Returns the text of an error, for logs.
    """

    def __init__(self, delays: Retry, message_of: Callable[[BaseException], str]) -> None:
        self._delays = delays
        self._message_of = message_of
        self._failures = 0

    def failed(self, error: Exception) -> float:
        """Record a failure; return how long to wait, in seconds."""
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
        """Record that the database answers."""
        if self._failures:
            self._failures = 0
            _logger.info("the database of the outbox answers again")


def _is_fault_of_record(error: Exception) -> bool:
    if isinstance(error, OSError) or type(error).__name__ in _BROKER_FAILURES:
        return False
    return not getattr(error, "retriable", False)

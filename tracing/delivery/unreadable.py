"""How a consume loop handles records that the client cannot read."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from tracing.core import semconv
from tracing.core.bounded import BoundedDict, OncePerInterval
from tracing.core.log import EventLog
from tracing.messaging.unreadable import UnreadableRecord
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tracing.delivery.dead_letters import DeadLetters
    from tracing.messaging.reading import ConsumerPort
    from tracing.messaging.unreadable import BrokenRecord
    from tracing.metrics.instruments import Count

OnUnreadable = Literal["dead_letter", "skip", "raise"]

_logger = EventLog("tracing")
_LOG_INTERVAL_S: Final = 60.0


class Unreadable:
    """Passes over records that the client cannot read, or ends the loop. For one loop.

    Args:
        consumer: The consumer that fetches them.
        dead_letters: Where the loop's dead letters go.
        policy: What to do.

    Raises:
        ValueError: The policy is invalid, or it needs dead letters and there are none.
    """

    def __init__(
        self, consumer: ConsumerPort[Any], dead_letters: DeadLetters | None, policy: OnUnreadable
    ) -> None:
        if policy not in get_args(OnUnreadable):
            raise ValueError(f'on_unreadable is "dead_letter", "skip" or "raise", not {policy!r}')
        if policy == "dead_letter" and dead_letters is None:
            raise ValueError('on_unreadable="dead_letter" needs dead_letters=DeadLetters(...)')
        self._telemetry = consumer.telemetry
        self._group = consumer.info.group
        self._transport = consumer.info.transport
        self._dead_letters = dead_letters
        self._policy = policy
        self._counts = BoundedDict(self._new_count)
        self._log = OncePerInterval[str](_LOG_INTERVAL_S)

    def prepare(self, topic: str) -> None:
        """Create a topic's counter, at 0, before there is anything to count."""
        self._counts[topic]

    async def get_past(self, record: BrokenRecord) -> bool:
        """Deal with a record, so that it may be committed.

        Returns:
            Whether it became a dead letter.

        Raises:
            UnreadableRecord: The policy is to end the loop.
            ExceptionGroup: It could not become a dead letter.
        """
        error = UnreadableRecord(record, self._advice(record))
        if self._policy == "raise":
            raise error
        if self._dead_letters is None or self._policy == "skip":
            self._skipped(record)
            return False
        try:
            await self._dead_letters.publish(
                # It has every attribute of a record that a dead letter needs.
                cast("Any", record),
                UnreadableRecord(record),
                group=self._group or "",
                transport=self._transport,
                attempts=0,
                first_failed_at_ms=int(time() * 1000),
            )
        except Exception as refused:
            raise ExceptionGroup(
                "a record cannot be read, and could not be made a dead letter; it is not committed",
                [error, refused],
            ) from None
        return True

    def _advice(self, record: BrokenRecord) -> str:
        advice = '. To get past it: consume(..., on_unreadable="dead_letter") or "skip"'
        if self._group is None:
            return advice
        return f"{advice}, or by hand, with the group stopped: {record.skip_command(self._group)}"

    def _skipped(self, record: BrokenRecord) -> None:
        """Count and log a skip. Never raises."""
        try:
            count = self._counts[record.topic]
            count.value += record.records
            if not self._log.due(record.topic, monotonic()):
                return
            _logger.error(
                "%s cannot be read and is skipped: %s; group %s has skipped %d of this topic so "
                "far, counted in %s",
                record.place,
                record.problem,
                self._group,
                count.value,
                catalog.UNREADABLE_SKIPPED.name,
                extra={
                    "topic": record.topic,
                    **record.position,
                    "group": self._group,
                },
            )
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)

    def _new_count(self, topic: str) -> Count:
        labels = {semconv.DESTINATION: topic}
        if self._group is not None:
            labels[semconv.GROUP] = self._group
        return self._telemetry.metrics.count(catalog.UNREADABLE_SKIPPED, labels)


class Passing:
    """Passes over one record; takes the place of `Attempts`.

    Args:
        record: The record.
        unreadable: What to do about it.
        settle: Waits for the end of the transaction that skips it, if there is one.
    """

    def __init__(
        self,
        record: BrokenRecord,
        unreadable: Unreadable,
        settle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._record = record
        self._unreadable = unreadable
        self._settle = settle

    async def make(self) -> float | None:
        """Pass over the record.

        Returns:
            `None`: no further attempt is needed.

        Raises:
            Exception: As `Unreadable.get_past`.
        """
        dead = await self._unreadable.get_past(self._record)
        if self._settle is not None and not dead:
            await self._settle()
        return None

    def give_up(self) -> None:
        """Do nothing: there is no span to end."""

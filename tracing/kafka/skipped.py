"""Offsets that a consumer jumps over, so that its group never handles the records there.

Transactions, compaction, and records that a failed poll has lost leave gaps in what a consumer
delivers, too. So a gap alone proves nothing. It counts in two cases: the client has reset its
position and the log starts behind the offset that was to be read next, so that offset was out of
range; or the application has sought past it.

How many of the offsets that are gone were records, no broker can say. Nothing is asked or compared
per record: once per assignment, and once per partition of a poll. Where records come one by one, by
`getone` or `async for`, only assignments are looked at.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from tracing.core import semconv
from tracing.core.bounded import BoundedDict, OncePerInterval
from tracing.core.log import EventLog, described
from tracing.kafka.client import position_mark, resets_to_latest
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence

    from tracing.messaging.catch_up import Committed
    from tracing.messaging.transport import ClientInfo
    from tracing.metrics.instruments import Count
    from tracing.telemetry import Telemetry

    ReadCommitted = Callable[
        [Collection[Any]], Coroutine[Any, Any, Mapping[tuple[str, int], Committed]]
    ]

Reason = Literal["deleted", "reset", "seek"]
REASONS: Final[tuple[Reason, ...]] = ("deleted", "reset", "seek")

END: Final = -1
"""Stands for the offset of a partition's next new record."""

_logger = EventLog("tracing.skipped")
_LOG_INTERVAL_S: Final = 60.0
_WHY: Final[Mapping[Reason, str]] = {
    "deleted": "they were deleted before it read them",
    "reset": "after that, auto_offset_reset=latest left out what was still there",
    "seek": "the application sought past them",
}


class _Gap(NamedTuple):
    """Offsets that were not delivered: those before `end`."""

    start: int
    end: int


class SkippedOffsets:
    """Counts the offsets that one consumer jumps over. For one event loop; never raises.

    It learns of assignments as an observer of rebalances, and what the group has committed from
    the answers of another question, see `learning`.

    Args:
        telemetry: What the service's clients share.
        info: The consumer.
        client: The consumer itself.
    """

    def __init__(self, telemetry: Telemetry, info: ClientInfo, client: Any) -> None:
        self._telemetry = telemetry
        self._group = info.group
        self._client = client
        self._counts: BoundedDict[str, dict[Reason, Count]] = BoundedDict(self._new_counts)
        # The next offset after a poll, and the mark that a reset replaces.
        self._delivered: dict[Any, tuple[int, object]] = {}
        self._sought: dict[Any, int] = {}
        # Partitions of which it is not known yet where the group has left them.
        self._new: set[Any] = set()
        self._checks: set[asyncio.Task[None]] = set()
        self._log = OncePerInterval[tuple[str, Reason]](_LOG_INTERVAL_S)

    def learning(self, read: ReadCommitted) -> ReadCommitted:
        """Return a function like `read`, whose answers also decide about new partitions."""

        async def reading(places: Collection[Any]) -> Mapping[tuple[str, int], Committed]:
            committed = await read(places)
            offsets = {
                place: answer.offset
                for place, answer in committed.items()
                if place in self._new and answer.offset is not None
            }
            self._new.difference_update(committed)
            if offsets:
                self._check(offsets, {})
            return committed

        return reading

    def delivered(self, records: Mapping[Any, Sequence[Any]]) -> None:
        """Compare what a poll has brought with what the one before it ended with."""
        try:
            for tp, batch in records.items():
                if batch:
                    before = self._delivered.get(tp)
                    mark = position_mark(self._client, tp)
                    self._delivered[tp] = batch[-1].offset + 1, mark
                    if before is not None and batch[0].offset > before[0]:
                        gap = _Gap(before[0], batch[0].offset)
                        self._judge(tp, gap, reset=mark is not before[1])
                    elif self._sought.get(tp) == END:
                        # There was nothing to skip.
                        del self._sought[tp]
        except Exception as fault:
            self._telemetry.diagnostics.failed("poll", fault)

    def sought(self, tp: Any, offset: Any) -> None:
        """Note that the application goes on at an offset; `END` if only the broker knows it."""
        self._new.discard(tp)
        before = self._delivered.get(tp)
        if before is not None and isinstance(offset, int) and (offset == END or offset > before[0]):
            self._sought[tp] = offset
        else:
            self._sought.pop(tp, None)

    async def revoked(self, partitions: Collection[Any]) -> None:
        """Forget partitions: another member may go on with them."""
        for tp in partitions:
            self._delivered.pop(tp, None)
            self._sought.pop(tp, None)
            self._new.discard(tp)

    def arriving(self, partitions: Collection[Any]) -> None:
        """Expect to learn where the group has left partitions."""
        try:
            for topic, _ in partitions:
                # So that there is a 0 before the first of them.
                self._counts[topic]
            self._new.update(partitions)
        except Exception as fault:
            self._telemetry.diagnostics.failed("poll", fault)

    async def assigned(self, partitions: Collection[Any]) -> None:
        """Do nothing: `arriving` has done it."""

    def closing(self) -> None:
        """Stop asking: the consumer is about to close."""
        for task in tuple(self._checks):
            task.cancel()

    def _judge(self, tp: Any, gap: _Gap, *, reset: bool) -> None:
        sought = self._sought.pop(tp, None)
        if sought is not None:
            end = gap.end if sought == END else min(sought, gap.end)
            self._count(tp, "seek", _Gap(gap.start, end))
        elif reset:
            self._check({tp: gap.start}, {tp: gap.end})

    async def _out_of_range(self, offsets: Mapping[Any, int], arrived: Mapping[Any, int]) -> None:
        """Count what was skipped where the log starts behind an offset.

        Args:
            offsets: The offset that was to be read next, by partition.
            arrived: The one that was read instead; by default the broker is asked where it is.
        """
        starts = await self._ask(self._client.beginning_offsets, offsets)
        passed = {
            tp: _Gap(offset, min(start, arrived.get(tp, start)))
            for tp, offset in offsets.items()
            if (start := starts.get(tp, offset)) > offset
        }
        if passed and resets_to_latest(self._client) and not arrived:
            arrived = await self._ask(self._client.end_offsets, passed)
        for tp, gap in passed.items():
            self._count(tp, "deleted", gap)
            if resets_to_latest(self._client):
                self._count(tp, "reset", _Gap(gap.end, arrived.get(tp, gap.end)))

    async def _ask(self, ask: Any, places: Iterable[Any]) -> Mapping[Any, int]:
        wanted = frozenset(places)
        # A partition that has gone is another member's concern; and aiokafka takes its own objects.
        own = [tp for tp in self._client.assignment() if tp in wanted]
        return dict(await ask(own)) if own else {}

    def _check(self, offsets: Mapping[Any, int], arrived: Mapping[Any, int]) -> None:
        task = asyncio.get_running_loop().create_task(
            self._checked(offsets, arrived), name="skipped offsets"
        )
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def _checked(self, offsets: Mapping[Any, int], arrived: Mapping[Any, int]) -> None:
        # Made here, the coroutine is awaited: a task may be cancelled before it begins.
        try:
            await self._out_of_range(offsets, arrived)
        except Exception as error:
            # Without an answer nothing counts: better than a loss that is none.
            _logger.debug("cannot check for skipped offsets: %s", described(error))

    def _count(self, tp: Any, reason: Reason, gap: _Gap) -> None:
        number = gap.end - gap.start
        if number <= 0:
            return
        topic, partition = tp
        self._counts[topic][reason].value += number
        if self._log.due((topic, reason), monotonic()):
            _logger.warning(
                "group %s skipped %d offsets of %s[%d], from %d on: %s",
                self._group,
                number,
                topic,
                partition,
                gap.start,
                _WHY[reason],
            )

    def _new_counts(self, topic: str) -> dict[Reason, Count]:
        labels = {semconv.DESTINATION: topic}
        if self._group is not None:
            labels[semconv.GROUP] = self._group
        return {
            reason: self._telemetry.metrics.count(
                catalog.CONSUMER_SKIPPED, {**labels, semconv.REASON: reason}
            )
            for reason in REASONS
        }

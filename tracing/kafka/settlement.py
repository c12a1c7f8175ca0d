"""Settle Kafka's messages: each partition has one offset, and all before it is handled."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog, described
from tracing.kafka.positions import Positions
from tracing.messaging.unreadable import BrokenRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from aiokafka.structs import TopicPartition

    Commit = Callable[[Mapping[TopicPartition, Any]], Awaitable[Any]]
    Marked = Callable[[Mapping[TopicPartition, int]], Mapping[TopicPartition, Any]]

_logger = EventLog("tracing")

BEGINNING: Final = -1
"""Stands for the offset of a partition's first record."""
END: Final = sys.maxsize
"""Stands for the offset of a partition's next new record."""

# The group has rebalanced: the partition's new owner receives the records again. By name, because
# this package does not depend on aiokafka.
_LOST_PARTITION: Final = frozenset(
    {"CommitFailedError", "IllegalStateError", "IllegalGenerationError", "UnknownMemberIdError",
     "RebalanceInProgressError"}
)  # fmt: skip


def next_offset(record: Any) -> int:
    """Return the offset after a record, readable or not."""
    return int(record.next_offset if isinstance(record, BrokenRecord) else record.offset + 1)


class Cursor:
    """Where a loop is in one partition.

    Attributes:
        sought: The offset that the application sought while a record was in progress.
    """

    __slots__ = ("_arrived", "_committed", "_misplaced", "_next", "sought")

    def __init__(self) -> None:
        self.sought: int | None = None
        self._next: int | None = None
        self._committed: int | None = None
        self._misplaced = False
        self._arrived = False

    @property
    def uncommitted(self) -> int | None:
        """The offset to commit; `None` if everything handled is committed."""
        return None if self._next == self._committed else self._next

    def arrived(self) -> None:
        """Note that records arrived: they show the partition's new position."""
        self._arrived = True
        self._misplaced = False

    def handled(self, record: Any) -> None:
        """Count a record as handled."""
        # Flat: this is called for every record.
        if isinstance(record, BrokenRecord):
            self._next = record.next_offset
        else:
            self._next = record.offset + 1
        if self.sought is not None:
            offset, self.sought = self.sought, None
            self._place(offset)

    def advance(self, offset: int) -> None:
        """Count everything before an offset as handled; only call this if no record waits."""
        self._next, self._misplaced = offset, False

    def seek(self, offset: int, *, in_progress: bool) -> None:
        """Continue at an offset that the application sought, after the record in progress.

        Args:
            offset: The offset; `BEGINNING` or `END` if only the broker knows it.
            in_progress: Whether a record is in progress.
        """
        self._arrived = False
        if in_progress:
            self.sought = offset
        else:
            self._place(offset)

    def committed(self, offset: int) -> None:
        """Remember the committed offset."""
        self._committed = offset

    def resume_at(self, first: Any = None) -> int | None:
        """Return the first offset that is not handled; `None` if it is unknown.

        Args:
            first: The first record that is not handled, if there is one.
        """
        if first is None:
            return None if self._misplaced else self._next
        offset: int = first.offset
        return offset if self.sought is None else min(offset, self.sought)

    def _place(self, offset: int) -> None:
        # Keep the handled offset until the broker has resolved this one.
        if offset not in {BEGINNING, END}:
            self._next = offset
        elif not self._arrived:
            self._misplaced = True


class OffsetSettlement:
    """Commits one offset per partition. For one loop.

    Args:
        client: The consumer itself.
        group: Its consumer group; without one, nothing is committed.
        commit: Commits offsets.
        marked: Adds metadata to offsets where the group is catching up; by default none.

    Attributes:
        positions: The consumer's positions.
    """

    def __init__(
        self,
        client: Any,
        group: str | None,
        commit: Commit,
        marked: Marked = lambda offsets: offsets,
    ) -> None:
        self.positions = Positions(client)
        self._client = client
        self._group = group
        self._commit = commit
        self._marked = marked
        self._cursors: dict[TopicPartition, Cursor] = {}

    def lane(self, tp: TopicPartition) -> Cursor:
        """Return the cursor of a partition."""
        cursor = self._cursors.get(tp)
        if cursor is None:
            cursor = self._cursors[tp] = Cursor()
        return cursor

    def lanes(self) -> Collection[TopicPartition]:
        """Return the partitions that have a cursor."""
        return self._cursors.keys()

    def spent(self) -> Collection[TopicPartition]:
        """Return nothing: partitions are few, and each has a position."""
        return ()

    def pending(self, partitions: Collection[TopicPartition]) -> bool:
        """Return whether there is anything to commit."""
        return any(self._uncommitted(tp) is not None for tp in partitions)

    async def settle(
        self, partitions: Collection[TopicPartition], commit: Commit | None = None
    ) -> None:
        """Commit what was handled.

        Args:
            partitions: The partitions to commit.
            commit: Commits offsets instead of the usual function.
        """
        if self._group is None:
            return
        cursors = {tp: self._cursors[tp] for tp in partitions if tp in self._cursors}
        offsets = {
            tp: offset
            for tp, cursor in cursors.items()
            if (offset := cursor.uncommitted) is not None
        }
        if not offsets:
            return
        await (commit or self._commit)(self._marked(offsets))
        for tp, offset in offsets.items():
            cursors[tp].committed(offset)

    async def pass_over(
        self, idle: Callable[[TopicPartition], bool], *, without: Collection[TopicPartition]
    ) -> None:
        """Count offsets without records as handled: transactions' markers and aborted records."""
        if self._group is None or not self.positions.trusted:
            return

        def passed(tp: TopicPartition, position: int) -> None:
            cursor = self._cursors.get(tp)
            if cursor is None:
                if self.positions.moved(tp, position):
                    self.lane(tp).advance(position)
            elif idle(tp) and ((at := cursor.resume_at()) is None or at < position):
                cursor.advance(position)

        await self.positions.read(passed, without=without)

    def comes_back(self, error: Exception) -> bool:
        """Return whether a commit failed temporarily, or because partitions have moved."""
        retriable = bool(getattr(error, "retriable", False))
        return retriable or type(error).__name__ in _LOST_PARTITION

    async def give_back(self, unhandled: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Rewind each partition to its first record that is not handled."""
        for tp, records in unhandled.items():
            cursor = self._cursors.get(tp)
            first = records[0] if records else None
            # Even if everything was handled: a fetch that failed on a record may have lost the
            # records before it.
            if cursor is not None:
                offset = cursor.resume_at(first)
            else:
                offset = None if first is None else first.offset
            if offset is not None:
                self._seek(tp, offset)
        if not self.positions.trusted:
            for tp, position in self.positions.first().items():
                # A partition that is moving still has a cursor, and is not rewound.
                if tp not in self._cursors and not unhandled.get(tp):
                    self._seek(tp, position)

    def forget(self, partitions: Iterable[TopicPartition] | None) -> None:
        """Forget partitions that have moved; with `None`, all partitions."""
        for tp in tuple(self._cursors) if partitions is None else partitions:
            self._cursors.pop(tp, None)
        self.positions.forget(partitions)

    def position(self, tp: TopicPartition, in_progress: Any, waiting: Any) -> int | None:
        """Return the first offset that is not handled; `None` if unknown.

        Once the application has sought, only records that arrived later count.

        Args:
            tp: The partition.
            in_progress: Its record in progress, if there is one.
            waiting: Its first waiting record, if there is one.
        """
        cursor = self._cursors.get(tp)
        if cursor is None:
            return None
        if cursor.sought is not None:
            return None if waiting is None else int(waiting.offset)
        return cursor.resume_at(waiting if in_progress is None else in_progress)

    def sought(self, tp: TopicPartition, offset: int, *, in_progress: bool) -> None:
        """Note that the application has sought an offset in a partition."""
        cursor = self._cursors.get(tp)
        if cursor is not None:
            cursor.seek(offset, in_progress=in_progress)
        self.positions.forget((tp,))

    def _uncommitted(self, tp: TopicPartition) -> int | None:
        cursor = self._cursors.get(tp)
        return None if cursor is None else cursor.uncommitted

    def _seek(self, tp: TopicPartition, offset: int) -> None:
        try:
            self._client.seek(tp, offset)
        except Exception as error:
            # The consumer is closed, or the partition has moved: its next reader resumes at the
            # committed offset.
            _logger.debug("a partition was not rewound: %s", described(error))

"""The next offset of each assigned partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracing.testing.fallbacks import errors
from tracing.testing.record_conversion import consumer_record, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition

    from tracing.testing.broker import InMemoryBroker


class Positions:
    """Holds the assigned partitions, the next offset of each, and which of them are paused.

    Args:
        broker: Holds the records.
        from_start: Whether to begin with the first record when no offset is committed.
        key_deserializer: Turns key bytes into keys.
        value_deserializer: Turns value bytes into values.
    """

    def __init__(
        self,
        broker: InMemoryBroker,
        *,
        from_start: bool,
        key_deserializer: Callable[[Any], Any] | None,
        value_deserializer: Callable[[Any], Any] | None,
    ) -> None:
        self._broker = broker
        self._from_start = from_start
        self._key_deserializer = key_deserializer
        self._value_deserializer = value_deserializer
        self._next: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._taken_ms: dict[TopicPartition, int] = {}

    def assign(
        self,
        partitions: Iterable[TopicPartition],
        committed: Mapping[TopicPartition, OffsetAndMetadata] | None = None,
    ) -> None:
        """Replace the assignment; each partition begins at its committed offset, if it has one."""
        committed = committed or {}
        self._next = {
            partition: committed[partition].offset
            if partition in committed
            else (0 if self._from_start else self._broker.log(partition).end)
            for partition in partitions
        }
        self._paused.clear()

    def assignment(self) -> set[TopicPartition]:
        """Return the assigned partitions."""
        return set(self._next)

    def check(self, partition: TopicPartition) -> None:
        """Raise `IllegalStateError` for a partition that is not assigned."""
        if partition not in self._next:
            raise errors().IllegalStateError(f"Partition {partition} is not assigned")

    def position(self, partition: TopicPartition) -> int:
        """Return the next offset."""
        self.check(partition)
        return self._next[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the next offset."""
        self.check(partition)
        self._next[partition] = offset

    def handed_out(self) -> dict[TopicPartition, int]:
        """Return the offsets that a commit of everything taken would store."""
        return dict(self._next)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Take nothing from these partitions."""
        for partition in partitions:
            self.check(partition)
        self._paused.update(partitions)

    def paused(self) -> set[TopicPartition]:
        """Return the paused partitions."""
        return set(self._paused)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Take from these partitions again."""
        for partition in partitions:
            self.check(partition)
        self._paused.difference_update(partitions)

    def last_taken_ms(self, partition: TopicPartition) -> int:
        """Return when records were last taken, unix ms; 0 for never."""
        self.check(partition)
        return self._taken_ms.get(partition, 0)

    def take(
        self, partitions: Collection[TopicPartition], limit: int | None
    ) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        """Take up to `limit` records and move the positions past them.

        A record that cannot be deserialised stays, and the records before it are returned.
        When there are none before it, the deserialiser's error is raised.
        """
        taken: dict[TopicPartition, list[ConsumerRecord[Any, Any]]] = {}
        remaining = limit
        for partition in tuple(self._next):
            if partition in self._paused or (partitions and partition not in partitions):
                continue
            for stored in self._broker.log(partition).read(self._next[partition]):
                if remaining == 0:
                    return taken
                try:
                    record = consumer_record(
                        partition,
                        stored,
                        key_deserializer=self._key_deserializer,
                        value_deserializer=self._value_deserializer,
                    )
                except Exception:
                    if taken:
                        return taken
                    raise
                self._next[partition] = stored.offset + 1
                self._taken_ms[partition] = now_ms()
                taken.setdefault(partition, []).append(record)
                remaining = None if remaining is None else remaining - 1
        return taken

"""Where a consumer stands in each of its partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracing.testing.kafka_types import errors
from tracing.testing.record_conversion import consumer_record, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition

    from tracing.testing.broker import InMemoryBroker


class Positions:
    """The assigned partitions, the next offset in each, and which of them are paused.

    Args:
        broker: Where the records are.
        from_start: Whether to begin with the first record where nothing is committed.
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
        """Replace the partitions; each begins where the group committed, if it did."""
        known = committed or {}
        self._next = {
            partition: known[partition].offset
            if partition in known
            else (0 if self._from_start else self._broker.log(partition).end)
            for partition in partitions
        }
        self._paused.clear()

    def assignment(self) -> set[TopicPartition]:
        """Tell the partitions."""
        return set(self._next)

    def check(self, partition: TopicPartition) -> None:
        """Raise `IllegalStateError` for a partition that is not assigned."""
        if partition not in self._next:
            raise errors().IllegalStateError(f"Partition {partition} is not assigned")

    def position(self, partition: TopicPartition) -> int:
        """Tell the next offset."""
        self.check(partition)
        return self._next[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the next offset."""
        self.check(partition)
        self._next[partition] = offset

    def handed_out(self) -> dict[TopicPartition, int]:
        """Tell the offsets that a commit of everything taken would store."""
        return dict(self._next)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Take nothing from these."""
        for partition in partitions:
            self.check(partition)
        self._paused.update(partitions)

    def paused(self) -> set[TopicPartition]:
        """Tell the paused partitions."""
        return set(self._paused)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Take from these again."""
        for partition in partitions:
            self.check(partition)
        self._paused.difference_update(partitions)

    def last_taken_ms(self, partition: TopicPartition) -> int:
        """Tell when records were taken last, unix ms; 0 for never."""
        self.check(partition)
        return self._taken_ms.get(partition, 0)

    def take(
        self, partitions: Collection[TopicPartition], limit: int | None
    ) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        """Take up to `limit` records and move on behind them.

        A record that cannot be deserialised stays, and the records in front of it are returned;
        once there are none, it raises what the deserialiser raises.
        """
        taken: dict[TopicPartition, list[ConsumerRecord[Any, Any]]] = {}
        left = limit
        for partition in tuple(self._next):
            if partition in self._paused or (partitions and partition not in partitions):
                continue
            for stored in self._broker.log(partition).read(self._next[partition]):
                if left == 0:
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
                left = None if left is None else left - 1
        return taken

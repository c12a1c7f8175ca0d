"""An aiokafka consumer while a consume loop reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracing.kafka.beside_loop import BesideLoop, BesideTransactions
from tracing.kafka.readable_polls import ReadablePolls
from tracing.kafka.settlement import OffsetSettlement, next_offset
from tracing.messaging.reading import ConsumerClosedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from aiokafka.structs import ConsumerRecord, TopicPartition

    from tracing.kafka.protocols import KafkaConsumer
    from tracing.kafka.settlement import Commit, Marked
    from tracing.messaging.reading import EndingLoop, RunningLoop

# By name, because aiokafka itself is no dependency.
_STOPPED = "ConsumerStoppedError"


class LoopReading:
    """Reads a consumer for `consume`.

    Args:
        client: The consumer itself.
        getmany: Polls it, in a span.
        group: Its consumer group.
        commit: Commits offsets.
        divert: Lets the application's calls reach another object; `None` ends that.
        marked: Adds to offsets that the group is catching up.

    Attributes:
        settlement: How its records are settled.
    """

    def __init__(
        self,
        client: KafkaConsumer,
        *,
        getmany: Callable[..., Awaitable[Mapping[Any, list[Any]]]],
        group: str | None,
        commit: Commit,
        divert: Callable[[Any], None],
        marked: Marked,
    ) -> None:
        self.settlement = OffsetSettlement(client, group, commit, marked)
        self._client: Any = client
        self._group = group
        self._divert = divert
        self._polls = ReadablePolls(client, getmany)

    @property
    def closed(self) -> bool:
        """Whether the consumer was closed without the loop."""
        try:
            self._client.__aiter__()
        except Exception as error:
            return type(error).__name__ == _STOPPED
        return False

    @property
    def subscribed(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._client.subscription() or self._client.assignment())

    def attach(self, loop: RunningLoop) -> None:
        """Let the consumer's own methods reach the loop."""
        beside = BesideLoop(self._client, self._group, loop, self.settlement, self.forget)
        self._divert(beside)

    def detach(self) -> None:
        """Let them reach the consumer again."""
        self._divert(None)

    async def begin(self) -> None:
        """Remember where partitions begin."""
        await self.settlement.positions.note()

    def lanes_changed(self) -> None:
        """Remember where newly assigned partitions begin, without waiting for it."""
        self.settlement.positions.note_soon()

    async def poll(
        self, timeout_ms: int
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]:
        """Return records by partition.

        Raises:
            ConsumerClosedError: The consumer was closed.
            Exception: What the client raised.
        """
        positions = self.settlement.positions
        positions.trusted = False
        try:
            records = await self._polls.poll(timeout_ms)
        except Exception as error:
            if type(error).__name__ == _STOPPED:
                raise ConsumerClosedError from error
            raise
        positions.trusted = True
        return records

    def pause(self, tp: TopicPartition) -> None:
        """Fetch no more of a partition."""
        self._client.pause(tp)

    def resume(self, tp: TopicPartition) -> None:
        """Fetch a partition again."""
        self._client.resume(tp)

    def paused(self) -> Collection[TopicPartition]:
        """Return the partitions that are paused."""
        try:
            return tuple(self._client.paused())
        except Exception:
            # A double without it has nothing paused.
            return ()

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget where partitions are: they have moved, or were sought elsewhere."""
        self._polls.forget(partitions)


class TransactionalLoopReading(LoopReading):
    """Reads a consumer for `consume(transactional=...)`."""

    def attach(self, loop: EndingLoop) -> None:  # type: ignore[override]  # its own kind of loop
        """Let the consumer's own methods reach the loop."""
        self._divert(BesideTransactions(self._client, loop))

    def offset(self, record: Any) -> int:
        """Return a record's offset."""
        offset: int = record.offset
        return offset

    def after(self, record: Any) -> int:
        """Return the offset after a record."""
        return next_offset(record)

    def lanes(self) -> Collection[TopicPartition]:
        """Return the partitions that the consumer reads."""
        partitions: Collection[TopicPartition] = self._client.assignment()
        return partitions

    async def position(self, tp: TopicPartition) -> int:
        """Return the offset of the next record."""
        position: int = await self._client.position(tp)
        return position

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on at an offset."""
        self._client.seek(tp, offset)

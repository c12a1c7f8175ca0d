"""The private side of a traced consumer: what a consume loop needs of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tracing.kafka.client import is_started
from tracing.kafka.group_offsets import group_offsets
from tracing.kafka.iteration import Handling
from tracing.kafka.loop_reading import LoopReading, TransactionalLoopReading
from tracing.kafka.sender import KafkaSender

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from aiokafka.structs import TopicPartition

    from tracing.kafka.protocols import KafkaConsumer
    from tracing.kafka.rebalance import RebalanceRelay
    from tracing.messaging.catch_ups import CatchUps
    from tracing.messaging.flat.process import FlatProcesses
    from tracing.messaging.reading import LaneObserver
    from tracing.messaging.transactions import GroupOffsets
    from tracing.messaging.transport import ClientInfo, Sender
    from tracing.telemetry import Telemetry


class Traced(Handling, Protocol):
    """What the port needs of the consumer: a `TracedConsumer`."""

    @property
    def wrapped(self) -> KafkaConsumer:
        """The consumer inside."""

    def assignment(self) -> Collection[TopicPartition]:
        """Return the assigned partitions."""

    async def commit(self, offsets: Mapping[TopicPartition, Any] | None = None) -> None:
        """Commit offsets."""

    async def stop(self) -> None:
        """Leave the group and close."""


class KafkaConsumerPort:
    """The private side of a `TracedConsumer`.

    Args:
        consumer: The consumer.
        info: How it is configured.
        rebalances: Where observers of its rebalances are kept.
        getmany: Polls the consumer inside, in a span.
        divert: Lets the application's calls reach another object; `None` ends that.
        catch_ups: Its lanes that may be catching up, which commits say.
        flat: Begins the handling of ordinary records; `None` where none may be flat.

    Attributes:
        begin_flat: Begins the handling of an ordinary record in the running task, and returns
            `None` for any other; `None` where no record may be flat.
        client: The consumer inside.
        info: How it is configured.
        process: The consumer's `process`.
        addressed_elsewhere: The consumer's `addressed_elsewhere`.
    """

    def __init__(
        self,
        consumer: Traced,
        info: ClientInfo,
        rebalances: RebalanceRelay,
        *,
        getmany: Callable[..., Awaitable[Mapping[Any, list[Any]]]],
        divert: Callable[[Any], None],
        catch_ups: CatchUps,
        flat: FlatProcesses | None = None,
    ) -> None:
        self.client = consumer.wrapped
        self.begin_flat = None if flat is None else flat.begin
        self.info = info
        self.process = consumer.process
        self.addressed_elsewhere = consumer.addressed_elsewhere
        self._consumer = consumer
        self._rebalances = rebalances
        self._getmany = getmany
        self._divert = divert
        self._catch_ups = catch_ups

    @property
    def telemetry(self) -> Telemetry:
        """What the service's clients share."""
        return self._consumer.telemetry

    def check_started(self) -> None:
        """Refuse a consumer that is not started.

        Raises:
            RuntimeError: It is not started.
        """
        if not is_started(self.client):
            raise RuntimeError(
                "consume() takes a started consumer: call its start() first, or enter it with "
                "`async with`"
            )

    def lanes(self) -> Collection[TopicPartition]:
        """Return the partitions that the consumer reads."""
        return self._consumer.assignment()

    def reading(self) -> LoopReading:
        """Return what a loop reads the consumer with."""
        return LoopReading(
            self.client,
            getmany=self._getmany,
            group=self.info.group,
            commit=self._consumer.commit,
            divert=self._divert,
            marked=self._catch_ups.marked,
        )

    def transactional_reading(self) -> TransactionalLoopReading:
        """Return what a loop reads the consumer with that handles exactly once."""
        return TransactionalLoopReading(
            self.client,
            getmany=self._getmany,
            group=self.info.group,
            commit=self._consumer.commit,
            divert=self._divert,
            marked=self._catch_ups.marked,
        )

    def observe(self, observer: LaneObserver) -> None:
        """Let an observer learn of rebalances."""
        self._rebalances.add(observer)

    def ignore(self, observer: LaneObserver) -> None:
        """End that."""
        self._rebalances.remove(observer)

    def called_by_listener(self) -> bool:
        """Return whether the caller is the application's listener, for which a rebalance waits."""
        return self._rebalances.waits_for_caller()

    async def close(self) -> None:
        """Leave the group and close."""
        await self._consumer.stop()

    def group_offsets(self, producer: Sender) -> GroupOffsets:
        """Return how the group's offsets join the producer's transactions.

        Raises:
            ValueError: A client does not fit.
            RuntimeError: A client is not started, or the installed aiokafka is built otherwise.
        """
        if not isinstance(producer, KafkaSender):
            raise ValueError("consume(transactional=...) takes two clients of Kafka")  # noqa: TRY004 - a wrong pair, not a wrong type
        return group_offsets(
            self.client, producer.producer.wrapped, metadata=self._catch_ups.metadata
        )

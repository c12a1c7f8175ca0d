"""How a group's offsets join transactions: fenced with aiokafka, plain in the in-memory doubles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracing.core.log import warn_once
from tracing.kafka.client import (
    client_info,
    group_consumer,
    reads_uncommitted,
    transactional_producer,
)
from tracing.messaging.transactions import Membership, no_metadata

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiokafka.structs import TopicPartition

    from tracing.messaging.transactions import GroupOffsets, Metadata


def group_offsets(
    consumer: Any, producer: Any, *, metadata: Metadata = no_metadata
) -> GroupOffsets:
    """Return how the offsets of a consumer's group join a producer's transactions.

    Args:
        consumer: The consumer.
        producer: The producer.
        metadata: Returns the metadata of an offset; by default none.

    Raises:
        ValueError: A client does not fit.
        RuntimeError: A client is not started, or the installed aiokafka is built otherwise.
    """
    inner_consumer, inner_producer = group_consumer(consumer), transactional_producer(producer)
    if inner_producer is None or inner_consumer is None:
        clients = consumer, producer
        if all(type(client).__module__.startswith("tracing.testing") for client in clients):
            return PublicGroup(consumer, producer)
        raise ValueError(
            "consume(transactional=...) takes clients of aiokafka, and cannot find them inside "
            f"{type(consumer).__name__} and {type(producer).__name__}"
        )
    if reads_uncommitted(inner_consumer):
        warn_once(
            "consume(transactional=...) reads with isolation_level='read_uncommitted': records of "
            "aborted transactions in the source topics are handled as well"
        )
    from tracing.kafka.group_transactions import (  # noqa: PLC0415 - it needs aiokafka
        GroupTransactions,
    )

    return GroupTransactions(inner_consumer, inner_producer, metadata)


class PublicGroup:
    """Joins offsets to transactions without fencing, which a broker without a network lacks.

    Args:
        consumer: A consumer of `tracing.testing`.
        producer: A producer of `tracing.testing`, with a transactional id.
    """

    def __init__(self, consumer: Any, producer: Any) -> None:
        self._consumer = consumer
        self._producer = producer
        group = client_info(consumer, group=None, client_id=None).group
        self._membership = Membership(group or "", "in-memory", 0)

    def membership(self) -> Membership:
        """Return the only membership."""
        return self._membership

    async def stable_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int | None]:
        """Read committed offsets."""
        return {tp: await self._consumer.committed(tp) for tp in partitions}

    async def add_offsets(
        self, offsets: Mapping[TopicPartition, int], membership: Membership
    ) -> None:
        """Add offsets to the open transaction."""
        await self._producer.send_offsets_to_transaction(offsets, membership.group)

    def check(self) -> None:
        """Do nothing: without a network, nothing fences a producer."""

    def renew(self) -> None:
        """Do nothing: there are no sequence numbers."""

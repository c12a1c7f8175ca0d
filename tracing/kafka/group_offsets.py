"""How offsets join transactions in the in-memory doubles, by public methods alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracing.kafka.client import client_info
from tracing.messaging.transactions import Membership

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiokafka.structs import TopicPartition


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

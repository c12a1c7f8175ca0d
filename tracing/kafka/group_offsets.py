"""A group's member, whose offsets join transactions; with the in-memory doubles' way to do so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracing.kafka.client import client_info

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiokafka.structs import TopicPartition


@dataclass(frozen=True, slots=True)
class Membership:
    """A consumer's place in its group; a rebalance gives it another one.

    Attributes:
        group: The group.
        member_id: The member.
        generation: How often the group was rebalanced.
        instance_id: The member's static name (KIP-345), if it has one.
    """

    group: str
    member_id: str
    generation: int
    instance_id: str | None = None


class GroupMovedOnError(Exception):
    """The group has been rebalanced: these offsets are no longer this member's to commit."""


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
        """The only one."""
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

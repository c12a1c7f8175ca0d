"""Consumer groups: members share partitions, and each rebalance reassigns all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
    from contextvars import Context
    from typing import Any

    from aiokafka.structs import OffsetAndMetadata, TopicPartition


class GroupMember(Protocol):
    """What a group needs of a consumer."""

    @property
    def context(self) -> Context:
        """The context in which the member's callbacks run."""

    def wants(self, topics: Collection[str]) -> frozenset[str]:
        """Return those of the topics that the member subscribes to."""

    async def give_up(self) -> None:
        """Stop fetching and release all partitions."""

    async def take(self, partitions: Collection[TopicPartition]) -> None:
        """Accept the assigned partitions and fetch again."""


def assigned(
    members: Iterable[GroupMember], partitions: Mapping[str, Collection[TopicPartition]]
) -> list[tuple[GroupMember, list[TopicPartition]]]:
    """Assign partitions round-robin to the members that subscribe to their topics.

    Args:
        members: In the order in which they joined.
        partitions: The broker's partitions by topic.
    """
    shares: list[tuple[GroupMember, list[TopicPartition]]] = [(member, []) for member in members]
    subscriptions = [member.wants(partitions) for member, _ in shares]
    turn = 0
    for topic in sorted(partitions):
        takers = [n for n, topics in enumerate(subscriptions) if topic in topics]
        for partition in sorted(partitions[topic]) if takers else ():
            shares[takers[turn % len(takers)]][1].append(partition)
            turn += 1
    return shares


class Group:
    """A group's members and their committed offsets.

    Args:
        partitions: Returns the broker's partitions by topic.
        on_change: Called after every rebalance.
    """

    def __init__(
        self,
        partitions: Callable[[], Mapping[str, Collection[TopicPartition]]],
        on_change: Callable[[], None],
    ) -> None:
        self.committed: dict[TopicPartition, OffsetAndMetadata] = {}
        self._partitions = partitions
        self._on_change = on_change
        self._members: list[GroupMember] = []
        self._one_at_a_time = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    async def fetch_committed_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return committed offsets with their metadata, as aiokafka's coordinator of a group."""
        return {tp: self.committed[tp] for tp in partitions if tp in self.committed}

    def __contains__(self, member: object) -> bool:
        return any(each is member for each in self._members)

    def add(self, member: GroupMember) -> None:
        """Add a member; it gets partitions at the next rebalance."""
        if member not in self:
            self._members.append(member)

    def remove(self, member: GroupMember) -> None:
        """Remove a member; the others get its partitions at the next rebalance."""
        self._members = [each for each in self._members if each is not member]

    def topic_created(self, topic: str) -> None:
        """Rebalance in the background if a member subscribes to the new topic."""
        if any(topic in member.wants((topic,)) for member in self._members):
            self.start_rebalance()

    def start_rebalance(self) -> asyncio.Task[None]:
        """Rebalance in the background; the task can be awaited."""
        task = asyncio.get_running_loop().create_task(self._rebalance())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def rebalance(self) -> None:
        """Rebalance, to the end even if the caller is cancelled."""
        await asyncio.shield(self.start_rebalance())

    async def _rebalance(self) -> None:
        async with self._one_at_a_time:
            members = tuple(self._members)
            await _each((member, member.give_up()) for member in members)
            shares = assigned(members, self._partitions())
            await _each((member, member.take(share)) for member, share in shares)
        self._on_change()


async def _each(steps: Iterable[tuple[GroupMember, Coroutine[Any, Any, None]]]) -> None:
    # A task for each, in the member's own context: a member must not inherit the current span
    # of the task that started the rebalance.
    loop = asyncio.get_running_loop()
    await asyncio.gather(
        *(loop.create_task(step, context=member.context) for member, step in steps)
    )

"""Members and committed offsets of consumer groups, from their coordinators."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka import errors
from aiokafka.protocol.admin import ListGroupsRequest
from aiokafka.protocol.commit import OffsetFetchRequest

from tracing.kafka.cluster import by_topic
from tracing.kafka.group_protocol import (
    DescribeConsumerGroups,
    DescribeGroups,
    assigned_to,
    subscribed_by,
)
from tracing.messaging.catch_up import until_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from aiokafka.structs import TopicPartition

    from tracing.kafka.cluster import Cluster

_GONE: Final = "Dead"
_EMPTY: Final = "Empty"
# Groups that only commit have no kind. Groups of Connect and share groups commit nothing.
_KINDS: Final = frozenset({"", "consumer", "streams"})
_CONSUMERS: Final = "consumer"
# The places of the client id in the description of a member, by the older and the newer protocol.
_CLIENT_ID: Final = 1
_NEWER_CLIENT_ID: Final = 4
# States of the newer protocol in which targets belong to the group's present subscriptions.
_TARGETED: Final = frozenset({"Stable", "Reconciling"})


@dataclass(frozen=True, slots=True)
class Group:
    """A group as its coordinator describes it.

    Attributes:
        name: Its name.
        coordinator: The node that coordinates it.
        state: For example `Stable`; empty if unknown.
        members: Number of members; `None` if unknown.
        assigned: The partitions that members have; `None` if unknown.
        subscribed: The topics that members subscribe to; `None` if unknown.
        clients: The client ids of its members.
    """

    name: str
    coordinator: int
    state: str = ""
    members: int | None = None
    assigned: frozenset[TopicPartition] | None = None
    subscribed: frozenset[str] | None = None
    clients: frozenset[str] = frozenset()

    @property
    def reads(self) -> bool:
        """Whether it has members. Some brokers call a group empty that does not exist."""
        if self.members is None:
            return self.state not in {"", _GONE, _EMPTY}
        return self.members > 0

    def has_abandoned(self, tp: TopicPartition) -> bool | None:
        """Return whether no member has the partition or subscribes to its topic.

        `None` if that is not known, and for a group without members: that is an outage.
        """
        if not self.members or self.assigned is None or self.subscribed is None:
            return None
        return tp not in self.assigned and tp.topic not in self.subscribed


class GroupCommits(NamedTuple):
    """What a group has committed.

    Attributes:
        at: The time of the answer, in unix seconds.
        offsets: The committed offsets.
        until: The ends of the histories on which the group was at work at its last commit.
    """

    at: float
    offsets: dict[TopicPartition, int]
    until: dict[TopicPartition, int]


class Groups:
    """Asks a cluster for its groups. For one task."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        # Some brokers that speak Kafka's protocol cannot return all commits of a group at once.
        self._by_name: bool | None = None
        self._probing = asyncio.Lock()

    async def described(
        self, names: Collection[str] = (), wanted: Callable[[str], bool] = lambda _: True
    ) -> list[Group]:
        """Describe the groups with these names; by default all that may be described.

        Args:
            names: The groups.
            wanted: Which of them to describe; the others cost no requests of their own.
        """
        if names:
            pairs = await asyncio.gather(*(self._coordinator(name) for name in sorted(names)))
            coordinated = [pair for pair in pairs if pair is not None]
        else:
            listed = await asyncio.gather(*(self._listed(node) for node in self._cluster.nodes))
            coordinated = [pair for by_one_node in listed for pair in by_one_node]
        by_node: dict[int, list[str]] = defaultdict(list)
        for name, node in coordinated:
            if wanted(name):
                by_node[node].append(name)
        described = await asyncio.gather(
            *(self._described_by(node, names) for node, names in by_node.items())
        )
        return [group for groups in described for group in groups]

    async def _listed(self, node: int) -> list[tuple[str, int]]:
        # A node lists the groups that it coordinates.
        try:
            answer = await self._cluster.send(node, ListGroupsRequest())
        except errors.KafkaError as error:
            self._cluster.remarks.unanswered.add(f"groups of broker {node}: {type(error).__name__}")
            return []
        if answer.error_code:
            self._cluster.remarks.refused(answer.error_code, "cluster", "Describe")
        return [(name, node) for name, kind in answer.groups if kind in _KINDS]

    async def _coordinator(self, name: str) -> tuple[str, int] | None:
        try:
            return name, await self._cluster.coordinator(name)
        except errors.GroupAuthorizationFailedError:
            self._cluster.remarks.missing_rights.add(f"Describe on group {name}")
        except errors.KafkaError as error:
            self._cluster.remarks.unanswered.add(f"group {name}: {type(error).__name__}")
        return None

    async def _described_by(self, node: int, names: Sequence[str]) -> list[Group]:
        try:
            answer = await self._cluster.send(node, DescribeGroups(names))
        except errors.KafkaError as error:
            self._cluster.remarks.unanswered.add(f"groups of broker {node}: {type(error).__name__}")
            return []
        # A group that is not described may still have commits.
        groups = {name: Group(name, node) for name in names}
        newer: list[str] = []
        for code, name, state, kind, _protocol, members in answer.groups:
            if state == _GONE or errors.for_code(code) is errors.GroupIdNotFound:
                # Groups of the newer protocol look like this to the older request.
                newer.append(name)
            elif code:
                self._cluster.remarks.refused(code, f"group {name}", "Describe")
            else:
                assignments = [assigned_to(member[-1]) for member in members]
                subscribed = _all_of(
                    subscribed_by(member[-2]) if kind == _CONSUMERS else None for member in members
                )
                clients = frozenset(member[_CLIENT_ID] for member in members)
                groups[name] = self._group(node, name, state, assignments, subscribed, clients)
        if newer:
            groups |= await self._described_newer(node, newer)
        return list(groups.values())

    async def _described_newer(self, node: int, names: Sequence[str]) -> dict[str, Group]:
        try:
            answer = await self._cluster.send(node, DescribeConsumerGroups(names))
        except (errors.KafkaError, NotImplementedError):
            # Older brokers do not know the request: then these groups no longer exist.
            return {}
        groups: dict[str, Group] = {}
        for code, _message, name, state, *_, members, _operations, _tags in answer.groups:
            if not code and state != _GONE:
                assignments = [
                    [(part[4], number) for part in member[8][0] for number in part[5]]
                    for member in members
                ]
                subscribed = _subscribed(state, members)
                clients = frozenset(member[_NEWER_CLIENT_ID] for member in members)
                groups[name] = self._group(node, name, state, assignments, subscribed, clients)
        return groups

    def _group(
        self,
        node: int,
        name: str,
        state: str,
        assignments: Sequence[list[tuple[str, int]] | None],
        subscribed: frozenset[str] | None,
        clients: frozenset[str],
    ) -> Group:
        readable = [pairs for pairs in assignments if pairs is not None]
        held = frozenset(
            tp
            for pairs in readable
            for pair in pairs
            if (tp := self._cluster.partition(*pair)) is not None
        )
        # Not complete before the group's leader has assigned partitions.
        complete = len(readable) == len(assignments)
        assigned = held if complete else None
        return Group(name, node, state, len(assignments), assigned, subscribed, clients)

    async def commits(self, group: Group) -> GroupCommits | None:
        """Return a group's committed offsets; `None` without an answer, as the remarks say."""
        try:
            answer = await self._commits_answer(group)
        except errors.KafkaError as error:
            self._cluster.remarks.unanswered.add(f"group {group.name}: {type(error).__name__}")
            return None
        at = time()
        if answer.error_code:
            self._cluster.remarks.refused(answer.error_code, f"group {group.name}", "Describe")
            return None
        offsets: dict[TopicPartition, int] = {}
        until: dict[TopicPartition, int] = {}
        for topic, partitions in answer.topics:
            for number, offset, metadata, code in partitions:
                if code:
                    self._cluster.remarks.refused(code, f"topic {topic}", "Describe")
                elif offset >= 0 and (tp := self._cluster.partition(topic, number)) is not None:
                    offsets[tp] = offset
                    if (end := until_of(metadata)) is not None:
                        until[tp] = end
        return GroupCommits(at, offsets, until)

    async def _commits_answer(self, group: Group) -> Any:
        if self._by_name is None:
            # One at a time: an unreadable answer ends the connection and all requests on it.
            async with self._probing:
                if self._by_name is None:
                    return await self._probe(group)
        return await (self._ask_by_name if self._by_name else self._ask_for_all)(group)

    async def _probe(self, group: Group) -> Any:
        try:
            answer = await self._ask_for_all(group)
        except errors.KafkaConnectionError:
            answer = await self._ask_by_name(group)
            self._by_name = True
        else:
            self._by_name = False
        return answer

    async def _ask_for_all(self, group: Group) -> Any:
        request = OffsetFetchRequest(group.name, None)
        with suppress(errors.KafkaConnectionError):
            return await self._cluster.send(group.coordinator, request)
        # The broker may have restarted.
        return await self._cluster.send(group.coordinator, request)

    async def _ask_by_name(self, group: Group) -> Any:
        request = OffsetFetchRequest(group.name, by_topic(self._cluster.partitions))
        return await self._cluster.send(group.coordinator, request)


def _all_of(subscriptions: Iterable[Sequence[str] | None]) -> frozenset[str] | None:
    """Return the topics of all members; `None` if those of one member are unknown."""
    topics: set[str] = set()
    for subscription in subscriptions:
        if subscription is None:
            return None
        topics.update(subscription)
    return frozenset(topics)


def _subscribed(state: str, members: Sequence[Any]) -> frozenset[str] | None:
    """Return the topics that members of a group of the newer protocol subscribe to."""
    topics = {topic for member in members for topic in member[6]}
    if any(member[7] for member in members):
        # The coordinator matches the pattern, and what matches has a target.
        targets = {part[4] for member in members for part in member[9][0]}
        # While the pattern is not matched yet, or matches nothing, its meaning is unknown.
        if state not in _TARGETED or not targets:
            return None
        topics |= targets
    return frozenset(topics)

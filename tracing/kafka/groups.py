"""Consumer groups as their coordinators tell of them: who is there, and what is committed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Any, Final

from aiokafka import errors
from aiokafka.protocol.admin import ListGroupsRequest
from aiokafka.protocol.commit import OffsetFetchRequest

from tracing.kafka.cluster import by_topic
from tracing.kafka.group_protocol import DescribeConsumerGroups, DescribeGroups, assigned_to

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiokafka.structs import TopicPartition

    from tracing.kafka.cluster import Cluster

_GONE: Final = "Dead"
# Groups that only commit have no kind. Those of Connect and share groups commit nothing.
_KINDS: Final = frozenset({"", "consumer", "streams"})


@dataclass(frozen=True, slots=True)
class Group:
    """A group as its coordinator describes it.

    Attributes:
        name: Its name.
        coordinator: The node that coordinates it.
        state: For example `Stable`; empty where it is not told.
        members: How many; `None` where it is not told.
        assigned: The partitions that members have; `None` where it is not told.
    """

    name: str
    coordinator: int
    state: str = ""
    members: int | None = None
    assigned: frozenset[TopicPartition] | None = None


class Groups:
    """Asks for groups. For one task."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        # Some brokers that speak Kafka's protocol cannot be asked for all commits of a group.
        self._by_name: bool | None = None
        self._finding_out = asyncio.Lock()

    async def described(self, names: Collection[str] = ()) -> list[Group]:
        """Describe all groups that may be described, or those with some names."""
        if names:
            found = await asyncio.gather(*(self._coordinator(name) for name in sorted(names)))
            coordinated = [pair for pair in found if pair is not None]
        else:
            listed = await asyncio.gather(*(self._listed(node) for node in self._cluster.nodes))
            coordinated = [pair for pairs in listed for pair in pairs]
        by_node: dict[int, list[str]] = defaultdict(list)
        for name, node in coordinated:
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
        # Of what nothing is told, what was committed may still be.
        found = {name: Group(name, node) for name in names}
        newer: list[str] = []
        for code, name, state, _kind, _protocol, members in answer.groups:
            if state == _GONE or errors.for_code(code) is errors.GroupIdNotFound:
                # So do groups of the newer protocol look to the older question.
                newer.append(name)
            elif code:
                self._cluster.remarks.refused(code, f"group {name}", "Describe")
            else:
                assignments = [assigned_to(member[-1]) for member in members]
                found[name] = self._group(node, name, state, assignments)
        if newer:
            found |= await self._described_newer(node, newer)
        return list(found.values())

    async def _described_newer(self, node: int, names: Sequence[str]) -> dict[str, Group]:
        try:
            answer = await self._cluster.send(node, DescribeConsumerGroups(names))
        except (errors.KafkaError, NotImplementedError):
            # Older brokers do not know the question: then these groups have vanished.
            return {}
        found: dict[str, Group] = {}
        for code, _message, name, state, *_, members, _operations, _tags in answer.groups:
            if not code and state != _GONE:
                assignments = [
                    [(part[4], number) for part in member[8][0] for number in part[5]]
                    for member in members
                ]
                found[name] = self._group(node, name, state, assignments)
        return found

    def _group(
        self,
        node: int,
        name: str,
        state: str,
        assignments: Sequence[list[tuple[str, int]] | None],
    ) -> Group:
        known = [pairs for pairs in assignments if pairs is not None]
        held = frozenset(
            tp
            for pairs in known
            for pair in pairs
            if (tp := self._cluster.known(*pair)) is not None
        )
        # Before the leader has assigned anything, and where a broker does not tell.
        complete = len(known) == len(assignments)
        return Group(name, node, state, len(assignments), held if complete else None)

    async def commits(self, group: Group) -> tuple[float, dict[TopicPartition, int]] | None:
        """What a group has committed, and at what unix seconds that was so.

        `None` where that is not told, which is remarked.
        """
        try:
            answer = await self._commits_answer(group)
        except errors.KafkaError as error:
            self._cluster.remarks.unanswered.add(f"group {group.name}: {type(error).__name__}")
            return None
        at = time()
        if answer.error_code:
            self._cluster.remarks.refused(answer.error_code, f"group {group.name}", "Describe")
            return None
        found: dict[TopicPartition, int] = {}
        for topic, partitions in answer.topics:
            for number, offset, _metadata, code in partitions:
                if code:
                    self._cluster.remarks.refused(code, f"topic {topic}", "Describe")
                elif offset >= 0 and (tp := self._cluster.known(topic, number)) is not None:
                    found[tp] = offset
        return at, found

    async def _commits_answer(self, group: Group) -> Any:
        if self._by_name is None:
            # One at a time: what cannot be read ends a connection, and all that is asked on it.
            async with self._finding_out:
                if self._by_name is None:
                    return await self._find_out(group)
        return await (self._ask_by_name if self._by_name else self._ask_for_all)(group)

    async def _find_out(self, group: Group) -> Any:
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
        # Perhaps the broker was restarted.
        return await self._cluster.send(group.coordinator, request)

    async def _ask_by_name(self, group: Group) -> Any:
        request = OffsetFetchRequest(group.name, by_topic(self._cluster.partitions))
        return await self._cluster.send(group.coordinator, request)

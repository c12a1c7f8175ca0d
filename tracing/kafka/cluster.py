"""A cluster as a monitor asks it: few requests, each for as much as one broker can tell."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aiokafka.protocol.api import Request

    from tracing.kafka.connection import Connection

LATEST: Final = -1
EARLIEST: Final = -2
_REFUSALS: Final = (
    errors.ClusterAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.TopicAuthorizationFailedError,
)
_MOVED: Final = (
    errors.KafkaStorageError,
    errors.LeaderNotAvailableError,
    errors.NotLeaderForPartitionError,
    errors.ReplicaNotAvailableError,
)
_DELETED: Final = errors.UnknownTopicOrPartitionError


@dataclass(slots=True)
class Remarks:
    """What a cluster does not allow or does not answer, as it is found out."""

    missing_rights: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)

    def refused(self, code: int, what: str, right: str) -> None:
        """Take down why something was not told."""
        error: type[errors.KafkaError] = errors.for_code(code)
        if issubclass(error, _DELETED):
            # Deleted since it was listed: that is no fault of anybody's.
            return
        if issubclass(error, _REFUSALS):
            self.missing_rights.add(f"{right} on {what}")
        else:
            self.unanswered.add(f"{what}: {error.__name__}")


class Cluster:
    """A connection to a cluster, as an async context manager. For one task.

    Args:
        connection: The cluster.
        request_timeout_s: How long to wait for a broker at most, in seconds.

    Raises:
        KafkaConnectionError: On entering: no broker answers.
        KafkaError: On entering: the cluster refuses.
    """

    def __init__(self, connection: Connection, request_timeout_s: float) -> None:
        options = connection.client()
        timeout_ms = max(1, int(request_timeout_s * 1000))
        self._options = {
            **options,
            "request_timeout_ms": min(timeout_ms, options.get("request_timeout_ms", timeout_ms)),
            # A name of its own in the broker's logs and quotas, unless the user gave one.
            **({} if "client_id" in connection.options else {"client_id": "pipeline-tracing-lag"}),
        }
        self._connected: AIOKafkaClient | None = None
        # Who did not answer once need not be waited for again in the same sweep.
        self._silent: set[int] = set()
        self._partitions: dict[TopicPartition, TopicPartition] = {}
        self.remarks = Remarks()

    async def __aenter__(self) -> Self:
        client = self._connected = AIOKafkaClient(**self._options)
        try:
            await client.bootstrap()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        client, self._connected = self._connected, None
        if client is not None:
            await client.close()

    @property
    def _client(self) -> AIOKafkaClient:
        if self._connected is None:
            raise RuntimeError("the monitor is not connected: use it in an async with block")
        return self._connected

    @property
    def partitions(self) -> Collection[TopicPartition]:
        """All partitions of all topics that may be described, as of the last refresh."""
        return self._partitions.keys()

    async def refresh(self, named: Collection[str] = ()) -> None:
        """Learn what brokers, topics and partitions there are.

        Args:
            named: Topics that have to be there, or else it is to be remarked why not.

        Raises:
            KafkaConnectionError: No broker answers.
        """
        if not await self._client.force_metadata_update():
            raise errors.KafkaConnectionError("no broker tells what topics there are")
        self._silent.clear()
        metadata = self._client.cluster
        self._partitions = {
            tp: tp
            for topic in metadata.topics(exclude_internal_topics=False)
            for number in metadata.partitions_for_topic(topic) or ()
            for tp in (TopicPartition(topic, number),)
        }
        self.remarks = Remarks()
        if hidden := sorted(set(named) - {tp.topic for tp in self._partitions}):
            await self._ask_why_hidden(hidden)

    async def _ask_why_hidden(self, topics: list[str]) -> None:
        # Whoever asks for all topics gets those that may be described, and no word of others.
        request = MetadataRequest(topics, allow_auto_topic_creation=False)
        try:
            answer = await self.send(self._client.get_random_node(), request)
        except errors.KafkaError as error:
            self.remarks.unanswered.add(f"topics: {type(error).__name__}")
            return
        for code, topic, *_ in answer.topics:
            if code:
                self.remarks.refused(code, f"topic {topic}", "Describe")

    def known(self, topic: str, number: int) -> TopicPartition | None:
        """The one object for a partition; `None` where there is no such partition."""
        return self._partitions.get(TopicPartition(topic, number))

    @property
    def nodes(self) -> list[int]:
        """All brokers, as of the last refresh."""
        return [broker.nodeId for broker in self._client.cluster.brokers()]

    async def coordinator(self, group: str) -> int:
        """The node that coordinates a group.

        Raises:
            KafkaError: It is not told.
        """
        return int(await self._client.coordinator_lookup(0, group))

    async def send(self, node: int, request: Request[Any]) -> Any:
        """Ask a node.

        Raises:
            KafkaError: It does not answer, or did not since the last refresh.
        """
        if node in self._silent:
            raise errors.NodeNotReadyError(node)
        try:
            return await self._client.send(node, request)
        except (errors.NodeNotReadyError, errors.RequestTimedOutError):
            self._silent.add(node)
            raise
        except (OSError, ValueError, LookupError, TypeError) as error:
            # What cannot be sent or understood is one broker's trouble, and no reason to give up
            # the answers of the others.
            raise errors.KafkaConnectionError(f"{type(error).__name__}: {error}") from error

    async def offsets(
        self, partitions: Iterable[TopicPartition], which: int
    ) -> dict[TopicPartition, int]:
        """Where logs begin (`EARLIEST`) or end (`LATEST`); those that are not told are left out."""
        found: dict[TopicPartition, int] = {}
        left = set(partitions)
        for again in (True, False):
            stale = await self._ask_offsets(left, which, found)
            if not stale:
                break
            if again:
                await self._client.force_metadata_update()
            left = stale
        else:
            self.remarks.unanswered.add(f"{len(left)} partitions: no leader")
        return found

    async def _ask_offsets(
        self, partitions: Iterable[TopicPartition], which: int, found: dict[TopicPartition, int]
    ) -> set[TopicPartition]:
        """Ask the leaders; returns partitions whose leader is another one by now."""
        leaders, stale = self.by_leader(partitions)

        async def ask(node: int, asked: Collection[TopicPartition]) -> None:
            topics = [
                (topic, [(number, which) for number in numbers])
                for topic, numbers in by_topic(asked)
            ]
            try:
                answer = await self.send(node, OffsetRequest(-1, 0, topics))
            except errors.KafkaError:
                stale.update(asked)
                return
            for topic, answers in answer.topics:
                for number, code, _timestamp, offset, *_ in answers:
                    tp = TopicPartition(topic, number)
                    if not code:
                        found[self._partitions.get(tp, tp)] = offset
                    elif has_moved(code):
                        stale.add(tp)
                    else:
                        self.remarks.refused(code, f"topic {topic}", "Describe")

        await asyncio.gather(*(ask(node, asked) for node, asked in leaders.items()))
        return stale

    def by_leader(
        self, partitions: Iterable[TopicPartition]
    ) -> tuple[dict[int, list[TopicPartition]], set[TopicPartition]]:
        """Sort partitions by their leader, and tell those without one."""
        leaders: dict[int, list[TopicPartition]] = defaultdict(list)
        without: set[TopicPartition] = set()
        for tp in partitions:
            leader = self._client.cluster.leader_for_partition(tp)
            if leader is None:
                # Deleted since it was listed.
                continue
            if leader < 0:
                without.add(tp)
            else:
                leaders[leader].append(tp)
        return leaders, without


def has_moved(code: int) -> bool:
    """Whether a broker says that it does not lead a partition, or not yet."""
    return issubclass(errors.for_code(code), _MOVED)


def by_topic(partitions: Iterable[TopicPartition]) -> list[tuple[str, list[int]]]:
    """Group partitions as requests take them."""
    found: dict[str, list[int]] = defaultdict(list)
    for topic, number in partitions:
        found[topic].append(number)
    return list(found.items())

"""Requests to a cluster for a monitor: as few as possible, each for all that one broker knows."""

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

from tracing.core.text import counted, error_text
from tracing.kafka.topic_ids import (
    DescribeTopicIds,
    Log,
    ids_by_topic,
    replication_by_topic,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aiokafka.protocol.api import Request

    from tracing.kafka.connection import Connection
    from tracing.kafka.topic_ids import Replication

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
    """Collects what a cluster does not allow or does not answer."""

    missing_rights: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)

    def refused(self, code: int, what: str, right: str) -> None:
        """Record why a broker refused an answer."""
        error: type[errors.KafkaError] = errors.for_code(code)
        if issubclass(error, _DELETED):
            # Deleted after it was listed, which is no error.
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
            # A name of its own in the broker's logs and quotas, unless the user set one.
            **({} if "client_id" in connection.options else {"client_id": "pipeline-tracing-lag"}),
        }
        self._connected: AIOKafkaClient | None = None
        # Brokers that did not answer are not asked again in the same sweep.
        self._silent: set[int] = set()
        self._partitions: dict[TopicPartition, TopicPartition] = {}
        self._topic_ids: dict[str, str] = {}
        self._replication: dict[str, Replication] = {}
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
        """All partitions of topics that may be described, as of the last refresh."""
        return self._partitions.keys()

    async def refresh(self, named: Collection[str] = ()) -> None:
        """Update the list of brokers, topics, their ids, and partitions.

        Args:
            named: Topics that must exist; if one does not, the remarks say why.

        Raises:
            KafkaConnectionError: No broker answers.
        """
        if not await self._client.force_metadata_update():
            raise errors.KafkaConnectionError("no broker returns the list of topics")
        self._silent.clear()
        metadata = self._client.cluster
        self._partitions = {
            tp: tp
            for topic in metadata.topics(exclude_internal_topics=False)
            for number in metadata.partitions_for_topic(topic) or ()
            for tp in (TopicPartition(topic, number),)
        }
        self.remarks = Remarks()
        await self._ask_topic_ids()
        if hidden := sorted(set(named) - {tp.topic for tp in self._partitions}):
            await self._ask_why_hidden(hidden)

    async def _ask_topic_ids(self) -> None:
        try:
            answer = await self.send(self._client.get_random_node(), DescribeTopicIds())
        except (errors.KafkaError, NotImplementedError):
            # The ids of the last answer remain. Without any, names have to do.
            self._replication = {}
            return
        self._topic_ids = ids_by_topic(answer)
        self._replication = replication_by_topic(answer)

    async def _ask_why_hidden(self, topics: list[str]) -> None:
        # A request for all topics silently omits those that may not be described.
        request = MetadataRequest(topics, allow_auto_topic_creation=False)
        try:
            answer = await self.send(self._client.get_random_node(), request)
        except errors.KafkaError as error:
            self.remarks.unanswered.add(f"topics: {type(error).__name__}")
            return
        for code, topic, *_ in answer.topics:
            if code:
                self.remarks.refused(code, f"topic {topic}", "Describe")

    def partition(self, topic: str, number: int) -> TopicPartition | None:
        """Return the shared object for a partition; `None` if it does not exist."""
        return self._partitions.get(TopicPartition(topic, number))

    def log(self, tp: TopicPartition) -> Log:
        """Return what identifies a partition's log, as of the last refresh.

        It changes when the topic is deleted and created again, if the brokers know topic ids.
        """
        return Log(tp.topic, self._topic_ids.get(tp.topic), tp.partition)

    @property
    def replication(self) -> Mapping[Log, Replication]:
        """How topics are replicated, by their id, as of the last refresh; empty if unknown."""
        return {
            Log(topic, self._topic_ids.get(topic), 0): replication
            for topic, replication in self._replication.items()
        }

    @property
    def nodes(self) -> list[int]:
        """All brokers, as of the last refresh."""
        return [broker.nodeId for broker in self._client.cluster.brokers()]

    async def coordinator(self, group: str) -> int:
        """Return the node that coordinates a group.

        Raises:
            KafkaError: The coordinator is not available.
        """
        return int(await self._client.coordinator_lookup(0, group))

    async def send(self, node: int, request: Request[Any]) -> Any:
        """Send a request to a node and return its answer.

        Raises:
            KafkaError: It does not answer, or failed to since the last refresh.
        """
        if node in self._silent:
            raise errors.NodeNotReadyError(node)
        try:
            return await self._client.send(node, request)
        except (errors.NodeNotReadyError, errors.RequestTimedOutError):
            self._silent.add(node)
            raise
        except (OSError, ValueError, LookupError, TypeError) as error:
            # An answer that cannot be parsed must not cost the answers of the other brokers.
            raise errors.KafkaConnectionError(error_text(error)) from error

    async def offsets(
        self, partitions: Iterable[TopicPartition], which: int
    ) -> dict[TopicPartition, int]:
        """Return where logs begin (`EARLIEST`) or end (`LATEST`), as far as brokers answer."""
        offsets: dict[TopicPartition, int] = {}
        left = set(partitions)
        for again in (True, False):
            stale = await self._ask_offsets(left, which, offsets)
            if not stale:
                break
            if again:
                await self._client.force_metadata_update()
            left = stale
        else:
            self.remarks.unanswered.add(f"{counted(len(left), 'partition')}: no leader")
        return offsets

    async def _ask_offsets(
        self, partitions: Iterable[TopicPartition], which: int, offsets: dict[TopicPartition, int]
    ) -> set[TopicPartition]:
        """Ask the leaders; return the partitions whose leader has changed."""
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
                        offsets[self._partitions.get(tp, tp)] = offset
                    elif has_moved(code):
                        stale.add(tp)
                    else:
                        self.remarks.refused(code, f"topic {topic}", "Describe")

        await asyncio.gather(*(ask(node, asked) for node, asked in leaders.items()))
        return stale

    def by_leader(
        self, partitions: Iterable[TopicPartition]
    ) -> tuple[dict[int, list[TopicPartition]], set[TopicPartition]]:
        """Return the partitions of each leader, and the partitions without one."""
        leaders: dict[int, list[TopicPartition]] = defaultdict(list)
        without: set[TopicPartition] = set()
        for tp in partitions:
            leader = self._client.cluster.leader_for_partition(tp)
            if leader is None:
                # Deleted after it was listed.
                continue
            if leader < 0:
                without.add(tp)
            else:
                leaders[leader].append(tp)
        return leaders, without


def has_moved(code: int) -> bool:
    """Return whether an error means that a broker does not lead a partition, or not yet."""
    return issubclass(errors.for_code(code), _MOVED)


def by_topic(partitions: Iterable[TopicPartition]) -> list[tuple[str, list[int]]]:
    """Return partition numbers by topic, the format of requests."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for topic, number in partitions:
        numbers[topic].append(number)
    return list(numbers.items())

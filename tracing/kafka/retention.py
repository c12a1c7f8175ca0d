"""The retention of topics and the sizes of logs, from their brokers.

Needs the rights DescribeConfigs on topics, and Describe on the cluster for sizes, which a plain
consumer lacks. Nothing here raises: what is not allowed, not supported or not answered is unknown.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from aiokafka import errors
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.structs import TopicPartition

from tracing.kafka.cluster import by_topic
from tracing.kafka.log_dirs import DescribeLogDirs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tracing.kafka.cluster import Cluster

_TOPIC: Final = 2
_TIME: Final = "retention.ms"
_SIZE: Final = "retention.bytes"
_POLICY: Final = "cleanup.policy"
_TIERED: Final = "remote.storage.enable"
_DELETE: Final = "delete"
_NAMES: Final = (_TIME, _SIZE, _POLICY, _TIERED)
# Topics in one request: some brokers limit the size of an answer.
_TOPICS: Final = 500
# What a broker that does not know a request does.
_UNANSWERED: Final = (errors.KafkaError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a topic keeps records; compacted topics have no limits.

    Attributes:
        seconds: Age from which a record may be deleted; `None` for no limit.
        size: Size of a partition, in bytes, from which its oldest records may be deleted; `None`
            for no limit.
    """

    seconds: float | None = None
    size: int | None = None

    @classmethod
    def of(cls, config: Mapping[str, str | None]) -> Retention | None:
        """Return the retention that a topic's configuration states; `None` if it cannot be read."""
        try:
            policies = [each.strip() for each in (config[_POLICY] or "").split(",")]
            if _DELETE not in policies:
                return cls()
            time_ms, size = int(config[_TIME] or ""), int(config[_SIZE] or "")
        except (KeyError, ValueError):
            return None
        # Of a tiered log, brokers report only the size of what is on their own disks.
        limited = size >= 0 and config.get(_TIERED) != "true"
        return cls(time_ms / 1000 if time_ms >= 0 else None, size if limited else None)


async def retentions(
    cluster: Cluster, topics: Iterable[str], missing: set[str]
) -> dict[str, Retention | None]:
    """Return the retention of topics; `None` where it is unknown. Unanswered topics are left out.

    Args:
        cluster: The cluster.
        topics: The topics.
        missing: Receives the missing rights and answers.
    """
    ordered = sorted(topics)
    retentions: dict[str, Retention | None] = {}
    # The first topic is asked for all settings: a broker that has none returns none, but ends the
    # connection if it is asked for settings by name.
    for first, last in pairwise((0, *range(1, len(ordered), _TOPICS), len(ordered))):
        names = list(_NAMES) if first else None
        request = DescribeConfigsRequest([(_TOPIC, topic, names) for topic in ordered[first:last]])
        answer = await _first_answer(cluster, request)
        if answer is None:
            missing.add("an answer to DescribeConfigs")
            break
        for code, _message, _kind, topic, entries in answer.resources:
            retentions[topic] = Retention.of({entry[0]: entry[1] for entry in entries})
            if errors.for_code(code) is errors.UnknownTopicOrPartitionError:
                # Deleted after it was listed.
                continue
            if code:
                missing.add(f"DescribeConfigs on topic {topic}{_why(code)}")
            elif not entries:
                missing.add("settings of topics, which the brokers do not report")
                return retentions
    return retentions


def _why(code: int) -> str:
    error = errors.for_code(code)
    return "" if error is errors.TopicAuthorizationFailedError else f" ({error.__name__})"


async def _first_answer(cluster: Cluster, request: DescribeConfigsRequest) -> Any:
    # Every broker knows the configuration of every topic.
    for node in cluster.nodes:
        try:
            return await cluster.send(node, request)
        except _UNANSWERED:
            continue
    return None


async def log_sizes(
    cluster: Cluster, partitions: Iterable[TopicPartition], missing: set[str]
) -> dict[TopicPartition, int]:
    """Return the sizes of logs on their leaders' disks, in bytes, as far as they are known.

    Args:
        cluster: The cluster.
        partitions: The partitions.
        missing: As for `retentions`.
    """
    leaders, _ = cluster.by_leader(partitions)
    answers = await asyncio.gather(
        *(_sizes_on(cluster, node, asked, missing) for node, asked in leaders.items())
    )
    return {tp: size for sizes in answers for tp, size in sizes.items()}


async def _sizes_on(
    cluster: Cluster, node: int, asked: Sequence[TopicPartition], missing: set[str]
) -> dict[TopicPartition, int]:
    try:
        answer = await cluster.send(node, DescribeLogDirs(by_topic(asked)))
    except _UNANSWERED:
        missing.add(f"an answer of broker {node} to DescribeLogDirs")
        return {}
    if not answer.results:
        missing.add("Describe on cluster")
    return {
        TopicPartition(topic, number): size
        for _code, _folder, topics in answer.results
        for topic, parts in topics
        for number, size, _lag, is_future in parts
        # A future log replaces the current one when it has been moved to another disk.
        if not is_future
    }

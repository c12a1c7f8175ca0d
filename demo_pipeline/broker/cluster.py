"""Waiting for a cluster, and creating its topics."""

import asyncio
import logging
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from demo_pipeline.runtime.errors import BrokerError

# With three replicas, one broker may fail.
_REPLICAS = 3
_CLOSE_S = 5.0
_CAUSES: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "the name cannot be resolved"),
    (ConnectionRefusedError, "the connection is refused"),
    (TimeoutError, "no answer in time"),
)
_TOPIC_EXISTS = TopicAlreadyExistsError.errno


async def wait_until_reachable(bootstrap_servers: str, *, timeout_s: float = 10.0) -> None:
    """Wait until a Kafka broker answers.

    Raises:
        BrokerError: None answered within `timeout_s` seconds.
    """
    deadline = monotonic() + timeout_s
    while True:
        admin = _admin(bootstrap_servers)
        try:
            # Not `wait_for`, which before Python 3.12 can lose a cancellation of this task.
            with _quiet_connections():
                async with asyncio.timeout(timeout_s):
                    await admin.start()
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            if monotonic() >= deadline:
                raise BrokerError(
                    f"no Kafka broker answers at {bootstrap_servers} "
                    f"({await _cause(bootstrap_servers)}); is it running, and is the address right?"
                ) from error
            await asyncio.sleep(0.05)
        else:
            return
        finally:
            await admin.close()


async def wait_for_groups(bootstrap_servers: str, *, timeout_s: float) -> None:
    """Wait until a new cluster accepts consumer groups, for which it first creates a topic.

    Raises:
        BrokerError: It did not within `timeout_s` seconds.
    """
    deadline = monotonic() + timeout_s
    admin = _admin(bootstrap_servers)
    try:
        await admin.start()
        while True:
            try:
                await admin.find_coordinator("any-group")
            except KafkaError as error:
                if monotonic() >= deadline:
                    raise BrokerError(
                        f"the cluster at {bootstrap_servers} accepts no consumer groups: {error}"
                    ) from error
                await asyncio.sleep(0.05)
            else:
                return
    finally:
        await admin.close()


async def create_topics(bootstrap_servers: str, partitions: Mapping[str, int]) -> None:
    """Create topics with the given numbers of partitions; existing topics are left unchanged.

    Each partition has three replicas, or one per broker if there are fewer brokers.

    Raises:
        BrokerError: The cluster refuses.
    """
    admin = _admin(bootstrap_servers)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        replicas = min(_REPLICAS, len(cluster["brokers"]))
        answer: Any = await admin.create_topics(
            [NewTopic(name, number, replicas) for name, number in partitions.items()]
        )
    except (KafkaError, OSError) as error:
        raise BrokerError(f"cannot create topics at {bootstrap_servers}: {error}") from error
    finally:
        await admin.close()
    for name, code, message in answer.topic_errors:
        if code not in {0, _TOPIC_EXISTS}:
            raise BrokerError(f"cannot create topic {name}: {message or f'error {code}'}")


async def has_progress(
    bootstrap_servers: str, group: str, topics: Collection[str], *, timeout_s: float = 30.0
) -> bool:
    """Return whether a consumer group has committed that it passed any record of some topics.

    It does not join the group.

    Raises:
        BrokerError: The cluster refuses, or did not answer within `timeout_s` seconds.
    """
    admin = _admin(bootstrap_servers)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False
    )
    try:
        async with asyncio.timeout(timeout_s):
            await admin.start()
            places = [
                TopicPartition(topic["topic"], partition["partition"])
                for topic in await admin.describe_topics(list(topics))
                for partition in topic["partitions"]
            ]
            await consumer.start()
            committed = await asyncio.gather(*(consumer.committed(place) for place in places))
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerError(
            f"cannot read at {bootstrap_servers} what group {group} has committed "
            f"({type(error).__name__}): is the cluster in order, and may this user read the group?"
        ) from error
    finally:
        # Without a broker, aiokafka would wait for its return.
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await consumer.stop()
        await admin.close()
    # Some brokers have 0 for partitions without a record.
    return any(committed)


async def _cause(bootstrap_servers: str) -> str:
    """Return in words why there is no broker; aiokafka only says that there is none."""
    causes: dict[str, None] = {}
    for address in bootstrap_servers.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            async with asyncio.timeout(_CLOSE_S):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.close()
        except (OSError, TimeoutError, ValueError) as error:
            words = next((words for kind, words in _CAUSES if isinstance(error, kind)), str(error))
            causes[words] = None
        else:
            causes["what listens there does not answer as Kafka does"] = None
    return ", ".join(causes)


def _admin(bootstrap_servers: str) -> AIOKafkaAdminClient:
    return AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=30_000)


_logger = logging.getLogger("aiokafka")
_quieting: list[int] = []
_quieting_lock = threading.Lock()


@contextmanager
def _quiet_connections() -> Iterator[None]:
    """Keep aiokafka from logging each refused connection: one error at the end is enough."""
    with _quieting_lock:
        # Several tasks may wait at once; the level from before the first one is restored.
        _quieting.append(_quieting[0] if _quieting else _logger.level)
        _logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        with _quieting_lock:
            before = _quieting.pop()
            if not _quieting:
                _logger.setLevel(before)

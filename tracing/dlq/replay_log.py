"""The topic of the marks that replays leave: found, read, and created for the first replay."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self
from zlib import crc32

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.structs import TopicPartition

from tracing.core.text import error_text
from tracing.delivery.dead_letter_names import REPLAY_TOPIC
from tracing.dlq.places import extents_at_once
from tracing.dlq.reading import reader
from tracing.dlq.replayed import ReplayHistory
from tracing.kafka.cluster import EARLIEST, Cluster
from tracing.kafka.readable_polls import ReadablePolls

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from types import TracebackType

    from aiokafka import AIOKafkaConsumer

    from tracing.dlq.places import LetterId
    from tracing.kafka.connection import Connection

_POLL_MS: Final = 500
_BATCH: Final = 1000
_REPLICAS: Final = 3
_RETRY_S: Final = 0.1
# Compacted alone: a mark has to live as long as its dead letter, however long that is. The newest
# segment is never compacted, and all of it is read, so it is small.
_CONFIGS: Final = {"cleanup.policy": "compact", "segment.bytes": str(64 * 1024 * 1024)}


class ReplayLog:
    """The marks of replays on a cluster, as an async context manager.

    Entering reads all marks; if that fails, `history.problem` says why, and all that is known of a
    dead letter is that nothing is known. No topic means no marks.

    It needs the rights to describe and read the topic, and a replay also those to write and, the
    first time, to create it.

    Args:
        connection: The cluster.
        topic: The topic of the marks.
        dead_letter_topics: Keep the marks of these topics only; by default of all.
        timeout_s: How long to wait for a broker, in seconds.

    Attributes:
        topic: The topic of the marks.
        history: The marks so far.
        ends: By partition, the offset up to which marks were read on entering.

    Task safety: for one task.
    """

    def __init__(
        self,
        connection: Connection,
        topic: str = REPLAY_TOPIC,
        *,
        dead_letter_topics: Collection[str] | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._stack = AsyncExitStack()
        self._partitions: list[TopicPartition] = []
        self._consumer: AIOKafkaConsumer | None = None
        self._polls: ReadablePolls | None = None
        self.topic = topic
        self.history = ReplayHistory(dead_letter_topics)
        self.ends: Mapping[int, int] = {}

    async def __aenter__(self) -> Self:
        try:
            problem = await self._find()
            if self._partitions:
                self.ends = {tp.partition: end for tp, end in (await self._read()).items()}
        except (KafkaError, TimeoutError) as error:
            problem = error_text(error)
        except BaseException:
            await self._stack.aclose()
            raise
        if problem is not None:
            self.history.problem = f"{self.topic} cannot be read: {problem}"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def is_missing(self) -> bool:
        """Whether the topic does not exist, so that no replay is remembered in it."""
        return not self._partitions and self.history.problem is None

    def partition_of(self, dead_letter_id: LetterId) -> TopicPartition:
        """Return the partition of a dead letter's marks: one for all runs, so they are in order."""
        return self._partitions[crc32(str(dead_letter_id).encode()) % len(self._partitions)]

    async def prepare(self) -> None:
        """Create the topic if it does not exist.

        Raises:
            LookupError: The marks cannot be read, or the topic cannot be created.
            KafkaError: The cluster does not answer, or refuses.
        """
        if self.history.problem is not None:
            raise LookupError(f"replays are not remembered: {self.history.problem}")
        if self._partitions:
            return
        await self._create()
        deadline = monotonic() + self._timeout_s
        # The brokers learn of a new topic one after the other.
        while await self._find() is not None or not self._partitions:
            if monotonic() > deadline:
                raise LookupError(f"topic {self.topic} was created, and no broker knows it")
            await asyncio.sleep(_RETRY_S)
        await self._read()

    async def read_to(self, ends: Mapping[TopicPartition, int]) -> None:
        """Read marks up to an offset of each partition.

        Raises:
            TimeoutError: The brokers sent nothing for a while.
            KafkaError: The cluster does not answer, or refuses.
        """
        if self._polls is None:
            raise RuntimeError("there is nothing to read: call prepare() first")
        last_answer = monotonic()
        left = dict(ends)
        while True:
            left = {tp: end for tp, end in left.items() if await self._polls.position(tp) < end}
            if not left:
                return
            batches = await self._polls.poll(_POLL_MS, max_records=_BATCH)
            for batch in batches.values():
                for record in batch:
                    self.history.add(record.key, record.value, record.offset)
            if batches or self._polls.searching:
                last_answer = monotonic()
            elif monotonic() - last_answer > self._timeout_s:
                raise TimeoutError(f"the cluster sent no mark for {self._timeout_s:g} s")

    async def outdated(self) -> list[tuple[LetterId, str]]:
        """Return the marks, with their runs, of dead letters that are deleted.

        Raises:
            KafkaError: The cluster does not answer.
        """
        marked = [(place, tuple(runs)) for place, runs in self.history]
        partitions = {TopicPartition(place.topic, place.partition) for place, _ in marked}
        if not partitions:
            return []
        async with Cluster(self._connection, self._timeout_s) as cluster:
            await cluster.refresh()
            starts = await cluster.offsets(partitions, EARLIEST)
        return [
            (place, run)
            for place, runs in marked
            if place.offset < starts.get(TopicPartition(place.topic, place.partition), 0)
            for run in runs
        ]

    async def _find(self) -> str | None:
        """Look for the topic; return why it cannot be seen, if it is not simply missing."""
        # Not by a client that asks for it by name: brokers may create a topic that one asks for.
        async with Cluster(self._connection, self._timeout_s) as cluster:
            await cluster.refresh([self.topic])
            self._partitions = sorted(tp for tp in cluster.partitions if tp.topic == self.topic)
            refused = cluster.remarks.missing_rights | cluster.remarks.unanswered
        return _listed(refused)

    async def _read(self) -> dict[TopicPartition, int]:
        """Read from the beginning; return where the partitions end."""
        if self._consumer is None:
            self._consumer = await self._stack.enter_async_context(reader(self._connection))
            self._polls = ReadablePolls(self._consumer)
            self._consumer.assign(self._partitions)
        extents = await extents_at_once(self._consumer, self._partitions)
        for tp, (start, _) in extents.items():
            self._consumer.seek(tp, start)
        ends = {tp: end for tp, (_, end) in extents.items()}
        await self.read_to(ends)
        return ends

    async def _create(self) -> None:
        admin = AIOKafkaAdminClient(**self._connection.client())
        try:
            await admin.start()
            brokers = (await admin.describe_cluster())["brokers"]
            replicas = min(_REPLICAS, len(brokers))
            new = NewTopic(self.topic, 1, replicas, topic_configs=dict(_CONFIGS))
            answer: Any = await admin.create_topics([new])
        finally:
            await admin.close()
        for _, code, *message in answer.topic_errors:
            if code not in {0, TopicAlreadyExistsError.errno}:
                why = (message and message[0]) or for_code(code).__name__
                raise LookupError(
                    f"topic {self.topic}, which remembers replays, does not exist and cannot be "
                    f"created ({why}): create it with one partition and cleanup.policy=compact"
                )


def _listed(refused: Iterable[str]) -> str | None:
    return ", ".join(sorted(refused)) or None

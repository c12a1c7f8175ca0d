"""Kafka as the log of a replay: a consumer without a group, which commits nothing."""

from __future__ import annotations

from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracing.kafka.client import client_info, reads_uncommitted
from tracing.kafka.readable_polls import ReadablePolls
from tracing.replay.positions import LogPartition, LogRange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.structs import TopicPartition

    from tracing.messaging.transport import ClientInfo

_CLIENT_ID: Final = "pipeline-tracing-replay"
# What is fetched ahead: enough for a fast replay, and a bound on its memory.
_PARTITION_BYTES: Final = 512 * 1024
_FETCH_BYTES: Final = 8 * 1024 * 1024
_FETCH_S: Final = 3.0
_FETCH_MS: Final = 20


@asynccontextmanager
async def kafka_source(**options: Any) -> AsyncIterator[KafkaSource]:
    """Connect to a cluster during the block.

    Args:
        **options: Options of `AIOKafkaConsumer`, such as `bootstrap_servers` and those of its
            security. Give it the `isolation_level` of the live consumer. There is no group, so
            the live consumer's group and offsets stay as they are.

    Raises:
        KafkaError: The cluster does not answer, or refuses.
    """
    # Only here: what imports this package for a database works without aiokafka.
    from aiokafka import AIOKafkaConsumer  # noqa: PLC0415
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415

    consumer = AIOKafkaConsumer(
        **{
            "client_id": _CLIENT_ID,
            "max_partition_fetch_bytes": _PARTITION_BYTES,
            "fetch_max_bytes": _FETCH_BYTES,
            **options,
            "group_id": None,
            "enable_auto_commit": False,
            # Retention may remove what is to be read next. That must not go unnoticed.
            "auto_offset_reset": "none",
        }
    )
    known = ("bootstrap_servers", "security_protocol", "ssl_context")
    admin = AIOKafkaAdminClient(
        **{
            name: value
            for name, value in options.items()
            if name in known or name.startswith("sasl_")
        }
    )
    try:
        await consumer.start()
        await admin.start()
        yield KafkaSource(consumer, admin)
    finally:
        try:
            await consumer.stop()
        finally:
            await admin.close()


class KafkaSource:
    """Reads partitions from any offset: a `ReplaySource`. For one task.

    Args:
        consumer: The consumer, started.
        admin: Knows which partitions there are; a consumer knows those that it reads.
    """

    def __init__(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        from aiokafka.structs import TopicPartition  # noqa: PLC0415 - see above

        self._consumer, self._admin, self._make = consumer, admin, TopicPartition
        self._polls = ReadablePolls(consumer)
        self._info = client_info(consumer, group=None, client_id=None)
        self._uncommitted = reads_uncommitted(consumer)
        self._read: set[TopicPartition] = set()

    @property
    def info(self) -> ClientInfo:
        """How the client is configured, for spans."""
        return self._info

    async def ranges(self, topics: Collection[str]) -> dict[LogPartition, LogRange]:
        """Return what each partition holds now.

        Raises:
            LookupError: A topic does not exist.
            KafkaError: The cluster does not answer, or refuses.
        """
        # All of them: asking for one that does not exist would create it on some clusters.
        described = [
            each
            for each in await self._admin.describe_topics()
            if each["topic"] in topics and not each["error_code"]
        ]
        missing = sorted(set(topics) - {each["topic"] for each in described})
        if missing:
            raise LookupError(f"there is no readable topic {', '.join(missing)}")
        partitions = [
            self._make(each["topic"], partition["partition"])
            for each in described
            for partition in each["partitions"]
        ]
        begins = await self._consumer.beginning_offsets(partitions)
        ends = await self._consumer.end_offsets(partitions)
        if self._uncommitted:
            if not self._read:
                await self._fetch_once(ends)
            # Some brokers, such as the demo's embedded one, answer with the offset after the first
            # record of the last batch. Their answers to fetches are right.
            for tp in self._read.intersection(partitions):
                ends[tp] = max(ends[tp], self._consumer.highwater(tp) or 0)
        return {LogPartition(*each): LogRange(begins[each], ends[each]) for each in partitions}

    async def _fetch_once(self, ends: Mapping[TopicPartition, int]) -> None:
        """Fetch at the end of each partition; what comes is read again after the next seek."""
        await self.seek({LogPartition(*tp): end for tp, end in ends.items()})
        until = monotonic() + _FETCH_S
        while monotonic() < until and any(self._consumer.highwater(tp) is None for tp in ends):
            await self._consumer.getmany(timeout_ms=_FETCH_MS)

    async def offsets_at(
        self, partitions: Collection[LogPartition], unix_ms: int
    ) -> dict[LogPartition, int]:
        """Return the offset of each partition's first record that is not older than a time.

        Raises:
            KafkaError: The cluster does not answer, or cannot look times up.
        """
        asked = {self._make(*each): unix_ms for each in partitions}
        answers = await self._consumer.offsets_for_times(asked)
        # A broker that finds none may also answer with an impossible time.
        return {
            LogPartition(*tp): at.offset
            for tp, at in answers.items()
            if at is not None and at.timestamp >= 0
        }

    async def seek(self, positions: Mapping[LogPartition, int]) -> None:
        """Read these partitions from now on, each from an offset."""
        wanted = {self._make(*each): offset for each, offset in positions.items()}
        if wanted.keys() != self._read:
            self._consumer.assign(list(wanted))
            self._read = set(wanted)
        self._polls.forget(wanted)
        self._consumer.resume(*self._consumer.paused())
        for tp, offset in wanted.items():
            self._consumer.seek(tp, offset)

    def leave(self, partitions: Collection[LogPartition]) -> None:
        """Read these partitions no further."""
        paused = self._consumer.paused()
        for each in partitions:
            tp = self._make(*each)
            if tp in self._read and tp not in paused:
                self._consumer.pause(tp)

    async def read(self, limit: int, wait_s: float) -> Sequence[Any]:
        """Return the next records, at most `limit`; none if there are none within `wait_s`.

        Raises:
            KafkaError: The cluster refuses, or no longer has the next record.
        """
        polled = await self._polls.poll(int(wait_s * 1000), max_records=limit)
        return [record for records in polled.values() for record in records]

    async def positions(self) -> dict[LogPartition, int]:
        """Return the offset of the next record of each partition."""
        positions = {}
        for tp in self._read:
            offset = await self._polls.position(tp)
            if offset >= 0:
                positions[LogPartition(*tp)] = offset
        return positions

"""Sending dead letters back to where they came from, for the group that failed and no other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition

from tracing.core import semconv
from tracing.delivery.dead_letter_names import TOPIC
from tracing.dlq.origins import Origins
from tracing.dlq.outgoing import ReplaySends, replay_headers
from tracing.dlq.reading import reader
from tracing.kafka.client import check_durable, client_info
from tracing.kafka.raw_sending import send_raw
from tracing.kafka.transport import KAFKA
from tracing.messaging.transport import ClientInfo
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from aiokafka import AIOKafkaConsumer

    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter
    from tracing.headers.dead_letter import Provenance
    from tracing.kafka.connection import Connection
    from tracing.telemetry import Telemetry

_IN_FLIGHT: Final = 500
_BYTES_IN_FLIGHT: Final = 16 * 1024 * 1024
# What the service's producer was allowed to send, and the broker took, has to fit here, too.
_LARGEST: Final = 256 * 1024 * 1024
_NAMED: Final = 1000


@dataclass(slots=True)
class Replayed:
    """What came of a replay so far.

    Attributes:
        sent: Letters that the broker acknowledged.
        failed: Letters that it did not, or that do not go where they say, and why; the first
            thousand.
        failures: How many those are.
        unaddressed: Letters of those that were sent to a partition without any record: there the
            marks do not hold, and each group that reads the topic handles them.
        strangers: Records that are no dead letters and were left alone.
    """

    sent: int = 0
    failed: dict[LetterId, str] = field(default_factory=dict)
    failures: int = 0
    unaddressed: int = 0
    strangers: int = 0


async def replay(
    connection: Connection,
    letters: AsyncIterator[Letter],
    telemetry: Telemetry,
    *,
    dead_letter_topic: str = TOPIC,
    sources: Collection[str] = (),
    rate: float | None = None,
    told: Callable[[Replayed], None] = lambda _: None,
    result: Replayed | None = None,
) -> Replayed:
    """Send letters back to their topics, marked for the group that gave them up.

    Each goes to the partition that it came from, and is a `replay {topic}` span: the root of a
    new trace, linked to the one that failed. The letters themselves stay where they are.

    A letter goes to the topic that it names only if its own topic is the dead-letter topic of
    that topic and group, and the partition that it names has reached its offset: see
    `tracing.dlq.origins`. Others are in the result as failed, and the rest is sent all the same.

    Args:
        connection: The cluster.
        letters: Which ones.
        telemetry: For spans and counts.
        dead_letter_topic: How dead-letter topics are named, as in `DeadLetters(topic=...)`.
        sources: Topics that were asked for by name; they come first where a dead-letter topic can
            be that of several.
        rate: Letters per second at most.
        told: Hears of progress.
        result: Where to keep count, for who wants to know it of an interrupted replay, too.

    Returns:
        What came of it. Letters that could not be sent are in it; nothing is raised for them.

    Raises:
        KafkaError: The cluster does not answer at all.
        ValueError: The connection's options are those of a transactional producer: inside a
            transaction an acknowledgement is provisional, and an abort would take back what was
            counted as replayed. Or `dead_letter_topic` is no template.
    """
    check_durable(
        ClientInfo(transport=KAFKA, transactional_id=connection.options.get("transactional_id")),
        "replay",
        "replayed records",
    )
    result = Replayed() if result is None else result
    producer = AIOKafkaProducer(**connection.client(), acks="all", max_request_size=_LARGEST)
    loop = asyncio.get_running_loop()
    async with reader(connection) as consumer:
        topics = await consumer.topics()
        origins = Origins(topics, template=dead_letter_topic, named=sources)
        run = _Run(producer, consumer, origins, telemetry, result, told)
        try:
            await producer.start()
            started, number = loop.time(), 0
            try:
                async for letter in letters:
                    if rate is not None:
                        await asyncio.sleep(max(0.0, started + number / rate - loop.time()))
                    number += 1
                    await run.send(letter)
            finally:
                await run.settle()
        finally:
            await producer.stop()
    return result


class _Run:
    def __init__(
        self,
        producer: AIOKafkaProducer,
        consumer: AIOKafkaConsumer,
        origins: Origins,
        telemetry: Telemetry,
        result: Replayed,
        told: Callable[[Replayed], None],
    ) -> None:
        self._producer = producer
        self._consumer = consumer
        self._origins = origins
        self._telemetry = telemetry
        self._result = result
        self._told = told
        self._pending: set[asyncio.Future[Any]] = set()
        self._bytes = 0
        self._sends = ReplaySends(telemetry, client_info(producer, group=None, client_id=None))
        self._ends: dict[str, dict[int, int]] = {}
        self._unreachable: dict[str, Exception] = {}

    async def send(self, letter: Letter) -> None:
        found, record = letter.provenance, letter.record
        refusal = self._origins.refusal(letter)
        if refusal is not None:
            self._failed(letter.id, ValueError(refusal))
            return
        if found is None:
            self._result.strangers += 1
            return
        size = len(record.value or b"") + len(record.key or b"")
        if len(self._pending) >= _IN_FLIGHT or self._bytes + size > _BYTES_IN_FLIGHT:
            await self.settle()
        headers, mark = replay_headers(letter, found)
        sending = self._sends.begin(letter, found, headers, mark)
        try:
            end = _end_for(found, await self._ends_of(found.topic))
            future = await send_raw(
                self._producer,
                found.topic,
                record.value,
                record.key,
                headers if sending is None else sending.headers,
                found.partition,
            )
        except Exception as error:
            if sending is not None:
                sending.failed(error)
            self._failed(letter.id, error)
            return
        if sending is not None:
            future.add_done_callback(sending.done)
        self._pending.add(future)
        self._bytes += size
        future.add_done_callback(
            lambda done: self._settled(done, letter.id, found, size, unaddressed=end == 0)
        )

    async def settle(self) -> None:
        """Wait until each letter that was sent is acknowledged or refused."""
        if self._pending:
            await asyncio.wait(tuple(self._pending))

    def _settled(
        self,
        done: asyncio.Future[Any],
        place: LetterId,
        found: Provenance,
        size: int,
        *,
        unaddressed: bool,
    ) -> None:
        self._pending.discard(done)
        self._bytes -= size
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is not None:
            self._failed(place, error)
        else:
            self._result.sent += 1
            self._result.unaddressed += unaddressed
            labels = {semconv.DESTINATION: found.topic, semconv.GROUP: found.group}
            self._telemetry.metrics.count(catalog.DEAD_LETTERS_REPLAYED, labels).value += 1
        self._told(self._result)

    async def _ends_of(self, topic: str) -> dict[int, int]:
        """Return where the topic's partitions ended before anything was replayed to them."""
        if topic in self._unreachable:
            # A topic that is gone takes its time to say so, and would for each letter.
            raise self._unreachable[topic]
        if topic not in self._ends:
            try:
                numbers = await self._producer.partitions_for(topic)
                ends = await self._consumer.end_offsets(
                    [TopicPartition(topic, number) for number in sorted(numbers)]
                )
                self._ends[topic] = {tp.partition: end for tp, end in ends.items()}
            except Exception as error:
                self._unreachable[topic] = error
                raise
        return self._ends[topic]

    def _failed(self, place: LetterId, error: BaseException) -> None:
        self._result.failures += 1
        if len(self._result.failed) < _NAMED:
            self._result.failed[place] = f"{type(error).__name__}: {error}"


def _end_for(provenance: Provenance, ends: dict[int, int]) -> int:
    """Return where the partition of a letter ends.

    Raises:
        LookupError: The letter's record was never in it. Its marks would not hold there, so that
            all groups would handle the record.
    """
    topic, partition, offset = provenance.topic, provenance.partition, provenance.offset
    if partition not in ends:
        raise LookupError(f"{topic} has no partition {partition}: it is not the topic that it was")
    end = ends[partition]
    if 0 < end <= offset:
        raise LookupError(
            f"{topic}[{partition}] ends at {end} and never had a record {offset}: it is not the "
            "topic that it was"
        )
    return end

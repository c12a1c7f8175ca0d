"""Send dead letters back to their topics, only for the group that failed."""

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
from tracing.headers.dead_letter import WRITTEN_BY
from tracing.headers.dead_letter_formats import FORMATS
from tracing.kafka.client import client_info
from tracing.kafka.sender import send_raw
from tracing.kafka.transport import KAFKA
from tracing.messaging.transport import ClientInfo, check_durable
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from aiokafka import AIOKafkaConsumer

    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter
    from tracing.headers.dead_letter import Provenance
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection
    from tracing.telemetry import Telemetry

_IN_FLIGHT: Final = 500
_BYTES_IN_FLIGHT: Final = 16 * 1024 * 1024
# Large enough for every record that the broker accepted from the service's producer.
_LARGEST: Final = 256 * 1024 * 1024
_FIRST: Final = 1000


@dataclass(slots=True)
class Replayed:
    """The result of a replay so far.

    Attributes:
        sent: Number of dead letters that the broker acknowledged.
        failed: The first thousand dead letters that were refused or not acknowledged, with the
            reasons.
        failures: Number of all of these.
        unaddressed: Number of sent dead letters that every group of the topic handles: their
            group is unknown, or their partition held no record, where marks do not work.
        of_other_systems: Number of sent dead letters that this library did not write. Groups whose
            consumers are not of this library know no marks, so they all handle them.
        not_dead_letters: Number of records without provenance, which are not sent.
    """

    sent: int = 0
    failed: dict[LetterId, str] = field(default_factory=dict)
    failures: int = 0
    unaddressed: int = 0
    of_other_systems: int = 0
    not_dead_letters: int = 0


async def replay(
    connection: Connection,
    dead_letters: AsyncIterator[Letter],
    telemetry: Telemetry,
    *,
    dead_letter_topic: str = TOPIC,
    source_topics: Collection[str] = (),
    formats: DeadLetterFormats = FORMATS,
    rate: float | None = None,
    on_progress: Callable[[Replayed], None] = lambda _: None,
    result: Replayed | None = None,
) -> Replayed:
    """Send dead letters back to their topics, marked for the group that gave them up.

    Each is sent to the partition that it came from, with a `replay {topic}` span: the root of a
    new trace, linked to the failed one and sampled as that was. The dead letters stay in the
    dead-letter topic. Those of other systems are sent without the headers that the system added; if
    they do not say their partition, their key chooses it.

    A dead letter is sent only if it lies in the dead-letter topic of the topic and group that it
    names, and the partition that it names has reached its offset: see `tracing.dlq.origins`. If
    not, the result lists it as failed, and the others are sent.

    Args:
        connection: The cluster.
        dead_letters: The dead letters to send.
        telemetry: For spans and counts.
        dead_letter_topic: How dead-letter topics are named, as in `DeadLetters(topic=...)`.
        source_topics: Topics that the user named: they are accepted where a dead-letter topic can
            belong to several topics, and where only headers say where a dead letter came from.
        formats: How dead letters that this library did not write name their origin.
        rate: Largest number of dead letters per second.
        on_progress: Receives the result so far after each answer of the broker.
        result: The object to count in, so that the result of an interrupted replay is not lost.

    Returns:
        The result. It lists the dead letters that could not be sent; they raise nothing.

    Raises:
        KafkaError: The cluster does not answer at all.
        ValueError: The connection's options are those of a transactional producer: an abort would
            undo sends that were counted as replayed. Or `dead_letter_topic` is not a template.
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
        origins = Origins(topics, template=dead_letter_topic, named=source_topics, formats=formats)
        run = _Run(producer, consumer, origins, formats, telemetry, result, on_progress)
        try:
            await producer.start()
            started, number = loop.time(), 0
            try:
                async for dead_letter in dead_letters:
                    if rate is not None:
                        await asyncio.sleep(max(0.0, started + number / rate - loop.time()))
                    number += 1
                    await run.send(dead_letter)
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
        formats: DeadLetterFormats,
        telemetry: Telemetry,
        result: Replayed,
        on_progress: Callable[[Replayed], None],
    ) -> None:
        self._producer = producer
        self._consumer = consumer
        self._origins = origins
        self._formats = formats
        self._telemetry = telemetry
        self._result = result
        self._on_progress = on_progress
        self._pending: set[asyncio.Future[Any]] = set()
        self._bytes = 0
        self._sends = ReplaySends(telemetry, client_info(producer, group=None, client_id=None))
        self._ends: dict[str, dict[int, int]] = {}
        self._unreachable: dict[str, Exception] = {}

    async def send(self, dead_letter: Letter) -> None:
        provenance, record = dead_letter.provenance, dead_letter.record
        refusal = self._origins.refusal(dead_letter)
        if refusal is not None:
            self._failed(dead_letter.id, ValueError(refusal))
            return
        if provenance is None:
            self._result.not_dead_letters += 1
            return
        size = len(record.value or b"") + len(record.key or b"")
        if len(self._pending) >= _IN_FLIGHT or self._bytes + size > _BYTES_IN_FLIGHT:
            await self.settle()
        headers, mark = replay_headers(dead_letter, provenance, self._formats)
        sending = self._sends.begin(dead_letter, provenance, headers, mark)
        try:
            end = _end_for(provenance, await self._ends_of(provenance.topic))
            future = await send_raw(
                self._producer,
                provenance.topic,
                record.value,
                record.key,
                headers if sending is None else sending.headers,
                None if provenance.partition < 0 else provenance.partition,
            )
        except Exception as error:
            if sending is not None:
                sending.failed(error)
            self._failed(dead_letter.id, error)
            return
        if sending is not None:
            future.add_done_callback(sending.done)
        self._pending.add(future)
        self._bytes += size
        unaddressed = mark is None or end == 0
        future.add_done_callback(
            lambda done: self._settled(
                done, dead_letter.id, provenance, size, unaddressed=unaddressed
            )
        )

    async def settle(self) -> None:
        """Wait until the broker has acknowledged or refused every dead letter that was sent."""
        if self._pending:
            await asyncio.wait(tuple(self._pending))

    def _settled(
        self,
        done: asyncio.Future[Any],
        dead_letter_id: LetterId,
        provenance: Provenance,
        size: int,
        *,
        unaddressed: bool,
    ) -> None:
        self._pending.discard(done)
        self._bytes -= size
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is not None:
            self._failed(dead_letter_id, error)
        else:
            self._result.sent += 1
            self._result.unaddressed += unaddressed
            self._result.of_other_systems += provenance.written_by != WRITTEN_BY
            labels = {semconv.DESTINATION: provenance.topic}
            if provenance.group:
                labels[semconv.GROUP] = provenance.group
            self._telemetry.metrics.count(catalog.DEAD_LETTERS_REPLAYED, labels).value += 1
        self._on_progress(self._result)

    async def _ends_of(self, topic: str) -> dict[int, int]:
        """Return where the topic's partitions ended before the first replay to them."""
        if topic in self._unreachable:
            # A deleted topic is slow to fail, and would be slow for each dead letter.
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

    def _failed(self, dead_letter_id: LetterId, error: BaseException) -> None:
        self._result.failures += 1
        if len(self._result.failed) < _FIRST:
            self._result.failed[dead_letter_id] = f"{type(error).__name__}: {error}"


def _end_for(provenance: Provenance, ends: dict[int, int]) -> int | None:
    """Return the end offset of a dead letter's partition; `None` if it does not say which.

    Raises:
        LookupError: The partition never held the record. The marks do not work there, so every
            group would handle the record.
    """
    topic, partition, offset = provenance.topic, provenance.partition, provenance.offset
    if partition < 0:
        return None
    if partition not in ends:
        raise LookupError(
            f"{topic} has no partition {partition}: the topic was probably created anew"
        )
    end = ends[partition]
    if 0 < end <= offset:
        raise LookupError(
            f"{topic}[{partition}] ends at {end} and never had a record {offset}: the topic was "
            "probably created anew"
        )
    return end

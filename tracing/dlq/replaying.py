"""Send dead letters back to their topics, only for the group that failed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer, errors

from tracing.core import semconv
from tracing.core.text import error_text
from tracing.delivery.dead_letter_names import TOPIC
from tracing.dlq.addresses import Addresses
from tracing.dlq.claims import Claims
from tracing.dlq.originals import Originals
from tracing.dlq.origins import Origins
from tracing.dlq.outgoing import ReplaySends, replay_headers
from tracing.dlq.partition_ends import PartitionEnds
from tracing.dlq.reading import reader
from tracing.dlq.replay_log import ReplayLog
from tracing.headers.dead_letter import WRITTEN_BY
from tracing.headers.dead_letter_formats import FORMATS
from tracing.kafka.client import client_info
from tracing.kafka.cluster_id import cluster_of
from tracing.kafka.sender import send_raw
from tracing.kafka.transport import KAFKA
from tracing.messaging.transport import ClientInfo, check_durable
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from tracing.dlq.addresses import Addressed
    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter
    from tracing.headers.dead_letter import Provenance
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection
    from tracing.telemetry import Telemetry

_AT_ONCE: Final = 500
# How many seconds of sends at a limited rate to mark together: what is marked and not sent yet is
# in doubt if this process is killed.
_AHEAD_S: Final = 0.1
# Large enough for every record that the broker accepted from the service's producer.
_LARGEST: Final = 256 * 1024 * 1024
_FIRST: Final = 1000
# The broker refused the record. After any other error it may have appended the record.
_NOT_APPENDED: Final = (
    errors.InvalidTopicError,
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.TopicAuthorizationFailedError,
)


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
        unrecorded: Number of sent dead letters that are not remembered as replayed, because the
            broker did not take the record that says so.
    """

    sent: int = 0
    failed: dict[LetterId, str] = field(default_factory=dict)
    failures: int = 0
    unaddressed: int = 0
    of_other_systems: int = 0
    not_dead_letters: int = 0
    unrecorded: int = 0

    def fail(self, dead_letter_id: LetterId, error: BaseException) -> None:
        """Count a dead letter that was not sent, or not acknowledged."""
        self.failures += 1
        if len(self.failed) < _FIRST:
            # What a replay refuses says why in a sentence.
            refused = type(error) in (LookupError, ValueError)
            self.failed[dead_letter_id] = str(error) if refused else error_text(error)


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
    remember: bool = True,
    log: ReplayLog | None = None,
) -> Replayed:
    """Send dead letters back to their topics, marked for the group that gave them up.

    Each is sent to the partition that it came from, with a `replay {topic}` span: the root of a
    new trace, linked to the failed one and sampled as that was. The dead letters stay in the
    dead-letter topic, and a topic of its own remembers that they were replayed: see
    `tracing.dlq.replayed`.

    Those of other systems are sent without the headers that the system added; if they do not say
    their partition, their key chooses it. A share group's dead letter is sent as the record that it
    refers to, with that record's headers, while the topic holds it.

    A dead letter is sent only if it lies in the dead-letter topic of the topic and group that it
    names, and the partition that it names has reached its offset: see `tracing.dlq.origins`. Nor
    is it sent if another replay has begun to send it since `log` was entered. Then the result lists
    it as failed, and the others are sent.

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
        remember: Whether to remember what is replayed.
        log: Where to remember it, entered; by default the default topic. What its history says is
            not checked here: whether a dead letter is replayed again is the caller's decision.

    Returns:
        The result. It lists the dead letters that could not be sent; they raise nothing.

    Raises:
        KafkaError: The cluster does not answer at all, or does not let replays be remembered.
        LookupError: The topic that remembers replays cannot be read or created.
        ValueError: The connection's options are those of a transactional producer: an abort would
            undo sends that were counted as replayed. Or `dead_letter_topic` is not a template.
    """
    check_durable(
        ClientInfo(transport=KAFKA, transactional_id=connection.options.get("transactional_id")),
        "replay",
        "replayed records",
    )
    result = Replayed() if result is None else result
    async with AsyncExitStack() as stack:
        if remember and log is None:
            log = await stack.enter_async_context(ReplayLog(connection))
        consumer = await stack.enter_async_context(reader(connection))
        topics = await consumer.topics()
        origins = Origins(topics, template=dead_letter_topic, named=source_topics, formats=formats)
        if remember and log is not None:
            await log.prepare()
        producer = AIOKafkaProducer(**connection.client(), acks="all", max_request_size=_LARGEST)
        stack.push_async_callback(producer.stop)
        # Before the start, which brings the cluster's id.
        info = client_info(producer, group=None, client_id=None, broker=cluster_of(producer))
        await producer.start()
        claims = Claims(log, producer) if remember and log is not None else None
        ends = PartitionEnds(producer, consumer)
        addresses = Addresses(origins, ends, Originals(consumer, formats), result.fail)
        run = _Run(producer, info, addresses, formats, telemetry, result, on_progress, claims)
        try:
            await run.send_all(dead_letters, rate)
        finally:
            await run.settle()
            result.not_dead_letters += addresses.not_dead_letters
        if claims is not None:
            await claims.forget_deleted()
    return result


class _Run:
    def __init__(
        self,
        producer: AIOKafkaProducer,
        info: ClientInfo,
        addresses: Addresses,
        formats: DeadLetterFormats,
        telemetry: Telemetry,
        result: Replayed,
        on_progress: Callable[[Replayed], None],
        claims: Claims | None,
    ) -> None:
        self._producer = producer
        self._addresses = addresses
        self._formats = formats
        self._telemetry = telemetry
        self._result = result
        self._on_progress = on_progress
        self._claims = claims
        self._pending: set[asyncio.Future[Any]] = set()
        self._answered: list[tuple[Letter, BaseException | None]] = []
        self._sends = ReplaySends(telemetry, info)

    async def send_all(self, dead_letters: AsyncIterator[Letter], rate: float | None) -> None:
        """Send what can be sent, some at a time: the marks of these are written together."""
        pace = _Pace(rate)
        at_once = _AT_ONCE if rate is None else max(1, min(_AT_ONCE, int(rate * _AHEAD_S)))
        async with aclosing(self._addresses.lists(dead_letters, at_once)) as lists:
            async for addressed in lists:
                await self._send(addressed, pace)

    async def settle(self) -> None:
        """Wait until the broker has answered for every dead letter, and record the answers."""
        if self._pending:
            await asyncio.wait(tuple(self._pending))
        answered, self._answered = self._answered, []
        if self._claims is None:
            return
        for dead_letter, error in answered:
            if error is None:
                await self._claims.sent(dead_letter)
            elif isinstance(error, _NOT_APPENDED):
                await self._claims.not_sent(dead_letter)
        self._result.unrecorded += await self._claims.settle()

    async def _send(self, addressed: list[Addressed], pace: _Pace) -> None:
        await pace.wait()
        rivals: frozenset[LetterId] = frozenset()
        if self._claims is not None:
            rivals = await self._claims.claim([each.dead_letter for each in addressed])
        for each in addressed:
            if each.dead_letter.id in rivals:
                error = ValueError("another replay has begun to send it")
                self._result.fail(each.dead_letter.id, error)
                continue
            await pace.wait()
            pace.count()
            await self._send_one(each)
        await self.settle()

    async def _send_one(self, addressed: Addressed) -> None:
        dead_letter, provenance, empty = addressed
        record = dead_letter.record
        headers, mark = replay_headers(dead_letter, provenance, self._formats)
        sending = self._sends.begin(dead_letter, provenance, headers, mark)
        try:
            future = await send_raw(
                self._producer,
                provenance.topic,
                record.value,
                record.key,
                headers if sending is None else sending.headers,
                None if provenance.partition < 0 else provenance.partition,
            )
        except Exception as error:
            # The client has not taken it.
            if sending is not None:
                sending.failed(error)
            self._result.fail(dead_letter.id, error)
            return
        if self._claims is not None:
            self._claims.hand_over(dead_letter)
        if sending is not None:
            future.add_done_callback(sending.done)
        self._pending.add(future)
        unaddressed = mark is None or empty
        future.add_done_callback(
            lambda done: self._settled(done, dead_letter, provenance, unaddressed=unaddressed)
        )

    def _settled(
        self,
        done: asyncio.Future[Any],
        dead_letter: Letter,
        provenance: Provenance,
        *,
        unaddressed: bool,
    ) -> None:
        self._pending.discard(done)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        self._answered.append((dead_letter, error))
        if error is not None:
            self._result.fail(dead_letter.id, error)
        else:
            self._result.sent += 1
            self._result.unaddressed += unaddressed
            self._result.of_other_systems += provenance.written_by != WRITTEN_BY
            labels = {semconv.DESTINATION: provenance.topic}
            if provenance.group:
                labels[semconv.GROUP] = provenance.group
            self._telemetry.metrics.count(catalog.DEAD_LETTERS_REPLAYED, labels).value += 1
        self._on_progress(self._result)


class _Pace:
    """Keeps the rate of sends."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._number = 0

    async def wait(self) -> None:
        if self._rate is not None:
            due = self._started + self._number / self._rate
            await asyncio.sleep(max(0.0, due - self._loop.time()))

    def count(self) -> None:
        self._number += 1

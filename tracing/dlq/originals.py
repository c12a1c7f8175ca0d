"""Read the records that dead letters came from, for dead letters that are no copy of them.

By default a share group's dead letter says only where its record is, and it never holds the headers
of the record (KIP-1191).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aiokafka.structs import TopicPartition

from tracing.dlq.places import extents_at_once
from tracing.kafka.raw_fetch import RawFetch

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

    from tracing.dlq.reading import Letter
    from tracing.headers.dead_letter import Provenance
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.raw_records import RawRecord


class Originals:
    """Reads records at their places. For one task.

    Args:
        consumer: A consumer without a group.
        formats: Knows which dead letters are no copies.
    """

    def __init__(self, consumer: AIOKafkaConsumer, formats: DeadLetterFormats) -> None:
        self._formats = formats
        self._consumer = consumer
        self._fetch = RawFetch(consumer, may_refuse=True)
        self._extents: dict[TopicPartition, tuple[int, int]] = {}

    async def whole(self, dead_letter: Letter, provenance: Provenance) -> Letter:
        """Return a dead letter with the key, the value and also the headers of its record.

        A dead letter that is a copy is returned as it is, and also one whose record its topic no
        longer holds. An edited value stays.

        Args:
            dead_letter: The dead letter.
            provenance: Where it came from; the partition exists.

        Raises:
            LookupError: The topic no longer holds the record, and neither does the dead letter; or
                the cluster does not allow to read the topic.
            KafkaError: The cluster does not answer, or refuses.
        """
        if self._formats.copies_records(provenance):
            return dead_letter
        record = dead_letter.record
        original = await self._read(
            TopicPartition(provenance.topic, provenance.partition), provenance.offset
        )
        if original is not None:
            headers = (*original.headers, *record.headers)
            whole = replace(
                record,
                key=original.key,
                value=record.value if dead_letter.edited else original.value,
                headers=headers,  # type: ignore[arg-type]  # a value may be None
            )
            return replace(dead_letter, record=whole)
        if record.key is None and record.value is None:
            raise LookupError(
                f"{provenance.topic}[{provenance.partition}] no longer holds the record "
                f"{provenance.offset}, and its dead letter is no copy; the share group makes "
                "copies with errors.deadletterqueue.copy.record.enable=true"
            )
        return dead_letter

    async def _read(self, tp: TopicPartition, offset: int) -> RawRecord | None:
        if tp not in self._extents:
            self._extents |= await extents_at_once(self._consumer, [tp])
        start, end = self._extents[tp]
        part = await self._fetch.read(tp, offset) if start <= offset < end else None
        first = None if part is None else part.records[0]
        return first if first is not None and first.whole and first.offset == offset else None

"""Measure how many dead letters each dead-letter topic holds, how old they are, and their group."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tracing.headers.dead_letter_formats import FORMATS
from tracing.lag.model import DeadLetterDepth, longest
from tracing.lag.oldest import Place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aiokafka.structs import TopicPartition

    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.lag.batches import First


def depths(
    partitions: Iterable[TopicPartition],
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    oldest: Mapping[Place, First | None],
    *,
    topics: Collection[str],
    suffix: str,
    now: float,
    formats: DeadLetterFormats = FORMATS,
) -> tuple[DeadLetterDepth, ...]:
    """Describe dead-letter topics.

    Args:
        partitions: All partitions of the dead-letter topics.
        starts: Their first offsets; partitions without one are left out.
        ends: Their end offsets.
        oldest: The first records, as far as they were read.
        topics: All topics of the cluster.
        suffix: What the names of dead-letter topics end in.
        now: Unix seconds.
        formats: How dead letters name their origin.
    """
    by_topic: dict[str, list[TopicPartition]] = defaultdict(list)
    for tp in partitions:
        if tp in starts and tp in ends:
            by_topic[tp.topic].append(tp)
    measured = []
    for topic, parts in sorted(by_topic.items()):
        ages: list[float | None] = []
        remarks: list[str] = []
        records: list[First] = []
        for tp in parts:
            place = Place(tp, starts[tp])
            record = oldest.get(place)
            if record is not None:
                records.append(record)
                if record.problem is not None:
                    dead_letter = f"{topic}/{tp.partition}/{record.offset}"
                    remarks.append(f"{dead_letter} cannot be read: {record.problem}")
            timed = record is not None and record.timestamp_ms >= 0
            if timed and record is not None:
                ages.append(max(0.0, now - record.timestamp_ms / 1000))
            else:
                empty = ends[tp] <= starts[tp] or (place in oldest and record is None)
                ages.append(0.0 if empty else None)
        depth = sum(max(0, ends[tp] - starts[tp]) for tp in parts)
        destination, group = _origin(topic, records, topics, suffix, formats)
        remark = "; ".join(remarks) or None
        measured.append(DeadLetterDepth(topic, destination, group, depth, longest(ages), remark))
    return tuple(measured)


def _origin(
    topic: str,
    records: list[First],
    topics: Collection[str],
    suffix: str,
    formats: DeadLetterFormats,
) -> tuple[str, str | None]:
    """Return topic and group of the oldest dead letter, or those in the topic's name."""
    for record in sorted(records, key=lambda record: record.timestamp_ms):
        provenance = formats.provenance(
            record.headers, topic=topic, timestamp_ms=record.timestamp_ms
        )
        if provenance is not None and provenance.topic:
            return provenance.topic, provenance.group or None
    named = formats.origin_in_name(topic)
    if named is not None and named[0] in topics:
        return named[0], named[1] or None
    # By default `<topic>.<group>.dlq`.
    parts = topic.removesuffix(suffix).split(".") if topic.endswith(suffix) else []
    # Names contain dots: the longest prefix that is a topic wins.
    for length in range(len(parts) - 1, 0, -1):
        source_topic = ".".join(parts[:length])
        if source_topic in topics:
            return source_topic, ".".join(parts[length:])
    return topic, None

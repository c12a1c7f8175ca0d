"""Stands in for `aiokafka.structs` where aiokafka is not installed: same names, same fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class OffsetAndMetadata(NamedTuple):
    """A committed offset and the text committed with it."""

    offset: int
    metadata: str


class OffsetAndTimestamp(NamedTuple):
    """An offset and its record's timestamp, in unix milliseconds."""

    offset: int
    timestamp: int | None


class RecordMetadata(NamedTuple):
    """The acknowledgement of a record; timestamps in unix milliseconds."""

    topic: str
    partition: int
    topic_partition: TopicPartition
    offset: int
    timestamp: int | None
    timestamp_type: int
    log_start_offset: int | None


@dataclass
class ConsumerRecord:
    """A received record; timestamps in unix milliseconds, sizes in bytes, -1 for `None`."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: Any
    value: Any
    checksum: int | None
    serialized_key_size: int
    serialized_value_size: int
    headers: Sequence[tuple[str, bytes]]

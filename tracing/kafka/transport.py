"""Kafka as a transport: messages lie in partitions, at offsets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tracing.core import semconv

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tracing.core.semconv import Attributes, AttributeValue


MAX_TOPIC: Final = 249
"""Characters of the longest name that a Kafka topic can have."""

_MAX_SHOWN: Final = 200
_is_kafka_name = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_TOPIC}}}").fullmatch


def is_topic_name(name: str) -> bool:
    """Return whether a Kafka topic can have this name."""
    return _is_kafka_name(name) is not None and name not in {".", ".."}


class KafkaTransport:
    """How telemetry and logs describe Kafka's messages."""

    system: Final = semconv.SYSTEM_KAFKA
    lane_plural: Final = "partitions"

    def attributes(self, message: Any) -> Attributes:
        """Return the message's offset; its partition is an attribute of its lane."""
        return {semconv.OFFSET: message.offset}

    def placement(self, placed: Any) -> dict[str, AttributeValue]:
        """Return partition and offset of a message, or of the acknowledgement of one."""
        return {semconv.PARTITION: str(placed.partition), semconv.OFFSET: placed.offset}

    def position(self, message: Any) -> Mapping[str, int]:
        """Return partition and offset."""
        return {"partition": message.partition, "offset": message.offset}

    def offset(self, message: Any) -> int:
        """Return the offset."""
        offset: int = message.offset
        return offset

    def place(self, message: Any) -> str:
        """Return topic, partition and offset, such as `orders[0] offset 5`."""
        return f"{message.topic}[{message.partition}] offset {message.offset}"

    def body_size(self, message: Any) -> int:
        """Return the size of a record's value as it was sent; 0 of a tombstone."""
        size: int = message.serialized_value_size
        return max(size, 0)

    def lane(self, message: Any) -> tuple[str, int]:
        """Return topic and partition, which equal a `TopicPartition`."""
        return message.topic, message.partition

    def lane_names(self, lanes: Collection[Any]) -> str:
        """Return partitions as `orders[0-3,5] payments[1]`, at most as many as a line holds."""
        return partition_names(lanes)


KAFKA: Final = KafkaTransport()
"""The only one: it has no state."""


def partition_names(partitions: Collection[tuple[str, int]]) -> str:
    """Name partitions as `orders[0-3,5] payments[1]`, not more than a line has room for."""
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(partitions)[:_MAX_SHOWN]:
        by_topic.setdefault(topic, []).append(partition)
    named = [f"{topic}[{_ranges(numbers)}]" for topic, numbers in by_topic.items()]
    if len(partitions) > _MAX_SHOWN:
        named.append(f"and {len(partitions) - _MAX_SHOWN} more")
    return " ".join(named)


def _ranges(numbers: list[int]) -> str:
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)

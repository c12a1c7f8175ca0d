"""Kafka as a transport: messages lie in partitions, at offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracing.core import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.core.semconv import Attributes, AttributeValue


class KafkaTransport:
    """How telemetry and logs describe Kafka's messages."""

    system: Final = semconv.SYSTEM_KAFKA

    def attributes(self, message: Any) -> Attributes:
        """Return the message's offset; its partition is an attribute of its lane."""
        return {semconv.OFFSET: message.offset}

    def placement(self, placed: Any) -> dict[str, AttributeValue]:
        """Return partition and offset of a message, or of the acknowledgement of one."""
        return {semconv.PARTITION: str(placed.partition), semconv.OFFSET: placed.offset}

    def position(self, message: Any) -> Mapping[str, int]:
        """Return partition and offset."""
        return {"partition": message.partition, "offset": message.offset}

    def place(self, message: Any) -> str:
        """Return topic, partition and offset, such as `orders[0] offset 5`."""
        return f"{message.topic}[{message.partition}] offset {message.offset}"

    def lane(self, message: Any) -> tuple[str, int]:
        """Return topic and partition, which equal a `TopicPartition`."""
        return message.topic, message.partition

    def lane_name(self, lane: Any) -> str:
        """Return topic and partition, such as `orders[0]`."""
        topic, partition = lane
        return f"{topic}[{partition}]"


KAFKA: Final = KafkaTransport()
"""The only one: it has no state."""

"""aiokafka's types; where it is not installed, stand-ins with equal names, bases and fields."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


@cache
def structs() -> ModuleType:
    """Return `aiokafka.structs`, or this module, which stands in for it."""
    return _aiokafkas("structs")


@cache
def errors() -> ModuleType:
    """Return `aiokafka.errors`, or this module, which stands in for it."""
    return _aiokafkas("errors")


@cache
def interfaces() -> ModuleType:
    """Return `aiokafka.abc`, or this module, which stands in for it."""
    return _aiokafkas("abc")


def _aiokafkas(submodule: str) -> ModuleType:
    # Imported when first needed: importing the doubles does not import aiokafka.
    try:
        return importlib.import_module(f"aiokafka.{submodule}")
    except ImportError:
        return sys.modules[__name__]


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


class KafkaError(RuntimeError):
    """Base of the errors of Kafka."""


class IllegalStateError(KafkaError):
    """The client is in the wrong state for this call."""


class NoOffsetForPartitionError(KafkaError):
    """There is no committed offset, and no reset policy to fall back to."""


class ProducerClosed(KafkaError):  # noqa: N818 - aiokafka's name
    """The producer is stopped."""


class ConsumerStoppedError(Exception):
    """The consumer is stopped."""


class IllegalOperation(Exception):  # noqa: N818 - aiokafka's name
    """The client is not configured for this call."""


@runtime_checkable
class ConsumerRebalanceListener(Protocol):
    """Is called at rebalances; either method may be a coroutine function."""

    def on_partitions_revoked(self, revoked: Any) -> Any:
        """Receive the partitions that are about to be revoked."""

    def on_partitions_assigned(self, assigned: Any) -> Any:
        """Receive the assigned partitions, before any of their records arrive."""

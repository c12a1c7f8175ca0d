"""Conversions between the records of clients and those that the broker stores."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tracing.testing.fallbacks import structs
from tracing.testing.partition_log import RecordContent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiokafka.structs import ConsumerRecord, RecordMetadata, TopicPartition

    from tracing.testing.partition_log import Headers, StoredRecord

_CREATE_TIME = 0


def now_ms() -> int:
    """Return the current time, unix ms."""
    return time.time_ns() // 1_000_000


def record_content(
    key: Any,
    value: Any,
    headers: Iterable[tuple[str, bytes | None]] | None,
    timestamp_ms: int | None,
) -> RecordContent:
    """Return a serialised record, checked as aiokafka checks it.

    Raises:
        TypeError: Key or value is not bytes, or a header is not a `(str, bytes)` pair.
    """
    return RecordContent(
        key=_bytes_or_none("the key", key),
        value=_bytes_or_none("the value", value),
        headers=_checked_headers(headers),
        timestamp=now_ms() if timestamp_ms is None else timestamp_ms,
    )


def record_metadata(
    partition: TopicPartition, offset: int, timestamp_ms: int | None
) -> RecordMetadata:
    """Return the acknowledgement of a stored record."""
    metadata: RecordMetadata = structs().RecordMetadata(
        topic=partition.topic,
        partition=partition.partition,
        topic_partition=partition,
        offset=offset,
        timestamp=timestamp_ms,
        timestamp_type=_CREATE_TIME,
        log_start_offset=0,
    )
    return metadata


def consumer_record(
    partition: TopicPartition,
    stored: StoredRecord,
    *,
    key_deserializer: Callable[[Any], Any] | None = None,
    value_deserializer: Callable[[Any], Any] | None = None,
) -> ConsumerRecord[Any, Any]:
    """Return the record that a consumer delivers."""
    content = stored.content
    record: ConsumerRecord[Any, Any] = structs().ConsumerRecord(
        topic=partition.topic,
        partition=partition.partition,
        offset=stored.offset,
        timestamp=content.timestamp,
        timestamp_type=_CREATE_TIME,
        key=converted(content.key, key_deserializer),
        value=converted(content.value, value_deserializer),
        checksum=None,
        serialized_key_size=_size(content.key),
        serialized_value_size=_size(content.value),
        headers=content.headers,
    )
    return record


def converted(subject: Any, converter: Callable[[Any], Any] | None) -> Any:
    """Apply a serialiser or deserialiser, if there is one."""
    return subject if converter is None else converter(subject)


def _size(content: bytes | None) -> int:
    return -1 if content is None else len(content)


def _bytes_or_none(what: str, content: Any) -> bytes | None:
    if content is None or isinstance(content, bytes):
        return content
    if isinstance(content, bytearray | memoryview):
        return bytes(content)
    raise TypeError(f"{what} is {type(content).__name__}, not bytes; pass a serializer for it")


def _checked_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> Headers:
    checked = []
    for name, value in headers or ():
        if not isinstance(name, str):
            raise TypeError(f"header name {name!r} is {type(name).__name__}, not str")
        if value is not None and not isinstance(value, bytes):
            raise TypeError(f"header {name!r} is {type(value).__name__}, not bytes; encode it")
        checked.append((name, value))
    return tuple(checked)

"""A batch under construction, with the methods of aiokafka's `BatchBuilder`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracing.testing.record_conversion import converted, record_content

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracing.testing.partition_log import RecordContent

_BATCH_OVERHEAD_BYTES = 61
_RECORD_OVERHEAD_BYTES = 10


@dataclass(frozen=True, slots=True)
class AppendedRecord:
    """What `append` returns for a message.

    Attributes:
        offset: Its place in the batch.
        crc: Always `None`, as in the current message format.
        size: Its size, in bytes.
        timestamp: Its timestamp, unix ms.
    """

    offset: int
    crc: None
    size: int
    timestamp: int


class InMemoryBatch:
    """What `InMemoryProducer.create_batch` returns.

    Args:
        max_size: The size in bytes at which the batch is full; the first message always fits.
        key_serializer: Turns keys into bytes.
        value_serializer: Turns values into bytes.
    """

    def __init__(
        self,
        max_size: int = 16384,
        *,
        key_serializer: Callable[[Any], Any] | None = None,
        value_serializer: Callable[[Any], Any] | None = None,
    ) -> None:
        self._max_size = max_size
        self._key_serializer = key_serializer
        self._value_serializer = value_serializer
        self._contents: list[RecordContent] = []
        self._size = _BATCH_OVERHEAD_BYTES
        self._closed = False

    def append(
        self,
        *,
        timestamp: int | None,
        key: Any,
        value: Any,
        headers: Sequence[tuple[str, bytes | None]] | None = (),
    ) -> AppendedRecord | None:
        """Add a message.

        Args:
            timestamp: Unix milliseconds; `None` is now.
            key: Bytes, or what the serialiser takes.
            value: Bytes, or what the serialiser takes.
            headers: `(str, bytes)` pairs.

        Returns:
            The appended message; `None` if the batch is closed, or full and therefore closed now.

        Raises:
            TypeError: Key, value or headers are of the wrong type.
        """
        if self._closed:
            return None
        content = record_content(
            converted(key, self._key_serializer),
            converted(value, self._value_serializer),
            headers,
            timestamp,
        )
        size = _size_of(content)
        if self._contents and self._size + size > self._max_size:
            self.close()
            return None
        self._contents.append(content)
        self._size += size
        return AppendedRecord(len(self._contents) - 1, None, size, content.timestamp)

    def close(self) -> None:
        """Accept no more messages; this cannot be undone."""
        self._closed = True

    def closed(self) -> bool:
        """Return whether the batch accepts no more messages."""
        return self._closed

    def size(self) -> int:
        """Return the approximate size, in bytes."""
        return self._size

    def record_count(self) -> int:
        """Return the number of messages."""
        return len(self._contents)

    def contents(self) -> tuple[RecordContent, ...]:
        """Return the messages, for a producer to send."""
        return tuple(self._contents)


def _size_of(content: RecordContent) -> int:
    headers = sum(len(name.encode()) + len(value or b"") for name, value in content.headers)
    return _RECORD_OVERHEAD_BYTES + len(content.key or b"") + len(content.value or b"") + headers

"""Arguments that aiokafka refuses, refused alike: a test must not pass where aiokafka raises."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tracing.testing.fallbacks import structs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka.structs import OffsetAndMetadata, TopicPartition


def checked_topics(topics: Any) -> frozenset[str]:
    """Return topics to subscribe to.

    Raises:
        TypeError: They are text, which would be read as one topic per character, or no collection.
    """
    if not isinstance(topics, tuple | set | frozenset | list):
        raise TypeError(f"Topics should be list of strings, not {topics!r}")
    return frozenset(topics)


def checked_pattern(pattern: Any) -> re.Pattern[str]:
    """Compile a topic pattern.

    Raises:
        ValueError: It is no regular expression.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a valid pattern: {error}") from error


def checked_offset(offset: Any) -> int:
    """Return an offset to seek to.

    Raises:
        ValueError: It is negative or no integer.
    """
    if not isinstance(offset, int) or offset < 0:
        raise ValueError(f"Offset must be a positive integer, not {offset!r}")
    return offset


def checked_limit(max_records: Any) -> int | None:
    """Return the maximum number of records to take.

    Raises:
        ValueError: It is neither `None` nor at least one.
    """
    if max_records is None:
        return None
    if not isinstance(max_records, int) or max_records < 1:
        raise ValueError(f"`max_records` must be a positive integer, not {max_records!r}")
    return max_records


def checked_offsets(offsets: Any) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return offsets to commit, each with its metadata.

    Args:
        offsets: Maps each partition to an offset, or to a pair of offset and text.

    Raises:
        ValueError: It is empty, no dictionary, or an offset is invalid.
        TypeError: A key is no partition, or metadata is no text.
    """
    if not offsets or not isinstance(offsets, dict):
        raise ValueError(f"offsets should be a dictionary that is not empty, not {offsets!r}")
    check_all_partitions(offsets)
    return {partition: _offset_and_metadata(offset) for partition, offset in offsets.items()}


def check_all_partitions(partitions: Iterable[Any], refusal: type[Exception] = TypeError) -> None:
    """Raise `refusal` unless every partition is a `TopicPartition`."""
    kind = structs().TopicPartition
    for partition in partitions:
        if not isinstance(partition, kind):
            raise refusal(f"partitions must be TopicPartition instances, not {partition!r}")


def _offset_and_metadata(value: Any) -> OffsetAndMetadata:
    try:
        offset, metadata = (value, "") if isinstance(value, int) else value
    except (TypeError, ValueError) as error:
        raise ValueError(f"{value!r} is neither an offset nor an offset with metadata") from error
    if not isinstance(metadata, str):
        raise TypeError(f"Metadata should be a string, not {metadata!r}")
    checked: OffsetAndMetadata = structs().OffsetAndMetadata(offset, metadata)
    return checked

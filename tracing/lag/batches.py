"""Find the first record in fetched bytes that a consumer would receive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiokafka.record.memory_records import MemoryRecords

from tracing.kafka.raw_batches import read, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracing.kafka.raw_batches import RawBatch


@dataclass(frozen=True, slots=True)
class First:
    """A record.

    Attributes:
        offset: Its offset.
        timestamp_ms: Unix ms; below 0 if the record has none.
        headers: Its headers.
        exact: Whether the record itself was read. If not, it is in a batch that cannot be opened,
            and the timestamp is that of the batch's first record.
        settled: Whether the record is final; if not, its transaction may still be aborted.
        problem: Why clients cannot read it; `None` if they can.
    """

    offset: int
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes | None]] = ()
    exact: bool = True
    settled: bool = True
    problem: str | None = field(default=None, compare=False)


def first_record(
    data: bytes, offset: int, aborted: Sequence[tuple[int, int]] | None = None
) -> tuple[First | None, int]:
    """Return the first record at or after an offset, and the offset to continue reading from.

    Transaction markers and aborted records do not count; unreadable records do. Never raises.

    Args:
        data: Bytes from a broker; the last batch may be cut off.
        offset: The requested offset.
        aborted: Producer id and first offset of aborted transactions.
    """
    for batch, visible in shown(data, aborted):
        if visible and batch.next_offset > offset:
            first = _first(batch, offset) or _first_of_bytes(batch, offset)
            if first is not None:
                return first, first.offset
        offset = max(offset, batch.next_offset)
    return None, offset


def _first(batch: RawBatch, offset: int) -> First | None:
    """Read the record as a client does, which is fast; `None` if that fails or there is none."""
    try:
        opened: Any = MemoryRecords(bytes(batch.data)).next_batch()
        if opened.validate_crc():
            for record in opened:
                if record.offset >= offset:
                    # Records of the oldest format have no timestamp.
                    at_ms = -1 if record.timestamp is None else int(record.timestamp)
                    return First(record.offset, at_ms, tuple(record.headers))
    except Exception:
        # `_first_of_bytes` finds out what cannot be read.
        return None
    return None


def _first_of_bytes(batch: RawBatch, offset: int) -> First | None:
    for record in read(batch):
        if record.next_offset > offset:
            return First(
                max(record.offset, offset),
                record.timestamp_ms,
                record.headers,
                exact=record.whole,
                problem=record.problem,
            )
    return None

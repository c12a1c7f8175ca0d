"""The first record of some fetched bytes that a consumer would be given."""

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
        timestamp_ms: Unix ms; below 0 where the record has none.
        headers: Its headers.
        exact: Whether the record itself was read; else it is in a batch that cannot be opened, and
            the timestamp is that of the batch's first record.
        settled: Whether it is there for good; else its transaction may still be aborted.
        problem: Why a client cannot read it; `None` where it can.
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
    """Find the first record at an offset or after it, and where to read on if there is none.

    Markers of transactions are no records, and neither is what a transaction took back. A record
    that cannot be read is one all the same. Never raises.

    Args:
        data: What a broker sent; the last batch may be cut off.
        offset: What was asked for.
        aborted: Producer id and first offset of transactions that were aborted.
    """
    for batch, given in shown(data, aborted):
        if given and batch.next_offset > offset:
            first = _first(batch, offset) or _first_of_bytes(batch, offset)
            if first is not None:
                return first, first.offset
        offset = max(offset, batch.next_offset)
    return None, offset


def _first(batch: RawBatch, offset: int) -> First | None:
    """Read the record as a client does, which is fast; `None` where it cannot, or has none."""
    try:
        opened: Any = MemoryRecords(bytes(batch.data)).next_batch()
        if opened.validate_crc():
            for record in opened:
                if record.offset >= offset:
                    # Records of the oldest format have no time.
                    at_ms = -1 if record.timestamp is None else int(record.timestamp)
                    return First(record.offset, at_ms, tuple(record.headers))
    except Exception:
        # What it is that cannot be read, the bytes show.
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

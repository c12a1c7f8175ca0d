"""The first record of some fetched bytes that a consumer would be given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.errors import UnsupportedCodecError
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    """

    offset: int
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes | None]] = ()
    exact: bool = True
    settled: bool = True


def first_record(
    data: bytes, offset: int, aborted: Sequence[tuple[int, int]] | None = None
) -> tuple[First | None, int]:
    """Find the first record at an offset or after it, and where to read on if there is none.

    Markers of transactions are no records, and neither is what a transaction took back.

    Args:
        data: What a broker sent; the last batch may be cut off.
        offset: What was asked for.
        aborted: Producer id and first offset of transactions that were aborted.
    """
    pending = sorted(aborted or (), key=lambda found: found[1], reverse=True)
    taken_back: set[int] = set()
    batches: Any = MemoryRecords(data)
    while batches.has_next():
        batch = batches.next_batch()
        # Batches of the oldest formats know no producer, and so no transactions.
        while batch.producer_id is not None and pending and pending[-1][1] <= batch.base_offset:
            taken_back.add(pending.pop()[0])
        if batch.is_control_batch:
            if _aborts(batch):
                taken_back.discard(batch.producer_id)
        elif not (batch.is_transactional and batch.producer_id in taken_back):
            found = _first_of(batch, offset)
            if found is not None:
                return found, found.offset
        offset = max(offset, batch.next_offset)
    return None, offset


def _first_of(batch: Any, offset: int) -> First | None:
    if batch.next_offset <= offset:
        return None
    try:
        for record in batch:
            if record.offset >= offset:
                return First(record.offset, _timestamp(record), record.headers)
    except UnsupportedCodecError:
        # Batches of the oldest formats do not tell a time before they are opened.
        return First(offset, int(getattr(batch, "first_timestamp", -1)), exact=False)
    return None


def _timestamp(record: Any) -> int:
    # Records of the oldest format have none.
    return -1 if record.timestamp is None else int(record.timestamp)


def _aborts(batch: Any) -> bool:
    marker = next(batch, None)
    return marker is not None and ControlRecord.parse(marker.key) == ABORT_MARKER

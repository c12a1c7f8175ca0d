"""The first record of some fetched bytes that a consumer would be given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracing.kafka.raw_batches import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracing.kafka.raw_records import RawRecord


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
    for batch, records in visible(data, aborted):
        for record in records or ():
            if record.next_offset > offset:
                first = _first(record, offset)
                return first, first.offset
        offset = max(offset, batch.next_offset)
    return None, offset


def _first(record: RawRecord, offset: int) -> First:
    return First(
        max(record.offset, offset),
        record.timestamp_ms,
        record.headers,
        exact=record.whole,
        problem=record.problem,
    )

"""A tolerant reader of record batches: it names what is unreadable, and reads everything else.

A client fails a whole fetch because of one unreadable record. This module reads the bytes of the
same fetch record by record. It relies on the lengths in the format alone.
Source: https://kafka.apache.org/documentation/#recordbatch.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tracing.kafka.raw_records import RawRecord, bytes_of, extent, record_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and last
# timestamp, producer id and epoch, base sequence, number of records.
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_PREFIX: Final = struct.Struct(">qi")
_MAGIC_AT: Final = 16
_CHECKED_FROM: Final = 21
_MAGIC: Final = 2

_CODEC: Final = 0x07
_LOG_APPEND_TIME: Final = 0x08
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20

_NAMES: Final = ("", "gzip", "snappy", "lz4", "zstd")
_CHECKSUM: Final = "the checksum of its batch is wrong"
_ABORT: Final = b"\x00\x00"
"""The type of a control record, after its version."""


@dataclass(frozen=True, slots=True)
class RawBatch:
    """A batch of records, not opened.

    Attributes:
        data: Its bytes.
        base_offset: The offset of its first record.
        next_offset: The offset after its last one.
        first_timestamp_ms: The time of its first record; -1 where it has none.
        producer_id: The producer that wrote it; -1 where that is unknown.
        attributes: The flags of the format.
    """

    data: memoryview
    base_offset: int
    next_offset: int
    first_timestamp_ms: int = -1
    producer_id: int = -1
    attributes: int = 0

    @property
    def control(self) -> bool:
        """Whether it marks the end of a transaction, and holds no records."""
        return bool(self.attributes & _CONTROL)

    @property
    def transactional(self) -> bool:
        """Whether it belongs to a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def legacy(self) -> bool:
        """Whether it is of a format before that of Kafka 0.11."""
        return self.data[_MAGIC_AT] < _MAGIC


def split(data: bytes) -> Iterator[RawBatch]:
    """Yield the batches in a broker's answer, without one that is cut off at the end."""
    view = memoryview(data)
    while len(view) > _MAGIC_AT:
        base_offset, length = _PREFIX.unpack_from(view)
        end = _PREFIX.size + length
        if end > len(view) or end <= _MAGIC_AT:
            return
        batch = view[:end]
        view = view[end:]
        if batch[_MAGIC_AT] >= _MAGIC and end >= _HEADER.size:
            header = _HEADER.unpack_from(batch)
            # A batch cannot end before it begins, whatever its bytes say.
            next_offset = base_offset + max(header[6], 0) + 1
            yield RawBatch(batch, base_offset, next_offset, header[7], header[9], header[5])
        else:
            yield RawBatch(batch, base_offset, base_offset + 1)


def shown(
    data: bytes, aborted: Sequence[tuple[int, int]] | None = None
) -> Iterator[tuple[RawBatch, bool]]:
    """Yield the batches in a broker's answer, and whether a consumer would receive their records.

    It would receive neither markers of transactions nor records of aborted transactions.

    Args:
        data: The broker's answer; the last batch may be cut off.
        aborted: Producer id and first offset of transactions that were aborted.
    """
    pending = sorted(aborted or (), key=lambda pair: pair[1], reverse=True)
    taken_back: set[int] = set()
    for batch in split(data):
        while pending and pending[-1][1] <= batch.base_offset:
            taken_back.add(pending.pop()[0])
        if batch.control:
            if _aborts(batch):
                taken_back.discard(batch.producer_id)
            yield batch, False
        else:
            yield batch, not (batch.transactional and batch.producer_id in taken_back)


def visible(
    data: bytes, aborted: Sequence[tuple[int, int]] | None = None
) -> Iterator[tuple[RawBatch, list[RawRecord] | None]]:
    """Yield the batches, with the records of those that a consumer would receive; else `None`."""
    for batch, received in shown(data, aborted):
        yield batch, read(batch) if received else None


def read(batch: RawBatch) -> list[RawRecord]:
    """Read a batch's records, in their order. Never raises."""
    from aiokafka.record.util import calc_crc32c  # noqa: PLC0415 - the library does without

    try:
        if batch.legacy:
            return _legacy(batch)
        if calc_crc32c(bytes(batch.data[_CHECKED_FROM:])) == _HEADER.unpack_from(batch.data)[4]:
            return _records(batch)
        problem = _CHECKSUM
    except _UnreadableBatchError as error:
        problem = str(error)
    except Exception as error:
        problem = f"its batch is broken ({type(error).__name__})"
    first_ms = batch.first_timestamp_ms
    return [bytes_of(batch.data, batch.base_offset, batch.next_offset, first_ms, problem)]


class _UnreadableBatchError(Exception):
    """A batch cannot be opened."""


def _opened(batch: RawBatch) -> memoryview:
    """Return the bytes of a batch's records, decompressed."""
    from aiokafka import codec  # noqa: PLC0415 - as above

    records = batch.data[_HEADER.size :]
    number = batch.attributes & _CODEC
    if not number:
        return records
    if number >= len(_NAMES):
        raise _UnreadableBatchError(f"its batch has the unknown compression {number}")
    name = _NAMES[number]
    if not getattr(codec, f"has_{name}")():
        raise _UnreadableBatchError(
            f"its batch is compressed with {name}, for which no library is installed here: "
            f"pip install 'aiokafka[{name}]'"
        )
    try:
        return memoryview(getattr(codec, f"{name}_decode")(bytes(records)))
    except Exception as error:
        raise _UnreadableBatchError(
            f"its batch cannot be decompressed with {name} ({type(error).__name__})"
        ) from error


def _records(batch: RawBatch) -> list[RawRecord]:
    data, header = _opened(batch), _HEADER.unpack_from(batch.data)
    first_ms, last_ms = header[7:9]

    def timed(delta_ms: int) -> tuple[int, int]:
        at_arrival = batch.attributes & _LOG_APPEND_TIME
        return (last_ms, 1) if at_arrival else (first_ms + delta_ms, 0)

    records: list[RawRecord] = []
    position, offset = 0, batch.base_offset
    for _ in range(header[12]):
        try:
            start, end = extent(data, position)
        except ValueError as error:
            # Without the end of this record, the next one cannot be located.
            rest = data[position:]
            records.append(bytes_of(rest, offset, batch.next_offset, first_ms, str(error)))
            return records
        record = record_of(
            data[start:end],
            expected=offset,
            base_offset=batch.base_offset,
            end=batch.next_offset,
            timed=timed,
        )
        records.append(record)
        position, offset = end, record.next_offset
    return records


def _legacy(batch: RawBatch) -> list[RawRecord]:
    """Read a batch of an older, rare format with aiokafka's own reader."""
    from aiokafka.record.memory_records import MemoryRecords  # noqa: PLC0415 - as above

    opened: Any = MemoryRecords(bytes(batch.data)).next_batch()
    if not opened.validate_crc():
        raise _UnreadableBatchError(_CHECKSUM)
    return [
        RawRecord(
            offset=record.offset,
            next_offset=record.offset + 1,
            timestamp_ms=-1 if record.timestamp is None else record.timestamp,
            timestamp_type=record.timestamp_type or 0,
            key=record.key,
            value=record.value,
        )
        for record in opened
    ]


def _aborts(batch: RawBatch) -> bool:
    # Without a check of the checksum: a broken marker ends no transaction either way.
    try:
        records = _records(batch)
    except Exception:
        return False
    key = records[0].key if records else None
    return key is not None and key[2:4] == _ABORT

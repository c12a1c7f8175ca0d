"""The first record in fetched bytes: inside batches, after markers, gaps and aborted records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from tracing.lag.batches import First, first_record

if TYPE_CHECKING:
    from tracing.kafka.raw_records import RawRecord

GZIP = 1
SNAPPY = 2
ATTRIBUTES = 21
ABORT = b"\x00\x00\x00\x00"
COMMIT = b"\x00\x00\x00\x01"


def batch(
    base: int,
    records: int,
    *,
    producer: int = -1,
    transactional: bool = False,
    control: bytes | None = None,
    codec: int = 0,
) -> bytes:
    """Build a batch with a record every 10 ms, the first one at offset * 10 ms."""
    builder: Any = DefaultRecordBatchBuilder(2, codec, transactional, producer, 0, 0, 1 << 20)
    for number in range(records):
        builder.append(number, 10 * (base + number), control, b"v", [])
    data = bytearray(builder.build())
    data[:8] = base.to_bytes(8, "big")
    if control is not None:
        data[ATTRIBUTES + 1] |= 0x20
    return bytes(data)


def first(data: bytes, offset: int, **more: Any) -> tuple[int, int] | int:
    """Return offset and time of the first record, or the offset to continue at."""
    record, next_offset = first_record(data, offset, **more)
    return next_offset if record is None else (record.offset, record.timestamp_ms)


@pytest.mark.parametrize("codec", [0, GZIP])
@pytest.mark.parametrize(
    ("offset", "expected"),
    [(10, (10, 100)), (12, (12, 120)), (14, (14, 140)), (15, 15), (3, (10, 100))],
)
def test_a_record_inside_a_batch_has_its_own_time(
    codec: int, offset: int, expected: tuple[int, int] | int
) -> None:
    assert expected == first(batch(10, 5, codec=codec), offset)


@pytest.mark.parametrize("codec", [0, GZIP])
def test_only_an_unreadable_batch_is_parsed_byte_by_byte(
    codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Parsing is slow, and a sweep reads a record of each partition with lag.
    def refuse(_batch: object) -> list[RawRecord]:
        pytest.fail("a readable batch was parsed byte by byte")

    monkeypatch.setattr("tracing.lag.batches.read", refuse)

    assert (12, 120) == first(batch(5, 5, codec=codec) + batch(10, 5, codec=codec), 12)
    assert 10 == first(batch(5, 5, codec=codec), 10)


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), offset=st.integers(0, 30))
def test_both_ways_of_reading_agree(sizes: list[int], offset: int) -> None:
    data, base = b"", 10
    for size in sizes:
        data += batch(base, size, codec=GZIP if size % 2 else 0)
        base += size + 1
    quick = first_record(data, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracing.lag.batches.MemoryRecords", None)
        assert quick == first_record(data, offset)


def test_gaps_are_skipped() -> None:
    assert (40, 400) == first(batch(10, 2) + batch(40, 2), 12)


def test_an_incomplete_batch_is_not_read() -> None:
    data = batch(10, 2)

    assert 12 == first(data + batch(12, 2)[:-1], 12)
    assert 10 == first(data[:-1], 10)
    assert 7 == first(b"", 7)


def test_markers_are_not_records() -> None:
    marker = batch(12, 1, producer=7, transactional=True, control=COMMIT)

    assert 13 == first(batch(10, 2, producer=7, transactional=True) + marker, 12)
    assert (13, 130) == first(marker + batch(13, 1), 12)


def test_aborted_records_are_skipped_and_later_ones_of_their_producer_are_not() -> None:
    data = (
        batch(10, 2, producer=7, transactional=True)
        + batch(12, 1, producer=8, transactional=True)
        + batch(13, 1, producer=7, transactional=True, control=ABORT)
        + batch(14, 1, producer=7, transactional=True)
    )

    assert (12, 120) == first(data, 10, aborted=[(7, 10)])
    assert (14, 140) == first(data, 10, aborted=[(8, 12), (7, 10)])
    assert (10, 100) == first(data, 10)


def test_a_batch_that_cannot_be_opened_has_the_time_of_its_first_record() -> None:
    data = bytearray(batch(10, 5))
    data[ATTRIBUTES + 1] |= SNAPPY

    assert (First(12, 100, exact=False), 12) == first_record(bytes(data), 12)


@pytest.mark.parametrize(("magic", "time"), [(0, -1), (1, 110)])
def test_records_of_the_oldest_formats_are_read(magic: Literal[0, 1], time: int) -> None:
    builder: Any = LegacyRecordBatchBuilder(magic, 0, 1 << 20)
    for number in range(2):
        builder.append(10 + number, 10 * (10 + number), None, b"v")

    assert (11, time) == first(bytes(builder.build()), 11)

"""Batches that a client cannot read: the bad record is named, and all others are read."""

from __future__ import annotations

import gzip
import struct
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from tracing.kafka.raw_batches import read, split, visible
from tracing.kafka.raw_records import RawRecord
from tracing.lag.batches import first_record

HEADER = 61
MAYBE_BYTES = st.none() | st.binary(max_size=20)
RECORDS = st.lists(
    st.tuples(
        MAYBE_BYTES,
        MAYBE_BYTES,
        st.lists(st.tuples(st.text(max_size=8), MAYBE_BYTES), max_size=3),
    ),
    min_size=1,
    max_size=6,
)


def batch(records: list[Any], *, codec: int = 0, base: int = 10) -> bytearray:
    builder: Any = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for number, (key, value, headers) in enumerate(records):
        builder.append(number, 1000 + number, key, value, headers)
    data = bytearray(builder.build())
    data[:8] = base.to_bytes(8, "big")
    return data


def checked(data: bytearray) -> bytes:
    """Write length and checksum anew, so that a broker takes it."""
    data[8:12] = struct.pack(">i", len(data) - 12)
    data[17:21] = struct.pack(">I", calc_crc32c(bytes(data[21:])))
    return bytes(data)


def bad_names(number: int, bad: set[int], *, codec: int = 0) -> bytes:
    """Records of which some have a header name that is not UTF-8."""
    records = [(b"k", b"v%d" % n, [("bad" if n in bad else "good", b"1")]) for n in range(number)]
    data = batch(records)
    body = bytes(data[HEADER:]).replace(b"bad", b"b\xffd")
    data[HEADER:] = gzip.compress(body) if codec else body
    data[22] |= codec
    return checked(data)


def all_of(data: bytes) -> list[RawRecord]:
    return [record for _, records in visible(data) for record in records or ()]


@given(records=RECORDS, codec=st.sampled_from([0, 1]))
def test_readable_records_are_read_as_the_client_reads_them(records: list[Any], codec: int) -> None:
    data = checked(batch(records, codec=codec))
    expected: Any = MemoryRecords(data).next_batch()

    assert [
        (each.offset, each.timestamp, each.key, each.value, list(each.headers)) for each in expected
    ] == [
        (each.offset, each.timestamp_ms, each.key, each.value, list(each.headers))
        for each in all_of(data)
    ]
    assert all(each.problem is None and each.whole for each in all_of(data))


@pytest.mark.parametrize("codec", [0, 1])
@pytest.mark.parametrize("bad", [{0}, {1}, {4}, {1, 3}, {0, 1, 2, 3, 4}])
def test_records_around_a_bad_one_are_read(codec: int, bad: set[int]) -> None:
    found = all_of(bad_names(5, bad, codec=codec))

    assert [b"v%d" % number for number in range(5)] == [each.value for each in found]
    assert {10 + number for number in bad} == {each.offset for each in found if each.problem}
    assert {"the name of a header is not UTF-8"} == {each.problem for each in found} - {None}
    assert {"good", "b\\xffd"} >= {name for each in found for name, _ in each.headers}


@pytest.mark.parametrize(
    ("at", "byte", "problem"),
    [
        (17, 0xFF, "checksum"),
        (22, 0x02, "snappy"),
        (22, 0x04, "zstd"),
        (22, 0x01, "cannot be decompressed with gzip"),
        (22, 0x07, "unknown compression 7"),
    ],
)
def test_a_batch_that_cannot_be_opened_is_one_record_of_its_bytes(
    at: int, byte: int, problem: str
) -> None:
    data = batch([(b"k", b"v", [])] * 3)
    data[at] = byte
    written = bytes(data) if at == 17 else checked(data)

    (found,) = all_of(written)

    assert (10, 13, written, False) == (found.offset, found.next_offset, found.value, found.whole)
    assert problem in (found.problem or "")
    first, on = first_record(written, 11)
    assert first is not None
    assert (11, 11) == (first.offset, on)
    assert problem in (first.problem or "")


def test_a_record_of_impossible_length_makes_the_rest_of_its_batch_unreadable() -> None:
    data = batch([(b"k", b"v", [])] * 3)
    size = (len(data) - HEADER) // 3
    data[HEADER + size] = 0x7E

    found = all_of(checked(data))

    assert [(10, 11, True), (11, 13, False)] == [
        (each.offset, each.next_offset, each.whole) for each in found
    ]


def test_a_record_that_is_broken_inside_does_not_affect_later_ones() -> None:
    data = batch([(b"k", b"v", [])] * 3)
    size = (len(data) - HEADER) // 3
    # Its key is longer than it is.
    data[HEADER + size + 4] = 0x7E

    found = all_of(checked(data))

    assert [10, 11, 12] == [each.offset for each in found]
    assert [True, False, True] == [each.whole for each in found]


@given(data=st.binary(max_size=300))
def test_no_bytes_make_reading_fail(data: bytes) -> None:
    for found in split(data):
        read(found)
    first_record(data, 0)


@given(
    records=RECORDS,
    changes=st.lists(st.tuples(st.integers(12, 200), st.integers(0, 255)), max_size=5),
    honest=st.booleans(),
)
def test_offsets_of_a_broken_batch_rise_and_stay_within_it(
    records: list[Any], changes: list[tuple[int, int]], *, honest: bool
) -> None:
    data = batch(records)
    for at, byte in changes:
        if at < len(data) and at != 16:
            data[at] = byte
    written = checked(data) if honest else bytes(data)

    for whole, found in visible(written):
        offset = whole.base_offset
        for each in found or ():
            assert offset <= each.offset < each.next_offset
            offset = each.next_offset

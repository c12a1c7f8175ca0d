"""Fetched batches at a consumer's position, even if their bytes lie about their length."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchResponse_v4
from aiokafka.structs import TopicPartition

from tests.tracing.kafka.unreadable_records import batch
from tracing.kafka.raw_fetch import RawFetch

ORDERS = TopicPartition("orders", 0)


class Broker:
    """Has some bytes of a log that ends somewhere."""

    def __init__(self, data: bytes, end: int) -> None:
        self.cluster = SimpleNamespace(leader_for_partition=lambda _tp: 0)
        self._part: tuple[Any, ...] = (ORDERS.partition, 0, end, end, [], data)

    async def send(self, _node: int, _request: object) -> Any:
        return FetchResponse_v4(0, [(ORDERS.topic, [self._part])])


def endless(values: list[bytes]) -> bytes:
    """A batch at offset 0 whose last offset is far away, and whose checksum says so."""
    data = bytearray(batch(values))
    data[23:27] = (1_000_000).to_bytes(4, "big")
    return bytes(data)


def at(base: int, data: bytes) -> bytes:
    return base.to_bytes(8, "big") + data[8:]


@pytest.mark.parametrize(("followed", "expected"), [(False, 20), (True, 3)])
async def test_a_broken_batch_ends_where_the_next_one_begins_or_the_log_ends(
    *, followed: bool, expected: int
) -> None:
    behind = at(3, batch([b"fit"])) if followed else b""
    broker = Broker(endless([b"0", b"1", b"2"]) + behind, 20)

    part = await RawFetch(SimpleNamespace(_client=broker)).read(ORDERS, 0)

    assert part is not None
    assert expected == part.next_offset
    # Which is what is committed behind it.
    assert [expected] == [record.next_offset for record in part.records]

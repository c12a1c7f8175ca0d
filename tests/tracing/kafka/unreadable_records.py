"""Records that aiokafka cannot read, written to a real broker as raw bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = 61
BAD_NAME = b"b\xffd"
Headers = list[tuple[str, bytes | None]]


def batch(values: Sequence[bytes | None], headers: Headers | None = None) -> bytes:
    """A batch; values that begin with `bad` have a header whose name is not UTF-8."""
    builder: Any = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for number, value in enumerate(values):
        bad = value is not None and value.startswith(b"bad")
        own: Headers = [("mark-bad" if bad else "mark-fit", b"1")]
        builder.append(number, None, b"k", value, [*(headers or ()), *own])
    data = bytearray(builder.build())
    data[HEADER:] = bytes(data[HEADER:]).replace(b"mark-bad", b"mark-b\xffd")
    return checked(data)


def zstd(data: bytes) -> bytes:
    """The same batch compressed, by a frame of one block that is stored as it is."""
    body = data[HEADER:]
    size = struct.pack("<I", len(body))
    block = struct.pack("<I", len(body) << 3 | 1)[:3]
    compressed = bytearray(data[:HEADER])
    compressed[22] |= 4
    compressed += b"\x28\xb5\x2f\xfd\xa0" + size + block + body
    return checked(compressed)


def checked(data: bytearray) -> bytes:
    """Write length and checksum anew."""
    data[8:12] = struct.pack(">i", len(data) - 12)
    data[17:21] = struct.pack(">I", calc_crc32c(bytes(data[21:])))
    return bytes(data)


async def write_aborted(servers: str, topic: str, values: Sequence[bytes]) -> None:
    """Write a record and a batch in a transaction that is aborted."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=f"{topic}-aborting")
    async with producer:
        await producer.begin_transaction()
        # Its first record makes the partition a part of the transaction.
        await producer.send_and_wait(topic, b"first", partition=0)
        manager: Any = producer._txn_manager
        data = bytearray(batch(values))
        data[22] |= 0x10
        data[43:57] = struct.pack(">qhi", manager.producer_id, manager.producer_epoch, 1)
        await write(servers, topic, checked(data), transactional_id=manager.transactional_id)
        await producer.abort_transaction()


async def write(
    servers: str,
    topic: str,
    data: bytes,
    partition: int = 0,
    *,
    transactional_id: str | None = None,
) -> int:
    """Write a batch; returns the offset of its first record."""
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()

    async def written() -> int | None:
        await client.force_metadata_update()
        node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        if node is None or node < 0:
            return None
        request = ProduceRequest(
            transactional_id=transactional_id, required_acks=-1, timeout=10_000,
            topics=[(topic, [(partition, data)])],
        )  # fmt: skip
        answer: Any = await client.send(node, request)
        ((_, code, offset, *_),) = answer.topics[0][1]
        # A topic that was just made has no leader for a moment; an offset may be 0.
        return None if code else offset + 1

    try:
        await client.set_topics([topic])
        return (await eventually(written, timeout_s=60) or 0) - 1
    finally:
        await client.close()

"""Reading first records: repeated requests, errors, and remembered records."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.protocol.fetch import FetchResponse_v4
from aiokafka.structs import TopicPartition

from tests.tracing.lag.test_batches import batch
from tracing.kafka.cluster import Remarks
from tracing.kafka.topic_ids import Log
from tracing.lag.batches import First
from tracing.lag.oldest import OldestReader, Place, RememberingReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracing.kafka.cluster import Cluster

NOT_LEADER = 6
OUT_OF_RANGE = 1
FORBIDDEN = 29
UNKNOWN = -1
LATER = 60.0


@dataclass
class Broker:
    """Answers each fetch of a partition with the next prepared answer."""

    answers: dict[int, list[tuple[int, int, int, bytes]]]
    asked: list[list[tuple[int, int, int]]] = field(default_factory=list)
    remarks: Remarks = field(default_factory=Remarks)

    def by_leader(
        self, partitions: Iterable[TopicPartition]
    ) -> tuple[dict[int, list[TopicPartition]], set[TopicPartition]]:
        return {1: asked} if (asked := list(partitions)) else {}, set()

    async def send(self, node: int, request: Any) -> FetchResponse_v4:
        ((topic, parts),) = request.topics
        self.asked.append(parts)
        rows = [
            (number, code, end, stable, None, data)
            for number, _, _ in parts
            for code, end, stable, data in [self.answers[number].pop(0)]
        ]
        return FetchResponse_v4(0, [(topic, rows)])

    async def read(self, *places: Place) -> dict[Place, First | None]:
        return await OldestReader(cast("Cluster", self)).read(places, until=monotonic() + LATER)


def place(partition: int, offset: int = 0) -> Place:
    return Place(TopicPartition("t", partition), offset)


async def test_a_partition_without_room_is_requested_again_with_more_bytes() -> None:
    broker = Broker({
        0: [(0, 1, 1, batch(0, 1))],
        1: [(0, 1, 1, b""), (0, 1, 1, batch(0, 1))],
    })  # fmt: skip

    records = await broker.read(place(0), place(1))

    assert {place(0), place(1)} == {each for each, record in records.items() if record is not None}
    assert [[0, 1], [1]] == [[part[0] for part in parts] for parts in broker.asked]
    assert broker.asked[0][1][2] < broker.asked[1][0][2]


async def test_a_broker_without_records_is_not_asked_forever() -> None:
    broker = Broker({0: [(0, 5, 5, b"")]})

    assert {} == await broker.read(place(0))


async def test_reading_continues_after_a_marker() -> None:
    marker = batch(0, 1, producer=1, transactional=True, control=b"\x00\x00\x00\x01")
    broker = Broker({0: [(0, 2, 2, marker), (0, 2, 2, batch(1, 1))]})

    records = await broker.read(place(0))

    assert 10 == cast("First", records[place(0)]).timestamp_ms
    assert [0, 1] == [parts[0][1] for parts in broker.asked]


async def test_a_record_of_an_open_transaction_is_not_settled() -> None:
    broker = Broker({0: [(0, 1, 0, b""), (0, 1, 0, batch(0, 1))]})

    records = await broker.read(place(0))

    assert not cast("First", records[place(0)]).settled


async def test_offsets_of_one_partition_need_a_request_each() -> None:
    broker = Broker({0: [(0, 2, 2, batch(0, 2)), (0, 2, 2, batch(0, 2))]})

    records = await broker.read(place(0, 0), place(0, 1))

    assert [0, 1] == [cast("First", record).offset for record in records.values()]
    assert 2 == len(broker.asked)


@pytest.mark.parametrize(
    ("code", "missing", "unanswered"),
    [
        (NOT_LEADER, set(), set()),
        (OUT_OF_RANGE, set(), set()),
        (FORBIDDEN, {"Read on topic t"}, set()),
        (UNKNOWN, set(), {"topic t: UnknownError"}),
    ],
)
async def test_an_unreadable_partition_is_left_out_with_the_reason(
    code: int, missing: set[str], unanswered: set[str]
) -> None:
    broker = Broker({0: [(code, -1, -1, b"")]})

    assert {} == await broker.read(place(0))
    assert (missing, unanswered) == (broker.remarks.missing_rights, broker.remarks.unanswered)


def log(tp: TopicPartition, topic_id: str | None = None) -> Log:
    return Log(tp.topic, topic_id, tp.partition)


async def test_without_time_nothing_is_read() -> None:
    reader = OldestReader(cast("Cluster", Broker({})))

    assert {} == await reader.read([place(0)], until=monotonic() - 1)


async def test_a_record_is_remembered_while_it_is_valid() -> None:
    asked: list[Place] = []
    records: dict[Place, First | None] = {
        place(0): First(0, 100),
        place(1): None,
        place(2): First(0, 100, settled=False),
    }

    async def read(places: Iterable[Place], *, until: float) -> dict[Place, First | None]:
        asked[:] = sorted(places)
        return {each: records[each] for each in asked}

    reader = RememberingReader(cast("OldestReader", SimpleNamespace(read=read)), log)

    async def read_again(ends: dict[Place, int]) -> list[Place]:
        assert {each: records[each] for each in ends} == await reader.read(ends, until=0)
        return list(asked)

    first = dict.fromkeys(records, 5)
    assert [place(0), place(1), place(2)] == await read_again(first)
    assert [place(2)] == await read_again(first)
    # A record may have been written where there was none.
    assert [place(1), place(2)] == await read_again(dict.fromkeys(records, 6))
    # A place that is no longer requested is forgotten.
    await read_again({place(1): 6})
    assert [place(0)] == await read_again({place(0): 6})


async def test_a_record_of_a_topic_that_is_gone_is_not_remembered() -> None:
    ids = ["old"]
    timestamps = [100]

    async def read(places: Iterable[Place], *, until: float) -> dict[Place, First | None]:
        return {each: First(0, timestamps[-1]) for each in places}

    reader = RememberingReader(
        cast("OldestReader", SimpleNamespace(read=read)), lambda tp: log(tp, ids[-1])
    )
    await reader.read({place(0): 5}, until=0)
    timestamps.append(200)
    remembered = await reader.read({place(0): 5}, until=0)
    ids.append("new")
    read_anew = await reader.read({place(0): 5}, until=0)

    assert [100, 200] == [
        cast("First", records[place(0)]).timestamp_ms for records in (remembered, read_anew)
    ]

"""Settling by offsets: what is given back when a loop ends, and what is left alone."""

from __future__ import annotations

from aiokafka.structs import ConsumerRecord, TopicPartition

from tracing.kafka.settlement import OffsetSettlement

FIRST, SECOND = TopicPartition("orders", 0), TopicPartition("orders", 1)


class Client:
    """Has two partitions, and remembers where it was sent."""

    def __init__(self) -> None:
        self.sought: list[tuple[TopicPartition, int]] = []

    def assignment(self) -> set[TopicPartition]:
        return {FIRST, SECOND}

    async def position(self, tp: TopicPartition) -> int:
        return 7 if tp == FIRST else 3

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.sought.append((tp, offset))


def record(tp: TopicPartition, offset: int) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord(*tp, offset, 0, 0, None, b"v", None, 0, 1, ())


async def commit(_offsets: object) -> None: ...


async def test_a_partition_that_gave_no_record_goes_back_to_its_first_place() -> None:
    client = Client()
    settlement = OffsetSettlement(client, "shipping", commit)
    await settlement.positions.note()

    await settlement.give_back({FIRST: [record(FIRST, 9)]})

    assert [(FIRST, 9), (SECOND, 3)] == client.sought


async def test_a_partition_that_is_about_to_move_is_not_rewound() -> None:
    client = Client()
    settlement = OffsetSettlement(client, "shipping", commit)
    await settlement.positions.note()
    settlement.lane(SECOND).handled(record(SECOND, 5))

    # A loop that ends while a rebalance waits for it gives back what stays.
    await settlement.give_back({FIRST: ()})

    assert (SECOND, 3) not in client.sought


async def test_a_partition_whose_first_records_came_early_goes_back_to_them() -> None:
    client = Client()
    settlement = OffsetSettlement(client, "shipping", commit)
    await settlement.positions.note()

    await settlement.give_back({FIRST: (), SECOND: [record(SECOND, 4)]})

    assert [(SECOND, 4), (FIRST, 7)] == client.sought

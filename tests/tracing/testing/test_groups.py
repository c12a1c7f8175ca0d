"""How groups share partitions, in which the in-memory double and aiokafka must agree."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.structs import TopicPartition

from tracing.testing import eventually


class Diary(ConsumerRebalanceListener):
    """Records each call under its owner's name."""

    def __init__(self, owner: str, entries: list[tuple[str, str, frozenset[int]]]) -> None:
        self.owner = owner
        self.entries = entries

    async def on_partitions_revoked(self, revoked: Any) -> None:
        self._write("revoked", revoked)

    async def on_partitions_assigned(self, assigned: Any) -> None:
        self._write("assigned", assigned)

    def _write(self, what: str, partitions: set[TopicPartition]) -> None:
        numbers = frozenset(partition.partition for partition in partitions)
        self.entries.append((self.owner, what, numbers))


class PlainDiary(Diary):
    """Does the same with plain methods instead of coroutines."""

    def on_partitions_revoked(self, revoked: Any) -> None:  # type: ignore[override]  # either is allowed
        self._write("revoked", revoked)

    def on_partitions_assigned(self, assigned: Any) -> None:  # type: ignore[override]  # either is allowed
        self._write("assigned", assigned)


class Failing(ConsumerRebalanceListener):
    """Fails whenever it is called."""

    def on_partitions_revoked(self, revoked: Any) -> None:
        raise RuntimeError("no")

    async def on_partitions_assigned(self, assigned: Any) -> None:
        raise RuntimeError("no")


@pytest.mark.parametrize("kind", [Diary, PlainDiary])
async def test_partitions_are_revoked_from_all_before_any_are_assigned(
    clients: Any, kind: type[Diary]
) -> None:
    topic = await clients.topic()
    entries: list[tuple[str, str, frozenset[int]]] = []
    first, second = (clients.unstarted_consumer(group="inventory") for _ in range(2))
    first.subscribe([topic], listener=kind("first", entries))
    await first.start()
    assert [
        ("first", "revoked", frozenset()),
        ("first", "assigned", frozenset({0, 1})),
    ] == entries
    entries.clear()

    second.subscribe([topic], listener=kind("second", entries))
    await second.start()
    await eventually(lambda: len(first.assignment()) == len(second.assignment()) == 1)
    # aiokafka calls the listener a moment after an assignment has taken effect.
    await eventually(lambda: sum(what == "assigned" for _, what, _ in entries) == 2)

    assert first.assignment().isdisjoint(second.assignment())
    assert {TopicPartition(topic, 0), TopicPartition(topic, 1)} == (
        first.assignment() | second.assignment()
    )
    whose_first = frozenset(partition.partition for partition in first.assignment())
    assert ("first", "revoked", frozenset({0, 1})) in entries
    assert ("first", "assigned", whose_first) in entries
    steps = [what for _, what, _ in entries]
    assert ["revoked", "revoked", "assigned", "assigned"] == steps


async def test_the_partitions_of_a_leaving_member_go_to_the_others(clients: Any) -> None:
    topic = await clients.topic()
    first = await clients.consumer(topic, group="inventory")
    second = await clients.consumer(topic, group="inventory")
    await eventually(lambda: len(first.assignment()) == len(second.assignment()) == 1)

    await first.stop()

    await eventually(lambda: len(second.assignment()) == 2)


async def test_unsubscribing_leaves_the_group(clients: Any) -> None:
    topic = await clients.topic()
    first = await clients.consumer(topic, group="inventory")
    second = await clients.consumer(topic, group="inventory")
    await eventually(lambda: len(first.assignment()) == len(second.assignment()) == 1)

    first.unsubscribe()

    assert set() == first.assignment()
    await eventually(lambda: len(second.assignment()) == 2)


async def test_a_failing_listener_does_not_stop_a_rebalance(clients: Any, caplog: Any) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    consumer = clients.unstarted_consumer(group="inventory")
    consumer.subscribe([topic], listener=Failing())
    await producer.send_and_wait(topic, b"v")

    await consumer.start()

    assert b"v" == (await consumer.getone()).value
    assert 2 == sum("listener" in record.getMessage() for record in caplog.records)


async def test_each_group_reads_everything(clients: Any) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"v")

    for group in ("inventory", "analytics"):
        consumer = await clients.consumer(topic, group=group)
        assert b"v" == (await consumer.getone()).value


async def test_consumers_without_a_group_read_everything_each(clients: Any) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"v")

    for _ in range(2):
        consumer = await clients.consumer(topic)
        assert 2 == len(consumer.assignment())
        assert b"v" == (await consumer.getone()).value


async def test_a_rebalance_resumes_at_the_committed_offset(clients: Any) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    for number in range(3):
        await producer.send_and_wait(topic, b"%d" % number, partition=0)
    first = await clients.consumer(topic, group="inventory")
    assert b"0" == (await first.getone()).value
    assert b"1" == (await first.getone()).value
    await first.commit({TopicPartition(topic, 0): 1})

    second = await clients.consumer(topic, group="inventory")
    await eventually(lambda: len(first.assignment()) == len(second.assignment()) == 1)
    owner = first if TopicPartition(topic, 0) in first.assignment() else second

    assert b"1" == (await owner.getone()).value

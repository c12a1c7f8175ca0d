"""A consumer's own methods while `consume` reads it refer to handled records."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import IllegalOperation, IllegalStateError
from aiokafka.structs import TopicPartition

import tracing
from tracing import TracedConsumer
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.tracing.conftest import Clients, _InMemory
    from tracing.testing import Capture

    Act = Callable[[int], Awaitable[None]]


async def numbered(clients: Clients, number: int = 10, *, partition: int = 0) -> str:
    """Create a topic with so many records in one partition, valued by their offsets."""
    topic = await clients.topic()
    await add(clients, topic, range(number), partition=partition)
    return topic


async def add(clients: Clients, topic: str, numbers: range, *, partition: int = 0) -> None:
    producer = await clients.producer()
    for count in numbers:
        # One by one: the embedded broker misreads where a batch of several ends.
        await producer.send_and_wait(topic, b"%d" % count, partition=partition)


async def handled_with(
    consumer: TracedConsumer, act: Act, *, until: int, **options: Any
) -> list[int]:
    """Consume until an offset has been handled, doing something at each; returns the offsets."""
    handled: list[int] = []
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        await act(record.offset)
        handled.append(record.offset)
        if record.offset == until:
            stop.set()

    await asyncio.wait_for(tracing.consume(consumer, handler, stop=stop, **options), 60)
    return handled


async def test_a_commit_in_a_handler_covers_the_records_handled_before(clients: Clients) -> None:
    topic = await numbered(clients)
    first = TopicPartition(topic, 0)
    consumer = await clients.consumer(topic, group="g")
    committed: list[int | None] = []

    async def act(_offset: int) -> None:
        await consumer.commit()
        committed.append(await consumer.committed(first))

    await handled_with(consumer, act, until=3, commit_interval_s=60)

    assert [None, 1, 2, 3] == committed


async def test_a_commit_with_offsets_commits_these_offsets(clients: Clients) -> None:
    topic = await numbered(clients)
    first = TopicPartition(topic, 0)
    consumer = await clients.consumer(topic, group="g")
    committed: list[int | None] = []

    async def act(offset: int) -> None:
        await consumer.commit({first: offset + 1})
        committed.append(await consumer.committed(first))

    await handled_with(consumer, act, until=2, commit_interval_s=60)

    assert [1, 2, 3] == committed


async def test_commits_of_an_application_are_counted_once(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await numbered(memory)
    consumer = await memory.consumer(topic, group="g")

    async def act(offset: int) -> None:
        if offset == 1:
            await consumer.commit()

    await handled_with(consumer, act, until=1, commit_interval_s=60)

    duration = capture.metric(
        "messaging.client.operation.duration", {"messaging.operation.name": "commit"}
    )
    assert duration is not None
    # Its own, and the one on the way out.
    assert 2 == duration.count  # type: ignore[union-attr]  # of a histogram


async def test_a_commit_without_a_group_is_refused_as_without_a_loop(memory: _InMemory) -> None:
    topic = await numbered(memory, 1)
    consumer = await memory.consumer(topic)

    async def act(_offset: int) -> None:
        with pytest.raises(IllegalOperation):
            await consumer.commit()

    assert [0] == await handled_with(consumer, act, until=0)


async def test_the_position_is_the_first_record_that_is_not_handled(clients: Clients) -> None:
    topic = await numbered(clients)
    consumer = await clients.consumer(topic, group="g")
    positions: list[int] = []

    async def act(_offset: int) -> None:
        positions.append(await consumer.position(TopicPartition(topic, 0)))

    await handled_with(consumer, act, until=3)

    assert [0, 1, 2, 3] == positions


async def test_the_position_of_an_unassigned_partition_comes_from_the_client(
    clients: Clients,
) -> None:
    topic = await numbered(clients, 1)
    consumer = await clients.consumer(topic, group="g")
    positions: list[int] = []

    async def act(_offset: int) -> None:
        positions.append(await consumer.position(TopicPartition(topic, 1)))
        with pytest.raises(IllegalStateError):
            await consumer.position(TopicPartition(topic, 99))

    await handled_with(consumer, act, until=0)

    assert [0] == positions


async def test_seeking_back_in_a_handler_repeats_from_there(clients: Clients) -> None:
    topic = await numbered(clients)
    first = TopicPartition(topic, 0)
    consumer = await clients.consumer(topic, group="g")
    sought: list[int] = []

    async def act(offset: int) -> None:
        if offset == 3 and not sought:
            consumer.seek(first, 1)
            sought.append(await consumer.position(first))

    handled = await handled_with(consumer, act, until=5)

    assert [1] == sought
    assert [0, 1, 2, 3, 1, 2, 3, 4, 5] == handled
    assert 6 == await consumer.committed(first)


async def test_seeking_ahead_in_a_handler_skips_the_records_between(clients: Clients) -> None:
    topic = await numbered(clients)
    consumer = await clients.consumer(topic, group="g")

    async def act(offset: int) -> None:
        if offset == 2:
            consumer.seek(TopicPartition(topic, 0), 8)

    assert [0, 1, 2, 8, 9] == await handled_with(consumer, act, until=9)


async def test_seeking_to_the_beginning_repeats_all(clients: Clients) -> None:
    topic = await numbered(clients, 4)
    consumer = await clients.consumer(topic, group="g")
    sought = False

    async def act(offset: int) -> None:
        nonlocal sought
        if offset == 2 and not sought:
            sought = True
            await consumer.seek_to_beginning()

    assert [0, 1, 2, 0, 1, 2, 3] == await handled_with(consumer, act, until=3)


async def test_seeking_to_the_end_skips_the_rest(clients: Clients) -> None:
    topic = await numbered(clients, 6)
    consumer = await clients.consumer(topic, group="g")

    async def act(offset: int) -> None:
        if offset == 2:
            await consumer.seek_to_end(TopicPartition(topic, 0))
            await add(clients, topic, range(1))

    assert [0, 1, 2, 6] == await handled_with(consumer, act, until=6)


async def test_seeking_to_the_committed_offset_repeats_from_there(clients: Clients) -> None:
    topic = await numbered(clients, 6)
    first = TopicPartition(topic, 0)
    consumer = await clients.consumer(topic, group="g")
    sought: list[Any] = []

    async def act(offset: int) -> None:
        if offset == 2 and not sought:
            await consumer.commit()
        if offset == 4 and not sought:
            sought.append(await consumer.seek_to_committed(first))

    handled = await handled_with(consumer, act, until=5, commit_interval_s=60)

    assert [{first: 2}] == sought
    assert [0, 1, 2, 3, 4, 2, 3, 4, 5] == handled


async def test_seeking_in_an_unassigned_partition_is_refused_and_loses_nothing(
    clients: Clients,
) -> None:
    topic = await numbered(clients, 4)
    consumer = await clients.consumer(topic, group="g")
    elsewhere = TopicPartition(topic, 99)

    async def act(_offset: int) -> None:
        with pytest.raises(IllegalStateError):
            consumer.seek(elsewhere, 0)
        with pytest.raises(IllegalStateError):
            await consumer.seek_to_beginning(elsewhere)
        with pytest.raises(IllegalStateError):
            await consumer.seek_to_end(elsewhere)
        with pytest.raises(IllegalStateError):
            await consumer.seek_to_committed(elsewhere)

    assert [0, 1, 2, 3] == await handled_with(consumer, act, until=3)


async def test_records_of_a_paused_partition_wait_until_it_is_resumed(
    clients: Clients,
) -> None:
    topic = await numbered(clients, 6)
    first = TopicPartition(topic, 0)
    consumer = await clients.consumer(topic, group="g")
    handled: list[tuple[int, int]] = []
    stop, others = asyncio.Event(), asyncio.Event()

    async def handler(record: Any) -> None:
        handled.append((record.partition, record.offset))
        if record.partition == 0 and record.offset == 1:
            consumer.pause(first)
            await add(clients, topic, range(3), partition=1)
        if record.partition == 1 and record.offset == 2:
            others.set()
        if record.partition == 0 and record.offset == 5:
            stop.set()

    loop = asyncio.create_task(tracing.consume(consumer, handler, stop=stop, max_buffered=1))
    await asyncio.wait_for(others.wait(), 60)

    assert [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)] == handled
    assert {first} == consumer.paused()
    consumer.resume(first)
    await asyncio.wait_for(loop, 60)
    assert [(0, offset) for offset in range(2, 6)] == handled[5:]
    assert set() == consumer.paused()


async def test_a_partition_paused_before_the_loop_stays_paused(clients: Clients) -> None:
    topic = await numbered(clients, 1)
    second = TopicPartition(topic, 1)
    await add(clients, topic, range(1), partition=1)
    consumer = await clients.consumer(topic, group="g")
    consumer.pause(second)

    async def act(_offset: int) -> None:
        assert {second} == consumer.paused()

    assert [0] == await handled_with(consumer, act, until=0)
    assert {second} == consumer.paused()


async def test_a_partition_that_waits_for_a_slow_handler_does_not_count_as_paused(
    memory: _InMemory,
) -> None:
    topic = await numbered(memory, 20)
    consumer = await memory.consumer(topic, group="g")
    paused: list[set[TopicPartition]] = []

    async def act(_offset: int) -> None:
        await asyncio.sleep(0)
        assert consumer.wrapped.paused()  # type: ignore[attr-defined]  # the double has it
        paused.append(consumer.paused())

    await handled_with(consumer, act, until=3, max_buffered=2)

    assert [set()] * 4 == paused


@pytest.mark.parametrize("take", ["getone", "getmany", "anext", "async for"])
async def test_records_cannot_be_polled_beside_the_loop(clients: Clients, take: str) -> None:
    topic = await numbered(clients, 2)
    consumer = await clients.consumer(topic, group="g")

    async def act(_offset: int) -> None:
        with pytest.raises(RuntimeError, match="away from the handler"):
            match take:
                case "getone":
                    await consumer.getone()
                case "getmany":
                    await consumer.getmany(timeout_ms=10)
                case "anext":
                    await anext(consumer)
                case _:
                    async for _ in consumer:
                        break

    assert [0, 1] == await handled_with(consumer, act, until=1)
    await add(clients, topic, range(1))
    assert 2 == (await consumer.getone()).offset


async def test_a_second_loop_on_the_same_consumer_is_refused(clients: Clients) -> None:
    topic = await numbered(clients, 2)
    consumer = await clients.consumer(topic, group="g")
    twice = TracedConsumer(consumer.wrapped, clients.telemetry)

    async def nothing(_record: Any) -> None:
        """Do nothing."""

    async def act(_offset: int) -> None:
        for wrapper in (consumer, twice):
            with pytest.raises(RuntimeError, match="second"):
                await tracing.consume(wrapper, nothing)

    assert [0, 1] == await handled_with(consumer, act, until=1)


async def test_stopping_the_consumer_beside_the_loop_finishes_and_commits_records_in_progress(
    clients: Clients,
) -> None:
    topic = await numbered(clients)
    consumer = await clients.consumer(topic, group="g")
    in_progress, release = asyncio.Event(), asyncio.Event()
    handled: list[int] = []

    async def handler(record: Any) -> None:
        in_progress.set()
        await release.wait()
        handled.append(record.offset)

    loop = asyncio.create_task(tracing.consume(consumer, handler, commit_interval_s=60))
    await asyncio.wait_for(in_progress.wait(), 60)
    stopped = asyncio.create_task(consumer.stop())
    await asyncio.sleep(0)
    release.set()
    await asyncio.wait_for(asyncio.gather(loop, stopped), 60)

    assert [0] == handled
    again = await clients.consumer(topic, group="g")
    assert 1 == await again.committed(TopicPartition(topic, 0))


@pytest.mark.parametrize("in_task", [False, True])
async def test_a_handler_can_stop_the_consumer(clients: Clients, *, in_task: bool) -> None:
    topic = await numbered(clients)
    consumer = await clients.consumer(topic, group="g")
    handled: list[int] = []

    async def handler(record: Any) -> None:
        if record.offset == 2:
            await (asyncio.create_task(consumer.stop()) if in_task else consumer.stop())
        handled.append(record.offset)

    await asyncio.wait_for(tracing.consume(consumer, handler, commit_interval_s=60), 60)

    assert [0, 1, 2] == handled
    again = await clients.consumer(topic, group="g")
    assert 3 == await again.committed(TopicPartition(topic, 0))


async def test_unsubscribing_ends_the_loop_cleanly(clients: Clients) -> None:
    topic = await numbered(clients)
    consumer = await clients.consumer(topic, group="g")

    async def handler(record: Any) -> None:
        if record.offset == 2:
            consumer.unsubscribe()

    await asyncio.wait_for(tracing.consume(consumer, handler, commit_interval_s=60), 60)

    assert 3 == await consumer.committed(TopicPartition(topic, 0))
    assert not consumer.subscription()


async def test_a_new_subscription_applies_once_records_in_progress_are_committed(
    clients: Clients,
) -> None:
    topic, other = await numbered(clients), await clients.topic("others")
    producer = await clients.producer()
    await producer.send_and_wait(other, b"0", partition=0)
    consumer = await clients.consumer(topic, group="g")
    handled: list[tuple[str, int]] = []
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        handled.append((record.topic, record.offset))
        if record.topic == other:
            stop.set()
        elif record.offset == 2:
            consumer.subscribe([other])

    await asyncio.wait_for(tracing.consume(consumer, handler, stop=stop, commit_interval_s=60), 60)

    assert [(topic, 0), (topic, 1), (topic, 2), (other, 0)] == handled
    assert 3 == await consumer.committed(TopicPartition(topic, 0))


async def test_a_refused_subscription_loses_no_waiting_records(
    clients: Clients,
) -> None:
    topic = await numbered(clients, 4)
    consumer = await clients.consumer(topic, group="g")

    async def handler(record: Any) -> None:
        if record.offset == 1:
            consumer.assign([TopicPartition(topic, 0)])

    with pytest.raises(IllegalStateError):
        await asyncio.wait_for(tracing.consume(consumer, handler), 60)

    async def nothing(_offset: int) -> None:
        """Do nothing."""

    assert [2, 3] == await handled_with(consumer, nothing, until=3)


async def test_after_the_loop_the_methods_are_those_of_the_client_again(memory: _InMemory) -> None:
    topic = await numbered(memory, 3)
    first = TopicPartition(topic, 0)
    consumer = await memory.consumer(topic, group="g")

    async def nothing(_offset: int) -> None:
        """Do nothing."""

    await handled_with(consumer, nothing, until=0)
    record = await consumer.getone()

    assert (1, 2) == (record.offset, await consumer.position(first))
    await consumer.commit()
    assert 2 == await consumer.committed(first)


async def test_a_listener_that_commits_on_revocation_commits_handled_records_only(
    clients: Clients,
) -> None:
    from aiokafka.abc import ConsumerRebalanceListener  # noqa: PLC0415 - of this test alone

    topic = await numbered(clients)
    consumer = await clients.consumer(group="g")
    in_progress, release = asyncio.Event(), asyncio.Event()

    class Commits(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked: Any) -> None:
            if revoked:
                await consumer.commit()

        async def on_partitions_assigned(self, assigned: Any) -> None:
            """Nothing."""

    consumer.subscribe([topic], listener=Commits())
    handled: list[int] = []
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        if record.offset == 3 and not in_progress.is_set():
            in_progress.set()
            await release.wait()
        handled.append(record.offset)
        if record.offset == 9:
            stop.set()

    loop = asyncio.create_task(tracing.consume(consumer, handler, stop=stop))
    await asyncio.wait_for(in_progress.wait(), 60)
    joining = asyncio.create_task(clients.consumer(topic, group="g"))
    await asyncio.sleep(0)
    release.set()
    other = await joining
    await other.stop()
    await eventually(stop.is_set, timeout_s=60)
    await asyncio.wait_for(loop, 60)

    assert list(range(10)) == handled


async def test_a_listener_can_stop_the_consumer(clients: Clients) -> None:
    from aiokafka.abc import ConsumerRebalanceListener  # noqa: PLC0415 - of this test alone

    topic = await numbered(clients)
    consumer = await clients.consumer(group="g")
    begun, stopped = asyncio.Event(), asyncio.Event()

    class Stops(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked: Any) -> None:
            if revoked:
                await consumer.stop()
                stopped.set()

        async def on_partitions_assigned(self, assigned: Any) -> None:
            """Nothing."""

    consumer.subscribe([topic], listener=Stops())

    async def handler(record: Any) -> None:
        begun.set()

    loop = asyncio.create_task(tracing.consume(consumer, handler))
    await asyncio.wait_for(begun.wait(), 60)
    other = await asyncio.wait_for(clients.consumer(topic, group="g"), 60)
    await asyncio.wait_for(loop, 60)
    await asyncio.wait_for(stopped.wait(), 60)

    async def alone() -> bool:
        # Only once the one before has left the group.
        return len(other.assignment()) == 4

    assert await eventually(alone, timeout_s=60)

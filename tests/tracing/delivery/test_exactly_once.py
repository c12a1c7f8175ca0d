"""Consume, process and produce in one transaction: every effect happens once or not at all."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import TopicPartition

import tracing
from tests.tracing.delivery.giving_up import dead_letter_topic
from tracing import DeadLetters, Provenance, Rejected, Retry, TracedConsumer, Unprocessable
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.tracing.conftest import Clients
    from tracing import TracedProducer
    from tracing.testing import Capture

pytestmark = pytest.mark.parametrize(
    "clients",
    [
        "memory",
        pytest.param("kafka", marks=[pytest.mark.integration, pytest.mark.kafka]),
    ],
    indirect=True,
)
NOW = Retry(attempts=3, delay_s=0)


class Pipeline:
    """A topic with records, the topic that a handler writes, and the loop between them."""

    def __init__(self, clients: Clients, source: str, target: str) -> None:
        self.clients = clients
        self.source = source
        self.target = target
        self.stop = asyncio.Event()
        self.producer: TracedProducer
        self.consumer: TracedConsumer

    @classmethod
    async def filled(cls, clients: Clients, records: int, partitions: int = 2) -> Pipeline:
        found = cls(clients, await clients.topic(), await clients.topic("shipments"))
        producer = await clients.producer()
        for number in range(records):
            await producer.send(found.source, b"%d" % number, partition=number % partitions)
        await producer.flush()
        found.producer = await clients.producer(transactional_id=f"t-{found.source}")
        found.consumer = await clients.consumer(found.source, group="shipping")
        return found

    async def ship(self, record: Any) -> None:
        await self.producer.send(self.target, record.value, partition=record.partition)

    async def run(
        self,
        handler: Callable[[Any], Awaitable[object]],
        until: Callable[[], Awaitable[bool]],
        **options: Any,
    ) -> None:
        """Consume until a condition holds."""
        loop = asyncio.create_task(
            tracing.consume(
                self.consumer, handler, transactional=self.producer, stop=self.stop, **options
            )
        )

        async def over() -> bool:
            return loop.done() or await until()

        try:
            assert await eventually(over, timeout_s=30)
        finally:
            self.stop.set()
            await loop

    async def values(self, topic: str) -> list[bytes]:
        """What a reader of committed records sees now."""
        broker = getattr(self.clients, "broker", None)
        if broker is not None:
            return [record.value for record in broker.records(topic)]
        reader = await self.clients.consumer(topic, isolation_level="read_committed")
        found: list[bytes] = []
        try:
            partitions = [TopicPartition(topic, number) for number in range(4)]
            ends = await reader.end_offsets(partitions)
            while any([await reader.position(tp) < ends[tp] for tp in ends]):
                batches = await reader.wrapped.getmany(timeout_ms=100)
                found += [
                    bytes(record.value or b"") for part in batches.values() for record in part
                ]
        finally:
            await reader.stop()
        return found

    async def shipped(self) -> list[bytes]:
        return await self.values(self.target)

    async def committed(self) -> int:
        offsets = [
            await self.consumer.committed(TopicPartition(self.source, number)) for number in (0, 1)
        ]
        return sum(offset or 0 for offset in offsets)


def numbers(*wanted: int) -> Counter[bytes]:
    return Counter(b"%d" % number for number in wanted)


async def test_effects_and_offsets_are_committed_together(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 20)

    async def done() -> bool:
        return await pipeline.committed() == 20

    await pipeline.run(pipeline.ship, done)

    assert numbers(*range(20)) == Counter(await pipeline.shipped())


async def test_sends_of_a_failed_attempt_are_rolled_back(
    clients: Clients, capture: Capture
) -> None:
    pipeline = await Pipeline.filled(clients, 10)
    failed: list[bytes] = []

    async def handler(record: Any) -> None:
        await pipeline.ship(record)
        if record.value in {b"3", b"4"} and failed.count(record.value) < 2:
            failed.append(record.value)
            raise ConnectionError

    async def done() -> bool:
        return await pipeline.committed() == 10

    # Long enough for 1 to be in the transaction that 3 spoils.
    await pipeline.run(handler, done, retry=NOW, commit_interval_s=60)

    assert numbers(*range(10)) == Counter(await pipeline.shipped())
    assert [b"3", b"3", b"4", b"4"] == sorted(failed)
    labels = {"messaging.destination.name": pipeline.source, "error.type": "ConnectionError"}
    assert 4 == capture.metric("pipeline.retries", labels)
    outcomes = Counter(
        (span.attributes or {}).get("pipeline.outcome")
        for span in capture.spans()
        if span.name == f"process {pipeline.source}"
    )
    assert 10 == outcomes["ok"]
    assert {"ok", "retried"} == outcomes.keys()
    durations: Any = capture.metric(
        "messaging.process.duration", {"messaging.destination.name": pipeline.source}
    )
    # Four failed attempts and ten that were committed; what was taken back is none of them.
    assert 14 == durations.count


async def test_a_partition_keeps_its_order_around_failures(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 12, partitions=1)
    failed: set[bytes] = set()

    async def handler(record: Any) -> None:
        await pipeline.ship(record)
        if int(record.value) % 3 == 0 and record.value not in failed:
            failed.add(record.value)
            raise ConnectionError

    async def done() -> bool:
        return await pipeline.committed() == 12

    await pipeline.run(handler, done, retry=NOW)

    assert [b"%d" % number for number in range(12)] == await pipeline.shipped()


async def test_a_dead_letter_and_its_offset_are_one_transaction(
    clients: Clients, capture: Capture
) -> None:
    pipeline = await Pipeline.filled(clients, 6)
    letters = await dead_letter_topic(clients, pipeline.source, "shipping")

    async def handler(record: Any) -> None:
        await pipeline.ship(record)
        if record.value == b"2":
            raise Unprocessable("poison")
        if record.value == b"5":
            raise Rejected("no stock")

    async def done() -> bool:
        return await pipeline.committed() == 6

    await pipeline.run(
        handler, done, dead_letters=DeadLetters(pipeline.producer, transactional=True)
    )

    assert numbers(0, 1, 3, 4, 5) == Counter(await pipeline.shipped())
    assert [b"2"] == await pipeline.values(letters)
    labels = {
        "messaging.destination.name": pipeline.source,
        "error.type": "tracing.Unprocessable",
    }
    assert 1 == capture.metric("pipeline.dead_letters", labels)
    tree = capture.tree()
    assert f"dead_letter {letters} PRODUCER" in tree


async def test_a_record_that_fails_finally_ends_the_loop_after_its_predecessors_are_committed(
    clients: Clients,
) -> None:
    pipeline = await Pipeline.filled(clients, 6, partitions=1)

    async def handler(record: Any) -> None:
        await pipeline.ship(record)
        if record.value == b"3":
            raise ValueError("cannot")

    async def never() -> bool:
        return False

    with pytest.raises(ValueError, match="cannot") as caught:
        await pipeline.run(handler, never)

    assert any("offset 3" in note for note in caught.value.__notes__)
    assert [b"0", b"1", b"2"] == await pipeline.shipped()
    assert 3 == await pipeline.committed()
    pipeline.stop = asyncio.Event()

    async def done() -> bool:
        return await pipeline.committed() == 6

    await pipeline.run(pipeline.ship, done)
    assert [b"%d" % number for number in range(6)] == await pipeline.shipped()


async def test_a_failed_send_that_is_not_awaited_fails_the_attempt(
    clients: Clients,
) -> None:
    pipeline = await Pipeline.filled(clients, 4)

    async def handler(record: Any) -> None:
        future = await pipeline.producer.send(pipeline.target, record.value, partition=0)
        if record.value == b"2":
            future.cancel()

    async def done() -> bool:
        return await pipeline.committed() == 4

    letters = await dead_letter_topic(clients, pipeline.source, "shipping")
    await pipeline.run(
        handler,
        done,
        retry=NOW,
        dead_letters=DeadLetters(pipeline.producer, transactional=True),
    )

    assert numbers(0, 1, 3) == Counter(await pipeline.shipped())
    assert [b"2"] == await pipeline.values(letters)


async def test_only_handlers_send_in_the_transactions(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 2)
    late: list[asyncio.Task[Any]] = []
    begun = asyncio.Event()
    refused: list[BaseException | None] = []

    async def handler(record: Any) -> None:
        async def after_the_handler() -> None:
            async def committed() -> bool:
                return await pipeline.committed() == 2

            await eventually(committed, timeout_s=30)
            await pipeline.producer.send(pipeline.target, b"late", partition=0)

        late.append(asyncio.create_task(after_the_handler()))
        begun.set()
        with pytest.raises(RuntimeError, match="begins and ends"):
            await pipeline.producer.commit_transaction()
        await pipeline.ship(record)

    async def done() -> bool:
        if not begun.is_set():
            return False
        with pytest.raises(RuntimeError, match="owns the transactions"):
            await pipeline.producer.send_and_wait(pipeline.target, b"other", partition=0)
        finished, _ = await asyncio.wait(late)
        refused.extend(task.exception() for task in finished)
        return True

    await pipeline.run(handler, done)

    assert {RuntimeError} == {type(error) for error in refused}
    assert numbers(0, 1) == Counter(await pipeline.shipped())


async def test_a_hanging_handler_is_cancelled_and_its_sends_are_rolled_back(
    clients: Clients,
) -> None:
    pipeline = await Pipeline.filled(clients, 4, partitions=1)
    hanging = asyncio.Event()

    async def handler(record: Any) -> None:
        await pipeline.ship(record)
        if record.value == b"2":
            hanging.set()
            await asyncio.Event().wait()

    async def hangs() -> bool:
        return hanging.is_set()

    await pipeline.run(handler, hangs, drain_timeout_s=0.2, commit_interval_s=60)

    assert [] == await pipeline.shipped()
    assert 0 == await pipeline.committed()
    pipeline.stop = asyncio.Event()

    async def done() -> bool:
        return await pipeline.committed() == 4

    await pipeline.run(pipeline.ship, done)
    assert [b"0", b"1", b"2", b"3"] == await pipeline.shipped()


async def test_clients_that_do_not_fit_are_refused(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 1)
    durable = await clients.producer()
    groupless = await clients.consumer(pipeline.source)

    async def consume(consumer: TracedConsumer, **options: Any) -> None:
        await tracing.consume(consumer, pipeline.ship, **options)

    with pytest.raises(ValueError, match="with a transactional_id"):
        await consume(pipeline.consumer, transactional=durable)
    with pytest.raises(TypeError, match="wrap it"):
        await consume(pipeline.consumer, transactional=pipeline.producer.wrapped)
    with pytest.raises(ValueError, match="group"):
        await consume(groupless, transactional=pipeline.producer)
    with pytest.raises(ValueError, match="of the same producer"):
        await consume(
            pipeline.consumer, transactional=pipeline.producer, dead_letters=DeadLetters(durable)
        )
    with pytest.raises(ValueError, match="transactional=True"):
        await consume(
            pipeline.consumer, dead_letters=DeadLetters(pipeline.producer, transactional=True)
        )
    with pytest.raises(ValueError, match="no transactional_id"):
        DeadLetters(durable, transactional=True)


async def test_provenance_of_a_transactional_dead_letter_is_complete(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 1)
    letters = await dead_letter_topic(clients, pipeline.source, "shipping")
    target = await clients.consumer(letters)

    async def handler(_record: Any) -> None:
        raise ConnectionError("away")

    async def done() -> bool:
        return await pipeline.committed() == 1

    await pipeline.run(
        handler, done, retry=NOW, dead_letters=DeadLetters(pipeline.producer, transactional=True)
    )

    letter = await target.wrapped.getone()
    provenance = Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert ("shipping", 3, "ConnectionError") == (
        provenance.group,
        provenance.attempts,
        provenance.exception,
    )


@pytest.mark.parametrize("way", ["stop", "cancel", "close"])
async def test_effects_happen_once_however_often_the_loop_ends(clients: Clients, way: str) -> None:
    pipeline = await Pipeline.filled(clients, 120)
    chance = random.Random(7)

    async def handler(record: Any) -> None:
        await asyncio.sleep(chance.uniform(0, 0.002))
        await pipeline.ship(record)
        if chance.random() < 0.05:
            raise ConnectionError

    async def finished() -> bool:
        return await pipeline.committed() == 120

    for _ in range(6):
        stop = asyncio.Event()
        loop = asyncio.create_task(
            tracing.consume(
                pipeline.consumer,
                handler,
                transactional=pipeline.producer,
                stop=stop,
                retry=Retry(attempts=100, delay_s=0.001),
                commit_interval_s=0.02,
                drain_timeout_s=5,
            )
        )
        await asyncio.wait((loop,), timeout=chance.uniform(0, 0.3))
        if way == "stop":
            stop.set()
        elif way == "cancel":
            loop.cancel()
        else:
            await pipeline.consumer.stop()
            await asyncio.wait((loop,), timeout=30)
            assert loop.done()
            pipeline.consumer = await clients.consumer(pipeline.source, group="shipping")
        await asyncio.wait((loop,), timeout=30)
        assert loop.done()
        assert loop.cancelled() or loop.exception() is None

    await pipeline.run(pipeline.ship, finished)

    shipped = await pipeline.shipped()
    assert numbers(*range(120)) == Counter(shipped)


async def test_a_loop_that_waits_for_the_next_attempt_can_be_stopped(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 2, partitions=1)
    failed = asyncio.Event()

    async def handler(record: Any) -> None:
        if record.value == b"1":
            failed.set()
            raise ConnectionError
        await pipeline.ship(record)

    async def waits() -> bool:
        return failed.is_set() and await pipeline.committed() == 1

    await pipeline.run(
        handler, waits, retry=Retry(delay_s=3600, max_delay_s=3600, jitter=lambda longest: longest)
    )

    assert [b"0"] == await pipeline.shipped()
    assert 1 == await pipeline.committed()


async def test_records_of_a_paused_partition_wait_until_it_is_resumed(
    clients: Clients,
) -> None:
    pipeline = await Pipeline.filled(clients, 6, partitions=1)
    tp = TopicPartition(pipeline.source, 0)
    handled: list[bytes] = []

    async def handler(record: Any) -> None:
        handled.append(record.value)
        await pipeline.ship(record)
        if record.value == b"1":
            pipeline.consumer.pause(tp)

    async def paused() -> bool:
        return await pipeline.committed() == 2

    async def done() -> bool:
        return await pipeline.committed() == 6

    async def paused_and_resumed() -> bool:
        if pipeline.consumer.paused() == {tp} and await paused():
            assert [b"0", b"1"] == handled
            assert 2 == await pipeline.consumer.position(tp)
            pipeline.consumer.resume(tp)
        return await done()

    await pipeline.run(handler, paused_and_resumed)

    assert [b"%d" % number for number in range(6)] == await pipeline.shipped()
    assert set() == pipeline.consumer.paused()


async def closed(pipeline: Pipeline) -> None:
    await pipeline.consumer.stop()


async def unsubscribed(pipeline: Pipeline) -> None:
    pipeline.consumer.unsubscribe()


@pytest.mark.parametrize("end", [closed, unsubscribed])
@pytest.mark.parametrize("inside", [True, False])
async def test_the_consumer_stops_only_after_records_in_progress_are_committed(
    clients: Clients, end: Callable[[Pipeline], Awaitable[None]], *, inside: bool
) -> None:
    pipeline = await Pipeline.filled(clients, 4, partitions=1)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handler(record: Any) -> None:
        await pipeline.ship(record)
        if record.value == b"1":
            begun.set()
            if inside:
                await end(pipeline)
            else:
                await go_on.wait()

    loop = asyncio.create_task(
        tracing.consume(pipeline.consumer, handler, transactional=pipeline.producer)
    )
    assert await eventually(begun.is_set, timeout_s=30)
    if not inside:
        ending = asyncio.ensure_future(end(pipeline))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait((ending,), timeout=30)
    await asyncio.wait((loop,), timeout=30)

    assert loop.done()
    assert loop.exception() is None
    assert [b"0", b"1"] == await pipeline.shipped()
    pipeline.consumer = await clients.consumer(pipeline.source, group="shipping")
    assert 2 == await pipeline.committed()


async def test_repeated_cancellation_handles_and_commits_nothing_more(
    clients: Clients,
) -> None:
    pipeline = await Pipeline.filled(clients, 4, partitions=1)
    begun = asyncio.Event()
    ended: list[bytes] = []

    async def handler(record: Any) -> None:
        await pipeline.ship(record)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(record.value)

    loop = asyncio.create_task(
        tracing.consume(pipeline.consumer, handler, transactional=pipeline.producer)
    )
    assert await eventually(begun.is_set, timeout_s=30)

    def cancelled() -> bool:
        loop.cancel()
        return loop.done()

    # Far sooner than handlers have to finish.
    assert await eventually(cancelled, timeout_s=15)
    assert loop.cancelled()
    assert await eventually(lambda: ended == [b"0"])
    quiet = "consume transactions"
    assert await eventually(lambda: quiet not in {task.get_name() for task in asyncio.all_tasks()})
    assert [b"0"] == ended
    assert [] == await pipeline.shipped()
    assert 0 == await pipeline.committed()


async def test_a_producer_wrapped_twice_runs_one_loop(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 2)
    again = tracing.TracedProducer(pipeline.producer.wrapped, clients.telemetry)
    other = await clients.consumer(pipeline.source, group="billing")

    async def done() -> bool:
        if await pipeline.committed() < 2:
            return False
        with pytest.raises(RuntimeError, match="another consume"):
            await tracing.consume(other, pipeline.ship, transactional=again)
        return True

    await pipeline.run(pipeline.ship, done)

    assert numbers(0, 1) == Counter(await pipeline.shipped())


async def test_calls_that_move_offsets_outside_the_transactions_are_refused(
    clients: Clients,
) -> None:
    pipeline = await Pipeline.filled(clients, 2)
    tp = TopicPartition(pipeline.source, 0)

    async def handler(record: Any) -> None:
        await pipeline.ship(record)
        for moves in (
            pipeline.consumer.commit,
            lambda: pipeline.consumer.commit({tp: 2}),
            pipeline.consumer.seek_to_end,
            pipeline.consumer.getmany,
        ):
            with pytest.raises(RuntimeError, match="end the loop first"):
                await moves()
        with pytest.raises(RuntimeError, match="last transaction"):
            pipeline.consumer.seek(tp, 0)

    async def done() -> bool:
        if await pipeline.committed() < 2:
            return False
        with pytest.raises(RuntimeError, match="another consume"):
            await tracing.consume(pipeline.consumer, handler)
        return True

    await pipeline.run(handler, done, retry=Retry(attempts=1))

    assert numbers(0, 1) == Counter(await pipeline.shipped())
    await pipeline.consumer.commit({tp: 0})

"""The whole loop: at least once, in order, committed after success, drained at the end."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError
from aiokafka.structs import TopicPartition

import tracing
from tracing import Rejected, TracedConsumer
from tracing.testing import eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients, _InMemory
    from tracing import Telemetry
    from tracing.testing import Capture


async def filled(clients: Clients, number: int = 40, keys: int = 8) -> str:
    topic = await clients.topic()
    producer = await clients.producer()
    for count in range(number):
        await producer.send(topic, b"%d" % count, key=b"%d" % (count % keys))
    await producer.flush()
    return topic


class Recording:
    """A handler that remembers, and stops the loop after so many records."""

    def __init__(self, stop_after: int) -> None:
        self.stop = asyncio.Event()
        self.seen: list[tuple[int, int]] = []
        self.values: list[bytes] = []
        self._stop_after = stop_after

    async def __call__(self, record: Any) -> None:
        await asyncio.sleep(0)
        self.seen.append((record.partition, record.offset))
        self.values.append(record.value)
        if len(self.seen) == self._stop_after:
            self.stop.set()


async def committed(consumer: TracedConsumer, topic: str) -> dict[int, int]:
    found = {}
    for number in range(4):
        offset = await consumer.committed(TopicPartition(topic, number))
        if offset is not None:
            found[number] = offset
    return found


async def test_every_record_is_handled_in_partition_order_and_committed(
    clients: Clients,
) -> None:
    topic = await filled(clients)
    consumer = await clients.consumer(topic, group="g")
    handler = Recording(40)

    await tracing.consume(consumer, handler, stop=handler.stop)

    assert {b"%d" % count for count in range(40)} == set(handler.values)
    by_partition: dict[int, list[int]] = defaultdict(list)
    for partition, offset in handler.seen:
        by_partition[partition].append(offset)
    for offsets in by_partition.values():
        assert list(range(len(offsets))) == offsets
    assert {
        partition: offsets[-1] + 1 for partition, offsets in by_partition.items()
    } == await committed(consumer, topic)


async def test_a_failing_handler_ends_the_loop_and_its_record_comes_back(
    clients: Clients, capture: Capture
) -> None:
    topic = await filled(clients, 10, keys=1)
    consumer = await clients.consumer(topic, group="g")
    first = Recording(100)

    async def fails_at_five(record: Any) -> None:
        if record.value == b"5" and len(first.seen) == 5:
            raise ValueError("cannot")
        await first(record)

    with pytest.raises(ValueError, match="cannot") as caught:
        await tracing.consume(consumer, fails_at_five)

    assert any("offset 5" in note for note in caught.value.__notes__)
    assert [5] == list((await committed(consumer, topic)).values())
    again = Recording(5)
    await tracing.consume(consumer, again, stop=again.stop)
    assert [b"5", b"6", b"7", b"8", b"9"] == again.values
    assert 1 == sum(span.status.status_code.name == "ERROR" for span in capture.spans())


async def test_partitions_are_handled_concurrently(clients: Clients) -> None:
    topic = await filled(clients)
    consumer = await clients.consumer(topic, group="g")
    together = asyncio.Event()
    active: set[int] = set()
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        active.add(record.partition)
        if len(active) > 1:
            together.set()
        await together.wait()
        stop.set()

    await asyncio.wait_for(tracing.consume(consumer, handler, stop=stop), 30)

    assert together.is_set()


async def test_concurrency_limits_the_records_in_progress(clients: Clients) -> None:
    topic = await filled(clients)
    consumer = await clients.consumer(topic, group="g")
    in_progress = most = 0
    handled = Recording(40)

    async def handler(record: Any) -> None:
        nonlocal in_progress, most
        in_progress += 1
        most = max(most, in_progress)
        await handled(record)
        in_progress -= 1

    await tracing.consume(consumer, handler, stop=handled.stop, concurrency=1)

    assert 1 == most


async def test_a_slow_partition_is_paused_and_nothing_is_lost(clients: Clients) -> None:
    topic = await filled(clients, 60, keys=1)
    consumer = await clients.consumer(topic, group="g", max_poll_records=10)
    handler = Recording(60)

    await asyncio.wait_for(
        tracing.consume(consumer, handler, stop=handler.stop, max_buffered=5), 30
    )

    assert [b"%d" % count for count in range(60)] == handler.values
    assert not consumer.paused()


async def test_stopping_finishes_records_in_progress_and_leaves_the_rest(clients: Clients) -> None:
    topic = await filled(clients, 10, keys=1)
    consumer = await clients.consumer(topic, group="g")
    stop, release = asyncio.Event(), asyncio.Event()
    finished = []

    async def handler(record: Any) -> None:
        stop.set()
        await release.wait()
        finished.append(record.offset)

    loop = asyncio.create_task(tracing.consume(consumer, handler, stop=stop))
    await stop.wait()
    release.set()
    await loop

    assert [0] == finished
    assert [1] == list((await committed(consumer, topic)).values())


async def test_cancelling_drains_and_commits(clients: Clients) -> None:
    topic = await filled(clients, 10, keys=1)
    consumer = await clients.consumer(topic, group="g")
    started, release = asyncio.Event(), asyncio.Event()

    async def handler(_record: Any) -> None:
        started.set()
        await release.wait()

    loop = asyncio.create_task(tracing.consume(consumer, handler))
    await started.wait()
    loop.cancel()
    asyncio.get_running_loop().call_later(0.05, release.set)
    with pytest.raises(asyncio.CancelledError):
        await loop

    assert [1] == list((await committed(consumer, topic)).values())


async def test_a_handler_that_does_not_end_is_cancelled_and_its_record_comes_back(
    clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await filled(clients, 2, keys=1)
    consumer = await clients.consumer(topic, group="g")
    stop = asyncio.Event()

    async def hangs(_record: Any) -> None:
        stop.set()
        await asyncio.Event().wait()

    await tracing.consume(consumer, hangs, stop=stop, drain_timeout_s=0.05)

    assert "were cancelled" in caplog.text
    assert {} == await committed(consumer, topic)
    again = Recording(2)
    await tracing.consume(consumer, again, stop=again.stop)
    assert [b"0", b"1"] == again.values


async def test_a_rejection_counts_as_handled(clients: Clients, capture: Capture) -> None:
    topic = await filled(clients, 3, keys=1)
    consumer = await clients.consumer(topic, group="g")
    handled = Recording(3)

    async def handler(record: Any) -> None:
        await handled(record)
        raise Rejected("declined")

    await tracing.consume(consumer, handler, stop=handled.stop)

    assert [3] == list((await committed(consumer, topic)).values())
    outcomes = [(span.attributes or {}).get("pipeline.outcome") for span in capture.spans()]
    assert 3 == outcomes.count("rejected")


async def test_records_are_finished_and_committed_before_their_partitions_move(
    clients: Clients,
) -> None:
    topic = await filled(clients, 200)
    first = await clients.consumer(topic, group="g", max_poll_records=10)
    seen: list[tuple[int, int]] = []
    in_progress: dict[tuple[int, int], int] = defaultdict(int)
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        place = (record.partition, record.offset)
        in_progress[place] += 1
        assert in_progress[place] == 1
        await asyncio.sleep(0.002)
        in_progress[place] -= 1
        seen.append(place)
        if len(set(seen)) == 200:
            stop.set()

    one = asyncio.create_task(tracing.consume(first, handler, stop=stop))
    await eventually(lambda: len(seen) > 10)
    second = await clients.consumer(topic, group="g", max_poll_records=10)
    two = asyncio.create_task(tracing.consume(second, handler, stop=stop))
    await asyncio.wait_for(asyncio.gather(one, two), 60)

    # Drained and committed before they moved: each record exactly once, on this quiet broker.
    assert 200 == len(seen) == len(set(seen))


async def test_a_commit_that_the_group_refuses_is_logged_and_the_loop_continues(
    memory: _InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await filled(memory, 5, keys=1)
    consumer = await memory.consumer(topic, group="g")
    memory.broker.fail_next_commit(CommitFailedError())
    handler = Recording(5)

    await tracing.consume(consumer, handler, stop=handler.stop)

    assert "may be delivered again" in caplog.text


async def test_commits_are_timed_and_have_spans_on_request(
    memory: _InMemory, capture: Capture
) -> None:
    memory.telemetry.commit_spans = True
    topic = await filled(memory, 1)
    consumer = await memory.consumer(topic, group="g")

    await consumer.commit({TopicPartition(topic, 0): 0})

    names = [(span.name, span.kind.name) for span in capture.spans()]
    assert ("commit orders", "CLIENT") in names
    duration = capture.metric(
        "messaging.client.operation.duration", {"messaging.operation.name": "commit"}
    )
    assert duration is not None
    assert 1 == duration.count  # type: ignore[union-attr]  # of a histogram


async def test_an_application_listener_is_called_on_rebalances_too(clients: Clients) -> None:
    heard: list[str] = []

    class Listener(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked: Any) -> None:
            heard.append("revoked")

        async def on_partitions_assigned(self, assigned: Any) -> None:
            heard.append("assigned")

    topic = await filled(clients, 1)
    consumer = await clients.consumer(group="g")
    consumer.subscribe([topic], listener=Listener())

    await consumer.getone()

    assert "assigned" in heard


async def test_a_consumer_that_commits_by_itself_is_refused(clients: Clients) -> None:
    topic = await clients.topic()
    consumer = await clients.consumer(topic, group="g", enable_auto_commit=True)

    with pytest.raises(ValueError, match="enable_auto_commit=False"):
        await tracing.consume(consumer, Recording(1))


async def test_a_consumer_that_is_not_started_is_refused(telemetry: Telemetry) -> None:
    bare = AIOKafkaConsumer("orders", group_id="g", enable_auto_commit=False)
    bare._closed = True  # so that it is not reported as left open
    consumer = TracedConsumer(bare, telemetry)

    with pytest.raises(RuntimeError, match="start"):
        await tracing.consume(consumer, Recording(1))


async def test_a_bare_consumer_is_refused(clients: Clients) -> None:
    consumer = await clients.consumer(group="g")

    with pytest.raises(TypeError, match="wrap it"):
        await tracing.consume(consumer.wrapped, Recording(1))  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    "option", ["concurrency", "max_buffered", "commit_interval_s", "drain_timeout_s"]
)
async def test_a_number_that_is_not_positive_is_refused(memory: _InMemory, option: str) -> None:
    consumer = await memory.consumer("orders", group="g")
    options: dict[str, Any] = {option: 0}

    with pytest.raises(ValueError, match=option):
        await tracing.consume(consumer, Recording(1), **options)


async def test_the_loop_ends_when_the_consumer_is_stopped(clients: Clients) -> None:
    topic = await filled(clients, 1)
    consumer = await clients.consumer(topic, group="g")
    handled = asyncio.Event()

    async def handler(_record: Any) -> None:
        handled.set()

    loop = asyncio.create_task(tracing.consume(consumer, handler))
    await handled.wait()
    await consumer.stop()
    await asyncio.wait_for(loop, 30)


async def test_a_cancelled_inner_task_is_a_failure_and_no_later_record_is_committed(
    clients: Clients,
) -> None:
    topic = await filled(clients, 5, keys=1)
    consumer = await clients.consumer(topic, group="g")

    async def handler(record: Any) -> None:
        if record.value == b"2":
            inner = asyncio.create_task(asyncio.Event().wait())
            inner.cancel()
            await inner

    with pytest.raises(RuntimeError, match="CancelledError"):
        await tracing.consume(consumer, handler)

    assert [2] == list((await committed(consumer, topic)).values())


async def test_a_handler_that_refuses_to_be_cancelled_does_not_delay_the_end(
    memory: _InMemory,
) -> None:
    topic = await filled(memory, 1)
    consumer = await memory.consumer(topic, group="g")
    stop, release = asyncio.Event(), asyncio.Event()

    async def refuses(_record: Any) -> None:
        stop.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    loop = tracing.consume(consumer, refuses, stop=stop, drain_timeout_s=0.05)
    await asyncio.wait_for(loop, 10)

    assert {} == await committed(consumer, topic)
    release.set()


async def test_cancelling_twice_leaves_no_handler_behind(memory: _InMemory) -> None:
    topic = await filled(memory, 1)
    consumer = await memory.consumer(topic, group="g")
    started, cut_off = asyncio.Event(), asyncio.Event()

    async def hangs(_record: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut_off.set()

    loop = asyncio.create_task(tracing.consume(consumer, hangs))
    await started.wait()
    loop.cancel()
    # It has begun to leave by then, and waits for the handler.
    for _ in range(20):
        await asyncio.sleep(0)
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop

    await asyncio.wait_for(cut_off.wait(), 10)


async def test_a_failing_application_listener_loses_no_records(memory: _InMemory) -> None:
    class Fails(ConsumerRebalanceListener):
        assignments = 0

        def on_partitions_revoked(self, revoked: Any) -> None:
            """Nothing."""

        def on_partitions_assigned(self, assigned: Any) -> None:
            self.assignments += 1
            if self.assignments == 2:
                raise RuntimeError("the application's own")

    topic = await filled(memory, 8)
    consumer = await memory.consumer(group="g")
    consumer.subscribe([topic], listener=Fails())
    handler = Recording(8 + 8)
    loop = asyncio.create_task(tracing.consume(consumer, handler, stop=handler.stop))
    await eventually(lambda: len(handler.seen) == 8)
    other = await memory.consumer(topic, group="g")
    await other.stop()
    producer = await memory.producer()
    for number in range(8):
        await producer.send_and_wait(topic, b"new", key=b"%d" % number)

    await asyncio.wait_for(loop, 10)

    assert 8 == handler.values.count(b"new")


async def test_a_commit_answered_after_a_rebalance_does_no_harm(
    memory: _InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await filled(memory, 8)
    consumer = await memory.consumer(topic, group="g")
    real = consumer.wrapped.commit
    late, answered = asyncio.Event(), asyncio.Event()

    async def slow_first(offsets: Any = None) -> None:
        await real(offsets)
        if not late.is_set():
            late.set()
            await answered.wait()

    monkeypatch.setattr(consumer.wrapped, "commit", slow_first)
    handler = Recording(9)
    loop = asyncio.create_task(
        tracing.consume(consumer, handler, stop=handler.stop, commit_interval_s=0.01)
    )
    await late.wait()
    other = await memory.consumer(topic, group="g")
    answered.set()
    await other.stop()
    producer = await memory.producer()
    await producer.send_and_wait(topic, b"one more")

    await asyncio.wait_for(loop, 10)

    assert b"one more" in handler.values


async def test_a_broker_that_does_not_answer_does_not_delay_the_end(
    memory: _InMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await filled(memory, 1)
    consumer = await memory.consumer(topic, group="g")

    async def never(_offsets: Any = None) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(consumer.wrapped, "commit", never)
    handler = Recording(1)

    loop = tracing.consume(
        consumer, handler, stop=handler.stop, commit_interval_s=60, drain_timeout_s=0.05
    )
    await asyncio.wait_for(loop, 10)

    assert "last commit did not succeed" in caplog.text


async def test_a_failed_fetch_skips_none_of_the_records_that_came_with_it(
    memory: _InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    for number in range(6):
        await producer.send_and_wait(topic, b"%d" % number, partition=0)
    consumer = await memory.consumer(topic, group="shipping", max_poll_records=2)
    bare = consumer.wrapped
    fetch, fetches = bare.getmany, 0

    async def failing(*partitions: Any, **options: Any) -> Any:
        nonlocal fetches
        found = await fetch(*partitions, **options)
        fetches += bool(found)
        if fetches == 2:
            # As aiokafka does: what it took along before it found that it cannot read a record.
            fetches += 1
            await eventually(lambda: len(recording.values) == 2)
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "a header's name")
        return found

    recording = Recording(6)
    monkeypatch.setattr(bare, "getmany", failing)
    with pytest.raises(UnicodeDecodeError):
        await tracing.consume(consumer, recording, stop=recording.stop)
    await tracing.consume(consumer, recording, stop=recording.stop)

    assert [b"%d" % number for number in range(6)] == recording.values

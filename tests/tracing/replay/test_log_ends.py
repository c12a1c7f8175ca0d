"""How far a reader is behind a log: an injected clock, a double, and a real consumer's loop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition

import tracing
from tracing.replay import Freshness, LogEnds, LogPartition, Position, log_ends
from tracing.testing import eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients

ONE, TWO = LogPartition("orders", 0), LogPartition("orders", 1)


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class _Cluster:
    """A consumer with one partition, whose cluster may give no answers."""

    def __init__(self) -> None:
        self.answers = True

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {ONE.partition}

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition(*ONE)}

    def highwater(self, place: TopicPartition) -> int:
        return 5

    async def position(self, place: TopicPartition) -> int:
        return 0

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        if not self.answers:
            raise KafkaConnectionError
        return dict.fromkeys(places, 5)


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def ends(clock: _Clock) -> LogEnds:
    ends = LogEnds(clock=clock)
    ends.expect([ONE])
    return ends


def _record(offset: int, timestamp: int, place: LogPartition = ONE) -> Any:
    return SimpleNamespace(
        topic=place.topic, partition=place.partition, offset=offset, timestamp=timestamp
    )


def test_a_view_that_has_applied_everything_is_not_stale_however_long_the_topic_is_idle(
    ends: LogEnds, clock: _Clock
) -> None:
    ends.seen(ONE, 5)
    clock.now_s += 86_400

    freshness = ends.known().freshness({ONE: Position(5, 900_000)})

    assert Freshness(900_000, 0) == freshness
    assert 0.0 == freshness.behind_s(clock.now_s)


def test_it_grows_from_the_look_that_first_showed_a_record_while_the_consumer_stands_still(
    ends: LogEnds, clock: _Clock
) -> None:
    ages = []
    for end in (5, 6, 9, 9, 20):
        ends.seen(ONE, end)
        ages.append(ends.known().freshness({ONE: Position(5, 1)}).behind_s(clock.now_s))
        clock.now_s += 10

    assert [0.0, 0.0, 10.0, 20.0, 30.0] == ages


def test_the_record_that_is_being_handled_is_as_old_as_its_timestamp(
    ends: LogEnds, clock: _Clock
) -> None:
    ends.seen(ONE, 9)
    ends.received(_record(6, 400_000))

    behind = ends.known().freshness({ONE: Position(5, 390_000)})

    assert (Freshness(390_000, 4, 400_000), 600.0) == (behind, behind.behind_s(clock.now_s))
    later = ends.known().freshness({ONE: Position(7, 400_000)})
    assert Freshness(400_000, 2, 1_000_000) == later


def test_records_that_the_group_gave_up_on_are_not_missing(ends: LogEnds) -> None:
    ends.received(_record(8, 1))
    ends.seen(ONE, 9, handled=9)

    known = ends.known()

    assert Freshness(7, 0) == known.freshness({ONE: Position(8, 7)})
    assert known.passed(ONE, 8, {})
    assert not known.passed(ONE, 9, {ONE: Position(9)})
    assert known.passed(ONE, 9, {ONE: Position(10)})


def test_it_is_as_of_the_oldest_partition_that_it_is_behind_in(
    ends: LogEnds, clock: _Clock
) -> None:
    ends.expect([ONE, TWO])
    ends.seen(ONE, 5)
    ends.seen(TWO, 5)

    def as_of(one: int, two: int) -> int | None:
        positions = {ONE: Position(one, 100), TWO: Position(two, 700)}
        return ends.known().freshness(positions).as_of_ms

    assert [700, 100, 700, 100] == [as_of(5, 5), as_of(4, 5), as_of(5, 4), as_of(4, 4)]
    assert None is ends.known().freshness({TWO: Position(5, 700)}).as_of_ms
    assert None is ends.known().freshness({}).as_of_ms


def test_nothing_is_said_before_all_ends_are_known(ends: LogEnds, clock: _Clock) -> None:
    ends.expect([ONE, TWO])
    ends.seen(ONE, 5)

    freshness = ends.known().freshness({ONE: Position(5, 7)})

    assert (Freshness(7, None), None) == (freshness, freshness.behind_s(clock.now_s))


def test_a_topic_that_was_created_again_is_looked_at_anew(ends: LogEnds) -> None:
    ends.seen(ONE, 900, handled=900)
    ends.seen(ONE, 2)

    assert Freshness(7, 0) == ends.known().freshness({ONE: Position(900, 7)})
    ends.seen(ONE, 4)
    assert Freshness(8, 2, 1_000_000) == ends.known().freshness({ONE: Position(2, 8)})


def test_what_is_remembered_of_a_consumer_that_stands_still_is_bounded_and_keeps_growing(
    ends: LogEnds, clock: _Clock
) -> None:
    for end in range(1, 1000):
        ends.seen(ONE, end)
        clock.now_s += 100

    known = ends.known()

    assert len(known.partitions[ONE].ends) < 120
    assert 99_900.0 == known.freshness({}).behind_s(clock.now_s)
    # Of a record in between, a lower bound that is not far off.
    assert (
        49_900 * 15 / 16
        < (known.freshness({ONE: Position(500, 1)}).behind_s(clock.now_s) or 0)
        <= 49_900
    )


async def test_a_loop_that_handles_and_gives_up_is_followed_through_its_consumer(
    clients: Clients,
) -> None:
    topic = await clients.topic()
    place, ends, stuck = LogPartition(topic, 0), LogEnds(), asyncio.Event()
    consumer = await clients.consumer(topic, group="g")
    producer = await clients.producer()
    await clients.exact_topic(f"{topic}.g.dlq")

    async def handle(record: Any) -> None:
        ends.received(record)
        if record.value == b"bad":
            raise tracing.Unprocessable("never")
        if record.value == b"slow":
            await stuck.wait()

    ends.follow(consumer, [topic])
    for value in (b"good", b"bad", b"slow", b"after"):
        await producer.send_and_wait(topic, value, partition=0, timestamp_ms=5000)
    stop = asyncio.Event()
    loop = asyncio.create_task(
        tracing.consume(consumer, handle, dead_letters=tracing.DeadLetters(producer), stop=stop)
    )

    async def missing() -> tuple[int | None, int | None]:
        await ends.update()
        freshness = ends.known().freshness({place: Position(1, 4000)})
        return freshness.records, freshness.missing_since_ms

    async def is_stuck() -> bool:
        return await missing() == (2, 5000)

    async def is_done() -> bool:
        return await missing() == (0, None)

    assert await eventually(is_stuck)
    stuck.set()
    assert await eventually(is_done)
    stop.set()
    await loop


async def test_partitions_that_another_replica_reads_are_asked_for(clients: Clients) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(group="g")
    mine, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    consumer.assign([mine, other])
    await producer.send_and_wait(topic, b"v", partition=1)
    await consumer.commit({other: 1})
    await producer.send_and_wait(topic, b"v", partition=1)
    consumer.assign([mine])
    ends = LogEnds()
    ends.follow(consumer, [topic])
    assert None is ends.known().freshness({}).records

    async def one_is_missing() -> bool:
        await ends.update()
        return ends.known().freshness({}).records == 1

    assert await eventually(one_is_missing)
    assert 0 == ends.known().freshness({LogPartition(*other): Position(2)}).records


async def test_without_answers_it_is_not_known_that_nothing_is_missing(
    ends: LogEnds, clock: _Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_ends, "_BETWEEN_LOOKS_S", 0.0)
    cluster = _Cluster()
    ends.follow(cluster, ["orders"])
    answers: list[tuple[int | None, float | None]] = []
    for cluster.answers, later_s in ((True, 0), (True, 86_400), (False, 20), (False, 5), (True, 0)):
        clock.now_s += later_s
        await ends.update()
        freshness = ends.known().of({"orders"}).freshness({ONE: Position(5, 1)})
        answers.append((freshness.records, freshness.behind_s(clock.now_s)))

    assert [(0, 0.0), (0, 0.0), (0, 0.0), (None, None), (0, 0.0)] == answers


async def test_what_is_missing_keeps_growing_without_answers(
    ends: LogEnds, clock: _Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_ends, "_BETWEEN_LOOKS_S", 0.0)
    cluster = _Cluster()
    ends.follow(cluster, ["orders"])
    await ends.update()
    cluster.answers = False
    clock.now_s += 100
    await ends.update()

    freshness = ends.known().freshness({ONE: Position(3, 1)})

    assert (2, 100.0) == (freshness.records, freshness.behind_s(clock.now_s))

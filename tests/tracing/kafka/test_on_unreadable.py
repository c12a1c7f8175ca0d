"""`consume(on_unreadable=...)` passes records that aiokafka cannot read, and loses none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

import tracing
from demo_pipeline.broker import create_topics
from tests.tracing.kafka.unreadable_records import batch, write, write_aborted, zstd
from tracing import (
    DeadLetters,
    Provenance,
    Telemetry,
    TracedConsumer,
    TracedProducer,
    UnreadableRecord,
)
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

pytestmark = [pytest.mark.kafka, pytest.mark.integration]

PARTITIONS = 3


class Scene:
    """A topic with bad records, and what a group makes of it."""

    def __init__(self, servers: str, telemetry: Telemetry) -> None:
        self.servers = servers
        self.telemetry = telemetry
        self.topic = f"orders-{uuid4().hex[:8]}"
        self.dead = f"{self.topic}.g.dlq"
        self.handled: list[tuple[int, bytes]] = []

    async def create(self) -> None:
        await create_topics(self.servers, {self.topic: PARTITIONS, self.dead: 1})

    async def consumer(self, **options: Any) -> TracedConsumer:
        bare = AIOKafkaConsumer(
            self.topic, bootstrap_servers=self.servers, group_id=f"g-{self.topic}",
            enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=20, **options,
        )  # fmt: skip
        consumer = TracedConsumer(bare, self.telemetry, group="g")
        await consumer.start()
        return consumer

    async def handler(self, record: Any) -> None:
        self.handled.append((record.partition, record.value))

    async def consume(self, number: int, **options: Any) -> None:
        """Consume until so many records were handled, or the loop ends by itself."""
        consumer = await self.consumer(**options.pop("client", {}))
        stop = asyncio.Event()
        try:
            loop = asyncio.create_task(
                tracing.consume(
                    consumer, options.pop("handler", self.handler), stop=stop, **options
                )
            )
            await eventually(lambda: loop.done() or len(set(self.handled)) >= number, timeout_s=60)
            stop.set()
            await loop
        finally:
            await consumer.stop()

    async def committed(self) -> dict[int, int | None]:
        consumer = await self.consumer()
        try:
            return {
                number: await consumer.committed(TopicPartition(self.topic, number))
                for number in range(PARTITIONS)
            }
        finally:
            await consumer.stop()

    async def letters(self, number: int) -> list[Any]:
        reader = AIOKafkaConsumer(
            self.dead, bootstrap_servers=self.servers, auto_offset_reset="earliest"
        )
        async with reader:
            return [await reader.getone() for _ in range(number)]

    def values(self, partition: int) -> list[bytes]:
        return [value for number, value in self.handled if number == partition]


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture("orders") as found:
        yield found


@pytest.fixture
async def scene(kafka_servers: str, capture: Capture) -> Scene:
    """Partition 0 has bad records among good ones, 1 a batch of an unknown codec, 2 is fit."""
    telemetry = Telemetry(
        "orders", tracer_provider=capture.tracer_provider, meter_provider=capture.meter_provider
    )
    found = Scene(kafka_servers, telemetry)
    await found.create()
    await write(kafka_servers, found.topic, batch([b"0", b"1"]), 0)
    await write(kafka_servers, found.topic, batch([b"2", b"bad3", b"4", b"bad5", b"6"]), 0)
    await write(kafka_servers, found.topic, batch([b"7", b"8"]), 0)
    await write(kafka_servers, found.topic, batch([b"0"]), 1)
    await write(kafka_servers, found.topic, zstd(batch([b"z1", b"z2", b"z3"])), 1)
    await write(kafka_servers, found.topic, batch([b"4"]), 1)
    for number in range(20):
        await write(kafka_servers, found.topic, batch([b"%d" % number]), 2)
    return found


@pytest.fixture
async def dead_letters(scene: Scene) -> AsyncIterator[DeadLetters]:
    bare = AIOKafkaProducer(bootstrap_servers=scene.servers)
    async with TracedProducer(bare, scene.telemetry) as producer:
        yield DeadLetters(producer)


FIT = {0: [b"0", b"1", b"2", b"4", b"6", b"7", b"8"], 1: [b"0", b"4"],
       2: [b"%d" % number for number in range(20)]}  # fmt: skip
ALL = sum(map(len, FIT.values()))
LABELS = {"messaging.consumer.group.name": "g"}


async def test_skipped_records_are_counted_and_all_others_handled_in_order(
    scene: Scene, capture: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.consume(ALL, on_unreadable="skip")

    assert FIT == {number: scene.values(number) for number in range(PARTITIONS)}
    assert {0: 9, 1: 5, 2: 20} == await scene.committed()
    # Of a batch that cannot be opened, each offset counts.
    assert 5 == capture.metric("pipeline.unreadable.skipped", LABELS)
    lines = [r.getMessage() for r in caplog.records if "cannot be read and is skipped" in r.msg]
    assert 1 == len(lines)


async def test_unreadable_records_become_dead_letters_with_their_bytes(
    scene: Scene, dead_letters: DeadLetters, capture: Capture
) -> None:
    await scene.consume(ALL, on_unreadable="dead_letter", dead_letters=dead_letters)

    assert FIT == {number: scene.values(number) for number in range(PARTITIONS)}
    assert {0: 9, 1: 5, 2: 20} == await scene.committed()
    letters = {}
    for letter in await scene.letters(3):
        found = Provenance.from_headers(letter.headers)
        assert found is not None
        assert ("tracing.UnreadableRecord", "g") == (found.exception, found.group)
        letters[found.partition, found.offset] = (found.unreadable, letter)
    assert {(0, 3), (0, 5), (1, 1)} == letters.keys()
    kept, letter = letters[0, 3]
    assert ("record", b"bad3", b"k") == (kept, letter.value, letter.key)
    assert ("mark-b\\xffd", b"1") in letter.headers
    kept, letter = letters[1, 1]
    assert "bytes" == kept
    assert b"z2" in letter.value
    errors = {**LABELS, "error.type": "tracing.UnreadableRecord"}
    assert 3 == capture.metric("pipeline.dead_letters", errors)


async def test_by_default_the_loop_commits_earlier_records_and_says_how_to_continue(
    scene: Scene,
) -> None:
    with pytest.raises(UnreadableRecord) as raised:
        await scene.consume(ALL, client={"max_partition_fetch_bytes": 4096})

    text = str(raised.value)
    record = raised.value.record
    assert f"{scene.topic}[{record.partition}] offset {record.offset} cannot be read" in text
    assert "on_unreadable" in text
    assert f"--offset {record.offset}" in text
    before = [value for value in FIT[record.partition] if int(value) < record.offset]
    assert before == scene.values(record.partition)
    assert record.offset == (await scene.committed())[record.partition]


@pytest.mark.parametrize("bad", [[b"bad0"], [b"bad0", b"1"], [b"0", b"bad1"]])
async def test_a_bad_record_at_the_very_beginning_or_end_is_passed(
    kafka_servers: str, scene: Scene, bad: list[bytes]
) -> None:
    scene.topic = f"{scene.topic}-edge"
    await scene.create()
    await write(kafka_servers, scene.topic, batch(bad), 0)
    fit = [value for value in bad if not value.startswith(b"bad")]

    consuming = asyncio.create_task(scene.consume(len(fit) + 1, on_unreadable="skip"))
    await write(kafka_servers, scene.topic, batch([b"later"]), 0)
    await consuming

    assert [*fit, b"later"] == scene.values(0)


@pytest.mark.parametrize("policy", ["raise", "skip"])
async def test_a_group_whose_offset_is_after_an_unreadable_record_handles_later_records(
    kafka_servers: str, scene: Scene, policy: str
) -> None:
    scene.topic = f"{scene.topic}-behind"
    await scene.create()
    await write(kafka_servers, scene.topic, batch([b"0", b"bad", b"2", b"3"]), 0)
    await write(kafka_servers, scene.topic, batch([b"4"]), 0)
    consumer = await scene.consumer()
    await consumer.commit({TopicPartition(scene.topic, 0): 2})
    await consumer.stop()

    await scene.consume(3, on_unreadable=policy)

    assert [b"2", b"3", b"4"] == scene.values(0)


async def test_an_unreadable_record_after_many_aborted_ones_is_passed(
    kafka_servers: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One batch an answer, so that the first answers hold nothing that a consumer would be given.
    monkeypatch.setattr("tracing.kafka.raw_fetch._BYTES", 1)
    scene.topic = f"{scene.topic}-aborted"
    await scene.create()
    await write(kafka_servers, scene.topic, batch([b"0"]), 0)
    await write_aborted(kafka_servers, scene.topic, [b"x", b"bad", b"y"])
    await write(kafka_servers, scene.topic, batch([b"bad", b"fit"]), 0)

    await scene.consume(2, on_unreadable="skip", client={"isolation_level": "read_committed"})

    assert [b"0", b"fit"] == scene.values(0)
    assert 8 == (await scene.committed())[0]


async def test_nothing_is_lost_while_handlers_are_slow_and_partitions_pause(scene: Scene) -> None:
    async def slow(record: Any) -> None:
        await asyncio.sleep(0.005)
        await scene.handler(record)

    await scene.consume(ALL, on_unreadable="skip", max_buffered=2, handler=slow)

    assert FIT == {number: scene.values(number) for number in range(PARTITIONS)}


async def test_a_deserializer_that_raises_is_a_record_that_cannot_be_read(scene: Scene) -> None:
    def upper(value: bytes) -> bytes:
        if value in {b"1", b"7"}:
            raise ValueError(value)
        return value

    await scene.consume(ALL - 4, on_unreadable="skip", client={"value_deserializer": upper})

    assert [b"0", b"2", b"4", b"6", b"8"] == scene.values(0)
    assert [each for each in FIT[2] if each not in {b"1", b"7"}] == scene.values(2)


async def test_a_dead_letter_that_cannot_be_sent_ends_the_loop_uncommitted(
    scene: Scene, dead_letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_args: object, **_options: object) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(dead_letters.producer.wrapped, "send", refuse)
    with pytest.raises(ExceptionGroup) as raised:
        await scene.consume(ALL, on_unreadable="dead_letter", dead_letters=dead_letters)

    assert {UnreadableRecord, ConnectionError} == {type(e) for e in raised.value.exceptions}
    committed = await scene.committed()
    assert (committed[0] or 0) <= 3
    assert (committed[1] or 0) <= 1


async def test_in_transactions_dead_letters_and_offsets_are_committed_together(
    scene: Scene, kafka_servers: str
) -> None:
    bare = AIOKafkaProducer(bootstrap_servers=kafka_servers, transactional_id=scene.topic)
    async with TracedProducer(bare, scene.telemetry) as producer:
        await scene.consume(
            ALL,
            on_unreadable="dead_letter",
            dead_letters=DeadLetters(producer, transactional=True),
            transactional=producer,
            client={"isolation_level": "read_committed"},
        )

    # What shares a transaction with a dead letter is handled again, in another one.
    handled = {number: list(dict.fromkeys(scene.values(number))) for number in range(PARTITIONS)}
    assert FIT == handled
    assert 3 == len(await scene.letters(3))
    assert {0: 9, 1: 5, 2: 20} == await scene.committed()


@pytest.mark.parametrize(
    ("options", "says"),
    [({"on_unreadable": "ignore"}, "skip"), ({"on_unreadable": "dead_letter"}, "DeadLetters")],
)
async def test_an_option_that_cannot_work_is_refused(
    scene: Scene, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        await scene.consume(1, **options)


async def test_a_bare_consumer_cannot_read_past_an_unreadable_record(scene: Scene) -> None:
    async def read(getone: Callable[[], Awaitable[Any]]) -> None:
        while True:
            await getone()

    consumer = AIOKafkaConsumer(
        bootstrap_servers=scene.servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    async with consumer:
        tp = TopicPartition(scene.topic, 0)
        consumer.assign([tp])
        consumer.seek(tp, 4)
        with pytest.raises(UnicodeDecodeError):
            await asyncio.wait_for(read(consumer.getone), 30)

"""Records of one key are handled in order; what is not in order is counted and shown."""

from __future__ import annotations

import operator
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.structs import ConsumerRecord

from tracing import Provenance, Replay, Telemetry, TracedConsumer
from tracing.core import semconv
from tracing.core.environment import ORDER_VARIABLE
from tracing.testing import InMemoryBroker, InMemoryConsumer, eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.tracing.conftest import Clients, _InMemory, _Real
    from tracing.testing import Capture

OUT_OF_ORDER = "pipeline.out_of_order"
EARLIER = b"2026-01-02T03:04:05.000Z"
LATER = b"2026-01-02T03:04:15.000Z"
OLDER = {semconv.ORDER_FAULT: "older", semconv.ORDER_BEHIND: 10.0}
MOVED = {semconv.ORDER_FAULT: "partition_changed", semconv.ORDER_BEFORE: "t[0]"}


@pytest.fixture
def telemetry(capture: Capture) -> Telemetry:
    return checking(capture)


def checking(capture: Capture, **options: Any) -> Telemetry:
    return Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        logger_provider=capture.logger_provider,
        source="/orders",
        **{"order_check": True, **options},
    )


class Reader:
    """A consumer that handles records that were made by hand."""

    def __init__(self, capture: Capture, **options: Any) -> None:
        self.capture = capture
        bare = InMemoryConsumer("t", broker=InMemoryBroker())
        self.consumer = TracedConsumer(bare, checking(capture, **options), group="g")

    async def handle(self, *records: Any) -> None:
        for record in records:
            async with self.consumer.process(record):
                pass

    @property
    def counted(self) -> Any:
        return self.capture.metric(OUT_OF_ORDER, {semconv.DESTINATION: "t", semconv.GROUP: "g"})

    @property
    def faults(self) -> list[dict[str, Any]]:
        return [
            dict(event.attributes or {})
            for span in self.capture.spans()
            for event in span.events
            if event.name == OUT_OF_ORDER
        ]


@pytest.fixture
def reader(capture: Capture) -> Reader:
    return Reader(capture)


def event(
    offset: int,
    time: bytes | None = EARLIER,
    *,
    key: Any = b"user-1",
    partition: int = 0,
    topic: str = "t",
    source: bytes = b"/orders",
    event_id: bytes | None = None,
    value: bytes | None = b"v",
    more: Iterable[tuple[str, bytes | None]] = (),
) -> Any:
    headers: list[Any] = [
        ("ce_id", uuid.uuid4().hex.encode() if event_id is None else event_id),
        ("ce_source", source),
        ("ce_time", time),
        *more,
    ]
    return ConsumerRecord(
        topic, partition, offset, 1_790_000_000_000, 0, key, value, None, 0, 1, tuple(headers)
    )


def at(seconds: float) -> bytes:
    return b"2026-01-02T03:04:%06.3fZ" % seconds


async def test_a_key_in_another_partition_is_counted_and_shown_on_its_span(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(topic, group="payment")
    for partition in (0, 0, 1):
        await producer.send_and_wait(topic, b"v", key=b"user-1", partition=partition)
    await producer.send_and_wait(topic, b"v", key=b"user-2", partition=1)

    for _ in range(4):
        record = await consumer.getone()
        async with consumer.process(record):
            pass

    assert 1 == capture.metric(OUT_OF_ORDER, {semconv.DESTINATION: topic, semconv.GROUP: "payment"})
    (shown,) = (each for span in capture.spans() for each in span.events)
    assert OUT_OF_ORDER == shown.name
    attributes = dict(shown.attributes or {})
    assert "partition_changed" == attributes[semconv.ORDER_FAULT]
    assert attributes[semconv.ORDER_BEFORE] in {f"{topic}[0]", f"{topic}[1]"}


async def test_an_event_behind_a_newer_one_of_its_key_is_counted_and_shown_on_its_span(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(topic, group="payment")
    for time in (LATER, EARLIER):
        await producer.send_and_wait(topic, b"v", key=b"user-1", headers=[("ce_time", time)])

    for _ in range(2):
        async with consumer.process(await consumer.getone()):
            pass

    assert 1 == capture.metric(OUT_OF_ORDER, {semconv.DESTINATION: topic, semconv.GROUP: "payment"})
    last = [span for span in capture.spans() if span.name == f"process {topic}"][-1]
    assert [OLDER] == [dict(each.attributes or {}) for each in last.events]


@pytest.mark.parametrize(
    "clients",
    [pytest.param("kafka", marks=[pytest.mark.integration, pytest.mark.kafka])],
    indirect=True,
)
async def test_partitions_that_are_added_move_keys(clients: _Real, capture: Capture) -> None:
    topic = await clients.topic()
    producer = await clients.producer(metadata_max_age_ms=300)
    consumer = await clients.consumer(topic, group="payment", metadata_max_age_ms=300)
    keys = [b"user-%d" % number for number in range(16)]

    async def send_and_handle() -> list[int]:
        sent = [(await producer.send_and_wait(topic, b"v", key)).partition for key in keys]
        for _ in keys:
            async with consumer.process(await consumer.getone()):
                pass
        await consumer.commit()
        return sent

    async def enlarged() -> bool:
        partitions = await producer.partitions_for(topic)
        return 8 == len(partitions) == len(consumer.assignment())

    before = await send_and_handle()
    assert 0 == capture.metric(OUT_OF_ORDER, {semconv.DESTINATION: topic})
    async with AsyncExitStack() as stack:
        admin = AIOKafkaAdminClient(bootstrap_servers=clients.servers)
        stack.push_async_callback(admin.close)
        await admin.start()
        await admin.create_partitions({topic: NewPartitions(8)})
    assert await eventually(enlarged, timeout_s=30)
    after = await send_and_handle()

    moved = sum(map(operator.ne, before, after))
    assert 0 < moved == capture.metric(OUT_OF_ORDER, {semconv.DESTINATION: topic})


async def test_a_loop_and_a_batch_check_the_order_too(memory: _InMemory, capture: Capture) -> None:
    topic = await memory.topic("t")
    producer = await memory.producer()
    for partition in (0, 1):
        await producer.send_and_wait(topic, b"v", key=b"user-1", partition=partition)
    looping, polling = await memory.consumer(topic), await memory.consumer(topic)

    handled = 0
    async for _record in looping:
        handled += 1
        if handled == 2:
            break
    await looping.stop()
    polled = await polling.getmany(timeout_ms=1000)
    async with polling.process_batch([record for batch in polled.values() for record in batch]):
        pass

    assert 2 == capture.metric(OUT_OF_ORDER)
    shown = [each for span in capture.spans() for each in span.events if each.name == OUT_OF_ORDER]
    assert [MOVED, MOVED] == [dict(each.attributes or {}) for each in shown]


async def test_a_topic_that_is_read_has_a_count_of_0(reader: Reader) -> None:
    await reader.handle(event(0, key=None))

    assert 0 == reader.counted


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([event(0, EARLIER), event(1, LATER)], id="in order"),
        pytest.param([event(0, LATER), event(1, LATER)], id="at the same time"),
        pytest.param([event(0, at(9.9)), event(1, at(9.0))], id="within the tolerance"),
        pytest.param(
            [event(0, b"2026-01-02T03:04:15Z"), event(1, b"2026-01-02T04:04:16+01:00")],
            id="another offset from UTC",
        ),
        pytest.param([event(0, LATER), event(1, EARLIER, key=b"user-2")], id="two keys"),
        pytest.param([event(0, LATER), event(1, EARLIER, source=b"/other")], id="two sources"),
        pytest.param(
            [event(0, LATER), event(0, EARLIER, topic="other", partition=1)], id="two topics"
        ),
        pytest.param(
            [event(0, LATER, key=None), event(0, EARLIER, key=None, partition=1)], id="no key"
        ),
        pytest.param(
            [event(0, LATER, key={"id": 1}), event(0, EARLIER, key={"id": 1}, partition=1)],
            id="a key that is an object",
        ),
        pytest.param([event(0, LATER), event(1, None)], id="no time"),
        pytest.param([event(0, LATER), event(1, b"yesterday"), event(2, LATER)], id="no real time"),
        pytest.param([event(0, LATER, value=None), event(1, LATER)], id="a tombstone"),
        pytest.param(
            [event(7, EARLIER), event(8, LATER), event(7, EARLIER), event(8, LATER)],
            id="delivered again",
        ),
        pytest.param(
            [
                event(0, EARLIER, event_id=b"1"), event(1, LATER, event_id=b"2"),
                event(2, at(30), event_id=b"3"), event(3, EARLIER, event_id=b"1"),
                event(4, LATER, event_id=b"2"), event(5, at(30), event_id=b"3"),
            ],
            id="sent again",
        ),
        pytest.param(
            [
                event(0, EARLIER, event_id=b"1"),
                event(0, EARLIER, event_id=b"1", partition=1),
                event(1, LATER, event_id=b"2"),
            ],
            id="sent again to another partition",
        ),
        pytest.param(
            [
                event(3, EARLIER), event(4, LATER),
                event(5, EARLIER, more=Replay(group="g", id="t/0/1").headers()),
            ],
            id="a replay",
        ),
        pytest.param(
            [
                event(0, LATER),
                event(
                    1,
                    EARLIER,
                    more=Provenance(
                        topic="s", partition=0, offset=1, timestamp_ms=1, group="g",
                        exception="E", message="", attempts=1, first_failed_at_ms=1,
                        failed_at_ms=1,
                    ).headers(),
                ),
            ],
            id="a dead letter",
        ),
        pytest.param(
            [event(0, LATER), event(1, EARLIER, more=[("__connect.errors.topic", b"s")])],
            id="a dead letter of another tool",
        ),
    ],
)  # fmt: skip
async def test_what_is_in_order_is_not_counted(reader: Reader, records: Sequence[Any]) -> None:
    await reader.handle(*records)

    assert (0, []) == (reader.counted, reader.faults)
    assert not reader.capture.metric("pipeline.telemetry.dropped", {"reason": "order"})


@pytest.mark.parametrize(
    ("records", "faults"),
    [
        pytest.param([event(0, LATER), event(1, EARLIER)], [OLDER], id="older"),
        pytest.param([event(0, LATER), event(1, EARLIER, value=None)], [OLDER], id="a tombstone"),
        pytest.param(
            [event(0, b"2026-01-02T03:04:15+00:00"), event(1, b"2026-01-02T03:04:05Z")],
            [OLDER],
            id="in other notations",
        ),
        pytest.param(
            [event(0, at(9)), event(1, at(8.5)), event(2, at(7.9))],
            [{semconv.ORDER_FAULT: "older", semconv.ORDER_BEHIND: 1.1}],
            id="step by step within the tolerance",
        ),
        pytest.param(
            [event(0, LATER), event(1, None), event(2, EARLIER)],
            [OLDER],
            id="behind an event without a time",
        ),
        pytest.param(
            [event(0, LATER), event(1, EARLIER, source=b"/other"), event(2, EARLIER)],
            [OLDER],
            id="of one of two sources",
        ),
        pytest.param(
            [
                event(0, LATER, event_id=b"2"),
                event(1, EARLIER, event_id=b"1", source=b"/other"),
                event(2, EARLIER, event_id=b"1"),
            ],
            [OLDER],
            id="with the id of another source's event",
        ),
        pytest.param([event(0), event(0, partition=1)], [MOVED], id="in another partition"),
        pytest.param(
            [event(0), event(0, partition=1), event(1, partition=1), event(2, partition=1)],
            [MOVED],
            id="moved for good",
        ),
        pytest.param(
            [event(0), event(0, partition=1, source=b"/other")],
            [MOVED],
            id="in another partition by another producer",
        ),
        pytest.param(
            [event(0, key=5), event(0, key=5, partition=1)], [MOVED], id="a key that is a number"
        ),
        pytest.param(
            [event(0, key="user-1"), event(0, key="user-1", partition=1)],
            [MOVED],
            id="a key that is text",
        ),
        pytest.param(
            [event(0, None, source=b""), event(0, None, source=b"", partition=1)],
            [MOVED],
            id="of records without CloudEvents",
        ),
    ],
)
async def test_what_is_out_of_order_is_counted_once(
    reader: Reader, records: Sequence[Any], faults: list[dict[str, Any]]
) -> None:
    await reader.handle(*records)

    assert (len(faults), faults) == (reader.counted, reader.faults)


async def test_a_replay_in_a_batch_is_not_counted(reader: Reader) -> None:
    replay = event(5, EARLIER, more=Replay(group="g", id="t/0/1").headers())

    async with reader.consumer.process_batch([event(3, EARLIER), event(4, LATER), replay]):
        pass

    assert 0 == reader.counted


async def test_two_producers_that_partition_differently_are_counted_at_each_change(
    reader: Reader,
) -> None:
    for offset in range(3):
        await reader.handle(event(offset), event(offset, partition=1, source=b"/other"))

    assert 5 == reader.counted


async def test_after_an_older_event_the_order_is_that_of_the_events_behind_it(
    reader: Reader,
) -> None:
    future = b"2999-01-01T00:00:00.000Z"

    await reader.handle(event(0, future), *(event(n, at(n)) for n in range(1, 9)))

    # A clock that was wrong once does not make faults of everything that follows.
    assert 1 == reader.counted


@pytest.mark.parametrize(("tolerance_s", "faults"), [(0.0, 1), (0.5, 1), (10, 0)])
async def test_the_tolerance_is_an_option(
    capture: Capture, tolerance_s: float, faults: int
) -> None:
    reader = Reader(capture, order_tolerance_s=tolerance_s)

    await reader.handle(event(0, at(9)), event(1, at(8)))

    assert faults == reader.counted


async def test_partitions_that_another_member_had_are_forgotten(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic("t")
    producer = await memory.producer()
    first = await memory.consumer(topic, group="payment")

    async def handle(*places: tuple[bytes, int]) -> None:
        for key, partition in places:
            await producer.send_and_wait(topic, b"v", key, partition)
            async with first.process(await first.getone()):
                pass
        await first.commit()

    keys = [b"user-0", b"user-1", b"user-2", b"user-3"]
    await handle(*((key, partition) for partition, key in enumerate(keys)))
    second = await memory.consumer(topic, group="payment")
    kept = first.assignment()
    await second.stop()
    assert 2 == len(kept) < len(first.assignment())
    await handle(*((key, 3 - partition) for partition, key in enumerate(keys)))

    assert len(kept) == capture.metric(OUT_OF_ORDER)


async def test_partitions_that_come_back_in_the_same_rebalance_are_remembered(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic("t")
    producer = await memory.producer()
    consumer = await memory.consumer(topic, group="payment")
    await producer.send_and_wait(topic, b"v", b"user-1", 0, headers=[("ce_time", LATER)])
    async with consumer.process(await consumer.getone()):
        pass
    await consumer.commit()
    # Another subscription makes the group share its partitions again.
    memory.broker.create_topic("more", partitions=1)
    consumer.subscribe([topic, "more"])
    await producer.send_and_wait(topic, b"v", b"user-1", 0, headers=[("ce_time", EARLIER)])

    async with consumer.process(await consumer.getone()):
        pass

    assert 1 == capture.metric(OUT_OF_ORDER, {semconv.DESTINATION: topic})


@pytest.mark.parametrize("header", ["ce_id", "ce_source", "ce_time"])
@pytest.mark.parametrize("value", [None, b"", b"\xff" * 10_000, 7, [], "2026"])
async def test_headers_that_mean_nothing_do_no_harm(
    reader: Reader, header: str, value: Any
) -> None:
    strange = ((header, value),)

    await reader.handle(
        event(0, more=strange), event(1, more=strange), event(2), event(3, at(20), more=strange)
    )

    assert (0, 4) == (reader.counted, len(reader.capture.spans()))


@pytest.mark.parametrize(
    ("environment", "option", "checked"),
    [
        (None, None, False),
        ("on", None, True),
        ("off", None, False),
        ("maybe", None, False),
        (None, True, True),
        ("on", False, False),
        (None, ["t"], True),
        ("on", ["other"], False),
    ],
)
async def test_the_check_is_an_option(
    capture: Capture,
    monkeypatch: pytest.MonkeyPatch,
    environment: str | None,
    option: Any,
    checked: bool,
) -> None:
    if environment is not None:
        monkeypatch.setenv(ORDER_VARIABLE, environment)
    reader = Reader(capture, order_check=option)

    await reader.handle(event(0), event(0, partition=1))

    # Without the check there is no count that would claim that all was in order.
    assert (1 if checked else None) == reader.counted


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"order_check": "orders"}, TypeError, "collection of topics"),
        ({"order_check": 1}, TypeError, "collection of topics"),
        ({"order_tolerance_s": -1}, ValueError, "order_tolerance_s"),
        ({"order_tolerance_s": float("nan")}, ValueError, "order_tolerance_s"),
    ],
)
def test_a_wrong_option_is_refused(
    option: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Telemetry("orders", **option)

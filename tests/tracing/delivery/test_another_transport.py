"""`consume` on a queue: an acknowledgement per message, no offsets, no partitions."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from functools import partial
from typing import TYPE_CHECKING

import pytest

import tracing
from tests.tracing.delivery.giving_up import NOW
from tests.tracing.delivery.queue_transport import QueueBroker, QueueConsumer, QueueProducer
from tracing import DeadLetters, Rejected
from tracing.delivery.loop_log import LoopLog
from tracing.headers import dead_letter
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.tracing.delivery.queue_transport import Delivery, LaneAcknowledgements, Queue
    from tracing import Telemetry
    from tracing.testing import Capture

    Handler = Callable[[Delivery], Awaitable[None]]

DEAD = "orders.shipping.dlq"


@pytest.fixture
def broker() -> QueueBroker:
    return QueueBroker()


async def consume(
    broker: QueueBroker, telemetry: Telemetry, handler: Handler, settled: int, **options: object
) -> None:
    """Run a loop until this many messages are acknowledged."""
    stop = asyncio.Event()
    consumer = QueueConsumer(broker, telemetry, "orders")
    loop = asyncio.create_task(
        tracing.consume(consumer, handler, stop=stop, commit_interval_s=0.01, **options)  # type: ignore[arg-type]  # any option
    )
    try:
        assert await eventually(lambda: loop.done() or len(broker.acknowledged) == settled)
    finally:
        stop.set()
        await loop


async def test_a_handled_message_is_acknowledged(broker: QueueBroker, telemetry: Telemetry) -> None:
    broker.put("orders", b"v")

    async def handler(_message: Delivery) -> None:
        assert [] == broker.acknowledged

    await consume(broker, telemetry, handler, 1)

    assert [b"v"] == broker.acknowledged
    assert [] == broker.unsettled


async def test_a_rejected_message_is_acknowledged(
    broker: QueueBroker, telemetry: Telemetry
) -> None:
    broker.put("orders", b"v")

    async def handler(_message: Delivery) -> None:
        raise Rejected("out_of_stock")

    await consume(broker, telemetry, handler, 1)

    assert [b"v"] == broker.acknowledged
    assert [] == broker.refused


async def test_a_failed_message_becomes_a_dead_letter_before_it_is_acknowledged(
    broker: QueueBroker, telemetry: Telemetry, capture: Capture
) -> None:
    broker.put("orders", b"v", key=b"k", headers=(("n", b"1"),))
    attempts: list[int] = []

    async def handler(message: Delivery) -> None:
        attempts.append(message.delivery)
        assert [] == broker.acknowledged
        raise ValueError

    letters = DeadLetters(QueueProducer(broker, telemetry))
    await consume(broker, telemetry, handler, 1, retry=NOW, dead_letters=letters)

    assert [1] * NOW.attempts == attempts
    (letter,) = broker.queues[DEAD]
    headers = dict(letter.headers)
    assert (b"v", b"k", b"1") == (letter.value, letter.key, headers["n"])
    assert b"ValueError" == headers[dead_letter.EXCEPTION]
    assert headers.keys().isdisjoint({dead_letter.PARTITION, dead_letter.OFFSET})
    assert [b"v"] == broker.acknowledged
    labels = {"messaging.destination.name": "orders", "messaging.consumer.group.name": "shipping"}
    assert 1 == capture.metric("pipeline.dead_letters", {**labels, "error.type": "ValueError"})
    system = "messaging.system.name=inmemory_queue"
    assert capture.tree(attributes=["messaging.system.name", "pipeline.outcome"]) == "\n".join(
        (
            f"process orders CONSUMER ERROR {system} pipeline.outcome=dead_lettered",
            f"  retry orders CONSUMER ERROR {system} pipeline.outcome=retried",
            f"  retry orders CONSUMER ERROR {system} pipeline.outcome=retried",
            f"  dead_letter {DEAD} PRODUCER {system}",
        )
    )


async def test_without_dead_letters_a_failed_message_is_given_back_and_the_loop_ends(
    broker: QueueBroker, telemetry: Telemetry
) -> None:
    for value in (b"0", b"1", b"2"):
        broker.put("orders", value)

    async def handler(message: Delivery) -> None:
        if message.value == b"1":
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await consume(broker, telemetry, handler, 3)

    assert [b"0"] == broker.acknowledged
    assert [b"1", b"2"] == broker.refused
    assert [2, 2] == [message.delivery for message in broker.queues["orders"]]
    assert [] == broker.unsettled


async def test_a_message_that_was_given_back_is_handled_by_the_next_loop(
    broker: QueueBroker, telemetry: Telemetry
) -> None:
    broker.put("orders", b"v")

    async def handler(message: Delivery) -> None:
        if message.delivery == 1:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await consume(broker, telemetry, handler, 1)
    await consume(broker, telemetry, handler, 1)

    assert [b"v"] == broker.refused
    assert [b"v"] == broker.acknowledged


async def test_messages_are_handled_concurrently_up_to_the_limit_and_in_order_per_key(
    broker: QueueBroker, telemetry: Telemetry
) -> None:
    for number in range(12):
        broker.put("orders", b"%d" % number, key=b"%d" % (number % 4))
    in_progress: set[bytes | None] = set()
    most = 0
    seen: dict[bytes | None, list[bytes | None]] = {}

    async def handler(message: Delivery) -> None:
        nonlocal most
        in_progress.add(message.value)
        most = max(most, len(in_progress))
        seen.setdefault(message.key, []).append(message.value)
        await asyncio.sleep(0.001)
        in_progress.discard(message.value)

    await consume(broker, telemetry, handler, 12, concurrency=3)

    assert 3 == most
    assert [b"1", b"5", b"9"] == seen[b"1"]
    assert 12 == len(broker.acknowledged)


async def test_lanes_without_messages_are_forgotten_and_come_again(
    broker: QueueBroker, telemetry: Telemetry
) -> None:
    stop = asyncio.Event()
    consumer = QueueConsumer(broker, telemetry, "orders")
    lanes: list[weakref.ref[object]] = []

    def lane(queue: Queue, of: Callable[[Queue], LaneAcknowledgements]) -> LaneAcknowledgements:
        settlement = of(queue)
        lanes.append(weakref.ref(settlement))
        return settlement

    def forgotten() -> bool:
        gc.collect()
        return all(kept() is None for kept in lanes) and not consumer.settlement.lanes()

    async def handler(_message: Delivery) -> None: ...

    consumer.settlement.lane = partial(lane, of=consumer.settlement.lane)  # type: ignore[method-assign]
    loop = asyncio.create_task(
        tracing.consume(consumer, handler, stop=stop, commit_interval_s=0.01)
    )
    for round_ in (1, 2):
        for number in range(50):
            broker.put("orders", b"v", key=b"%d" % number)
        assert await eventually(lambda of=round_: len(broker.acknowledged) == 50 * of)  # type: ignore[misc]
        assert await eventually(forgotten)
    stop.set()
    await loop

    assert 100 == len(lanes)


async def test_a_stop_finishes_the_current_message_and_gives_the_others_back(
    broker: QueueBroker, telemetry: Telemetry
) -> None:
    for value in (b"0", b"1", b"2"):
        broker.put("orders", value)
    stop, begun, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(_message: Delivery) -> None:
        begun.set()
        await go_on.wait()

    consumer = QueueConsumer(broker, telemetry, "orders")
    loop = asyncio.create_task(tracing.consume(consumer, handler, stop=stop))
    await begun.wait()
    stop.set()
    go_on.set()
    await loop

    assert [b"0"] == broker.acknowledged
    assert [b"1", b"2"] == broker.refused
    assert [] == broker.unsettled


async def test_a_handler_that_does_not_end_loses_nothing(
    broker: QueueBroker, telemetry: Telemetry
) -> None:
    broker.put("orders", b"v")
    stop, begun = asyncio.Event(), asyncio.Event()

    async def handler(_message: Delivery) -> None:
        begun.set()
        await asyncio.sleep(60)

    consumer = QueueConsumer(broker, telemetry, "orders")
    loop = asyncio.create_task(tracing.consume(consumer, handler, stop=stop, drain_timeout_s=0.01))
    await begun.wait()
    stop.set()
    await loop

    assert [] == broker.acknowledged
    assert [b"v"] == broker.refused


async def test_a_handler_may_stop_the_consumer(broker: QueueBroker, telemetry: Telemetry) -> None:
    broker.put("orders", b"v")
    consumer = QueueConsumer(broker, telemetry, "orders")

    async def handler(_message: Delivery) -> None:
        await consumer.stop()

    await tracing.consume(consumer, handler)

    assert [b"v"] == broker.acknowledged
    assert consumer.closed


async def test_metrics_and_spans_of_a_queue_have_no_partition_and_no_offset(
    broker: QueueBroker, telemetry: Telemetry, capture: Capture
) -> None:
    broker.put("orders", b"v")

    async def handler(_message: Delivery) -> None: ...

    await consume(broker, telemetry, handler, 1)

    (span,) = capture.spans()
    assert span.attributes is not None
    assert "inmemory_queue" == span.attributes["messaging.system.name"]
    assert 1 == span.attributes["messaging.queue.delivery"]
    assert {"messaging.destination.partition.id", "kafka.offset"}.isdisjoint(span.attributes)
    durations = capture.metric(
        "messaging.process.duration",
        {
            "messaging.system.name": "inmemory_queue",
            "messaging.operation.name": "process",
            "messaging.destination.name": "orders",
            "messaging.consumer.group.name": "shipping",
        },
    )
    assert 1 == durations.count  # type: ignore[union-attr]  # a histogram


async def test_logs_of_the_loop_call_its_lanes_queues(
    broker: QueueBroker, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    consumer = QueueConsumer(broker, telemetry, "orders", "payments")
    log = LoopLog(consumer)

    await log.revoked(consumer.lanes())
    await log.assigned(())

    assert ["queues go: orders payments", "queues came: no queues"] == [
        message.removesuffix(" (group shipping)") for message in caplog.messages
    ]
    assert ["orders payments", ""] == [record.__dict__["queues"] for record in caplog.records]


async def test_a_queue_has_no_transactions(broker: QueueBroker, telemetry: Telemetry) -> None:
    producer = QueueProducer(broker, telemetry)

    async def handler(_message: Delivery) -> None: ...

    with pytest.raises(ValueError, match="transactional_id"):
        await tracing.consume(
            QueueConsumer(broker, telemetry, "orders"), handler, transactional=producer
        )

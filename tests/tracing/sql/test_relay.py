"""The relay sends stored records, in order per key, and deletes them once the broker has them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError
from sqlalchemy import delete, insert, text

from tracing import Replay, TracedProducer
from tracing.headers import w3c
from tracing.sql import OutboxRelay
from tracing.sql.outbox_rows import OutboxRows, pack
from tracing.sql.relay_options import MAX_BATCH
from tracing.sql.send_failures import SendFailures
from tracing.testing import Capture, InMemoryBroker, InMemoryProducer, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.tracing.sql.conftest import Database
    from tracing.sql.outbox_rows import OrderKey

SERVICE = {"service.name": "orders"}


class Refusing(InMemoryProducer):
    """Refuses the values for which `refuses` returns an error."""

    def __init__(self, broker: InMemoryBroker) -> None:
        super().__init__(broker)
        self.refuses: Callable[[bytes], Exception | None] = lambda _value: None
        self.attempts: list[bytes] = []

    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> Any:
        self.attempts.append(value)
        error = self.refuses(value)
        if error is not None:
            raise error
        return await super().send_and_wait(topic, value, key, partition, timestamp_ms, headers)


def values(broker: InMemoryBroker, topic: str = "orders") -> list[bytes]:
    return [record.value or b"" for record in broker.records(topic)]


@asynccontextmanager
async def relaying(database: Database, producer: Any, **options: Any) -> AsyncIterator[OutboxRelay]:
    """Run a relay until the block is left."""
    relay = OutboxRelay(
        database.outbox,
        database.engine,
        producer,
        **{"retry_delay_s": 0.01, "max_retry_delay_s": 0.02, "drain_timeout_s": 5.0, **options},
    )
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    try:
        yield relay
    finally:
        stop.set()
        await running


async def test_stored_records_are_sent_in_order_and_then_deleted(
    database: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    sent = [b"%d" % number for number in range(300)]
    await database.add(*sent[:150])
    async with relaying(database, producer, batch=40) as relay:
        await database.add(*sent[150:])
        assert await relay.drain()

    assert sent == values(broker)
    assert 0 == await database.count("outbox")


async def test_key_partition_value_and_headers_arrive(
    database: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    async with database.engine.begin() as connection:
        await database.outbox.add(
            connection, "orders", None, key=b"k\0", partition=2, headers=[("mine", b"\xff")]
        )
    async with relaying(database, producer) as relay:
        assert await relay.drain()

    (record,) = broker.records("orders")
    assert (2, b"k\0", None) == (record.partition, record.key, record.value)
    assert ("mine", b"\xff") in record.headers
    assert 1 == [name for name, _ in record.headers].count("ce_id")


async def test_the_marks_of_a_replay_in_a_stored_row_are_not_sent(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    marks = Replay(group="shipping", id="orders/0/7").headers()
    row = {
        "topic": "orders", "value": b"v", "headers": pack([("mine", b"1"), *marks]),
        "created_at": 1,
    }  # fmt: skip
    async with sqlite.engine.begin() as connection:
        await connection.execute(insert(sqlite.outbox.table), row)
    async with relaying(sqlite, InMemoryProducer(broker)) as relay:
        assert await relay.drain()

    (record,) = broker.records("orders")
    assert [("mine", b"1")] == list(record.headers)


async def test_a_wake_starts_the_next_poll_at_once(
    sqlite: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    async with relaying(sqlite, producer, poll_interval_s=3600.0) as relay:
        assert await relay.drain()
        await sqlite.add(b"v")
        relay.wake()
        assert await eventually(lambda: values(broker))


async def test_the_relay_polls_without_a_wake(
    sqlite: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    async with relaying(sqlite, producer, poll_interval_s=0.01):
        await sqlite.add(b"v")
        assert await eventually(lambda: values(broker))


async def test_a_rolled_back_record_is_never_sent(
    database: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    async with relaying(database, producer) as relay:
        with pytest.raises(ConnectionError):
            async with database.engine.begin() as connection:
                await database.outbox.add(connection, "orders", b"v")
                raise ConnectionError
        assert await relay.drain()

    assert [] == values(broker)


async def test_the_send_is_a_child_of_the_span_that_stored_the_record(
    sqlite: Database, broker: InMemoryBroker, producer: TracedProducer, capture: Capture
) -> None:
    tracer = capture.tracer_provider.get_tracer("test")
    with tracer.start_as_current_span("the relay's own"):
        running = relaying(sqlite, producer)
        relay = await running.__aenter__()
    with tracer.start_as_current_span("POST /orders"):
        await sqlite.add(b"v")
    assert await relay.drain()
    await running.__aexit__(None, None, None)

    assert "the relay's own INTERNAL\nPOST /orders INTERNAL\n  send orders PRODUCER" == (
        capture.tree()
    )
    sent = {span.name: span for span in capture.spans()}["send orders"].get_span_context()
    (record,) = broker.records("orders")
    assert sent is not None
    assert [w3c.format_traceparent(sent)] == [
        value for name, value in record.headers if name == "traceparent"
    ]


async def test_with_a_plain_producer_the_record_carries_its_stored_context(
    sqlite: Database, broker: InMemoryBroker, capture: Capture
) -> None:
    with capture.tracer_provider.get_tracer("test").start_as_current_span("POST /orders") as span:
        await sqlite.add(b"v")
    async with relaying(sqlite, InMemoryProducer(broker)) as relay:
        assert await relay.drain()

    (record,) = broker.records("orders")
    assert b"%016x" % span.get_span_context().span_id in dict(record.headers)["traceparent"]


async def test_a_failing_key_waits_in_order_while_others_continue(
    database: Database, broker: InMemoryBroker
) -> None:
    producer = Refusing(broker)
    broken = KafkaConnectionError("gone")
    producer.refuses = lambda value: broken if value.startswith(b"a") else None
    await database.add(b"a1", b"a2", key=b"a")
    await database.add(b"b1", b"b2", key=b"b")
    await database.add(b"c", key=None)
    async with relaying(database, producer) as relay:
        assert await eventually(lambda: {b"b1", b"b2", b"c"} == set(values(broker)))
        assert await eventually(lambda: producer.attempts.count(b"a1") > 2)
        assert b"a2" not in producer.attempts
        producer.refuses = lambda _value: None
        assert await relay.drain()

    assert [b"a1", b"a2"] == [value for value in values(broker) if value.startswith(b"a")]
    assert 0 == await database.count("outbox")


async def test_a_record_that_can_never_be_sent_blocks_only_its_own_key(
    database: Database, broker: InMemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Refusing(broker)
    too_large = MessageSizeTooLargeError("too large")
    producer.refuses = lambda value: too_large if value == b"huge" else None
    await database.add(b"huge", *([b"behind"] * 50), key=b"a")
    await database.add(b"huge", key=None)
    await database.add(*(b"%d" % number for number in range(50)), key=b"b")
    with caplog.at_level(logging.INFO, "tracing"):
        async with relaying(database, producer, batch=10) as relay:
            assert await eventually(lambda: len(values(broker)) == 50)
            assert await eventually(lambda: producer.attempts.count(b"huge") > 5)
            assert not await relay.drain(0.01)

    assert 52 == await database.count("outbox")
    assert [
        f"record {sequence} of the outbox cannot be sent to orders "
        "(aiokafka.errors.MessageSizeTooLargeError: "
        for sequence in (1, 52)
    ] == [
        message.partition("[")[0]
        for record in caplog.records
        if (message := record.getMessage()).startswith("record") and record.levelname == "ERROR"
    ]


async def test_a_key_continues_after_its_failing_record_is_removed(
    database: Database, broker: InMemoryBroker
) -> None:
    producer = Refusing(broker)
    too_large = MessageSizeTooLargeError()
    producer.refuses = lambda value: too_large if value == b"huge" else None
    await database.add(b"huge", b"behind", key=b"a")
    await database.add(b"huge", key=None)
    table = database.outbox.table
    async with relaying(database, producer) as relay:
        assert await eventually(lambda: producer.attempts.count(b"huge") > 2)
        async with database.engine.begin() as connection:
            await connection.execute(delete(table).where(table.c.value == b"huge"))
        assert await relay.drain()

    assert [b"behind"] == values(broker)


async def test_a_key_that_becomes_due_during_a_read_does_not_count_as_empty(
    sqlite: Database, broker: InMemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = Refusing(broker)
    broken = KafkaConnectionError("gone")
    producer.refuses = lambda _value: broken
    waiting = SendFailures.waiting

    def waiting_until_now(failures: SendFailures) -> set[OrderKey]:
        keys = waiting(failures)
        for key in keys:
            failures._failures[key] = dataclasses.replace(failures._failures[key], due_at=0.0)
        return keys

    monkeypatch.setattr(SendFailures, "waiting", waiting_until_now)
    await sqlite.add(b"v")
    async with relaying(sqlite, producer, retry_delay_s=1e6, max_retry_delay_s=1e6) as relay:
        assert not await relay.drain(0.3)
        assert producer.attempts
    assert 1 == await sqlite.count("outbox")


async def test_an_outage_and_its_end_are_logged_once_each(
    sqlite: Database, broker: InMemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Refusing(broker)
    broken = KafkaConnectionError("gone")
    producer.refuses = lambda _value: broken
    for number in range(20):
        await sqlite.add(b"v", key=b"%d" % number)
    with caplog.at_level(logging.INFO, "tracing"):
        async with relaying(sqlite, producer) as relay:
            assert await eventually(lambda: len(producer.attempts) > 100)
            producer.refuses = lambda _value: None
            assert await relay.drain()

    assert ["WARNING", "INFO"] == [record.levelname for record in caplog.records]
    assert "the outbox is over aiokafka.errors.KafkaConnectionError of orders" in caplog.text


async def test_rows_are_deleted_only_after_the_acknowledgement(
    database: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    await database.add(b"v")
    async with relaying(database, producer, poll_interval_s=0.01) as relay:
        with broker.hold_acks():
            assert await eventually(lambda: values(broker))
            assert not await relay.drain(0.1)
            assert 1 == await database.count("outbox")
        assert await relay.drain()
    assert 0 == await database.count("outbox")


async def test_handlers_can_use_the_database_while_the_relay_waits_for_the_broker(
    sqlite: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    await sqlite.add(b"1", key=b"a")
    async with relaying(sqlite, producer) as relay:
        with broker.hold_acks():
            assert await eventually(lambda: values(broker))
            async with asyncio.timeout(10):
                await sqlite.add(b"2", key=b"b")
        assert await relay.drain()


async def test_a_stop_finishes_sends_in_progress_and_keeps_the_rest(
    database: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    await database.add(b"1", b"2", b"3", key=b"a")
    relay = OutboxRelay(database.outbox, database.engine, producer)
    stop = asyncio.Event()
    with broker.hold_acks():
        running = asyncio.create_task(relay.run(stop))
        assert await eventually(lambda: [b"1"] == values(broker))
        stop.set()
        await asyncio.sleep(0)
    await running

    assert [b"1"] == values(broker)
    assert 2 == await database.count("outbox")
    assert not await relay.drain()
    with pytest.raises(RuntimeError, match="once"):
        await relay.run(stop)


async def test_a_stop_cancels_a_hanging_send_and_keeps_its_record(
    database: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    await database.add(b"v")
    with broker.hold_acks():
        async with relaying(database, producer, drain_timeout_s=0.05):
            assert await eventually(lambda: values(broker))
    assert 1 == await database.count("outbox")


async def test_the_gauges_report_pending_records_and_the_growing_age_of_the_oldest(
    database: Database, broker: InMemoryBroker, producer: TracedProducer, capture: Capture
) -> None:
    def pending() -> Any:
        return capture.metric("pipeline.outbox.pending", SERVICE)

    def age() -> Any:
        return capture.metric("pipeline.outbox.oldest_age", SERVICE)

    await database.add(b"1", b"2")
    with broker.hold_acks():
        async with relaying(database, producer, drain_timeout_s=0.05) as relay:
            assert await eventually(lambda: pending() == 2)
            first = age()
            assert await eventually(lambda: age() > first + 0.2)
    assert pending() is None
    async with relaying(database, producer) as relay:
        assert await relay.drain()
        assert await eventually(lambda: (pending(), age()) == (0, 0))


async def test_a_failing_database_is_retried_and_logged_once(
    database: Database,
    broker: InMemoryBroker,
    producer: TracedProducer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE outbox RENAME TO gone"))
    with caplog.at_level(logging.INFO, "tracing"):
        async with relaying(database, producer, poll_interval_s=0.01) as relay:
            assert await eventually(lambda: "does not answer" in caplog.text)
            assert not await relay.drain(0.2)
            async with database.engine.begin() as connection:
                await connection.execute(text("ALTER TABLE gone RENAME TO outbox"))
            await database.add(b"v")
            assert await eventually(lambda: "answers again" in caplog.text)
            assert await relay.drain()

    assert [b"v"] == values(broker)
    assert 1 == caplog.text.count("does not answer")


async def test_on_postgresql_one_relay_works_and_the_other_takes_over(
    postgresql: Database, broker: InMemoryBroker, capture: Capture
) -> None:
    first, second = Refusing(broker), Refusing(broker)
    async with relaying(postgresql, second) as standby:
        assert await standby.drain()
        async with relaying(postgresql, first) as other:
            assert not await other.drain()
            await postgresql.add(b"1")
            assert await standby.drain()
            assert ([], [b"1"]) == (first.attempts, second.attempts)
    async with relaying(postgresql, first) as other:
        await postgresql.add(b"2")
        assert await eventually(lambda: first.attempts == [b"2"])


async def test_a_relay_that_lost_its_connection_continues_with_another(
    postgresql: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    async with relaying(postgresql, producer, poll_interval_s=0.01) as relay:
        assert await relay.drain()
        async with postgresql.engine.connect() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks "
                    "WHERE locktype = 'advisory' AND granted"
                )
            )
        await postgresql.add(b"v")
        assert await eventually(lambda: values(broker))
        assert await relay.drain()


async def test_a_finished_relay_leaves_no_lock_behind(
    postgresql: Database, producer: TracedProducer
) -> None:
    async with relaying(postgresql, producer) as relay:
        assert await relay.drain()
        assert 1 == await postgresql.count("pg_locks WHERE locktype = 'advisory'")
    assert 0 == await postgresql.count("pg_locks WHERE locktype = 'advisory'")


@pytest.mark.parametrize(
    "name",
    ["batch", "poll_interval_s", "retry_delay_s", "max_retry_delay_s", "drain_timeout_s"],
)
async def test_numbers_that_are_not_positive_are_refused(
    sqlite: Database, producer: TracedProducer, name: str
) -> None:
    options: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=name):
        OutboxRelay(sqlite.outbox, sqlite.engine, producer, **options)


async def test_a_batch_of_more_records_than_a_statement_can_name_is_refused(
    database: Database, producer: TracedProducer
) -> None:
    with pytest.raises(ValueError, match="batch must be at most 10000, not 10001"):
        OutboxRelay(database.outbox, database.engine, producer, batch=MAX_BATCH + 1)
    rows = OutboxRows(database.outbox.table)
    async with database.engine.connect() as connection:
        in_progress = range(MAX_BATCH)
        assert [] == await connection.run_sync(
            rows.read, MAX_BATCH, without=in_progress, without_keys=()
        )


async def test_a_sender_that_returns_nothing_to_await_ends_the_relay_and_its_records_stay(
    sqlite: Database,
) -> None:
    await sqlite.add(b"1", b"2", b"3")
    sent: list[Any] = []
    sender: Any = SimpleNamespace(send_and_wait=lambda _topic, value, *_, **__: sent.append(value))
    relay = OutboxRelay(sqlite.outbox, sqlite.engine, sender)

    with pytest.raises(TypeError, match="instead of something to await"):
        await relay.run(asyncio.Event())

    assert [b"1"] == sent
    assert 3 == await sqlite.count("outbox")


def blocking_send(*_: object, **__: object) -> None:
    """Stand in for the method of a client that does not use asyncio."""


async def test_an_unusable_sender_or_database_is_refused_with_a_reason(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    not_a_producer: Any = object()
    with pytest.raises(TypeError, match="TracedProducer"):
        OutboxRelay(sqlite.outbox, sqlite.engine, not_a_producer)
    blocking: Any = SimpleNamespace(send_and_wait=blocking_send)
    with pytest.raises(TypeError, match="must be async"):
        OutboxRelay(sqlite.outbox, sqlite.engine, blocking)
    serializing = TracedProducer(
        InMemoryProducer(broker, value_serializer=str.encode), sqlite.outbox.telemetry
    )
    with pytest.raises(ValueError, match="value_serializer"):
        OutboxRelay(sqlite.outbox, sqlite.engine, serializing)
    other: Any = type("Engine", (), {"dialect": type("Dialect", (), {"name": "mysql"})})
    with pytest.raises(ValueError, match="not on mysql"):
        OutboxRelay(sqlite.outbox, other, InMemoryProducer(broker))


@pytest.mark.parametrize("wrapped", [True, False])
async def test_a_producer_without_durable_acknowledgements_is_refused(
    database: Database, broker: InMemoryBroker, wrapped: bool
) -> None:
    transactional = InMemoryProducer(broker, transactional_id="tx")
    careless = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", acks=0)
    for producer, complaint in (
        (transactional, "OutboxRelay cannot send with the transactional producer 'tx'"),
        (careless, "waits for acknowledgements"),
    ):
        sender: Any = TracedProducer(producer, database.telemetry) if wrapped else producer
        with pytest.raises(ValueError, match=complaint):
            OutboxRelay(database.outbox, database.engine, sender)
    await careless.stop()

"""Whole transactions as plain functions: in one hop to a thread, or on an asyncio connection."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, QueuePool, create_engine, event, insert, select
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tests.tracing.sql.conftest import EFFECTS, Database, one_hop, plain_engine
from tracing import TracedConsumer, TracedProducer, cloudevent
from tracing.headers import w3c
from tracing.sql import SqlInbox, SqlOutbox, Transactions
from tracing.sql.outbox_rows import OutboxRows, unpack
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tracing import Telemetry
    from tracing.testing import Capture

EVENT = (("ce_source", b"/orders"), ("ce_id", b"1"))
DUPLICATES = {"messaging.destination.name": "orders", "messaging.consumer.group.name": "shipping"}


async def rows(database: Database, table: Any) -> list[dict[str, Any]]:
    async with database.engine.connect() as connection:
        return [dict(row) for row in (await connection.execute(select(table))).mappings()]


async def test_plain_and_async_calls_store_the_same(
    database: Database,
    telemetry: Telemetry,
    capture: Capture,
    make_record: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tracing.sql.inbox.time", lambda: 1_700_000_000.5)
    monkeypatch.setattr("tracing.sql.outbox.time_ns", lambda: 1_700_000_000_500_000_000)
    other_inbox = SqlInbox(telemetry, group="other", metadata=database.metadata)
    headers = [*cloudevent(type="Placed", subject="o-1", id="7"), ("mine", b"\xff"), ("no", None)]
    records = [make_record(*EVENT), make_record(offset=5), make_record(*EVENT, offset=9)]

    def plain(connection: Connection) -> list[bool]:
        answers = [database.inbox.accept_in(connection, record) for record in records]
        database.outbox.add_in(connection, "orders", b"v", key=b"k", headers=headers, partition=3)
        database.outbox.add_in(connection, "orders", None, key=b"k", headers=headers)
        return answers

    async def by_await(connection: AsyncConnection) -> list[bool]:
        answers = [await other_inbox.accept(connection, record) for record in records]
        await database.outbox.add(
            connection, "orders", b"v", key=b"k", headers=headers, partition=3
        )
        await database.outbox.add(connection, "orders", None, key=b"k", headers=headers)
        return answers

    tracer = capture.tracer_provider.get_tracer("test")
    with tracer.start_as_current_span("process orders"):
        async with one_hop(database) as transactions:
            assert [True, True, False] == await transactions.run(plain)
        async with database.engine.begin() as connection:
            assert [True, True, False] == await by_await(connection)

    stored = await rows(database, database.outbox.table)
    for row in stored:
        row.pop("sequence")
    assert stored[:2] == stored[2:]
    assert (3, b"v") == (stored[0]["partition"], stored[0]["value"])
    assert (None, None) == (stored[1]["partition"], stored[1]["value"])
    (span,) = capture.spans()
    assert span.context is not None
    written = dict(unpack(stored[0]["headers"]))
    assert w3c.format_traceparent(span.context) == written["traceparent"]

    accepted = await rows(database, database.inbox.table)
    identities = [
        [(row["source"], row["id"], row["received_at"]) for row in accepted
         if row["consumer_group"] == group]
        for group in ("shipping", "other")
    ]  # fmt: skip
    assert 2 == len(identities[0])
    assert sorted(identities[0]) == sorted(identities[1])
    for group in ("shipping", "other"):
        labels = {**DUPLICATES, "messaging.consumer.group.name": group}
        assert 1 == capture.metric("pipeline.duplicates", labels)
    notes = [(each.name, dict(each.attributes or {})) for each in span.events]
    assert [("pipeline.duplicate", {"messaging.message.id": "1"})] * 2 == notes


async def test_what_a_function_raises_rolls_its_transaction_back(
    database: Database, make_record: Callable[..., Any]
) -> None:
    def fail(connection: Connection) -> None:
        assert database.inbox.accept_in(connection, make_record())
        database.outbox.add_in(connection, "orders", b"v")
        raise ConnectionError("not today")

    async with one_hop(database) as transactions:
        with pytest.raises(ConnectionError, match="not today"):
            await transactions.run(fail)
    assert (0, 0) == (await database.count("inbox"), await database.count("outbox"))


async def test_a_transaction_is_one_hop_to_one_thread(
    sqlite: Database, make_record: Callable[..., Any]
) -> None:
    threads: list[int] = []

    def work(connection: Connection, offset: int, *, topic: str) -> str:
        threads.append(threading.get_ident())
        sqlite.inbox.accept_in(connection, make_record(offset=offset))
        sqlite.outbox.add_in(connection, topic, b"v")
        return topic

    async with one_hop(sqlite) as transactions:
        assert ["a"] * 5 == await asyncio.gather(
            *(transactions.run(work, offset, topic="a") for offset in range(5))
        )
    assert 5 == len(threads)
    assert 1 == len(set(threads))
    assert threading.get_ident() not in threads
    assert 5 == await sqlite.count("outbox")


async def test_a_statement_is_compiled_once(
    sqlite: Database, make_record: Callable[..., Any]
) -> None:
    engine = plain_engine(sqlite)
    compiled: list[str] = []
    statements: list[str] = []

    def executed(
        _connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool
    ) -> None:
        statements.append(statement)
        if context.cache_hit.name != "CACHE_HIT":
            compiled.append(statement)

    event.listen(engine, "before_cursor_execute", executed)

    def work(connection: Connection, offset: int) -> None:
        sqlite.inbox.accept_in(connection, make_record(offset=offset))
        sqlite.outbox.add_in(connection, "orders", b"v")

    async with Transactions(engine) as transactions:
        for offset in range(5):
            await transactions.run(work, offset)
    engine.dispose()

    assert 10 == len(statements)
    assert 2 == len(compiled)
    assert not [each for each in statements if "RETURNING" in each]


async def test_a_cancelled_task_leaves_no_transaction_behind(sqlite: Database) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        sqlite.outbox.add_in(connection, "orders", b"v")
        entered.set()
        assert go_on.wait(30)

    async with one_hop(sqlite) as transactions:
        running = asyncio.create_task(transactions.run(work))
        queued = asyncio.create_task(transactions.run(work))
        assert await eventually(entered.is_set)
        running.cancel()
        queued.cancel()
        await asyncio.sleep(0)
        # It waits for the thread, also when it is cancelled again.
        running.cancel()
        await asyncio.sleep(0)
        assert not running.done()
        go_on.set()
        for each in (running, queued):
            with pytest.raises(asyncio.CancelledError):
                await each
    assert 0 == await sqlite.count("outbox")


async def test_a_cancelled_task_leaves_no_transaction_of_an_asyncio_driver_behind(
    sqlite: Database,
) -> None:
    rows, transactions = OutboxRows(sqlite.outbox.table), Transactions(sqlite.engine)

    def work(connection: Connection) -> None:
        rows.delete(connection, range(1, 200, 2))

    began = perf_counter()
    await transactions.run(work)
    duration_s = perf_counter() - began
    await sqlite.add(b"v", b"v")
    # At once, at its end, and between.
    for number in range(40):
        running = asyncio.create_task(transactions.run(work))
        await asyncio.sleep(duration_s * number / 40)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        # It would wait for a lock that was left behind.
        other = create_engine(
            f"sqlite:///{sqlite.engine.url.database}", connect_args={"timeout": 0}
        )
        with other.begin() as connection:
            connection.execute(insert(EFFECTS), {"what": str(number)})
        other.dispose()


async def test_duplicates_in_many_threads_are_all_counted(
    sqlite: Database, capture: Capture, make_record: Callable[..., Any]
) -> None:
    record = make_record(*EVENT)
    engine = create_engine(f"sqlite:///{sqlite.engine.url.database}", connect_args={"timeout": 30})

    def accept(connection: Connection) -> list[bool]:
        return [sqlite.inbox.accept_in(connection, record) for _ in range(50)]

    async with Transactions(engine, threads=4) as transactions:
        answers = await asyncio.gather(*(transactions.run(accept) for _ in range(8)))
    engine.dispose()

    assert 1 == sum(new for each in answers for new in each)
    assert 399 == capture.metric("pipeline.duplicates", DUPLICATES)


async def test_functions_of_the_application_run_in_the_same_transaction(
    database: Database, make_record: Callable[..., Any]
) -> None:
    def apply(connection: Connection, record: Any) -> bool:
        new = database.inbox.accept_in(connection, record)
        if new:
            connection.execute(insert(EFFECTS), {"what": "applied"})
        return new

    async with one_hop(database) as transactions:
        assert await transactions.run(apply, make_record(*EVENT))
        assert not await transactions.run(apply, make_record(*EVENT))
    assert 1 == await database.count("effects")


async def test_a_number_of_threads_that_cannot_work_is_refused(sqlite: Database) -> None:
    with pytest.raises(ValueError, match="threads must be positive, not 0"):
        Transactions(sqlite.engine, threads=0)


async def test_an_outbox_that_fails_in_its_telemetry_stores_and_counts_in_any_thread(
    sqlite: Database, telemetry: Telemetry, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise RuntimeError("no propagator")

    monkeypatch.setattr(telemetry.propagation, "inject", fail)
    outbox = SqlOutbox(telemetry, service="orders", metadata=sqlite.metadata)

    def work(connection: Connection) -> None:
        for _ in range(100):
            outbox.add_in(connection, "orders", b"v")

    async with one_hop(sqlite) as transactions:
        await transactions.run(work)
        await sqlite.add(b"v")

    assert 101 == await sqlite.count("outbox")
    assert 101 == capture.metric("pipeline.telemetry.dropped", {"reason": "send"})


def _no_work(_: Connection) -> None:
    pass


def _waits(capture: Capture) -> tuple[int, float]:
    waits: Any = capture.metric("pipeline.resource.wait.duration", {"resource": "database"})
    return waits.count, waits.sum


async def _timed(transactions: Transactions, asking: asyncio.Event) -> float:
    """Run a transaction; return how long it took, in seconds, with its wait."""
    began = perf_counter()
    asking.set()
    await transactions.run(_no_work)
    return perf_counter() - began


async def _held_since(moment: float) -> float:
    """Wait a little; return how long ago a moment was, in seconds."""
    assert await eventually(lambda: perf_counter() > moment + 0.01)
    return perf_counter() - moment


@asynccontextmanager
async def _handling(telemetry: Telemetry) -> AsyncIterator[None]:
    """Handle a record during the block."""
    broker = InMemoryBroker()
    bare = InMemoryConsumer("orders", broker=broker, auto_offset_reset="earliest")
    async with (
        TracedProducer(InMemoryProducer(broker), telemetry) as producer,
        TracedConsumer(bare, telemetry, group="g") as consumer,
    ):
        await producer.send_and_wait("orders", b"1")
        async with consumer.process(await consumer.getone()):
            yield


async def test_handlers_report_how_long_they_wait_for_a_thread(
    sqlite: Database, telemetry: Telemetry, capture: Capture
) -> None:
    begun, go_on, asking = threading.Event(), threading.Event(), asyncio.Event()

    def block(_: Connection) -> None:
        begun.set()
        assert go_on.wait(30)

    engine = plain_engine(sqlite)
    async with Transactions(engine, resource="database") as transactions:
        other = asyncio.create_task(transactions.run(block))
        assert await eventually(begun.is_set)
        async with _handling(telemetry):
            own = asyncio.create_task(_timed(transactions, asking))
            await asking.wait()
            held_s = await _held_since(perf_counter())
            go_on.set()
            took_s = await own
        await other
    engine.dispose()

    count, waited_s = _waits(capture)
    assert 1 == count
    assert 0 < held_s <= waited_s <= took_s


async def test_handlers_report_how_long_they_wait_for_a_connection(
    sqlite: Database, telemetry: Telemetry, capture: Capture
) -> None:
    asking = asyncio.Event()
    async with Transactions(sqlite.engine, resource="database") as transactions:
        connection = await sqlite.engine.connect()
        async with _handling(telemetry):
            own = asyncio.create_task(_timed(transactions, asking))
            await asking.wait()
            held_s = await _held_since(perf_counter())
            await connection.close()
            took_s = await own

    count, waited_s = _waits(capture)
    assert 1 == count
    assert 0 < held_s <= waited_s <= took_s


@pytest.mark.parametrize("in_thread", [False, True])
async def test_handlers_report_a_wait_that_ends_without_a_connection(
    in_thread: bool, telemetry: Telemetry, capture: Capture, tmp_path: Path
) -> None:
    one: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}
    file = tmp_path / "one.sqlite3"
    bare = create_async_engine(f"sqlite+aiosqlite:///{file}", **one)
    plain = create_engine(f"sqlite:///{file}", poolclass=QueuePool, **one)
    engine: Engine | AsyncEngine = plain if in_thread else bare
    async with Transactions(engine, resource="database") as transactions, bare.connect():
        with plain.connect():
            async with _handling(telemetry):
                began = perf_counter()
                with pytest.raises(PoolTimeoutError):
                    await transactions.run(_no_work)
                took_s = perf_counter() - began
    await bare.dispose()
    plain.dispose()

    count, waited_s = _waits(capture)
    assert 1 == count
    assert 0 < waited_s <= took_s

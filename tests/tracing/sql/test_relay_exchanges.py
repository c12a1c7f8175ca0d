"""What a relay asks of its database: few statements and commits, in one hop, and never too much."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, event, select

from tests.tracing.sql.conftest import Database, one_hop
from tests.tracing.sql.test_relay import Refusing, relaying, values
from tracing.delivery.retry import Retry
from tracing.sql import OutboxRelay, Transactions
from tracing.sql.ordered_sends import OrderedSends
from tracing.sql.outbox_rows import OutboxRows, StoredRecord, runs
from tracing.sql.send_failures import SendFailures
from tracing.testing import InMemoryBroker, InMemoryProducer, eventually

if TYPE_CHECKING:
    from collections.abc import Sequence


class Log:
    """The statements and commits of an engine, by their first word."""

    def __init__(self, transactions: Transactions) -> None:
        self.words: list[str] = []
        event.listen(transactions.engine, "before_cursor_execute", self._executed)
        event.listen(transactions.engine, "commit", lambda _connection: self.words.append("COMMIT"))

    def _executed(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.words.append(statement.partition(" ")[0])

    def take(self) -> list[str]:
        words, self.words = self.words, []
        return words


def relay_in_one_hop(
    database: Database, transactions: Transactions, producer: Any, **options: Any
) -> Any:
    """Run a relay whose exchanges are one hop each, until the block is left."""
    namespace: Any = SimpleNamespace(outbox=database.outbox, engine=transactions)
    return relaying(namespace, producer, **options)


async def test_a_relay_in_one_hop_sends_in_order_and_deletes(
    database: Database, broker: InMemoryBroker
) -> None:
    sent = [b"%d" % number for number in range(300)]
    await database.add(*sent[:150])
    await database.add(b"other", key=None)
    async with (
        one_hop(database) as transactions,
        relay_in_one_hop(database, transactions, InMemoryProducer(broker), batch=40) as relay,
    ):
        await database.add(*sent[150:])
        assert await relay.drain()

    assert sent == [value for value in values(broker) if value != b"other"]
    assert 301 == len(values(broker))
    assert 0 == await database.count("outbox")


async def test_failing_keys_wait_and_others_continue_in_one_hop(
    database: Database, broker: InMemoryBroker
) -> None:
    producer = Refusing(broker)
    producer.refuses = lambda value: ConnectionError("gone") if value.startswith(b"a") else None
    await database.add(b"a1", b"a2", key=b"a")
    await database.add(b"b1", b"b2", key=b"b")
    async with (
        one_hop(database) as transactions,
        relay_in_one_hop(database, transactions, producer) as relay,
    ):
        assert await eventually(lambda: values(broker) == [b"b1", b"b2"])
        assert await eventually(lambda: producer.attempts.count(b"a1") > 2)
        producer.refuses = lambda _value: None
        assert await relay.drain()
    assert [b"b1", b"b2", b"a1", b"a2"] == values(broker)
    assert 0 == await database.count("outbox")


async def test_one_record_costs_a_read_a_deletion_and_one_commit(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    async with one_hop(sqlite) as transactions:
        log = Log(transactions)
        relay_at_work = relay_in_one_hop(
            sqlite, transactions, InMemoryProducer(broker), poll_interval_s=3600.0
        )
        async with relay_at_work as relay:
            assert await relay.drain()
            relay._backlog._due_at = float("inf")
            log.take()
            await sqlite.add(b"v")
            relay.wake()
            assert await eventually(lambda: "COMMIT" in log.words)
            assert await eventually(lambda: values(broker) == [b"v"])
            assert ["SELECT", "DELETE", "COMMIT"] == log.take()
            # An idle relay reads, and has nothing to commit.
            relay.wake()
            assert await eventually(lambda: log.words == ["SELECT"])
    assert 0 == await sqlite.count("outbox")


async def test_records_that_were_sent_are_deleted_together_after_a_delay(
    database: Database, broker: InMemoryBroker
) -> None:
    async with (
        one_hop(database) as transactions,
        relay_in_one_hop(
            database,
            transactions,
            InMemoryProducer(broker),
            batch=8,
            poll_interval_s=3600.0,
            deletion_delay_s=3600.0,
        ) as relay,
    ):
        assert await relay.drain()
        relay._backlog._due_at = float("inf")
        for number in range(3):
            await database.add(b"%d" % number)
            relay.wake()
            assert await eventually(partial(has_sent, broker, number + 1))
        assert 3 == await database.count("outbox")

        # Half a batch is enough for a commit.
        await database.add(b"3")
        relay.wake()
        assert await eventually_empty(database)

        await database.add(b"4")
        relay.wake()
        assert await eventually(lambda: len(values(broker)) == 5)
        assert await relay.drain()
        assert 0 == await database.count("outbox")

        # What was sent is no part of the backlog.
        await database.add(b"5")
        relay.wake()
        assert await eventually(lambda: len(values(broker)) == 6)
        assert await eventually(lambda: len(relay._sends.acknowledged) == 1)
        relay._backlog._due_at, relay._backlog._measured = 0.0, None
        relay.wake()
        assert await eventually(lambda: relay._backlog._measured == (0, None))
        assert 0 == await database.count("outbox")

        await database.add(b"6")
        relay.wake()
        assert await eventually(lambda: len(values(broker)) == 7)
    assert 0 == await database.count("outbox")
    assert [b"%d" % number for number in range(7)] == values(broker)


async def test_the_deletion_delay_ends_by_itself(sqlite: Database, broker: InMemoryBroker) -> None:
    async with one_hop(sqlite) as transactions:
        log = Log(transactions)
        relay_at_work = relay_in_one_hop(
            sqlite,
            transactions,
            InMemoryProducer(broker),
            poll_interval_s=3600.0,
            deletion_delay_s=0.02,
        )
        async with relay_at_work as relay:
            assert await relay.drain()
            relay._backlog._due_at = float("inf")
            log.take()
            await sqlite.add(b"v")
            relay.wake()
            assert await eventually_empty(sqlite)
            assert ["SELECT", "DELETE", "COMMIT"] == log.take()


async def test_a_negative_deletion_delay_is_refused(sqlite: Database) -> None:
    with pytest.raises(ValueError, match="deletion_delay_s must not be negative"):
        OutboxRelay(
            sqlite.outbox, sqlite.engine, InMemoryProducer(InMemoryBroker()), deletion_delay_s=-1
        )


def has_sent(broker: InMemoryBroker, number: int) -> bool:
    return len(values(broker)) == number


async def eventually_empty(database: Database) -> bool:
    """Wait until no record is in the outbox."""

    async def is_empty() -> bool:
        return await database.count("outbox") == 0

    return await eventually(is_empty)


async def test_an_exchange_is_one_hop(sqlite: Database, broker: InMemoryBroker) -> None:
    ran: list[str] = []

    class Noting(Transactions):
        async def run(self, *args: Any, **kwargs: Any) -> Any:
            ran.append("run")
            return await super().run(*args, **kwargs)

        async def read(self, *args: Any, **kwargs: Any) -> Any:
            ran.append("read")
            return await super().read(*args, **kwargs)

    await sqlite.add(*(b"%d" % number for number in range(20)), key=None)
    async with one_hop(sqlite) as transactions, Noting(transactions.engine) as noting:
        async with relay_in_one_hop(
            sqlite, noting, InMemoryProducer(broker), batch=10, poll_interval_s=3600.0
        ):
            assert await eventually(lambda: len(values(broker)) == 20)
            assert await eventually(lambda: ran.count("run") == 2)
        # Read 10, delete them and read 10, delete them; the last read finds nothing.
        assert ran.count("read") <= 2
    assert 0 == await sqlite.count("outbox")


async def test_a_batch_that_is_full_goes_on_without_a_poll_or_a_wake(
    database: Database, broker: InMemoryBroker
) -> None:
    for number in range(60):
        await database.add(b"%d" % number, key=b"%d" % (number % 7))
    async with relaying(database, InMemoryProducer(broker), batch=4, poll_interval_s=3600.0):
        assert await eventually(lambda: len(values(broker)) == 60)


async def test_a_record_that_nothing_announced_is_sent_by_the_poll_while_others_hang(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    hangs, free = asyncio.Event(), asyncio.Event()

    class Hanging(InMemoryProducer):
        async def send_and_wait(self, topic: str, value: Any = None, *args: Any, **kw: Any) -> Any:
            if value == b"hangs":
                hangs.set()
                await free.wait()
            return await super().send_and_wait(topic, value, *args, **kw)

    await sqlite.add(b"hangs", key=b"a")
    async with relaying(sqlite, Hanging(broker), poll_interval_s=0.02) as relay:
        await hangs.wait()
        await sqlite.add(b"v", key=b"b")
        assert await eventually(lambda: values(broker) == [b"v"])
        free.set()
        assert await relay.drain()


async def test_both_kinds_of_engine_share_the_lock_of_a_file(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    producer = InMemoryProducer(broker)
    async with one_hop(sqlite) as transactions, relaying(sqlite, producer) as relay:
        assert await relay.drain()
        second = OutboxRelay(sqlite.outbox, transactions, producer)
        with pytest.raises(RuntimeError, match="another relay works on the table outbox"):
            await second.run(asyncio.Event())
    async with (
        one_hop(sqlite) as transactions,
        relay_in_one_hop(sqlite, transactions, producer) as relay,
    ):
        assert await relay.drain()


async def test_a_plain_engine_for_postgresql_is_refused_with_a_reason(sqlite: Database) -> None:
    engine: Any = SimpleNamespace(dialect=SimpleNamespace(name="postgresql"))
    with pytest.raises(ValueError, match="takes an AsyncEngine"):
        OutboxRelay(sqlite.outbox, Transactions(engine), InMemoryProducer(InMemoryBroker()))


async def test_only_the_rows_that_are_named_are_deleted(database: Database) -> None:
    await database.add(*(b"%d" % number for number in range(12)))
    rows, table = OutboxRows(database.outbox.table), database.outbox.table

    def delete(connection: Connection) -> Sequence[int]:
        first, *_, last = [
            record.sequence for record in rows.read(connection, 100, without=(), without_keys=())
        ]
        assert 11 == last - first
        rows.delete(connection, frozenset(first + at for at in (0, 1, 2, 5, 7, 8, 11)))
        kept = connection.scalars(select(table.c.value).order_by(table.c.sequence))
        return [int(value) for value in kept]

    async with one_hop(database) as transactions:
        assert [3, 4, 6, 9, 10] == await transactions.run(delete)


@given(st.sets(st.integers(-50, 50)))
def test_runs_hold_the_numbers_and_no_others(numbers: set[int]) -> None:
    found = runs(numbers)
    assert sorted(numbers) == [each for first, last in found for each in range(first, last + 1)]
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(found))


async def test_reads_leave_out_what_they_are_asked_to(database: Database) -> None:
    stored = [("a", b"1"), ("a", b"2"), ("a", None), ("b", b"1"), ("b", None), ("c", b"3")]
    for topic, key in stored:
        await database.add(b"v", topic=topic, key=key)
    rows = OutboxRows(database.outbox.table)

    def read(connection: Connection) -> list[list[tuple[str, bytes | None]]]:
        everything = rows.read(connection, 10, without=(), without_keys=())
        first, second, keyless, *_ = everything
        cases: list[dict[str, Any]] = [
            {"without": (), "without_keys": ()},
            {"without": {second.sequence}, "without_keys": {first.order_key, keyless.order_key}},
            {"without": (), "without_keys": (), "topics": ["b", "c"]},
            {"without": (), "without_keys": {("b", b"1")}, "without_topics": {"a"}},
            {"without": (), "without_keys": (), "topics": []},
        ]
        assert [] == rows.read(connection, 0, without=(), without_keys=())
        return [
            [(record.topic, record.key) for record in rows.read(connection, limit, **case)]
            for case in cases
            for limit in (10, 2)
        ]

    def first_two(
        *pairs: tuple[str, bytes | None],
    ) -> list[list[tuple[str, bytes | None]]]:
        return [list(pairs), list(pairs[:2])]

    async with one_hop(database) as transactions:
        assert [
            *first_two(*stored),
            *first_two(("b", b"1"), ("b", None), ("c", b"3")),
            *first_two(("b", b"1"), ("b", None), ("c", b"3")),
            *first_two(("b", None), ("c", b"3")),
            *first_two(),
        ] == await transactions.run(read)


async def test_sends_that_are_cut_off_before_they_begin_are_released() -> None:
    async def send(_record: StoredRecord) -> None:
        raise AssertionError("not to be sent")

    sends = OrderedSends(send, SendFailures(Retry(delay_s=0), str), lambda: None, many=2)
    sends.take([StoredRecord(number, "orders", b"k", b"v", None, b"[]", 1) for number in (1, 2)])
    await sends.cut_off()

    assert (frozenset(), set()) == (sends.held, sends.busy())
    assert sends.left_records

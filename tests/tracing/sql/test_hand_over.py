"""A service hands the records of a transaction to its relay, which then need not read them."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaConnectionError
from sqlalchemy import text

from tests.tracing.sql.conftest import Database, one_hop
from tests.tracing.sql.test_relay import Refusing, values
from tests.tracing.sql.test_relay_exchanges import Log, relay_in_one_hop
from tracing.sql import SqlOutbox
from tracing.sql.ordered_sends import MAX_QUEUED
from tracing.testing import InMemoryBroker, InMemoryProducer, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Connection

    from tracing.sql import AddedRecords, Transactions

NEVER_S = 3600.0


def stored(
    connection: Connection, database: Database, added: Sequence[tuple[bytes, bytes | None]]
) -> AddedRecords:
    outbox = database.outbox
    rows = [outbox.row("orders", value, key=key) for value, key in added]
    return outbox.hand_over_in(connection, rows)


async def hand_over(
    database: Database,
    transactions: Transactions,
    relay: Any,
    *added: bytes,
    key: bytes | None = b"k",
) -> AddedRecords:
    """Add records in a transaction, and hand them to the relay."""
    records = await transactions.run(stored, database, [(value, key) for value in added])
    relay.wake(records)
    return records


@asynccontextmanager
async def relaying(
    database: Database, broker: InMemoryBroker
) -> AsyncIterator[tuple[Transactions, Any]]:
    """Run a relay that hardly reads by itself, beside the transactions of its service."""
    async with one_hop(database) as transactions:
        producer = InMemoryProducer(broker)
        at_work = relay_in_one_hop(database, transactions, producer, poll_interval_s=NEVER_S)
        async with at_work as relay:
            yield transactions, relay


def quiet(relay: Any) -> None:
    """Keep the relay from measuring its backlog."""
    relay._backlog._due_at = float("inf")


async def test_records_that_are_handed_over_are_sent_without_being_read(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    async with one_hop(sqlite) as transactions:
        log = Log(transactions)
        producer = InMemoryProducer(broker)
        at_work = relay_in_one_hop(sqlite, transactions, producer, poll_interval_s=NEVER_S)
        async with at_work as relay:
            await hand_over(sqlite, transactions, relay, b"first")
            assert await eventually(lambda: values(broker) == [b"first"])
            assert await relay.drain()
            quiet(relay)
            log.take()
            await hand_over(sqlite, transactions, relay, b"a", b"b")
            assert await eventually(lambda: log.words.count("COMMIT") == 2)
            assert ["INSERT", "COMMIT", "DELETE", "COMMIT"] == log.take()
    assert [b"first", b"a", b"b"] == values(broker)
    assert 0 == await sqlite.count("outbox")


async def test_the_relay_reads_first_what_another_writer_added_before(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    async with relaying(sqlite, broker) as (transactions, relay):
        await sqlite.add(b"0")
        assert await relay.drain()
        await sqlite.add(b"1")
        await hand_over(sqlite, transactions, relay, b"2")
        assert await eventually(lambda: len(values(broker)) == 3)
    assert [b"0", b"1", b"2"] == values(broker)


async def test_records_of_a_failing_key_are_not_overtaken_by_one_that_is_handed_over(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    away = True
    producer = Refusing(broker)
    producer.refuses = lambda _value: KafkaConnectionError() if away else None
    async with one_hop(sqlite) as transactions:
        at_work = relay_in_one_hop(sqlite, transactions, producer, poll_interval_s=0.01)
        async with at_work as relay:
            for number in range(5):
                await hand_over(sqlite, transactions, relay, b"%d" % number)
                assert await eventually(lambda: bool(producer.attempts))
            away = False
            await hand_over(sqlite, transactions, relay, b"5")
            assert await relay.drain()
    assert [b"%d" % number for number in range(6)] == values(broker)


async def test_a_key_with_many_records_keeps_their_order(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    sent = [b"%d" % number for number in range(3 * MAX_QUEUED)]
    gate = asyncio.Event()

    class Slow(InMemoryProducer):
        async def send_and_wait(self, *args: Any, **options: Any) -> Any:
            await gate.wait()
            return await super().send_and_wait(*args, **options)

    async with one_hop(sqlite) as transactions:
        at_work = relay_in_one_hop(sqlite, transactions, Slow(broker), poll_interval_s=NEVER_S)
        async with at_work as relay:
            assert await relay.drain()
            for start in range(0, len(sent), 10):
                await hand_over(sqlite, transactions, relay, *sent[start : start + 10])
                await asyncio.sleep(0)
            gate.set()
            assert await relay.drain()
    assert sent == values(broker)


async def test_each_record_is_sent_once_also_if_several_hand_it_over(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    async with relaying(sqlite, broker) as (transactions, relay):
        await hand_over(sqlite, transactions, relay, b"first")
        assert await relay.drain()
        records = await hand_over(sqlite, transactions, relay, b"a", b"b")
        relay.wake(records)
        assert await eventually(lambda: len(values(broker)) == 3)
        relay.wake(records)
        await hand_over(sqlite, transactions, relay, b"c")
        assert await relay.drain()
    assert [b"first", b"a", b"b", b"c"] == values(broker)


async def test_a_stopped_relay_keeps_none_of_the_records_that_are_handed_over(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    async with one_hop(sqlite) as transactions:
        at_work = relay_in_one_hop(sqlite, transactions, InMemoryProducer(broker), batch=10)
        async with at_work as relay:
            assert await relay.drain()
        for number in range(30):
            await hand_over(sqlite, transactions, relay, b"%d" % number)
        assert len(relay._handover._offered) <= 10
        async with relay_in_one_hop(sqlite, transactions, InMemoryProducer(broker)) as relay:
            assert await relay.drain()
    assert [b"%d" % number for number in range(30)] == values(broker)


async def test_on_postgresql_the_relay_reads_what_was_added(
    postgresql: Database, broker: InMemoryBroker
) -> None:
    async with one_hop(postgresql) as transactions:
        producer = InMemoryProducer(broker)
        at_work = relay_in_one_hop(postgresql, transactions, producer, poll_interval_s=NEVER_S)
        async with at_work as relay:
            assert await relay.drain()
            added = await hand_over(postgresql, transactions, relay, b"a", b"b")
            assert () == added.records
            assert await eventually(lambda: values(broker) == [b"a", b"b"])


async def test_order_and_number_hold_whatever_is_handed_over_or_fails(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    chance = random.Random(17)
    producer = Refusing(broker)
    producer.refuses = lambda _value: KafkaConnectionError() if chance.random() < 0.1 else None
    added: dict[bytes, list[bytes]] = defaultdict(list)
    async with one_hop(sqlite) as transactions:
        at_work = relay_in_one_hop(
            sqlite, transactions, producer, batch=12, poll_interval_s=0.01, deletion_delay_s=0.02
        )
        async with at_work as relay:
            for number in range(250):
                some = [
                    (b"%d.%d" % (number, each), b"%d" % chance.randrange(5))
                    for each in range(chance.randrange(1, 4))
                ]
                records = await transactions.run(stored, sqlite, some)
                for value, key in some:
                    added[key].append(value)
                ends = [partial(relay.wake, records), relay.wake, lambda: None]
                chance.choices(ends, weights=(8, 1, 1))[0]()
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            assert await relay.drain(60)
    assert added == {
        key: [record.value for record in broker.records("orders") if record.key == key]
        for key in added
    }
    assert 0 == await sqlite.count("outbox")


async def test_a_read_of_all_records_shows_the_backlog_as_well(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    gate = asyncio.Event()

    class Slow(InMemoryProducer):
        async def send_and_wait(self, *args: Any, **options: Any) -> Any:
            await gate.wait()
            return await super().send_and_wait(*args, **options)

    async with one_hop(sqlite) as transactions:
        log = Log(transactions)
        at_work = relay_in_one_hop(sqlite, transactions, Slow(broker), poll_interval_s=NEVER_S)
        async with at_work as relay:
            assert await relay.drain()
            assert (0, None) == relay._backlog._measured
            quiet(relay)
            added = await hand_over(sqlite, transactions, relay, b"a")
            await hand_over(sqlite, transactions, relay, b"b", key=b"other")
            await sqlite.add(b"c", key=None)
            log.take()
            relay._backlog._due_at = 0.0
            relay.wake()
            assert await eventually(
                lambda: relay._backlog._measured == (3, added.records[0].created_at)
            )
            assert ["SELECT"] == log.take()
            gate.set()
            assert await relay.drain()


async def test_records_of_another_outbox_are_not_sent_by_a_relay_that_is_given_them(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    other = SqlOutbox(
        sqlite.telemetry, service="other", metadata=sqlite.metadata, table_name="other_outbox"
    )

    def added_elsewhere(connection: Connection) -> AddedRecords:
        return other.hand_over_in(connection, [other.row("orders", b"other", key=b"k")])

    async with one_hop(sqlite) as transactions:
        await transactions.run(sqlite.metadata.create_all)
        producer = InMemoryProducer(broker)
        at_work = relay_in_one_hop(sqlite, transactions, producer, poll_interval_s=NEVER_S)
        async with at_work as relay:
            await hand_over(sqlite, transactions, relay, b"1")
            assert await relay.drain()
            await transactions.run(added_elsewhere)
            # The number that the relay expects next.
            relay.wake(await transactions.run(added_elsewhere))
            await hand_over(sqlite, transactions, relay, b"2")
            assert await relay.drain()
    assert [b"1", b"2"] == values(broker)
    assert 2 == await sqlite.count("other_outbox")


async def test_records_that_are_numbered_anew_are_sent_at_once(
    sqlite: Database, broker: InMemoryBroker
) -> None:
    async with relaying(sqlite, broker) as (transactions, relay):
        await hand_over(sqlite, transactions, relay, b"1", b"2", b"3")
        assert await relay.drain()
        # As an operator does who empties all tables.
        async with sqlite.engine.begin() as connection:
            await connection.execute(text("DELETE FROM sqlite_sequence"))
        await hand_over(sqlite, transactions, relay, b"4")
        assert await eventually(lambda: len(values(broker)) == 4)
    assert [b"1", b"2", b"3", b"4"] == values(broker)

"""The inbox applies an event once per consumer group, in the transaction of its effect."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from sqlalchemy import MetaData, Table, insert, text

from tests.tracing.sql.conftest import EFFECTS
from tracing import Replay, Telemetry
from tracing.sql import SqlInbox, inbox_table
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tracing.sql.conftest import Database

EVENT = (("ce_source", b"/orders"), ("ce_id", b"1"))


async def apply(database: Database, record: Any, *, fails: bool = False) -> bool:
    """Apply an effect once per event, as an application does."""
    async with database.engine.begin() as connection:
        new = await database.inbox.accept(connection, record)
        if new:
            await connection.execute(insert(EFFECTS), {"what": "applied"})
        if fails:
            raise ConnectionError
    return new


async def test_an_event_is_applied_once_even_if_it_is_delivered_repeatedly(
    database: Database, make_record: Callable[..., Any]
) -> None:
    first, again = make_record(*EVENT, offset=1), make_record(*EVENT, partition=3, offset=9)

    assert [True, False, False] == [await apply(database, each) for each in (first, again, again)]
    assert 1 == await database.count("effects")


async def test_other_events_are_new(database: Database, make_record: Callable[..., Any]) -> None:
    records = [
        make_record(*EVENT),
        make_record(("ce_source", b"/orders"), ("ce_id", b"2")),
        make_record(("ce_source", b"/payment"), ("ce_id", b"1")),
        make_record(offset=1),
        make_record(offset=2),
        make_record(("ce_source", b"\0\xff"), ("ce_id", b"x" * 100_000)),
    ]

    assert [True] * 6 == [await apply(database, record) for record in records]
    assert [False] * 6 == [await apply(database, record) for record in records]


async def test_an_event_is_new_again_after_a_rollback(
    database: Database, make_record: Callable[..., Any]
) -> None:
    record = make_record(*EVENT)
    with pytest.raises(ConnectionError):
        await apply(database, record, fails=True)

    assert 0 == await database.count("inbox")
    assert await apply(database, record)
    assert 1 == await database.count("effects")


async def test_a_dead_letter_that_is_replayed_twice_is_applied_once(
    database: Database, make_record: Callable[..., Any]
) -> None:
    replay = Replay(group="shipping", id="orders/0/7").headers()

    assert await apply(database, make_record(*replay, offset=20))
    assert not await apply(database, make_record(*replay, offset=21))
    # Nor is the original record, if it is delivered after all.
    assert not await apply(database, make_record(offset=7))


async def test_groups_that_share_a_table_apply_events_independently(
    database: Database, telemetry: Telemetry, make_record: Callable[..., Any]
) -> None:
    other = SqlInbox(telemetry, group="analytics", metadata=database.metadata)
    record = make_record(*EVENT)
    async with database.engine.begin() as connection:
        assert await database.inbox.accept(connection, record)
        assert await other.accept(connection, record)
        assert 0 == await other.forget(connection, older_than_s=3600)
        assert 1 == await other.forget(connection, older_than_s=0)
        assert not await database.inbox.accept(connection, record)


async def test_two_transactions_with_the_same_event_apply_it_once(
    postgresql: Database, make_record: Callable[..., Any]
) -> None:
    record = make_record(*EVENT)
    async with postgresql.engine.connect() as first, postgresql.engine.connect() as second:
        assert await postgresql.inbox.accept(first, record)
        waiting = asyncio.create_task(postgresql.inbox.accept(second, record))

        async def second_waits() -> bool:
            return await postgresql.count("pg_locks WHERE NOT granted") == 1

        assert await eventually(second_waits)
        assert not waiting.done()
        await first.commit()
        assert not await waiting


async def test_the_second_transaction_applies_the_event_when_the_first_rolls_back(
    postgresql: Database, make_record: Callable[..., Any]
) -> None:
    record = make_record(*EVENT)
    async with postgresql.engine.connect() as first, postgresql.engine.connect() as second:
        assert await postgresql.inbox.accept(first, record)
        waiting = asyncio.create_task(postgresql.inbox.accept(second, record))
        await first.rollback()
        assert await waiting
        await second.commit()
    assert 1 == await postgresql.count("inbox")


async def test_concurrent_deliveries_apply_each_event_once(
    database: Database, make_record: Callable[..., Any]
) -> None:
    records = [
        make_record(("ce_source", b"/orders"), ("ce_id", b"%d" % number)) for number in range(10)
    ]

    await asyncio.gather(*(apply(database, record) for record in records * 3))

    assert 10 == await database.count("effects")


async def test_a_duplicate_is_counted_and_noted_on_the_current_span(
    sqlite: Database, capture: Capture, make_record: Callable[..., Any]
) -> None:
    labels = {"messaging.destination.name": "orders", "messaging.consumer.group.name": "shipping"}
    await apply(sqlite, make_record(*EVENT))
    assert 0 == capture.metric("pipeline.duplicates", labels)

    tracer = capture.tracer_provider.get_tracer("test")
    with tracer.start_as_current_span("process orders"):
        await apply(sqlite, make_record(*EVENT))

    (span,) = capture.spans()
    assert [("pipeline.duplicate", {"messaging.message.id": "1"})] == [
        (event.name, dict(event.attributes or {})) for event in span.events
    ]
    assert 1 == capture.metric("pipeline.duplicates", labels)


async def test_failing_telemetry_does_not_fail_the_inbox(
    sqlite: Database,
    capture: Capture,
    make_record: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> trace.Span:
        raise RuntimeError("no span")

    await apply(sqlite, make_record(*EVENT))
    with monkeypatch.context() as broken:
        broken.setattr(trace, "get_current_span", fail)
        assert not await apply(sqlite, make_record(*EVENT))

    assert 1 == capture.metric("pipeline.telemetry.dropped", {"reason": "duplicate"})


async def test_old_identities_are_deleted_and_their_events_are_new_again(
    database: Database, make_record: Callable[..., Any]
) -> None:
    await apply(database, make_record(*EVENT))
    async with database.engine.begin() as connection:
        assert 0 == await database.inbox.forget(connection, older_than_s=60)
        assert 1 == await database.inbox.forget(connection, older_than_s=0)

    assert await apply(database, make_record(*EVENT))
    async with database.engine.begin() as connection:
        with pytest.raises(ValueError, match="older_than_s"):
            await database.inbox.forget(connection, older_than_s=-1)


def test_describing_a_table_twice_returns_the_same_table() -> None:
    metadata = MetaData(schema="shop")
    table = inbox_table(metadata, "seen")

    assert table is inbox_table(metadata, "seen")
    assert isinstance(table, Table)
    assert "shop.seen" == table.fullname


async def test_an_unsupported_database_is_refused_with_a_reason(
    telemetry: Telemetry, make_record: Callable[..., Any]
) -> None:
    class Connection:
        class dialect:  # noqa: N801 - as SQLAlchemy names it
            name = "mysql"

    inbox: Any = SqlInbox(telemetry, group="shipping")
    with pytest.raises(ValueError, match="postgresql and sqlite, not on mysql"):
        await inbox.accept(Connection(), make_record())


async def test_very_long_group_names_stay_distinct(
    sqlite: Database, telemetry: Telemetry, make_record: Callable[..., Any]
) -> None:
    one, other = (
        SqlInbox(telemetry, group="g" * 300 + end, metadata=sqlite.metadata) for end in "ab"
    )
    async with sqlite.engine.begin() as connection:
        assert await one.accept(connection, make_record())
        assert await other.accept(connection, make_record())
        assert not await one.accept(connection, make_record())


async def test_transactions_that_accept_the_same_events_do_not_wait_in_a_circle(
    postgresql: Database, make_record: Callable[..., Any]
) -> None:
    first, middle, last = (
        make_record(("ce_source", b"/orders"), ("ce_id", each)) for each in (b"a", b"m", b"z")
    )
    inbox, engine = postgresql.inbox, postgresql.engine
    blocked = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")

    async def accept_all(*records: Any) -> list[bool]:
        async with engine.begin() as connection:
            return await connection.run_sync(inbox.accept_all_in, records)

    async def both_wait() -> bool:
        async with engine.connect() as connection:
            return bool(await connection.scalar(blocked) == 2)

    async with engine.connect() as connection:
        assert await inbox.accept(connection, middle)
        accepting = [
            asyncio.create_task(accept_all(last, middle, first)),
            asyncio.create_task(accept_all(first, middle, last)),
        ]
        assert await eventually(both_wait)
        await connection.rollback()
    accepted = await asyncio.gather(*accepting)
    assert [[False] * 3, [True] * 3] == sorted(accepted)

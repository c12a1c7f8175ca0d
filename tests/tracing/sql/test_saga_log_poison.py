"""Events with unusual ids or times: the observer continues, and the flow's state is correct."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracing.sql.saga_fixtures import S, rows, saga_log, store_events, totals_of
from tracing import FlowEvent, Retry, SagaFlow, SagaObserver, TracedConsumer, consume
from tracing.sql import SqlSagaLog
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tracing.sql.conftest import Database
    from tracing import Telemetry

FLOW = SagaFlow(
    name="notify",
    start="Placed",
    steps={"Shipped": "shipped"},
    ends={"Texted": "completed"},
    deadline_s=10.0,
)


def headers(kind: bytes, saga_id: bytes, time: bytes | None = None) -> list[tuple[str, bytes]]:
    required = [("ce_type", kind), ("ce_subject", saga_id)]
    return required if time is None else [*required, ("ce_time", time)]


@pytest.mark.parametrize(
    "saga_id",
    [b"a\0b", b"\0", "\U0001f600".encode() * 256, b"x" * 1024, b"sha256:" + b"0" * 64, b"' OR 1=1"],
)
async def test_any_id_of_an_event_is_stored_and_reported_unchanged(
    database: Database,
    telemetry: Telemetry,
    make_record: Callable[..., Any],
    saga_id: bytes,
) -> None:
    log = await saga_log(database)
    observer = SagaObserver([FLOW], log, telemetry)
    for kind in (b"Placed", b"Shipped", b"Texted", b"Placed"):
        await observer.observe(make_record(*headers(kind, saga_id)))

    assert (1, {"completed": 1}, {}) == totals_of(await log.health("notify", 0))
    (row,) = (await rows(database, log.tables, "notify"))["saga_instances"]
    assert len(row[1].encode()) <= 255
    last = FlowEvent(saga_id=saga_id.decode(), at_ns=0, starts=False, step="late", outcome=None)
    (history,) = await store_events(log, "notify", last)
    assert saga_id.decode() == history.context.saga_id


@pytest.mark.parametrize("kind", [b"Placed", b"Shipped", b"Texted"])
async def test_an_event_from_the_far_future_is_accepted(
    database: Database, telemetry: Telemetry, make_record: Callable[..., Any], kind: bytes
) -> None:
    log = await saga_log(database)
    observer = SagaObserver([FLOW], log, telemetry)

    await observer.observe(make_record(*headers(kind, b"o-1", b"9999-12-31T23:59:59Z")))


async def test_an_event_from_the_far_future_does_not_stop_the_observer(
    sqlite: Database, telemetry: Telemetry
) -> None:
    broker = InMemoryBroker(partitions=1)
    log = await saga_log(sqlite)
    observer = SagaObserver([FLOW], log, telemetry)
    async with InMemoryProducer(broker) as raw:
        for saga_id, time in ((b"o-1", b"9999-12-31T23:59:59Z"), (b"o-2", b"2026-01-02T03:04:05Z")):
            await raw.send_and_wait("t", b"v", headers=headers(b"Placed", saga_id, time))
    bare = InMemoryConsumer(
        "t", broker=broker, group_id="g", enable_auto_commit=False, auto_offset_reset="earliest"
    )
    async with TracedConsumer(bare, telemetry, group="g") as consumer:
        retry = Retry(attempts=2, delay_s=0.01)
        consuming = asyncio.create_task(consume(consumer, observer.observe, retry=retry))

        async def second_is_stored() -> bool:
            return (await log.health("notify", 0)).started >= 1

        try:
            await eventually(second_is_stored, timeout_s=2)
        finally:
            consuming.cancel()
            with suppress(BaseException):
                await consuming


async def test_forgetting_ended_instances_keeps_totals_and_active_instances(
    database: Database,
) -> None:
    log = await saga_log(database)
    for number in range(3):
        begun, done = (
            FlowEvent(
                saga_id=f"o-{number}", at_ns=(number * 10 + at) * S, starts=at == 1,
                step="shipped" if at == 2 else None, outcome="completed" if at == 2 else None,
            )
            for at in (1, 2)
        )  # fmt: skip
        await store_events(log, "f", *([begun, done] if number < 2 else [begun]))
    before = await rows(database, log.tables, "f")

    await log.forget("f", ended_before_ns=12 * S)

    after = await rows(database, log.tables, "f")
    assert ["o-1", "o-2"] == sorted(row[1] for row in after["saga_instances"])
    assert ["o-1"] == [row[1] for row in after["saga_steps"]]
    assert before["totals"] == after["totals"]

    await log.forget("f")
    gone = await rows(database, log.tables, "f")
    assert ([], [], []) == tuple(gone.values())


async def test_an_instance_that_never_started_can_be_forgotten(sqlite: Database) -> None:
    log = await saga_log(sqlite)
    step = FlowEvent(saga_id="o-1", at_ns=S, starts=False, step="shipped", outcome=None)
    await store_events(log, "f", step)

    await log.forget("f", ended_before_ns=2**62)

    assert [] == (await rows(sqlite, log.tables, "f"))["saga_instances"]


async def test_flows_that_share_tables_do_not_share_instances(
    sqlite: Database, telemetry: Telemetry, make_record: Callable[..., Any]
) -> None:
    log = await saga_log(sqlite)
    other = SagaFlow(
        name="ship", start="Placed", ends={"Shipped": "completed"}, deadline_s=1, correlation="box"
    )
    observer = SagaObserver([FLOW, other], log, telemetry)
    box = ("box", b"b-1")
    for kind in (b"Placed", b"Shipped"):
        await observer.observe(make_record(*headers(kind, b"o-1"), box))
    await observer.observe(make_record(*headers(b"Placed", b"o-2")))

    assert (2, {}, {"shipped": 1, "started": 1}) == totals_of(await log.health("notify", 0))
    assert (1, {"completed": 1}, {}) == totals_of(await log.health("ship", 0))
    await log.forget("notify")
    assert (0, {}, {}) == totals_of(await log.health("notify", 0))
    assert (1, {"completed": 1}, {}) == totals_of(await log.health("ship", 0))


async def test_concurrent_observers_count_each_event_once(
    postgresql: Database, telemetry: Telemetry, make_record: Callable[..., Any]
) -> None:
    log = await saga_log(postgresql)
    observers = [
        SagaObserver([FLOW], SqlSagaLog(postgresql.engine, metadata=postgresql.metadata), telemetry)
        for _ in range(3)
    ]
    events = [
        make_record(*headers(kind, b"o-%d" % number))
        for number in range(10)
        for kind in (b"Texted", b"Placed", b"Shipped")
    ]

    await asyncio.gather(*(observer.observe(event) for event in events for observer in observers))

    assert (10, {"completed": 10}, {}) == totals_of(await log.health("notify", 0))

"""Choreographed flows, inferred from their events: in any order, repeated, and after a rebuild."""

from __future__ import annotations

import asyncio
import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from tests.tracing.sql.conftest import Database
from tracing import (
    SagaFlow,
    SagaObserver,
    Telemetry,
    TracedConsumer,
    TracedProducer,
    cloudevent,
    consume,
)
from tracing.sql import SqlSagaLog
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer, eventually

FLOW = SagaFlow(
    name="notify",
    start="Placed",
    steps={"Shipped": "shipped", "Texted": "texted"},
    ends={"Texted": "completed", "Lost": "failed"},
    deadline_s=10.0,
)
NOW = datetime.now(UTC)


def _record(
    kind: str, saga_id: str = "o-1", *, after_s: float = 0.0, header: str | None = None
) -> ConsumerRecord[Any, Any]:
    headers = cloudevent(
        type=kind, source="/test", id=f"{kind}-{saga_id}",
        subject=saga_id if header is None else None, time=NOW + timedelta(seconds=after_s),
    )  # fmt: skip
    if header is not None:
        headers.append((header, saga_id.encode()))
    return ConsumerRecord("t", 0, 0, 0, 0, None, b"", None, 0, 0, tuple(headers))  # type: ignore[arg-type]  # as aiokafka has it


@pytest.fixture
async def log(database: Database) -> SqlSagaLog:
    saga_log = SqlSagaLog(database.engine, metadata=database.metadata)
    async with database.engine.begin() as connection:
        await connection.run_sync(database.metadata.create_all)
    return saga_log


async def _state(log: SqlSagaLog, database: Database) -> list[Any]:
    """Return everything stored, except for the trace contexts."""
    async with database.engine.connect() as connection:
        rows: list[Any] = []
        for table in (log.tables.sagas, log.tables.steps):
            columns = [column for column in table.c if column.name != "context"]
            rows += sorted(tuple(row) for row in await connection.execute(select(*columns)))
    health = await log.health("notify", 0)
    return [rows, health.started, health.ended, health.active]


EVENTS = [_record("Placed"), _record("Shipped", after_s=1), _record("Texted", after_s=3)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_repeated_events_in_any_order_give_the_same_flow(
    log: SqlSagaLog, database: Database, capture: Capture, telemetry: Telemetry, order: Any
) -> None:
    observer = SagaObserver([FLOW], log, telemetry)
    for number in (*order, *order):
        await observer.observe(EVENTS[number])
    _, started, ended, active = await _state(log, database)
    spans = sorted(
        (span.name, (span.end_time or 0) - (span.start_time or 0))
        for span in capture.spans()
        if span.name != "saga.start notify"
    )
    assert (1, {"completed": 1, "compensated": 0, "failed": 0}, {}) == (started, ended, active)
    # The duration of the last step depends on the steps that are known when the flow is complete.
    shipped_came_last = order[-1] == 1
    assert [
        ("saga notify", 3_000_000_000),
        ("saga.step notify/shipped", 1_000_000_000),
        ("saga.step notify/texted", 3_000_000_000 if shipped_came_last else 2_000_000_000),
    ] == spans


async def test_a_flow_without_an_end_is_active_and_then_overdue(
    log: SqlSagaLog, capture: Capture, telemetry: Telemetry
) -> None:
    observer = SagaObserver([FLOW], log, telemetry)
    await observer.observe(_record("Placed", after_s=-60))
    await observer.observe(_record("Shipped", after_s=-59))
    assert 1 == await asyncio.to_thread(
        capture.metric, "pipeline.saga.active", {"saga": "notify", "state": "shipped"}
    )
    assert 1 == await asyncio.to_thread(capture.metric, "pipeline.saga.overdue")
    await observer.observe(_record("Lost", after_s=-1))
    assert 1 == await asyncio.to_thread(
        capture.metric, "pipeline.saga.ended", {"outcome": "failed"}
    )
    assert 0 == await asyncio.to_thread(capture.metric, "pipeline.saga.overdue")


async def test_an_instance_that_never_started_is_not_counted(
    log: SqlSagaLog, database: Database, telemetry: Telemetry
) -> None:
    observer = SagaObserver([FLOW], log, telemetry)
    await observer.observe(_record("Shipped", after_s=2))
    await observer.observe(_record("Shipped", after_s=1))
    await observer.observe(_record("Texted", after_s=3))
    _, started, ended, active = await _state(log, database)
    assert (0, 0, {}) == (started, sum(ended.values()), active)


async def test_a_restarted_observer_counts_nothing_twice_and_a_rebuilt_one_has_the_same_state(
    log: SqlSagaLog, database: Database, telemetry: Telemetry
) -> None:
    events = [
        _record(kind, f"o-{number}", after_s=number + after_s)
        for number in range(5)
        for kind, after_s in (("Placed", 0), ("Shipped", 1), ("Texted", 2))
    ][:-1]
    for _ in range(2):
        observer = SagaObserver([FLOW], log, telemetry)
        for event in events:
            await observer.observe(event)
    before = await _state(log, database)
    assert (5, 4) == (before[1], before[2]["completed"])
    await log.forget("notify")
    observer = SagaObserver([FLOW], log, telemetry)
    for event in random.Random(1).sample(events, len(events)):
        await observer.observe(event)
    assert before == await _state(log, database)


async def test_an_old_end_is_counted_without_spans(
    log: SqlSagaLog, database: Database, capture: Capture, telemetry: Telemetry
) -> None:
    observer = SagaObserver([FLOW], log, telemetry, quiet_after_s=60)
    await observer.observe(_record("Placed", after_s=-7200))
    await observer.observe(_record("Texted", after_s=-7100))
    assert 1 == (await log.health("notify", 0)).ended["completed"]
    assert {"saga.start notify"} == {span.name for span in capture.spans()}


async def test_any_header_can_identify_an_instance(log: SqlSagaLog, telemetry: Telemetry) -> None:
    flow = SagaFlow(
        name="notify",
        start="Placed",
        ends={"Texted": "completed"},
        deadline_s=1,
        correlation="cart",
    )
    observer = SagaObserver([flow], log, telemetry)
    for cart in ("a", "b"):
        await observer.observe(_record("Placed", cart, header="cart"))
    await observer.observe(_record("Texted", "a", header="cart"))
    await observer.observe(_record("Texted", "a"))
    health = await log.health("notify", 0)
    assert (2, 1) == (health.started, health.ended["completed"])


async def test_an_observer_in_its_own_group_reports_in_the_trace_of_the_flow(
    log: SqlSagaLog, capture: Capture, telemetry: Telemetry
) -> None:
    broker = InMemoryBroker()
    observer = SagaObserver([FLOW], log, telemetry)
    producer = TracedProducer(InMemoryProducer(broker), telemetry)
    consumer = TracedConsumer(
        InMemoryConsumer("t", broker=broker, group_id="observer", enable_auto_commit=False),
        telemetry,
        group="observer",
    )
    tracer = capture.tracer_provider.get_tracer("shop")
    async with producer, consumer:
        with tracer.start_as_current_span("POST /orders") as root:
            for kind in ("Placed", "Shipped", "Texted"):
                await producer.send_and_wait("t", b"x", headers=cloudevent(type=kind, subject="o"))
        stop = asyncio.Event()
        consuming = asyncio.create_task(consume(consumer, observer.observe, stop=stop))
        await eventually(lambda: any(span.name == "saga notify" for span in capture.spans()))
        stop.set()
        await consuming
    (saga,) = (span for span in capture.spans() if span.name == "saga notify")
    assert root.get_span_context().trace_id == saga.context.trace_id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ends": {}}, "at least one event that ends it"),
        ({"ends": {"Texted": "fine"}}, "cannot end as 'fine'"),
        ({"deadline_s": 0}, "deadline_s must be positive"),
    ],
)
def test_an_impossible_flow_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SagaFlow(
            **{
                "name": "notify", "start": "Placed", "ends": {"Texted": "completed"},
                "deadline_s": 1.0, **change,
            }
        )  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(["ce_type", "ce_subject", "ce_time", "x"]),
                          st.binary() | st.none())))  # fmt: skip
def test_reading_arbitrary_headers_does_not_raise(headers: Any) -> None:
    record: Any = ConsumerRecord("t", 0, 0, -1, 0, None, None, None, 0, 0, tuple(headers))
    event = FLOW.read(record)

    assert event is None or event.at_ns >= 0

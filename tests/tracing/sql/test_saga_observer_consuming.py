"""An observer in its own consumer group: its telemetry, a crash and a rebuild."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracing.sql.saga_fixtures import rows, saga_log, totals_of
from tracing import (
    SagaFlow,
    SagaObserver,
    TracedConsumer,
    TracedProducer,
    cloudevent,
    consume,
)
from tracing.sql import SqlSagaLog
from tracing.testing import (
    HistogramValue,
    InMemoryConsumer,
    eventually,
    span_tree,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.tracing.sql.conftest import Database
    from tracing import Telemetry
    from tracing.testing import Capture, InMemoryBroker

SHOWN = ("pipeline.saga.outcome", "pipeline.saga.overdue")


def flow(name: str, step: str, end: str, **options: Any) -> SagaFlow:
    return SagaFlow(
        name=name, start="Placed", steps={step: step.lower(), end: end.lower()},
        ends={end: "completed"}, **{"deadline_s": 10.0, **options},
    )  # fmt: skip


NOTIFY = flow("notify", "Shipped", "Texted")
SHIP = flow("ship", "Charged", "Shipped", deadline_s=1.5)


async def send(producer: TracedProducer, saga_id: str, *kinds: str, age_s: float = 60.0) -> None:
    """Send events of one instance, a second apart; `age_s` is the age of the first."""
    began = datetime.now(UTC) - timedelta(seconds=age_s)
    for number, kind in enumerate(kinds):
        headers = cloudevent(type=kind, subject=saga_id, time=began + timedelta(seconds=number))
        await producer.send_and_wait("t", b"v", key=saga_id.encode(), headers=headers)


@asynccontextmanager
async def observing(
    broker: InMemoryBroker,
    database: Database,
    telemetry: Telemetry,
    *flows: SagaFlow,
    group: str = "observer",
) -> AsyncIterator[asyncio.Task[None]]:
    """Run a new observer with a new consumer; stop it cleanly at the end."""
    log = SqlSagaLog(database.engine, metadata=database.metadata)
    observer = SagaObserver(flows, log, telemetry)
    bare = InMemoryConsumer(
        "t", broker=broker, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    async with TracedConsumer(bare, telemetry, group=group) as consumer:
        stop = asyncio.Event()
        consuming = asyncio.create_task(consume(consumer, observer.observe, stop=stop))
        try:
            yield consuming
            stop.set()
            await consuming
        finally:
            consuming.cancel()
            with suppress(asyncio.CancelledError):
                await consuming
            await observer.aclose()


async def until(log: SqlSagaLog, saga: str, *expected: Any) -> None:
    async def as_expected() -> bool:
        assert tuple(expected) == totals_of(await log.health(saga, 0))
        return True

    await eventually(as_expected)


async def test_two_flows_are_reported_in_the_trace_of_their_events(
    sqlite: Database,
    broker: InMemoryBroker,
    producer: TracedProducer,
    telemetry: Telemetry,
    capture: Capture,
) -> None:
    log = await saga_log(sqlite)
    broker.create_topic("t", partitions=1)
    with capture.tracer_provider.get_tracer("shop").start_as_current_span("POST /orders"):
        await send(producer, "o-1", "Placed", "Charged", "Shipped", "Other", "Texted")
    capture.clear()

    async with observing(broker, sqlite, telemetry, NOTIFY, SHIP):
        await until(log, "notify", 1, {"completed": 1}, {})

    # Without polls. The parents and links outside belong to the cleared spans of the sends.
    own = [span for span in capture.spans() if not span.name.startswith("poll")]
    assert """\
process t CONSUMER ~> ? (parent elsewhere)
  saga notify INTERNAL pipeline.saga.outcome=completed ~> process t
    saga.step notify/shipped INTERNAL ~> process t
    saga.step notify/texted INTERNAL ~> process t
  saga ship INTERNAL pipeline.saga.outcome=completed pipeline.saga.overdue=True ~> process t
    saga.step ship/charged INTERNAL ~> process t
    saga.step ship/shipped INTERNAL ~> process t
process t CONSUMER ~> ? (parent elsewhere)
process t CONSUMER ~> ? (parent elsewhere)
process t CONSUMER ~> ? (parent elsewhere)
process t CONSUMER ~> ? (parent elsewhere)""" == span_tree(own, attributes=SHOWN, links=True)
    assert HistogramValue(1, 4.0) == await asyncio.to_thread(
        capture.metric, "pipeline.saga.duration", {"saga": "notify", "outcome": "completed"}
    )
    assert HistogramValue(1, 2.0) == await asyncio.to_thread(
        capture.metric, "pipeline.saga.step.duration", {"saga": "notify", "step": "texted"}
    )
    for name in ("notify", "ship"):
        assert 1 == await asyncio.to_thread(capture.metric, "pipeline.saga.started", {"saga": name})
        assert 1 == await asyncio.to_thread(capture.metric, "pipeline.saga.ended", {"saga": name})
    assert 0 == await asyncio.to_thread(capture.metric, "pipeline.telemetry.dropped")


async def test_an_observer_that_is_killed_and_reads_again_counts_nothing_twice(
    database: Database,
    broker: InMemoryBroker,
    producer: TracedProducer,
    telemetry: Telemetry,
    capture: Capture,
) -> None:
    log = await saga_log(database)
    for number in range(4):
        await send(producer, f"o-{number}", "Placed", "Shipped")
    with pytest.raises(asyncio.CancelledError):
        async with observing(broker, database, telemetry, NOTIFY) as consuming:
            await until(log, "notify", 4, {}, {"shipped": 4})
            consuming.cancel()
            await consuming
    for number in range(3):
        await send(producer, f"o-{number}", "Texted", age_s=50)

    # The commits are lost as well, so everything is delivered again.
    broker.group("observer").committed.clear()
    async with observing(broker, database, telemetry, NOTIFY):
        await until(log, "notify", 4, {"completed": 3}, {"shipped": 1})
    broker.group("observer").committed.clear()
    async with observing(broker, database, telemetry, NOTIFY):
        await send(producer, "o-3", "Texted", age_s=50)
        await until(log, "notify", 4, {"completed": 4}, {})

    names = sorted(span.name for span in capture.spans() if span.name.startswith("saga"))
    assert ["saga notify"] * 4 == names[:4]
    assert ["saga.step notify/shipped"] * 4 + ["saga.step notify/texted"] * 4 == names[4:]
    assert 4 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")
    assert 4 == await asyncio.to_thread(capture.metric, "pipeline.saga.ended")
    assert 4 == getattr(capture.metric("pipeline.saga.duration"), "count", None)


async def test_a_rebuild_from_the_beginning_gives_the_same_state(
    sqlite: Database,
    broker: InMemoryBroker,
    producer: TracedProducer,
    telemetry: Telemetry,
    capture: Capture,
) -> None:
    log = await saga_log(sqlite)
    for number in range(12):
        kinds = ("Placed", "Shipped", "Texted")[: 1 + number % 3]
        # The old instances get only counts and rows.
        await send(producer, f"o-{number}", *kinds, age_s=60.0 if number < 6 else 7200.0)
    async with observing(broker, sqlite, telemetry, NOTIFY):
        await until(log, "notify", 12, {"completed": 4}, {"started": 4, "shipped": 4})
    before = await rows(sqlite, log.tables, "notify")
    durations = capture.metric("pipeline.saga.duration")

    await log.forget("notify")
    async with observing(broker, sqlite, telemetry, NOTIFY, group="observer-2"):
        await until(log, "notify", 12, {"completed": 4}, {"started": 4, "shipped": 4})

    assert before == await rows(sqlite, log.tables, "notify")
    assert HistogramValue(2, 4.0) == durations
    sagas = [span for span in capture.spans() if span.name == "saga notify"]
    ids = {(span.context.trace_id, span.context.span_id) for span in sagas}
    # Both observers report the recent instances, each with the same span id in the same trace.
    assert (4, 2) == (len(sagas), len(ids))


async def test_quiet_after_s_can_be_infinite(sqlite: Database, telemetry: Telemetry) -> None:
    SagaObserver([NOTIFY], await saga_log(sqlite), telemetry, quiet_after_s=float("inf"))

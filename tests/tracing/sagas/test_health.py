"""Saga health at metric collections: one reading, correct figures, and no harm from failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time_ns
from typing import Any

import pytest

from tracing import SagaHealth, SagaTracker, Telemetry
from tracing.sagas import readings
from tracing.testing import Capture, eventually

NAMES = ("started", "ended", "compensations", "active", "overdue", "oldest_age")


class Store:
    """Returns the health of `answer`, and counts the calls."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Callable[[], SagaHealth] = SagaHealth

    async def health(self, saga: str, now_ns: int) -> SagaHealth:
        assert "place-order" == saga
        assert now_ns > 0
        self.asked += 1
        return self.answer()


def _telemetry(capture: Capture) -> Telemetry:
    return Telemetry("orders", meter_provider=capture.meter_provider)


def _all(capture: Capture) -> dict[str, Any]:
    # Each look at one instrument collects all of them.
    return {name: capture.metric(f"pipeline.saga.{name}") for name in NAMES}


async def test_each_collection_reads_once_for_all_instruments() -> None:
    store = Store()
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=store)
        await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        assert 1 == store.asked
        await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        assert 2 == store.asked


async def test_the_metrics_report_the_health_in_the_store() -> None:
    store = Store()
    store.answer = lambda: SagaHealth(
        active={"charge": 2, "ship": 1},
        overdue=1,
        oldest_started_ns=1,
        started=9,
        ended={"completed": 5, "failed": 1},
        compensations={"refund": 3},
    )
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=store)
        figures = await asyncio.to_thread(_all, capture)
        by_store = [
            await asyncio.to_thread(
                capture.metric, f"pipeline.saga.{name}", {**labels, "counted.by": "store"}
            )
            for name, labels in (
                ("started", {}),
                ("ended", {"outcome": "compensated"}),
                ("ended", {"outcome": "completed"}),
                ("compensations", {"step": "refund"}),
            )
        ]
    assert figures.pop("oldest_age") > 1_000_000_000
    assert {"started": 9, "ended": 6, "compensations": 3, "active": 3, "overdue": 1} == figures
    assert [9, 0, 5, 3] == by_store


async def test_a_state_that_becomes_empty_continues_with_zero() -> None:
    store = Store()
    store.answer = lambda: SagaHealth(active={"charge": 2})
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=store)
        state = ("pipeline.saga.active", {"state": "charge"})
        assert 2 == await asyncio.to_thread(capture.metric, *state)
        store.answer = SagaHealth
        assert 0 == await asyncio.to_thread(capture.metric, *state)


async def test_too_many_states_share_one_series() -> None:
    store = Store()
    store.answer = lambda: SagaHealth(active={f"state-{n}": 1 for n in range(100)})
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=store)
        assert 68 == await asyncio.to_thread(
            capture.metric, "pipeline.saga.active", {"state": "_OTHER"}
        )


async def test_the_longest_wait_of_each_state_is_reported() -> None:
    store = Store()
    waits = {"charge": 60, "ship": 5}
    store.answer = lambda: SagaHealth(
        moved_ns={state: time_ns() - seconds * 10**9 for state, seconds in waits.items()}
    )
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=store)

        async def wait_for(state: str) -> Any:
            name = "pipeline.saga.state.oldest_age"
            return await asyncio.to_thread(capture.metric, name, {"state": state})

        assert 60 <= await wait_for("charge") < 120
        assert 5 <= await wait_for("ship") < 60
        # The last saga leaves the state, and those of many more states share a series.
        waits = {f"state-{number}": number for number in range(1000, 1100)}
        assert 0 == await wait_for("charge")
        assert 1099 <= await wait_for("_OTHER") < 1200


async def test_a_failing_store_leaves_a_gap_and_is_read_once_per_collection() -> None:
    def fail() -> SagaHealth:
        raise ConnectionError("no database")

    store = Store()
    store.answer = fail
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=store)
        assert None is await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        assert 1 == store.asked
        dropped = ("pipeline.telemetry.dropped", {"reason": "saga_health"})
        assert await asyncio.to_thread(capture.metric, *dropped)
        store.answer = lambda: SagaHealth(started=1)
        assert 1 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")


async def test_a_hanging_store_does_not_block_a_collection_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hanging:
        async def health(self, saga: str, now_ns: int) -> SagaHealth:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(readings, "_TIMEOUT_S", 0.05)
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=Hanging())
        assert None is await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        assert 0 == await asyncio.to_thread(
            capture.metric, "pipeline.telemetry.dropped", {"reason": "send"}
        )


async def test_a_collection_on_the_loop_itself_gets_the_last_reading() -> None:
    store = Store()
    store.answer = lambda: SagaHealth(started=store.asked)
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=store)
        assert None is capture.metric("pipeline.saga.started")
        assert await eventually(lambda: capture.metric("pipeline.saga.started"))


async def test_collections_on_the_loop_and_in_a_thread_do_not_deadlock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The reader's own lock prevents the loop from answering in the meantime.
    monkeypatch.setattr(readings, "_TIMEOUT_S", 0.1)
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=Store())
        in_thread = asyncio.create_task(asyncio.to_thread(_all, capture))
        while not in_thread.done():
            capture.metric("pipeline.saga.started")
            await asyncio.sleep(0)
        assert set(NAMES) == (await in_thread).keys()


async def test_the_last_reading_is_reported_after_the_store_is_closed() -> None:
    store = Store()
    store.answer = lambda: SagaHealth(started=7)
    with Capture() as capture:
        tracker = SagaTracker("place-order", _telemetry(capture), health=store)
        await tracker.aclose()
        store.answer = SagaHealth
        assert 7 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        assert 1 == store.asked


async def test_a_second_tracker_with_the_same_name_replaces_the_first() -> None:
    first, second = Store(), Store()
    first.answer = lambda: SagaHealth(started=1)
    second.answer = lambda: SagaHealth(started=2)
    with Capture() as capture:
        for store in (first, second):
            SagaTracker("place-order", _telemetry(capture), health=store)
        assert 2 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")


def test_a_tracker_with_a_store_needs_an_event_loop() -> None:
    with Capture() as capture, pytest.raises(RuntimeError):
        SagaTracker("place-order", _telemetry(capture), health=Store())

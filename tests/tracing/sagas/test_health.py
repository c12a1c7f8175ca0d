"""Saga health at metric collections: asked of the store once, truthful, and harmless."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tracing import SagaHealth, SagaTracker, Telemetry
from tracing.sagas import readings
from tracing.testing import Capture, eventually

NAMES = ("started", "ended", "compensations", "active", "overdue", "oldest_age")


class Store:
    """A store that says what it is told to, and counts how often it is asked."""

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
    # One look at an instrument is one collection of all of them.
    return {name: capture.metric(f"pipeline.saga.{name}") for name in NAMES}


async def test_one_collection_asks_once_for_all_instruments_and_the_next_asks_again() -> None:
    store = Store()
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=store)
        await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        assert 1 == store.asked
        await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        assert 2 == store.asked


async def test_the_metrics_are_what_the_store_says() -> None:
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
        found = await asyncio.to_thread(_all, capture)
        ended = await asyncio.to_thread(
            capture.metric, "pipeline.saga.ended", {"outcome": "compensated"}
        )
    assert found.pop("oldest_age") > 1_000_000_000
    assert {"started": 9, "ended": 6, "compensations": 3, "active": 3, "overdue": 1} == found
    assert 0 == ended


async def test_a_state_that_is_empty_again_goes_on_with_zero() -> None:
    store = Store()
    store.answer = lambda: SagaHealth(active={"charge": 2})
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=store)
        state = ("pipeline.saga.active", {"state": "charge"})
        assert 2 == await asyncio.to_thread(capture.metric, *state)
        store.answer = SagaHealth
        assert 0 == await asyncio.to_thread(capture.metric, *state)


async def test_states_without_number_share_one_series() -> None:
    store = Store()
    store.answer = lambda: SagaHealth(active={f"state-{n}": 1 for n in range(100)})
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=store)
        assert 68 == await asyncio.to_thread(
            capture.metric, "pipeline.saga.active", {"state": "_OTHER"}
        )


async def test_a_store_that_fails_leaves_a_gap_and_is_asked_once_per_collection() -> None:
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


async def test_a_store_that_hangs_does_not_hold_the_collection_for_long(
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


async def test_a_collection_on_the_loop_itself_gets_the_last_answer() -> None:
    store = Store()
    store.answer = lambda: SagaHealth(started=store.asked)
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=store)
        assert None is capture.metric("pipeline.saga.started")
        assert await eventually(lambda: capture.metric("pipeline.saga.started"))


async def test_collections_on_the_loop_and_beside_it_do_not_wait_for_each_other_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The reader's own lock keeps the loop from answering meanwhile.
    monkeypatch.setattr(readings, "_TIMEOUT_S", 0.1)
    with Capture() as capture:
        SagaTracker("place-order", _telemetry(capture), health=Store())
        beside = asyncio.create_task(asyncio.to_thread(_all, capture))
        while not beside.done():
            capture.metric("pipeline.saga.started")
            await asyncio.sleep(0)
        assert set(NAMES) == (await beside).keys()


async def test_what_was_read_last_is_told_when_the_store_is_gone() -> None:
    store = Store()
    store.answer = lambda: SagaHealth(started=7)
    with Capture() as capture:
        tracker = SagaTracker("place-order", _telemetry(capture), health=store)
        await tracker.aclose()
        store.answer = SagaHealth
        assert 7 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        assert 1 == store.asked


async def test_a_second_tracker_of_the_name_takes_the_place_of_the_first() -> None:
    first, second = Store(), Store()
    first.answer = lambda: SagaHealth(started=1)
    second.answer = lambda: SagaHealth(started=2)
    with Capture() as capture:
        for store in (first, second):
            SagaTracker("place-order", _telemetry(capture), health=store)
        assert 2 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")


def test_a_store_needs_a_loop() -> None:
    with Capture() as capture, pytest.raises(RuntimeError):
        SagaTracker("place-order", _telemetry(capture), health=Store())

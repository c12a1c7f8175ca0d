"""Closing a tracker: the last figures are told, whatever else asks at that moment or later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.tracing.sagas.saga_doubles import Source, fail, hang, telemetry_on
from tracing import SagaHealth, SagaTracker
from tracing.sagas import readings
from tracing.testing import Capture, eventually


async def test_what_is_closed_asks_no_more_and_tells_the_last_to_anybody() -> None:
    source = Source()
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture), health=source)
        assert 1 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        await tracker.aclose()
        source.answer = fail
        beside = [
            await asyncio.to_thread(capture.metric, "pipeline.saga.started") for _ in range(2)
        ]
        on_the_loop = [capture.metric("pipeline.saga.started") for _ in range(2)]

    assert [2, 2, 2, 2] == beside + on_the_loop
    assert 2 == source.asked


def test_what_is_closed_is_told_when_its_loop_is_closed_too() -> None:
    async def living(capture: Capture) -> None:
        await SagaTracker("p", telemetry_on(capture), health=Source()).aclose()

    with Capture() as capture:
        asyncio.run(living(capture))

        assert 1 == capture.metric("pipeline.saga.started")


async def test_closing_with_a_store_that_fails_raises_nothing_and_tells_nothing() -> None:
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture), health=Source(fail))
        await tracker.aclose()

        assert None is await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        assert 1 == await asyncio.to_thread(
            capture.metric, "pipeline.telemetry.dropped", {"reason": "saga_health"}
        )


async def test_closing_needs_no_store() -> None:
    with Capture() as capture:
        await SagaTracker("p", telemetry_on(capture)).aclose()
        await SagaTracker("q", telemetry_on(capture), health=Source()).aclose()


async def test_closing_does_not_wait_for_ever_for_a_store_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readings, "_TIMEOUT_S", 0.05)
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture), health=Source(hang))
        async with asyncio.timeout(1):
            await tracker.aclose()


async def test_closed_twice_the_last_figures_are_still_told() -> None:
    source = Source()
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture), health=source)
        await tracker.aclose()
        source.answer = fail
        await tracker.aclose()

        assert 1 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")


async def test_a_collection_that_waits_when_it_is_closed_does_not_take_the_figures_away() -> None:
    gone = asyncio.Event()

    async def until_it_is_gone() -> SagaHealth:
        await gone.wait()
        raise ConnectionError("the engine is disposed of")

    async def last() -> SagaHealth:
        return SagaHealth(started=9)

    source = Source(until_it_is_gone)
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture), health=source)
        waiting: asyncio.Task[Any] = asyncio.create_task(
            asyncio.to_thread(capture.metric, "pipeline.saga.started")
        )
        await eventually(lambda: source.asked)
        source.answer = last
        await tracker.aclose()
        gone.set()
        await waiting

        assert 9 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")

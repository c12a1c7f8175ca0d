"""Closing a tracker: it reports the last figures, even to collections during or after closing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.tracing.sagas.saga_doubles import Source, fail, hang, telemetry_on
from tracing import SagaHealth, SagaTracker
from tracing.sagas import readings
from tracing.testing import Capture, eventually


async def test_a_closed_tracker_reads_no_more_and_reports_the_last_figures() -> None:
    source = Source()
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture), health=source)
        assert 1 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        await tracker.aclose()
        source.answer = fail
        in_thread = [
            await asyncio.to_thread(capture.metric, "pipeline.saga.started") for _ in range(2)
        ]
        on_the_loop = [capture.metric("pipeline.saga.started") for _ in range(2)]

    assert [2, 2, 2, 2] == in_thread + on_the_loop
    assert 2 == source.asked


def test_a_closed_tracker_reports_after_its_loop_is_closed() -> None:
    async def living(capture: Capture) -> None:
        await SagaTracker("p", telemetry_on(capture), health=Source()).aclose()

    with Capture() as capture:
        asyncio.run(living(capture))

        assert 1 == capture.metric("pipeline.saga.started")


async def test_closing_with_a_failing_store_neither_raises_nor_reports() -> None:
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture), health=Source(fail))
        await tracker.aclose()

        assert None is await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        assert 1 == await asyncio.to_thread(
            capture.metric, "pipeline.telemetry.dropped", {"reason": "saga_health"}
        )


async def test_a_tracker_without_a_store_can_be_closed() -> None:
    with Capture() as capture:
        await SagaTracker("p", telemetry_on(capture)).aclose()
        await SagaTracker("q", telemetry_on(capture), health=Source()).aclose()


async def test_closing_does_not_wait_forever_for_a_hanging_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readings, "_TIMEOUT_S", 0.05)
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture), health=Source(hang))
        async with asyncio.timeout(1):
            await tracker.aclose()


async def test_a_tracker_closed_twice_still_reports_the_last_figures() -> None:
    source = Source()
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture), health=source)
        await tracker.aclose()
        source.answer = fail
        await tracker.aclose()

        assert 1 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")


async def test_a_collection_that_waits_during_closing_does_not_discard_the_figures() -> None:
    gone = asyncio.Event()

    async def fail_once_gone() -> SagaHealth:
        await gone.wait()
        raise ConnectionError("the engine is disposed of")

    async def last() -> SagaHealth:
        return SagaHealth(started=9)

    source = Source(fail_once_gone)
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

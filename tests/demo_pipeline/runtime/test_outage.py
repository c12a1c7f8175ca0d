"""Waiting for a database or a registry that is away is never silent for long."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import OperationalError

import tracing
from demo_pipeline.runtime import database_outage, outage
from demo_pipeline.runtime.outage import Outage
from demo_pipeline.sagas.timers import run_timers
from tracing.testing import eventually

if TYPE_CHECKING:
    from demo_pipeline.sagas.orchestrator import Orchestrator

STILL = "the registry answers with status 409. Still waiting for"
AT_ONCE = tracing.Retry(delay_s=0.0, max_delay_s=0.0)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(outage, "monotonic", clock)
    return clock


async def test_an_outage_is_mentioned_at_once_and_then_once_a_minute_for_as_long_as_it_lasts(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = Outage(logging.getLogger("test"), "schema 7", delays=AT_ONCE)

    for _ in range(25):
        await waiting.outlast("the registry answers with status 409")
        clock.now_s += 5

    assert [
        "the registry answers with status 409. Waiting for schema 7.",
        f"{STILL} schema 7, after 13 failures in 60 s.",
        f"{STILL} schema 7, after 25 failures in 120 s.",
    ] == caplog.messages


async def test_the_trouble_is_mentioned_that_there_is_now(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = Outage(logging.getLogger("test"), "it", delays=AT_ONCE)

    await waiting.outlast("is it running?")
    clock.now_s += 60
    await waiting.outlast("refused")

    assert [
        "is it running? Waiting for it.",
        "refused. Still waiting for it, after 2 failures in 60 s.",
    ] == caplog.messages


class LostDatabase:
    """Stands for an orchestrator whose database is away; each attempt takes a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.is_away = True
        self.attempts = 0

    async def due(self, limit: int) -> list[str]:
        """Return the sagas that are due."""
        self.attempts += 1
        self._clock.now_s += 60
        if self.is_away:
            raise OperationalError("SELECT secret", None, Exception("secret"))
        assert limit
        return []


async def test_a_database_that_stays_away_is_mentioned_again_and_a_new_outage_anew(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_outage, "_DELAYS", AT_ONCE)
    lost: Any = LostDatabase(clock)
    orchestrator: Orchestrator = lost
    firing = asyncio.create_task(run_timers(orchestrator, grace_s=0))
    await eventually(lambda: len(caplog.messages) >= 2)
    lost.is_away = False
    attempts = lost.attempts
    await eventually(lambda: lost.attempts > attempts + 1)
    lost.is_away = True
    before = len(caplog.messages)
    await eventually(lambda: len(caplog.messages) > before)
    firing.cancel()

    away = "the database is unavailable (OperationalError)."
    assert [
        f"{away} Waiting for it.",
        f"{away} Still waiting for it, after 2 failures in 60 s.",
    ] == caplog.messages[:2]
    assert f"{away} Waiting for it." == caplog.messages[before]
    assert "secret" not in caplog.text

"""The monitor's loop: one sweep after another, also after failures."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

import pytest
from aiokafka import errors

from tracing.kafka.cluster import Cluster
from tracing.lag import Connection, LagMonitor, Sweep
from tracing.lag.sweep import Sweeper


class Sweeps:
    """Replaces the sweeps of a cluster; raises an outcome that is an exception."""

    def __init__(self, *outcomes: Sweep | Exception) -> None:
        self.outcomes = list(outcomes)

    async def __call__(self, *, until: float) -> Sweep:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def sweeping(monkeypatch: pytest.MonkeyPatch, *outcomes: Sweep | Exception) -> LagMonitor:
    monkeypatch.setattr(Sweeper, "sweep", Sweeps(*outcomes))
    return LagMonitor(Connection("127.0.0.1:1"), interval_s=0.01)


async def test_a_failed_sweep_is_logged_and_the_next_one_follows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Sweep(1.0, 0.1), Sweep(2.0, 0.1)
    monitor = sweeping(monkeypatch, first, errors.KafkaConnectionError("away"), second)
    with caplog.at_level(logging.WARNING):
        async with aclosing(monitor.sweeps()) as sweeps:
            results = [await anext(sweeps), await anext(sweeps)]

    assert [first, second] == results
    assert second is monitor.last
    assert ["lag could not be measured: KafkaConnectionError: away"] == caplog.messages


async def test_the_first_sweep_must_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = sweeping(monkeypatch, errors.KafkaConnectionError("away"))
    async with aclosing(monitor.sweeps()) as sweeps:
        with pytest.raises(errors.KafkaConnectionError):
            await anext(sweeps)

    assert monitor.last is None


async def test_a_sweep_has_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*, until: float) -> Sweep:
        await asyncio.sleep(60)
        return Sweep(until, 0.0)

    monkeypatch.setattr(Sweeper, "sweep", staticmethod(hang))
    with pytest.raises(TimeoutError):
        await LagMonitor(Connection("127.0.0.1:1"), timeout_s=0.05).sweep()


async def test_a_silent_broker_is_not_asked_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    class Client:
        async def send(self, node: int, request: object) -> None:
            asked.append(node)
            raise errors.RequestTimedOutError

    cluster = Cluster(Connection("127.0.0.1:1"), 1.0)
    monkeypatch.setattr(Cluster, "_client", Client())
    for _ in range(2):
        with pytest.raises(errors.KafkaError):
            await cluster.send(3, object())  # type: ignore[arg-type]  # never used

    assert [3] == asked

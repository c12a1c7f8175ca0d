"""A constant load, a consumer that can be stopped, and the true time lag."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from time import time
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tracing.lag import Connection, LagMonitor, Status
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine

    from tracing.lag import Sweep


@dataclass
class Load:
    """A topic with one partition, written at a constant rate, and one group that reads it.

    It records when each record was written and each offset committed, so the true lag needs no
    measurement of the monitor.
    """

    servers: str
    topic: str
    group: str
    rate: float = 50.0
    written_s: list[float] = field(default_factory=list)
    commits: list[tuple[float, int]] = field(default_factory=list)

    def truth_s(self, moment: float) -> float:
        """Return how long the oldest uncommitted record had waited at a moment, in seconds."""
        index = bisect_left(self.commits, (moment, 1 << 62))
        committed = self.commits[index - 1][1] if index else 0
        if committed >= len(self.written_s) or self.written_s[committed] > moment:
            return 0.0
        return moment - self.written_s[committed]

    @asynccontextmanager
    async def produced(self) -> AsyncIterator[None]:
        async def produce() -> None:
            async with AIOKafkaProducer(bootstrap_servers=self.servers) as producer:
                while True:
                    sent = await producer.send_and_wait(self.topic, b"v", partition=0)
                    assert sent.timestamp is not None
                    assert len(self.written_s) == sent.offset
                    self.written_s.append(sent.timestamp / 1000)
                    await asyncio.sleep(1 / self.rate)

        async with _running(produce()):
            yield

    @asynccontextmanager
    async def consumed(self) -> AsyncIterator[None]:
        async def consume() -> None:
            consumer = AIOKafkaConsumer(
                self.topic, bootstrap_servers=self.servers, group_id=self.group,
                enable_auto_commit=False, auto_offset_reset="earliest",
            )  # fmt: skip
            async with consumer:
                while True:
                    records = await consumer.getmany(timeout_ms=200)
                    for tp, batch in records.items():
                        # A handler that takes some time.
                        await asyncio.sleep(0.1)
                        committed = batch[-1].offset + 1
                        await consumer.commit({tp: committed})
                        self.commits.append((time(), committed))

        async with _running(consume()):
            yield


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        if task.done():
            await task
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass(frozen=True)
class Seen:
    """The result of one sweep, and the true lag at its end."""

    phase: str
    after_s: float
    lag: int
    lag_s: float | None
    exact: bool
    truth_s: float
    status: Status | None

    @property
    def off_s(self) -> float:
        return float("inf") if self.lag_s is None else abs(self.lag_s - self.truth_s)


async def hold(
    load: Load, *, stopped_s: float, window_s: float, interval_s: float = 1.0, read: bool = True
) -> AsyncIterator[Seen]:
    """Let a consumer work, stop it under load, start it again; yield each sweep."""
    connection = Connection(load.servers)
    groups = [load.group]
    monitor = LagMonitor(
        connection, interval_s=interval_s, window_s=window_s, groups=groups, read=read
    )
    began = time()

    async def watched(phase: str, until: float, sweeps: AsyncGenerator[Sweep]) -> list[Seen]:
        results = []
        async for sweep in sweeps:
            now = time()
            for group in sweep.groups:
                (part,) = group.partitions
                truth = load.truth_s(now)
                results.append(
                    Seen(phase, now - began, part.lag, part.lag_s, part.exact, truth, group.status)
                )
            if now >= until:
                break
        return results

    async with load.produced(), monitor, aclosing(monitor.sweeps()) as sweeps:
        async with load.consumed():
            await eventually(lambda: bool(load.commits), timeout_s=30)
            seen = await watched("working", time() + 1.2 * window_s, sweeps)
        for each in seen:
            yield each
        for each in await watched("stopped", time() + stopped_s, sweeps):
            yield each
        async with load.consumed():
            seen = await watched("again", time() + 1.2 * window_s, sweeps)
        for each in seen:
            yield each


def statuses(seen: list[Seen]) -> list[Status]:
    """Return the reported statuses, without repetitions."""
    reported = [each.status for each in seen if each.status is not None]
    return [status for status, _ in groupby(reported)]

"""A late joiner over 10,000 old records leaves the figures of the flow alone, and is watched."""

from __future__ import annotations

import asyncio
from math import inf
from time import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

import tracing
from tests.tracing.lag.scene import Scene, only
from tracing import Telemetry, TracedConsumer
from tracing.lag import PartitionLag, Status, Sweep
from tracing.testing import Capture, HistogramValue

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS: Final = 10_000
OLD_MS: Final = int((time() - 3600) * 1000)
FLOW: Final = [("baggage", f"pipeline.name=orders,pipeline.origin={OLD_MS}".encode())]
FIGURES: Final = (
    "pipeline.wait.duration", "pipeline.end_to_end.duration", "pipeline.publish.duration",
    "pipeline.retry.duration",
)  # fmt: skip


async def _history(scene: Scene) -> None:
    """Write old records; the last one alone, because of how the embedded broker counts."""
    await scene.create()
    async with AIOKafkaProducer(bootstrap_servers=scene.servers, linger_ms=5) as producer:
        sent = [
            await producer.send(scene.topic, b"v", timestamp_ms=OLD_MS, headers=FLOW)
            for _ in range(RECORDS - 1)
        ]
        await asyncio.gather(*sent)
        await producer.send_and_wait(scene.topic, b"v", timestamp_ms=OLD_MS, headers=FLOW)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def servers(request: pytest.FixtureRequest) -> str:
    servers: str = request.getfixturevalue(f"{request.param}_servers")
    return servers


class Joiner:
    """A group that handles records while a monitor watches it."""

    def __init__(self, scene: Scene, capture: Capture) -> None:
        self.scene = scene
        self.capture = capture
        self.telemetry = Telemetry("orders", meter_provider=capture.meter_provider)
        self.monitor = scene.monitor(window_s=0.4, interval_s=0.1)
        self.handled = 0
        self.left: list[tuple[int, float]] = []
        self.sweeps: list[tuple[int, Sweep]] = []

    async def handle(self, number: int, *, begin: Callable[[Any], Any] | None = None) -> None:
        """Handle so many records with `consume`, and sweep meanwhile."""
        stop, until = asyncio.Event(), self.handled + number

        async def handle(_record: Any) -> None:
            self.handled += 1
            if self.handled % 100 == 0:
                await asyncio.sleep(0.01)  # a little work
            if self.handled == until:
                stop.set()

        bare = AIOKafkaConsumer(
            self.scene.topic, bootstrap_servers=self.scene.servers, group_id=self.scene.group,
            auto_offset_reset="earliest", enable_auto_commit=False,
        )  # fmt: skip
        async with TracedConsumer(bare, self.telemetry) as consumer:
            if begin is not None:
                await begin(consumer)
            consuming = asyncio.create_task(
                tracing.consume(consumer, handle, stop=stop, commit_interval_s=0.05)
            )
            while not consuming.done():
                await self.sweep()
                left = self.capture.metric("pipeline.catch_up.remaining")
                if isinstance(left, int | float):
                    self.left.append((self.handled, left))
                await asyncio.sleep(0.05)  # between two sweeps
            await consuming
            await self.sweep()

    async def sweep(self) -> None:
        sweep = await self.monitor.sweep()
        # What was committed before is handled by now.
        self.sweeps.append((self.handled, sweep))

    def figures(self) -> dict[str, int]:
        """Return how many values each histogram of the flow has."""
        found = {name: self.capture.metric(name) for name in FIGURES}
        return {
            name: value.count for name, value in found.items() if isinstance(value, HistogramValue)
        }

    def parts(self) -> list[tuple[int, PartitionLag]]:
        """Return what the monitor saw of a group with commits, with the records handled then."""
        return [
            (handled, part)
            for handled, sweep in self.sweeps
            if sweep.groups and (part := only(sweep)).committed is not None
        ]

    def catching_up(self) -> list[PartitionLag]:
        return [part for _, part in self.parts() if part.status is Status.CATCHING_UP]


def _check_watched(joiner: Joiner) -> None:
    """Check the monitor's figures in all sweeps."""
    for handled, part in joiner.parts():
        assert part.committed is not None
        # A group that reads again has committed everything before.
        assert part.committed <= handled or part.committed == RECORDS
        assert RECORDS - part.committed == part.lag
        # A group that commits nothing for a whole window is stalled, as on a busy machine.
        assert 0.0 == part.flow_lag_s or part.status is Status.STALLED
        if part.catch_up is not None:
            assert (RECORDS, part.lag) == (part.catch_up.until, part.catch_up.remaining)
    timed = [
        part.catch_up for part in joiner.catching_up()
        if part.catch_up is not None and part.catch_up.rate
    ]  # fmt: skip
    assert timed
    for history in timed:
        assert history.left_s in {inf, history.remaining / (history.rate or inf)}


@pytest.mark.integration
async def test_a_late_joiner_leaves_the_figures_of_the_flow_alone(
    servers: str, capture: Capture
) -> None:
    scene = Scene(servers)
    await _history(scene)
    joiner = Joiner(scene, capture)

    async with joiner.monitor:
        await joiner.sweep()
        await joiner.handle(RECORDS)

    assert {} == joiner.figures()
    assert RECORDS == capture.metric("pipeline.catch_up.records")
    assert joiner.left
    assert {RECORDS} == {handled + left for handled, left in joiner.left}
    duration = capture.metric("messaging.process.duration")
    assert isinstance(duration, HistogramValue)
    assert RECORDS == duration.count
    _check_watched(joiner)
    assert Status.OK is joiner.parts()[-1][1].status


@pytest.mark.integration
@pytest.mark.kafka
async def test_a_late_joiner_is_watched_also_over_a_restart(
    kafka_servers: str, capture: Capture
) -> None:
    scene = Scene(kafka_servers)
    await _history(scene)
    joiner = Joiner(scene, capture)

    async with joiner.monitor:
        await joiner.handle(RECORDS // 2)
        await joiner.handle(RECORDS - joiner.handled)

    assert ({}, RECORDS) == (joiner.figures(), capture.metric("pipeline.catch_up.records"))
    _check_watched(joiner)


@pytest.mark.integration
@pytest.mark.kafka
async def test_a_group_that_reads_all_again_leaves_the_figures_alone(
    kafka_servers: str, capture: Capture
) -> None:
    scene = Scene(kafka_servers)
    await _history(scene)
    await scene.commit({0: RECORDS})
    joiner = Joiner(scene, capture)

    async def begin(consumer: Any) -> None:
        await consumer.seek_to_beginning()

    async with joiner.monitor:
        await joiner.sweep()
        await joiner.handle(RECORDS, begin=begin)

    assert ({}, RECORDS) == (joiner.figures(), capture.metric("pipeline.catch_up.records"))
    _check_watched(joiner)

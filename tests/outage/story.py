"""An hour in the life of the shop: what breaks, and what Prometheus makes of it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DeleteGroupsRequest

from dashboards.config import Config
from dashboards.files import generated
from demo_pipeline.broker import KafkaCluster
from demo_pipeline.domain.events import OrderPlaced
from demo_pipeline.services import SERVICES
from tests.chaos.collector import Collector
from tests.chaos.customers import Customers
from tests.chaos.shop import Shop
from tests.dashboards.prometheus_server import prometheus_server
from tests.outage.alert_log import AlertLog
from tests.outage.dead_group_figures import dead_group_figures, limited_retention
from tests.outage.figure import Figure
from tests.outage.figures import figures
from tests.outage.returns import Returns
from tests.outage.span_truth import SpanTruth
from tests.outage.watch import lag_monitor, watching
from tracing import cloudevent
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path


_SETTLE_S = 120.0
"""Until then, a process that has ended counts as one that may still report."""
_POISON = 10
_SURELY_DEAD_S = 120.0
_TOPIC_ABSENT_S = 20.0
ODD_GROUP = "x $(touch pwned)"
"""The name of a consumer group that nothing may run as a command."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the story.

    Attributes:
        name: What happens.
        start_s: When it began, in seconds since the run began.
        end_s: When it ended.
    """

    name: str
    start_s: float
    end_s: float


@dataclass(slots=True)
class Story:
    """The result of a run.

    Attributes:
        chapters: What happened.
        alerts: What Prometheus made of it.
        shown: The dashboards' numbers at the end, beside the truth.
        compared: The titles of the signals that were compared.
        accepted: Number of orders.
    """

    chapters: list[Chapter] = field(default_factory=list)
    alerts: AlertLog = field(default_factory=AlertLog)
    shown: list[Figure] = field(default_factory=list)
    compared: set[str] = field(default_factory=set)
    accepted: int = 0

    def alert_lines(self, chapter: Chapter) -> list[str]:
        """Describe the alerts that fired in a chapter, a line each."""
        return [
            alert.line(chapter.start_s)
            for alert in self.alerts.fired(chapter.start_s, chapter.end_s)
        ]


@dataclass(frozen=True, slots=True)
class Stage:
    """What chapters act on.

    Attributes:
        shop: The services.
        returns: The pipelines beside the orders.
        look: Compares what is shown at the moment, while payment is dead.
    """

    shop: Shop
    returns: Returns
    look: Callable[[], Awaitable[None]]


async def run_story(
    binaries: Path,
    folder: Path,
    chapters: Sequence[str],
    *,
    rate: float,
    minutes: float,
    report: Callable[[str], None],
) -> Story:
    """Run chapters one after the other under load, and compare at the end.

    Args:
        binaries: The folder with Prometheus.
        folder: For databases, logs and Prometheus.
        chapters: Names of `CHAPTERS`.
        rate: Orders per second.
        minutes: The length of an outage, in minutes; as long again is given to recover.
        report: Gets a line for each step.
    """
    story = Story()
    began = time.monotonic()
    rules = _rules(folder)
    async with KafkaCluster() as kafka:
        servers = kafka.bootstrap_servers
        spans = SpanTruth()
        with (
            prometheus_server(binaries, folder, rules) as server,
            Collector(spans.take) as collector,
        ):
            shop = Shop(servers, folder, collector.url, metrics_url=server.otlp_metrics)
            returns = Returns(servers, folder, shop.environment)

            async def look() -> None:
                try:
                    story.shown += await dead_group_figures(server, servers, folder)
                except Exception as error:
                    story.shown.append(Figure(f"While payment is dead: {error!r}", None, 1, 0))

            stage = Stage(shop, returns, look)
            async with (
                watching(server, story.alerts, began),
                shop,
                returns,
                limited_retention(servers),
                lag_monitor(server, servers),
            ):
                customers = Customers(shop.url, rate)
                placing = asyncio.create_task(customers.run())
                try:
                    # Of a service that never read anything, Kafka knows nothing.
                    await _all_committed(servers)
                    for name in chapters:
                        report(f"{time.monotonic() - began:6.0f} s  {name}")
                        start_s = time.monotonic() - began
                        await CHAPTERS[name](stage, minutes * 60)
                        end_s = time.monotonic() - began
                        story.chapters.append(Chapter(name, start_s, end_s))
                        # At once, too: what comes later may fail.
                        for line in story.alert_lines(story.chapters[-1]):
                            report(line)
                finally:
                    customers.stop()
                    await placing
                await returns.stop()
                report(f"{time.monotonic() - began:6.0f} s  settle")
                await asyncio.sleep(_SETTLE_S)
                story.accepted = len(customers.accepted)
                made, story.compared = await figures(
                    server, servers, folder, spans, returns.started
                )
                story.shown += made
                story.shown += returns.figures(server, ceil(server.age_s()))
    return story


async def _all_committed(bootstrap_servers: str) -> None:
    """Wait until the group of each service has committed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()

    async def each_has() -> bool:
        return all([await admin.list_consumer_group_offsets(group) for group in SERVICES])

    try:
        await eventually(each_has, timeout_s=_SETTLE_S)
    finally:
        await admin.close()


def _rules(folder: Path) -> list[Path]:
    made = generated(Config())
    files = []
    for name in ("recordings.yaml", "alerts.yaml"):
        files.append(folder / name)
        files[-1].write_text(made[f"rules/{name}"])
    return files


async def _steady(_stage: Stage, length_s: float) -> None:
    await asyncio.sleep(length_s)


async def _payment_killed(stage: Stage, length_s: float) -> None:
    stage.shop.kill("payment")
    await asyncio.sleep(length_s)
    if length_s >= _SURELY_DEAD_S:
        await stage.look()
    stage.shop.start("payment")
    await asyncio.sleep(length_s)


async def _rolling_restart(stage: Stage, length_s: float) -> None:
    for service in SERVICES:
        await stage.shop.stop(service)
        stage.shop.start(service)
        await asyncio.sleep(5.0)
    await asyncio.sleep(length_s)


async def _payment_scaled(stage: Stage, length_s: float) -> None:
    replicas = ("payment-2", "payment-3")
    for replica in replicas:
        stage.shop.start("payment", replica)
    await asyncio.sleep(length_s)
    for replica in replicas:
        await stage.shop.stop(replica)


def poison(number: int) -> tuple[bytes, list[tuple[str, bytes | None]]]:
    """Return value and headers of a record that claims to be one of the shop's events."""
    # Without an id and a source it would claim nothing, and be skipped.
    kind = OrderPlaced.__name__
    return b"\x00 no event", cloudevent(type=kind, id=f"poison-{number}", source="/poison")


async def _poison(stage: Stage, length_s: float) -> None:
    async with AIOKafkaProducer(bootstrap_servers=stage.shop.bootstrap_servers) as producer:
        for number in range(_POISON):
            value, headers = poison(number)
            await producer.send_and_wait("orders.events", value, key=b"poison", headers=headers)
    await asyncio.sleep(length_s)


async def _slow_store(stage: Stage, length_s: float) -> None:
    """Hold the write lock of a service's database nine of ten seconds."""
    end = time.monotonic() + length_s
    file = stage.shop.folder / "inventory.sqlite3"
    while time.monotonic() < end:
        await asyncio.to_thread(_lock, file, 0.9)
        await asyncio.sleep(0.1)
    await asyncio.sleep(length_s)


def _lock(file: Path, seconds: float) -> None:
    with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)  # the fault itself: others wait for the lock meanwhile
        database.execute("ROLLBACK")


async def _odd_names(stage: Stage, length_s: float) -> None:
    """Read as a group with an odd name, leave it behind, and delete it in the end."""
    async with AIOKafkaConsumer(
        "orders.events",
        bootstrap_servers=stage.shop.bootstrap_servers,
        group_id=ODD_GROUP,
        auto_offset_reset="earliest",
    ) as consumer:
        await consumer.getmany(timeout_ms=5_000, max_records=10)
        await consumer.commit()
    await asyncio.sleep(length_s)
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.shop.bootstrap_servers)
    await admin.start()
    try:
        node = await admin.find_coordinator(ODD_GROUP)
        # aiokafka has no method for it.
        await admin._send_request_to_node(node, DeleteGroupsRequest([ODD_GROUP]))
    finally:
        await admin.close()


async def _quiet_half_hour(stage: Stage, _length_s: float) -> None:
    for _ in range(2):
        await asyncio.sleep(600)
        await _rolling_restart(stage, 0)
    await asyncio.sleep(600)


async def _topic_recreated(stage: Stage, length_s: float) -> None:
    await stage.returns.start()
    await asyncio.sleep(length_s / 2)
    await stage.returns.recreate_topic(_TOPIC_ABSENT_S)
    await asyncio.sleep(length_s)


async def _two_pipelines(stage: Stage, length_s: float) -> None:
    """Let two more pipelines share a topic and a group; they go on until the end."""
    await stage.returns.start()
    await asyncio.sleep(length_s)


CHAPTERS: Mapping[str, Callable[[Stage, float], Awaitable[None]]] = {
    "steady": _steady,
    "payment-killed": _payment_killed,
    "rolling-restart": _rolling_restart,
    "payment-scaled": _payment_scaled,
    "poison": _poison,
    "slow-store": _slow_store,
    "odd-names": _odd_names,
    "two-pipelines": _two_pipelines,
    "topic-recreated": _topic_recreated,
    "quiet-half-hour": _quiet_half_hour,
}
"""What can happen, by name, in the order of a whole run."""

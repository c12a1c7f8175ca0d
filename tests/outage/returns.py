"""The pipelines beside the orders: their processes, and their figures with one pipeline chosen."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from statistics import quantiles
from typing import TYPE_CHECKING, Self

from aiokafka.admin import AIOKafkaAdminClient

from dashboards.config import Config
from dashboards.model.labels import GROUP as GROUP_LABEL
from dashboards.model.labels import PIPELINE
from dashboards.model.labels import TOPIC as TOPIC_LABEL
from dashboards.model.promql import Scope
from dashboards.signals import dead_letters, flows, lag, sagas
from demo_pipeline.broker import create_topics
from tests.outage.figure import Figure, shown
from tests.outage.returns_service import GROUP, PIPELINES, TOPIC
from tracing.metrics.catalog import END_TO_END_DURATION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from tests.dashboards.prometheus_server import PrometheusServer

_STOP_S = 30.0
_ENOUGH = 50


class Returns:
    """Two pipelines that share a topic and a group.

    Args:
        bootstrap_servers: The cluster.
        folder: Where they write the truth.
        environment: The environment of their processes.

    Attributes:
        started: The services that have run.
    """

    def __init__(
        self, bootstrap_servers: str, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._folder = folder
        self._environment = environment
        self.started: tuple[str, ...] = ()
        self._processes: list[subprocess.Popen[bytes]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start both, unless they run already."""
        if self._processes:
            return
        await create_topics(self._bootstrap_servers, {TOPIC: len(PIPELINES)})
        self._processes = [self._process(pipeline) for pipeline in PIPELINES]
        self.started = PIPELINES

    async def stop(self) -> None:
        """Stop both; the one that only sends comes first, so that the other handles all."""
        while self._processes:
            process = self._processes.pop()
            process.terminate()
            await asyncio.to_thread(process.wait, _STOP_S)

    async def recreate_topic(self, absent_s: float) -> None:
        """Delete their topic, and create it again."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_topics([TOPIC])
        finally:
            await admin.close()
        await asyncio.sleep(absent_s)
        await create_topics(self._bootstrap_servers, {TOPIC: len(PIPELINES)})

    def figures(self, server: PrometheusServer, window_s: int) -> list[Figure]:
        """Compare what is shown of each pipeline with what its processes wrote; once stopped."""
        truth = _handled(self._folder / "handled.txt")
        if not truth:
            return []
        made = []
        for pipeline, ages_s in sorted(truth.items()):
            # As a dashboard with this pipeline chosen.
            scope = Scope.of(Config(pipelines=(pipeline,)), window=f"{window_s}s")
            arrived = scope.increase(END_TO_END_DURATION, by=(PIPELINE,), part="count")
            found = shown(server, arrived, PIPELINE)
            name = f"{pipeline}: arrived"
            made.append(Figure(name, found.pop((pipeline,), None), len(ages_s), 0.02))
            made.append(Figure(f"{pipeline}: of other pipelines", sum(found.values()), 0, 0))
            # The orders have sagas and dead letters, these have none.
            for signal in (sagas.ENDED, dead_letters.COUNT):
                others = sum(shown(server, signal.expr(scope)).values())
                made.append(Figure(f"{pipeline}: {signal.title} of orders", others, 0, 0))
            if len(ages_s) >= _ENOUGH:
                p95 = shown(server, flows.end_to_end(0.95, 5).expr(scope), PIPELINE)
                age_s = quantiles(ages_s, n=20)[-1]
                name = f"{pipeline}: end-to-end p95, s"
                made.append(Figure(name, p95.get((pipeline,)), age_s, 0.15))
        everything = Scope.of(Config(), window=f"{window_s}s")
        sent = shown(server, flows.SENT.expr(everything), TOPIC_LABEL)
        consumed = shown(server, flows.CONSUMED.expr(everything), GROUP_LABEL, TOPIC_LABEL)
        behind = shown(server, lag.RECORDS.expr(replace(everything, ruleset="")), GROUP_LABEL)
        accepted = sum(len(_lines(self._folder / f"sent-{name}.txt")) for name in PIPELINES)
        handled = sum(map(len, truth.values()))
        sent_to, read = sent.get((TOPIC,), 0.0), consumed.get((GROUP, TOPIC), 0.0)
        return [
            *made,
            Figure(f"sent to {TOPIC}", sent_to * window_s, accepted, 0.02),
            Figure(f"consumed by {GROUP} from {TOPIC}", read * window_s, handled, 0.05),
            Figure(f"lag of {GROUP}", behind.get((GROUP,)), 0, 0),
        ]

    def _process(self, pipeline: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.outage.returns_service"]
        with (self._folder / f"{pipeline}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, pipeline, self._bootstrap_servers, str(self._folder)],
                env=dict(self._environment),
                stdout=log,
                stderr=log,
            )


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _handled(file: Path) -> dict[str, list[float]]:
    """Return the ages of the records of each pipeline, in seconds."""
    ages_s: dict[str, list[float]] = {}
    for line in _lines(file):
        pipeline, age_s = line.split()
        ages_s.setdefault(pipeline, []).append(float(age_s))
    return ages_s

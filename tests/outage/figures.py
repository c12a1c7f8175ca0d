"""What the dashboards show, beside the truth from the broker, the databases and the spans."""

from __future__ import annotations

from collections import Counter
from math import ceil
from statistics import quantiles
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from dashboards.config import Config
from dashboards.model.labels import GROUP, OUTCOME, SAGA, TOPIC
from dashboards.model.promql import Scope
from dashboards.signals import dead_letters, flows, lag, sagas
from demo_pipeline.services import ALL_TOPICS, DEAD_LETTER_TOPICS, SERVICES
from tests.chaos.databases import SAGAS
from tests.chaos.saga_counts import counts_from_rows
from tests.outage.figure import Figure, shown
from tracing.metrics.catalog import SAGA_ENDED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dashboards.model.signal import Signal
    from tests.chaos.collector import Collector
    from tests.dashboards.prometheus_server import PrometheusServer

_CONFIG = Config()
_ENOUGH = 200


async def figures(
    server: PrometheusServer, bootstrap_servers: str, folder: Path, collector: Collector
) -> list[Figure]:
    """Compare over the whole run. Call it once everything that was sent has been processed.

    Records that were received again after a restart are consumed twice, so what is consumed may
    be a little more than what was committed.
    """
    window_s = ceil(server.age_s())
    ends, committed = await _offsets(bootstrap_servers)
    sent = _shown(server, flows.SENT, window_s, TOPIC, factor=window_s)
    consumed = _shown(server, flows.CONSUMED, window_s, GROUP, TOPIC, factor=window_s)
    behind = _shown(server, lag.RECORDS, window_s, GROUP, TOPIC)
    gave_up = _shown(server, dead_letters.RATE, window_s, GROUP, TOPIC)
    made = [
        Figure(f"sent to {topic}", sent.get((topic,)), float(ends[topic]), 0.05)
        for topic in sorted(ALL_TOPICS.keys() - DEAD_LETTER_TOPICS.keys())
    ]
    for (group, topic), offset in sorted(committed.items()):
        hop = group, topic
        made.append(Figure(f"consumed by {group} from {topic}", consumed.get(hop), offset, 0.05))
        made.append(Figure(f"lag of {group} on {topic}", behind.get(hop), ends[topic] - offset, 0))
        letters = ends.get(f"{topic}.{group}.dlq", 0)
        made.append(Figure(f"dead letters of {group} on {topic}", gave_up.get(hop), letters, 0))
    return [*made, *_saga_figures(server, folder, window_s), *_lags(server, collector, window_s)]


def _saga_figures(server: PrometheusServer, folder: Path, window_s: int) -> list[Figure]:
    ended = _shown(server, sagas.ENDED, window_s, SAGA, OUTCOME, factor=window_s)
    # What a store had counted before Prometheus first heard of it is not new to Prometheus.
    lowest = f"min_over_time({SAGA_ENDED.prometheus}[{window_s}s])"
    earlier = shown(server, f"min by ({SAGA}, {OUTCOME}) ({lowest})", SAGA, OUTCOME)
    active = _shown(server, sagas.ACTIVE, window_s, SAGA)
    overdue = _shown(server, sagas.OVERDUE, window_s, SAGA)
    made = []
    for service, saga in SAGAS.items():
        counts = counts_from_rows(folder, service)
        for outcome, number in sorted(counts.ended.items()):
            key = saga, outcome
            later = number - earlier.get(key, 0.0)
            made.append(Figure(f"{saga}: {outcome}", ended.get(key), later, 0.02))
        running = counts.started - sum(counts.ended.values())
        made.append(Figure(f"{saga}: active", active.get((saga,)), running, 0))
        made.append(Figure(f"{saga}: overdue", overdue.get((saga,)), 0, 0))
    return made


def _lags(server: PrometheusServer, collector: Collector, window_s: int) -> list[Figure]:
    p95_s = _shown(server, flows.END_TO_END_BY_HOP, window_s, GROUP, TOPIC)
    return [
        Figure(
            f"end-to-end p95 of {group} on {topic}, s",
            p95_s.get((group, topic)),
            quantiles(values, n=20)[-1],
            0.15,
        )
        for (group, topic), values in sorted(collector.end_to_end_s.items())
        if len(values) >= _ENOUGH and (group, topic) in p95_s
    ]


def _shown(
    server: PrometheusServer, signal: Signal, window_s: int, *labels: str, factor: float = 1.0
) -> dict[tuple[str, ...], float]:
    """Return what a signal shows over the window, summed by these labels."""
    query = signal.expr(Scope.of(_CONFIG, window=f"{window_s}s"))
    return {key: value * factor for key, value in shown(server, query, *labels).items()}


async def _offsets(
    bootstrap_servers: str,
) -> tuple[Mapping[str, int], Mapping[tuple[str, str], int]]:
    """Return the number of records by topic, and how many each group has committed by topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers)
    await consumer.start()
    try:
        partitions = [
            TopicPartition(topic, number)
            for topic, count in {**ALL_TOPICS, **DEAD_LETTER_TOPICS}.items()
            for number in range(count)
        ]
        by_partition = await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    ends: Counter[str] = Counter()
    for partition, end in by_partition.items():
        ends[partition.topic] += end
    committed: Counter[tuple[str, str]] = Counter()
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        for group in SERVICES:
            for partition, held in (await admin.list_consumer_group_offsets(group)).items():
                committed[group, partition.topic] += held.offset
    finally:
        await admin.close()
    return ends, committed

"""What is shown while a service is dead, beside the broker and the sagas' databases."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from dashboards.model.labels import GROUP, PARTITION, PIPELINE, SAGA, STATE, TOPIC
from dashboards.signals import catch_up, completeness, held_up, lag, objectives, sagas
from demo_pipeline.domain.topics import PARTITIONS
from demo_pipeline.domain.topics import PIPELINE as ORDERS
from demo_pipeline.services import SERVICES
from tests.chaos.databases import SAGAS, rows
from tests.outage.graphs import CONFIG, Graphs, Numbers, beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from dashboards.model.signal import Signal
    from tests.dashboards.prometheus_server import PrometheusServer
    from tests.outage.figure import Figure

_SERVICE, _TOPIC = "payment", "payment.commands"
_RETENTION_S = 3600.0
_WINDOW_S = 60
_OLD_S = 20.0
"""How old a number may be: the lag monitor looks and exports every few seconds."""
_OLD = 60.0
"""How many records or sagas there may be more by then."""
_RECORDED_S, _RECORDED = 50.0, 120.0
"""The same where a rule records what is shown, every 30 s."""
_DEAD = 4.0
"""The number of that status."""
_WAIT_MS = 10_000
_ACTIVE = (
    "SELECT state, count(*), sum(deadline_ns < ?), min(started_ns), min(moved_ns)"
    " FROM saga_instances WHERE saga = ? AND ended_ns IS NULL AND started_ns IS NOT NULL"
    " GROUP BY state"
)


@asynccontextmanager
async def limited_retention(bootstrap_servers: str) -> AsyncIterator[None]:
    """Let the broker delete old commands, so that there is a retention to watch."""
    config = {"retention.ms": f"{_RETENTION_S * 1000:.0f}"}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, _TOPIC, config)])
    finally:
        await admin.close()
    yield


async def dead_group_figures(
    server: PrometheusServer, bootstrap_servers: str, folder: Path
) -> list[Figure]:
    """Compare while payment has been dead for two minutes or more.

    What changes all the time may be shown as it was 20 s ago, or 50 s where a rule records it; the
    rest is exact.
    """
    graphs = Graphs(server, _WINDOW_S)
    waiting = await _read_waiting(bootstrap_servers)
    now_ns = time.time_ns()
    made = [*_lag_figures(graphs, waiting, now_ns), *_saga_figures(graphs, folder, now_ns)]
    return [replace(figure, name=f"While payment is dead, {figure.name}") for figure in made]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What a group has not committed.

    Attributes:
        records: Number of records, by partition.
        oldest_ms: The time of the oldest one, unix ms, by partition.
    """

    records: dict[str, int]
    oldest_ms: dict[str, int]


async def _read_waiting(bootstrap_servers: str) -> _Waiting:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(_SERVICE)
    finally:
        await admin.close()
    waiting = _Waiting({}, {})
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap_servers) as consumer:
        partitions = [TopicPartition(_TOPIC, number) for number in range(PARTITIONS[_TOPIC])]
        for partition, end in (await consumer.end_offsets(partitions)).items():
            held = committed.get(partition)
            offset = 0 if held is None else held.offset
            if offset == end:
                continue
            name = str(partition.partition)
            waiting.records[name] = end - offset
            consumer.assign([partition])
            consumer.seek(partition, offset)
            polled = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=1)
            waiting.oldest_ms[name] = min(
                record.timestamp for each in polled.values() for record in each
            )
    return waiting


def _lag_figures(graphs: Graphs, waiting: _Waiting, now_ns: int) -> list[Figure]:
    hop, place = (GROUP, TOPIC), (GROUP, TOPIC, PARTITION)
    age_s = now_ns / 1e9 - min(waiting.oldest_ms.values()) / 1e3
    records: Numbers = {(_SERVICE, _TOPIC): float(sum(waiting.records.values()))}
    ages: Numbers = {(_SERVICE, _TOPIC): age_s}
    partitions: Numbers = {
        (_SERVICE, _TOPIC, name): float(n) for name, n in waiting.records.items()
    }
    oldest: Numbers = {
        (_SERVICE, _TOPIC, name): now_ns / 1e9 - oldest_ms / 1e3
        for name, oldest_ms in waiting.oldest_ms.items()
    }
    flow_hop = PIPELINE, GROUP, TOPIC
    compared: list[tuple[Signal, tuple[str, ...], Numbers, float]] = [
        (lag.RECORDS, hop, records, _RECORDED),
        (lag.SECONDS, hop, ages, _RECORDED_S),
        (lag.TOP_PARTITIONS_BY_RECORDS, place, partitions, _OLD),
        (lag.TOP_PARTITIONS_BY_SECONDS, place, oldest, _OLD_S),
        (lag.CATCH_UP, hop, {(_SERVICE, _TOPIC): catch_up.NEVER_S}, 0),
        (lag.RETENTION_USED, hop, {(_SERVICE, _TOPIC): age_s / _RETENTION_S}, 0.01),
        (lag.RETENTION_LEFT, hop, {(_SERVICE, _TOPIC): _RETENTION_S - age_s}, _OLD_S),
        (completeness.PENDING, hop, records, _OLD),
    ]
    made = []
    for signal, labels, truth, least in compared:
        numbers = _of_payment(graphs.numbers(signal, *labels))
        made += beside(signal.title, numbers, truth, least=least)
    held = graphs.numbers(held_up.HELD_UP, *flow_hop, recorded=False)
    longest = {(ORDERS, _SERVICE, _TOPIC): age_s}
    late = objectives.lateness(CONFIG.objectives)
    status = {(group,): _DEAD if group == _SERVICE else 0.0 for group in SERVICES}
    return [
        *made,
        *beside(held_up.HELD_UP.title, _of_payment(held, 1), longest, least=_OLD_S),
        *beside(late.title, graphs.numbers(late, PIPELINE), {(ORDERS,): age_s}, least=_OLD_S),
        *graphs.compare(lag.GROUP_STATUS, status, GROUP),
        *graphs.compare(lag.STALLED_OR_DEAD, {(): 1.0}),
    ]


def _of_payment(numbers: Numbers, group: int = 0) -> Numbers:
    """Leave out the groups that work, whose lag changes all the time."""
    return {key: number for key, number in numbers.items() if key[group] == _SERVICE}


def _saga_figures(graphs: Graphs, folder: Path, now_ns: int) -> list[Figure]:
    active: Numbers = {}
    overdue: Counter[tuple[str, ...]] = Counter()
    oldest: Numbers = {}
    longest: Numbers = {}
    for service, saga in SAGAS.items():
        for state, number, late, started_ns, moved_ns in rows(
            folder, service, _ACTIVE, now_ns, saga
        ):
            active[saga, state] = float(number)
            overdue[(saga,)] += late
            oldest[(saga,)] = max(oldest.get((saga,), 0.0), (now_ns - started_ns) / 1e9)
            longest[saga, state] = (now_ns - moved_ns) / 1e9
    return [
        *graphs.compare(sagas.ACTIVE, active, SAGA, STATE, least=_OLD),
        *graphs.compare(sagas.OVERDUE, overdue, SAGA, least=_OLD),
        *graphs.compare(sagas.OLDEST, oldest, SAGA, least=_OLD_S),
        *graphs.compare(sagas.OLDEST_IN_STATES, longest, SAGA, STATE, least=_OLD_S),
    ]

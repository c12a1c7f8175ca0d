"""Sagas, beside the databases that store them."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from dashboards.model.labels import OUTCOME, SAGA, STATE, STEP
from dashboards.signals import sagas
from tests.chaos.databases import SAGAS, rows
from tests.chaos.saga_counts import counts_from_rows
from tests.outage.graphs import Graphs, Numbers, beside, counts
from tracing.metrics.catalog import SAGA_COMPENSATIONS, SAGA_ENDED, SAGA_STARTED

if TYPE_CHECKING:
    from pathlib import Path

    from dashboards.model.signal import Signal
    from tests.outage.figure import Figure
    from tracing.metrics.metric import Metric

_COUNT = 0.02
_UNDONE = ("compensated", "failed")
_QUANTILES = (0.5, 0.95, 0.99)
_ENDED = (
    "SELECT outcome, (ended_ns - started_ns) / 1e9 FROM saga_instances"
    " WHERE saga = ? AND ended_ns IS NOT NULL"
)
# A step that is only observed begins with the step before it, or with its saga.
_STEPS = (
    "SELECT step, step.outcome, (step.ended_ns - coalesce(step.started_ns,"
    " lag(step.ended_ns) OVER (PARTITION BY saga_id ORDER BY step.ended_ns),"
    " saga.started_ns)) / 1e9"
    " FROM saga_steps AS step JOIN saga_instances AS saga USING (saga, saga_id)"
    " WHERE saga = ? AND step.outcome IS NOT NULL"
)


def saga_figures(graphs: Graphs, folder: Path) -> list[Figure]:
    """Compare counts to 2 %, gauges exactly, and quantiles to 15 % or 5 ms; once all has ended."""
    started: Numbers = {}
    ended: Numbers = {}
    undone: Numbers = {}
    active: Numbers = {}
    for service, saga in SAGAS.items():
        number = counts_from_rows(folder, service)
        started[(saga,)] = number.started
        ended |= {(saga, outcome): each for outcome, each in number.ended.items()}
        undone |= {(saga, step): each for step, each in number.compensations.items()}
        active[(saga,)] = number.started - sum(number.ended.values())
    failed = {key[:1]: each for key, each in ended.items() if key[1] == "failed"}
    return [
        *_counted(graphs, sagas.STARTED, SAGA_STARTED, started, SAGA),
        *_counted(graphs, sagas.ENDED, SAGA_ENDED, ended, SAGA, OUTCOME),
        *_counted(graphs, sagas.COMPENSATIONS, SAGA_COMPENSATIONS, undone, SAGA, STEP),
        *graphs.compare(sagas.FAILED, failed, SAGA),
        *graphs.compare(sagas.ACTIVE, active, SAGA),
        # None is active, so none is overdue or old.
        *graphs.compare(sagas.OVERDUE, {}, SAGA),
        *graphs.compare(sagas.OLDEST, {}, SAGA),
        *graphs.compare(sagas.OLDEST_IN_STATES, {}, SAGA, STATE),
        *graphs.compare(sagas.COMPENSATION_RATE, _shares(ended), SAGA, within=0.05),
        *_durations(graphs, folder),
    ]


def _counted(
    graphs: Graphs, signal: Signal, metric: Metric, truth: Numbers, *labels: str
) -> list[Figure]:
    # What a store had counted before Prometheus first heard of it is not new to Prometheus.
    lowest = f"min_over_time({metric.prometheus}[{graphs.window_s}s])"
    earlier = graphs.query(f"min by ({', '.join(labels)}) ({lowest})", *labels)
    later = {key: number - earlier.get(key, 0.0) for key, number in truth.items()}
    return graphs.compare(signal, later, *labels, within=_COUNT, least=0.01, total=True)


def _shares(ended: Numbers) -> Numbers:
    every: Counter[tuple[str, ...]] = Counter()
    undone: Counter[tuple[str, ...]] = Counter()
    for (saga, outcome), number in ended.items():
        every[(saga,)] += int(number)
        undone[(saga,)] += int(number) if outcome in _UNDONE else 0
    return {saga: undone[saga] / number for saga, number in every.items() if number}


def _durations(graphs: Graphs, folder: Path) -> list[Figure]:
    sagas_s: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    steps_s: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    outcomes: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    for service, saga in SAGAS.items():
        for outcome, seconds in rows(folder, service, _ENDED, saga):
            sagas_s[saga, outcome].append(seconds)
        for step, outcome, seconds in rows(folder, service, _STEPS, saga):
            steps_s[saga, step].append(seconds)
            outcomes[saga, step, outcome].append(seconds)
    made = []
    for share in _QUANTILES:
        made += graphs.compare_quantile(sagas.duration(share), share, sagas_s, SAGA, OUTCOME)
    made += graphs.compare_quantile(sagas.STEP_P95, 0.95, steps_s, SAGA, STEP)
    funnel = graphs.numbers(sagas.FUNNEL, SAGA, STEP, OUTCOME)
    return [*made, *beside(sagas.FUNNEL.title, funnel, counts(outcomes), _COUNT, 2)]

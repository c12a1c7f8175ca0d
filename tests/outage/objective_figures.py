"""Late flows and the error budget, beside the spans, the dead letters and the sagas' deadlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.model.labels import GROUP, NOTE, OBJECTIVE, PIPELINE, SAGA, TOPIC, TYPE
from dashboards.signals import late_flows, objectives
from demo_pipeline.domain.topics import PIPELINE as ORDERS
from tests.chaos.databases import SAGAS, rows
from tests.outage.graphs import CONFIG, Graphs, Numbers, beside, near_quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tests.outage.broker_truth import Broker
    from tests.outage.figure import Figure
    from tests.outage.span_truth import SpanTruth

_HOP = ("pipeline", "group", "topic")
_HOP_LABELS = (PIPELINE, GROUP, TOPIC)
_SHARE = 0.005
_TWICE = -1.0
"""What the panel shows of a budget that is spent twice or more."""
_OVERDUE = (
    "SELECT deadline_ns, ended_ns FROM saga_instances WHERE saga = ? AND ended_ns > deadline_ns"
)
_ENDED = "SELECT count(*) FROM saga_instances WHERE saga = ? AND ended_ns IS NOT NULL"


def objective_figures(
    graphs: Graphs, broker: Broker, spans: SpanTruth, folder: Path
) -> list[Figure]:
    """Compare shares to half a percent of all flows, once nothing waits; p95 to 15 % or 5 ms.

    How many sagas were overdue at once is seen every few seconds, so their share is right to 15 %.
    """
    [objective] = CONFIG.objectives
    by_kind, by_hop, by_saga = late_flows.counted(graphs.scope, objective)
    kinds = {
        key: late_share(ages, objective.within_s)
        for key, ages in spans.ages.by(*_HOP, "type").items()
    }
    given_up = broker.dead_letters
    hops = {
        key: late_share(ages, objective.within_s, int(given_up.get(key[1:], 0)))
        for key, ages in spans.ages.by(*_HOP).items()
    }
    sagas = _overdue_shares(folder)
    late_kinds = graphs.query(by_kind.late_share, *_HOP_LABELS, TYPE)
    late_hops = graphs.query(by_hop.late_share, *_HOP_LABELS)
    late_sagas = graphs.query(by_saga.late_share, PIPELINE, SAGA)
    left = graphs.numbers(objectives.budget_left([objective]), PIPELINE, OBJECTIVE)
    shares: dict[str, float] = {}
    for (pipeline, *_), share in (*kinds.items(), *hops.items(), *sagas.items()):
        shares[pipeline] = max(share, shares.get(pipeline, 0.0))
    rest = {
        (pipeline, objective.name): max(1 - share / (1 - objective.ratio), _TWICE)
        for pipeline, share in shares.items()
    }
    return [
        *beside("Late flows by kind", late_kinds, kinds, least=_SHARE),
        *beside("Late flows and dead letters by hop", late_hops, hops, least=_SHARE),
        *beside("Overdue sagas, as a share", late_sagas, sagas, 0.15, _SHARE),
        *beside("Error budget left", left, rest, least=_SHARE / (1 - objective.ratio)),
        *_lateness(graphs, spans),
    ]


def _lateness(graphs: Graphs, spans: SpanTruth) -> list[Figure]:
    signal = objectives.lateness(CONFIG.objectives)
    shown = graphs.numbers(signal, PIPELINE, NOTE)
    worst: Numbers = {}
    for (pipeline, *_), ages in spans.ages.by(*_HOP, "type").items():
        key = pipeline, "p95"
        near = near_quantile(ages, 0.95, shown.get(key, 0.0))
        worst[key] = max(near, worst.get(key, 0.0))
    return beside(signal.title, shown, worst, 0.15, 0.005)


def late_share(ages_s: Sequence[float], limit_s: float, never: int = 0) -> float:
    """Return the share of flows that took longer than a limit, or never arrived."""
    late = sum(age > limit_s for age in ages_s) + never
    return late / (len(ages_s) + never)


def most_at_once(spells: Iterable[tuple[float, float]]) -> int:
    """Return how many of these spells, each from one moment to another, overlapped at most."""
    steps = sorted(step for start, end in spells for step in ((start, 1), (end, -1)))
    most = now = 0
    for _, change in steps:
        now += change
        most = max(most, now)
    return most


def _overdue_shares(folder: Path) -> Numbers:
    shares: Numbers = {}
    for service, saga in SAGAS.items():
        [(ended,)] = rows(folder, service, _ENDED, saga)
        overdue = most_at_once(rows(folder, service, _OVERDUE, saga))
        shares[ORDERS, saga] = overdue / max(ended, 1)
    return shares

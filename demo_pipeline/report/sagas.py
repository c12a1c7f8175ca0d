"""Sagas by name: their numbers come from metrics, their times from spans."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.facts import number_points
from demo_pipeline.report.model import Role
from demo_pipeline.report.timing import distribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import MetricsData

    from demo_pipeline.report.model import Distribution, SagaFacts, SpanFacts

    _SagaSpan = tuple[SpanFacts, SagaFacts]
    _Reported = Mapping[tuple[str, str], Counter[str]]

_SAGA: Final = "saga"
_OUTCOME: Final = "outcome"
_STARTED: Final = "pipeline.saga.started"
_ENDED: Final = "pipeline.saga.ended"
_ACTIVE: Final = "pipeline.saga.active"
_OVERDUE: Final = "pipeline.saga.overdue"
_NAMES: Final = frozenset({_STARTED, _ENDED, _ACTIVE, _OVERDUE})


@dataclass(frozen=True, slots=True)
class SagaStep:
    """One step of the sagas of one name, or one compensation.

    Attributes:
        name: The step.
        compensation: Whether it is a compensation.
        ok: How often it succeeded.
        rejected: How often it was rejected for a business reason.
        errors: How often it failed.
        duration: From its start to its end, in ns.
    """

    name: str
    compensation: bool
    ok: int
    rejected: int
    errors: int
    duration: Distribution | None


@dataclass(frozen=True, slots=True)
class Saga:
    """All sagas of one name.

    Attributes:
        name: Their name.
        started: How many started.
        completed: How many completed all steps.
        compensated: How many compensated the steps that they had done.
        failed: How many could not be compensated either.
        overdue: How many ended after their deadline, or are active after it.
        active: How many have not ended.
        duration: From start to end, in ns; `None` without spans.
        steps: The steps in the order of their first starts, then the compensations.
    """

    name: str
    started: int
    completed: int
    compensated: int
    failed: int
    overdue: int
    active: int
    duration: Distribution | None
    steps: tuple[SagaStep, ...]


def sum_up_sagas(
    metrics: Iterable[MetricsData], spans: Iterable[SpanFacts] = ()
) -> tuple[Saga, ...]:
    """Sum up sagas by name, without names that have none.

    Args:
        metrics: The last cumulative metrics of each service. Missing counts come from spans.
        spans: The spans of all services, by start.
    """
    reported = _reported(metrics)
    ended: defaultdict[str, list[_SagaSpan]] = defaultdict(list)
    steps: defaultdict[str, list[_SagaSpan]] = defaultdict(list)
    for span in spans:
        if span.saga is not None:
            by_name = ended if span.role is Role.SAGA else steps
            by_name[span.saga.name].append((span, span.saga))
    counted = {name for (_, name), counts in reported.items() if counts.total()}
    return tuple(
        _sum_up(name, reported, ended[name], steps[name])
        for name in sorted(counted | ended.keys() | steps.keys())
    )


def _reported(metrics: Iterable[MetricsData]) -> _Reported:
    """Read the counts by metric and saga, and by outcome if they have one."""
    highest: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for data in metrics:
        of_replica: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for _, metric, point in number_points([data], _NAMES):
            attributes = point.attributes or {}
            saga = str(attributes.get(_SAGA) or "unknown")
            of_replica[metric, saga][str(attributes.get(_OUTCOME, ""))] += int(point.value)
        for key, counts in of_replica.items():
            # All replicas read their counts from one shared store: adding would count twice.
            highest[key] |= counts
    return highest


def _sum_up(
    name: str, reported: _Reported, ended: Sequence[_SagaSpan], steps: Sequence[_SagaSpan]
) -> Saga:
    ended_ids = {saga.saga_id for _, saga in ended}
    active_ids = {saga.saga_id for _, saga in steps} - ended_ids
    ends = reported.get((_ENDED, name))
    if ends is None:
        ends = Counter(saga.outcome for _, saga in ended)
    active = _total(reported, _ACTIVE, name, len(active_ids))
    return Saga(
        name=name,
        started=_total(reported, _STARTED, name, ends.total() + active),
        completed=ends["completed"],
        compensated=ends["compensated"],
        failed=ends["failed"],
        overdue=sum(saga.overdue for _, saga in ended) + _total(reported, _OVERDUE, name, 0),
        active=active,
        duration=distribution(span.duration_ns for span, _ in ended),
        steps=_sum_up_steps(steps),
    )


def _total(reported: _Reported, metric: str, name: str, otherwise: int) -> int:
    counts = reported.get((metric, name))
    return otherwise if counts is None else counts.total()


def _sum_up_steps(steps: Sequence[_SagaSpan]) -> tuple[SagaStep, ...]:
    by_step: defaultdict[tuple[bool, str], list[SpanFacts]] = defaultdict(list)
    for span, saga in steps:
        by_step[saga.compensation, saga.step].append(span)
    # Sorting is stable: forward steps and compensations each keep the order of their first starts.
    ranked = sorted(by_step.items(), key=lambda item: item[0][0])
    return tuple(
        SagaStep(
            name=name,
            compensation=compensation,
            ok=sum(span.outcome == "ok" and not span.failed for span in ended),
            rejected=sum(span.outcome == "rejected" and not span.failed for span in ended),
            errors=sum(span.failed for span in ended),
            duration=distribution(span.duration_ns for span in ended),
        )
        for (compensation, name), ended in ranked
    )

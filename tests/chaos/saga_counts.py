"""Count sagas in three ways: from a store's rows, from its totals and from exported metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.databases import SAGAS, rows
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.chaos.saga_metrics import SagaMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaCounts:
    """Numbers of sagas since the beginning. Zeros are left out, so that counts compare.

    Attributes:
        saga: The saga's name.
        started: Number of sagas that started.
        ended: Number of sagas that ended, by outcome.
        compensations: Number of steps that were undone, by compensation.
    """

    saga: str
    started: int
    ended: Mapping[str, int]
    compensations: Mapping[str, int]

    def __str__(self) -> str:
        ended = ", ".join(f"{number} {outcome}" for outcome, number in sorted(self.ended.items()))
        undone = ", ".join(f"{step} {n}" for step, n in sorted(self.compensations.items()))
        return f"{self.saga}: {self.started} started, {ended or 'none'} ended; undone: {undone}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Time-outs of sagas. They are no error, but should be rare.

    Attributes:
        asked_again: Number of steps that were requested more than once.
        given_up: Number of steps that were given up without an answer.
        overdue: Number of sagas that ended after their deadline.
    """

    asked_again: int
    given_up: int
    overdue: int


def counts_from_rows(folder: Path, service: str) -> SagaCounts:
    """Count the rows of a service's saga store."""
    saga = SAGAS[service]
    query = "SELECT outcome, count(*) FROM saga_instances WHERE saga = ? GROUP BY outcome"
    by_outcome = dict(rows(folder, service, query, saga))
    undone = (
        "SELECT step, count(*) FROM saga_steps "
        "WHERE saga = ? AND compensation AND outcome = 'ok' GROUP BY step"
    )
    return SagaCounts(
        saga=saga,
        started=sum(by_outcome.values()),
        ended={outcome: number for outcome, number in by_outcome.items() if outcome is not None},
        compensations=dict(rows(folder, service, undone, saga)),
    )


def counts_from_totals(folder: Path, service: str) -> SagaCounts:
    """Add up the totals in a service's saga store."""
    saga = SAGAS[service]
    query = "SELECT figure, label, sum(number) FROM saga_totals WHERE saga = ? GROUP BY 1, 2"
    totals = {
        (figure, label): number for figure, label, number in rows(folder, service, query, saga)
    }
    return SagaCounts(
        saga=saga,
        started=totals.get(("started", ""), 0),
        ended={label: n for (figure, label), n in totals.items() if figure == "ended" and n},
        compensations={
            label: n for (figure, label), n in totals.items() if figure == "compensated" and n
        },
    )


def counts_from_metrics(metrics: SagaMetrics, service: str) -> SagaCounts:
    """Read the counts from a service's last export."""
    saga = SAGAS[service]
    started = metrics.last(service, catalog.SAGA_STARTED.name, saga)
    ended = metrics.last(service, catalog.SAGA_ENDED.name, saga)
    undone = metrics.last(service, catalog.SAGA_COMPENSATIONS.name, saga)
    return SagaCounts(
        saga=saga,
        started=int(sum(value for _, value in started)),
        ended=_by_label("outcome", ended),
        compensations=_by_label("step", undone),
    )


def delays(folder: Path) -> Delays:
    """Count the orchestrator's time-outs."""
    return Delays(
        asked_again=_number(folder, "saga_steps WHERE attempts > 1"),
        given_up=_number(folder, "saga_steps WHERE outcome = 'error'"),
        overdue=_number(folder, "saga_instances WHERE ended_ns > deadline_ns"),
    )


def _number(folder: Path, selection: str) -> int:
    [(number,)] = rows(folder, "orchestrator", f"SELECT count(*) FROM {selection}")  # noqa: S608 - ours
    return int(number)


def _by_label(label: str, series: Iterable[tuple[Mapping[str, str], float]]) -> dict[str, int]:
    return {labels[label]: int(value) for labels, value in series if value}

"""How many sagas there were: by the rows of a store, by its totals, and by exported metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.books import SAGAS, rows
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.chaos.saga_metrics import SagaMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaFigures:
    """How many there were ever; what never happened is left out, so that figures compare.

    Attributes:
        saga: What the sagas are called.
        started: How many started.
        ended: How many ended, by outcome.
        compensations: How many steps were undone, by compensation.
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
    """Where sagas ran into time-outs, which is no fault, but should be seldom.

    Attributes:
        asked_again: Steps that were asked for more than once.
        given_up: Steps that were given up without an answer.
        overdue: Sagas that took longer than they should.
    """

    asked_again: int
    given_up: int
    overdue: int


def counted(folder: Path, service: str) -> SagaFigures:
    """Count the rows of a service's saga store."""
    saga = SAGAS[service]
    outcomes = "SELECT outcome, count(*) FROM saga_instances WHERE saga = ? GROUP BY outcome"
    found = dict(rows(folder, service, outcomes, saga))
    undone = (
        "SELECT step, count(*) FROM saga_steps "
        "WHERE saga = ? AND compensation AND outcome = 'ok' GROUP BY step"
    )
    return SagaFigures(
        saga=saga,
        started=sum(found.values()),
        ended={outcome: number for outcome, number in found.items() if outcome is not None},
        compensations=dict(rows(folder, service, undone, saga)),
    )


def totalled(folder: Path, service: str) -> SagaFigures:
    """Add up the totals that a service's saga store keeps."""
    saga = SAGAS[service]
    query = "SELECT figure, label, sum(number) FROM saga_totals WHERE saga = ? GROUP BY 1, 2"
    found = {
        (figure, label): number for figure, label, number in rows(folder, service, query, saga)
    }
    return SagaFigures(
        saga=saga,
        started=found.get(("started", ""), 0),
        ended={label: n for (figure, label), n in found.items() if figure == "ended" and n},
        compensations={
            label: n for (figure, label), n in found.items() if figure == "compensated" and n
        },
    )


def exported(metrics: SagaMetrics, service: str) -> SagaFigures:
    """Read what a service's last export said."""
    saga = SAGAS[service]
    started = metrics.last(service, catalog.SAGA_STARTED.name, saga)
    ended = metrics.last(service, catalog.SAGA_ENDED.name, saga)
    undone = metrics.last(service, catalog.SAGA_COMPENSATIONS.name, saga)
    return SagaFigures(
        saga=saga,
        started=int(sum(value for _, value in started)),
        ended=_by_label("outcome", ended),
        compensations=_by_label("step", undone),
    )


def delays(folder: Path) -> Delays:
    """Count where the orchestrator waited in vain."""
    return Delays(
        asked_again=_number(folder, "saga_steps WHERE attempts > 1"),
        given_up=_number(folder, "saga_steps WHERE outcome = 'error'"),
        overdue=_number(folder, "saga_instances WHERE ended_ns > deadline_ns"),
    )


def _number(folder: Path, what: str) -> int:
    [(number,)] = rows(folder, "orchestrator", f"SELECT count(*) FROM {what}")  # noqa: S608 - ours
    return int(number)


def _by_label(label: str, series: Iterable[tuple[Mapping[str, str], float]]) -> dict[str, int]:
    return {labels[label]: int(value) for labels, value in series if value}

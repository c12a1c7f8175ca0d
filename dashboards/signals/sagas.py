"""Sagas: how many are active, how they end, and which step delays them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import COUNTED_BY, OUTCOME, PIPELINE, SAGA, STATE, STEP
from dashboards.model.promql import aggregate
from dashboards.model.signal import NO_SAGAS, Signal, Threshold
from tracing.core.semconv import BY_PROCESS
from tracing.metrics.catalog import (
    SAGA_ACTIVE,
    SAGA_COMPENSATIONS,
    SAGA_DURATION,
    SAGA_ENDED,
    SAGA_OLDEST_AGE,
    SAGA_OVERDUE,
    SAGA_STARTED,
    SAGA_STATE_OLDEST_AGE,
    SAGA_STEP_DURATION,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.model.promql import Scope
    from tracing.metrics.metric import Metric

_NAMED: Final = f'{STEP}!=""'
_WITHOUT_STEP: Final = f'{STEP}=""'
# Shops that share a Prometheus may have sagas of one name.
_SAGA: Final = (PIPELINE, SAGA)
_NAME: Final = f"{{{{{PIPELINE}}}}} {{{{{SAGA}}}}}"

_COMPENSATED_OR_FAILED: Final = f'{OUTCOME}=~"compensated|failed"'


def _counted(scope: Scope, metric: Metric, *where: str, by: Sequence[str], opened: str = "") -> str:
    """Return a query for what processes have counted by themselves, or else what a store has."""
    own = scope.increase(metric, *where, f'{COUNTED_BY}="{BY_PROCESS}"', by=by)
    # What an earlier version has counted has no such label.
    in_store = f'{COUNTED_BY}!="{BY_PROCESS}"'
    stored = scope.stored_increase(
        metric, *where, in_store, by=by, opened=opened, opened_by=_SAGA if opened else ()
    )
    return f"({own} or {stored})"


def ended(scope: Scope, *where: str) -> str:
    """Return a query for the sagas that ended in the window, by name."""
    return aggregate("sum", _SAGA, _counted(scope, SAGA_ENDED, *where, by=(*_SAGA, OUTCOME)))


def _compensations(scope: Scope) -> str:
    """Return a query for the compensations in the window, the first of each step included."""
    return _counted(scope, SAGA_COMPENSATIONS, _NAMED, by=(*_SAGA, STEP), opened=_WITHOUT_STEP)


def _per_second(scope: Scope, increase: str) -> str:
    return f"({increase} / {scope.window})"


def _steps(scope: Scope) -> str:
    return scope.increase(SAGA_STEP_DURATION, by=(*_SAGA, STEP, OUTCOME), part="count")


def _by_state(scope: Scope, metric: Metric) -> str:
    """Return a query for a gauge of active sagas by name and state; 0 where a store has none."""
    active = scope.newest(metric, of=_SAGA, by=(*_SAGA, STATE), beside=SAGA_OVERDUE)
    reported = aggregate("group", _SAGA, scope.select(SAGA_OVERDUE))
    none = f'label_replace(0 * {reported}, "{STATE}", "none", "", "")'
    return f"{active} or on ({', '.join(_SAGA)}) {none}"


ACTIVE: Final = Signal(
    title="Active sagas by state",
    description="Sagas that have not ended, by the state they are in. If a state keeps growing, "
    "its step does not answer.",
    unit="locale",
    expr=lambda scope: _by_state(scope, SAGA_ACTIVE),
    legend=f"{_NAME}: {{{{{STATE}}}}}",
    reporter=None,
    empty=NO_SAGAS,
)
OVERDUE: Final = Signal(
    title="Overdue sagas",
    description="Sagas that have not ended and are past their deadline.",
    unit="locale",
    expr=lambda scope: scope.newest(SAGA_OVERDUE, of=_SAGA, by=_SAGA),
    legend=_NAME,
    thresholds=(Threshold(1, "warning"), Threshold(10, "critical")),
    reporter=None,
    empty=NO_SAGAS,
)
OLDEST: Final = Signal(
    title="Age of the oldest active saga",
    description="Age of the oldest saga that has not ended; 0 if there is none.",
    unit="s",
    expr=lambda scope: scope.newest(SAGA_OLDEST_AGE, of=_SAGA, by=_SAGA),
    legend=_NAME,
    reporter=None,
    empty=NO_SAGAS,
)
OLDEST_IN_STATES: Final = Signal(
    title="Longest wait in each state",
    description="How long the saga that has been in a state the longest has been in it. Where "
    "states are named after steps, it is the wait for that step since its first request: the step "
    "whose line rises by a second each second does not answer.",
    unit="s",
    expr=lambda scope: _by_state(scope, SAGA_STATE_OLDEST_AGE),
    legend=f"{_NAME}: {{{{{STATE}}}}}",
    reporter=None,
    empty=NO_SAGAS,
)
STARTED: Final = Signal(
    title="Started",
    description="Sagas that start or end, per second."
    " Where replicas share a store, the highest count is that of all.",
    unit="cps",
    expr=lambda scope: _per_second(scope, _counted(scope, SAGA_STARTED, by=_SAGA)),
    legend=f"{_NAME} started",
)
ENDED: Final = Signal(
    title="Ended by outcome",
    description="Sagas that end, per second. Compensated sagas were undone cleanly; failed ones "
    "need manual repair.",
    unit="cps",
    expr=lambda scope: _per_second(scope, _counted(scope, SAGA_ENDED, by=(*_SAGA, OUTCOME))),
    legend=f"{_NAME} {{{{{OUTCOME}}}}}",
)
FAILED: Final = Signal(
    title="Failed sagas",
    description="Sagas whose compensation could not finish, within the interval. Each needs manual "
    "repair.",
    unit="locale",
    expr=lambda scope: _counted(scope, SAGA_ENDED, f'{OUTCOME}="failed"', by=_SAGA),
    legend=_NAME,
    thresholds=(Threshold(1, "critical"),),
    reporter=None,
    empty=NO_SAGAS,
)
COMPENSATION_RATE: Final = Signal(
    title="Share of sagas compensated or failed",
    description="Compensated and failed sagas, as a share of all that ended.",
    unit="percentunit",
    expr=lambda scope: f"{ended(scope, _COMPENSATED_OR_FAILED)} / ({ended(scope)} > 0)",
    legend=_NAME,
    thresholds=(Threshold(0.1, "warning"), Threshold(0.5, "critical")),
)


def duration(share: float) -> Signal:
    """Make the signal for a quantile of the sagas' duration, by outcome."""
    return Signal(
        title=f"Duration p{share * 100:g}",
        description="Time from a saga's start to its end, by outcome.",
        unit="s",
        expr=lambda scope: scope.quantile(share, SAGA_DURATION, by=(*_SAGA, OUTCOME)),
        legend=f"{_NAME} {{{{{OUTCOME}}}}} p{share * 100:g}",
        exemplars=True,
    )


FUNNEL: Final = Signal(
    title="Step funnel",
    description="Steps by outcome, within the interval: it shows which steps reject sagas and "
    "which fail. Late steps and compensations have small numbers.",
    unit="locale",
    expr=lambda scope: f"sort_desc({_steps(scope)} > 0)",
    legend=f"{_NAME}: {{{{{STEP}}}}} {{{{{OUTCOME}}}}}",
)
STEP_P95: Final = Signal(
    title="Step duration p95",
    description="Time from a step's command to its reply.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, SAGA_STEP_DURATION, by=(*_SAGA, STEP)),
    legend=f"{_NAME} {{{{{STEP}}}}}",
    exemplars=True,
)
COMPENSATIONS: Final = Signal(
    title="Compensations",
    description="Compensations that were completed, per second, by name.",
    unit="cps",
    expr=lambda scope: _per_second(scope, _compensations(scope)),
    legend=f"{_NAME} {{{{{STEP}}}}}",
)

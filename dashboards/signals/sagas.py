"""Sagas: how many are under way, how they end, and at which step they are held up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import OUTCOME, SAGA, STATE, STEP
from dashboards.model.signal import Signal, Threshold
from tracing.metrics.catalog import (
    SAGA_ACTIVE,
    SAGA_COMPENSATIONS,
    SAGA_DURATION,
    SAGA_ENDED,
    SAGA_OLDEST_AGE,
    SAGA_OVERDUE,
    SAGA_STARTED,
    SAGA_STEP_DURATION,
)

if TYPE_CHECKING:
    from dashboards.model.promql import Scope

_NAMED: Final = f'{STEP}!=""'
_NAME: Final = f"{{{{{SAGA}}}}}"

_TURNED_BACK: Final = f'{OUTCOME}=~"compensated|failed"'


def _ended(scope: Scope, *where: str) -> str:
    """Sagas that ended in the window, by name: of each outcome what the furthest replica saw."""
    return f"sum by ({SAGA}) ({scope.shared_increase(SAGA_ENDED, *where, by=(SAGA, OUTCOME))})"


def _steps(scope: Scope) -> str:
    return scope.grown(SAGA_STEP_DURATION, by=(SAGA, STEP, OUTCOME), part="count")


ACTIVE: Final = Signal(
    title="Active sagas by state",
    description="Sagas that have not ended, by what they wait for. A state that fills is a step "
    "that does not answer.",
    unit="locale",
    expr=lambda scope: scope.worst(SAGA_ACTIVE, by=(SAGA, STATE)),
    legend=f"{_NAME}: {{{{{STATE}}}}}",
)
OVERDUE: Final = Signal(
    title="Overdue sagas",
    description="Sagas that have not ended and are older than their deadline.",
    unit="locale",
    expr=lambda scope: scope.worst(SAGA_OVERDUE, by=(SAGA,)),
    legend=_NAME,
    thresholds=(Threshold(1, "warning"), Threshold(10, "critical")),
)
OLDEST: Final = Signal(
    title="Age of the oldest active saga",
    description="How long the oldest one has been under way; 0 where there is none.",
    unit="s",
    expr=lambda scope: scope.worst(SAGA_OLDEST_AGE, by=(SAGA,)),
    legend=_NAME,
)
STARTED: Final = Signal(
    title="Started",
    description="Sagas per second that start; of replicas, which read one store, the most.",
    unit="cps",
    expr=lambda scope: f"max by ({SAGA}) (rate({scope.select(SAGA_STARTED)}[{scope.window}]))",
    legend=f"{_NAME} started",
)
ENDED: Final = Signal(
    title="Ends by outcome",
    description="Sagas per second that end. Compensated ones were turned back cleanly; failed ones "
    "need a human.",
    unit="cps",
    expr=lambda scope: (
        f"max by ({SAGA}, {OUTCOME}) (rate({scope.select(SAGA_ENDED)}[{scope.window}]))"
    ),
    legend=f"{_NAME} {{{{{OUTCOME}}}}}",
)
FAILED: Final = Signal(
    title="Failed sagas",
    description="Sagas whose compensation could not finish, within the interval. Somebody has to "
    "look at each.",
    unit="locale",
    expr=lambda scope: scope.shared_growth(SAGA_ENDED, f'{OUTCOME}="failed"', by=(SAGA,)),
    legend=_NAME,
    thresholds=(Threshold(1, "critical"),),
)
TURNED_BACK: Final = Signal(
    title="Share of sagas compensated or failed",
    description="Compensated and failed sagas of all that ended.",
    unit="percentunit",
    expr=lambda scope: f"{_ended(scope, _TURNED_BACK)} / ({_ended(scope)} > 0)",
    legend=_NAME,
    thresholds=(Threshold(0.1, "warning"), Threshold(0.5, "critical")),
)


def duration(share: float) -> Signal:
    """How long sagas take, by outcome."""
    return Signal(
        title=f"Duration p{share * 100:g}",
        description="From a saga's start to its end, by outcome.",
        unit="s",
        expr=lambda scope: scope.quantile(share, SAGA_DURATION, by=(SAGA, OUTCOME)),
        legend=f"{_NAME} {{{{{OUTCOME}}}}} p{share * 100:g}",
        exemplars=True,
    )


FUNNEL: Final = Signal(
    title="Step funnel",
    description="How many steps ended how, within the interval: where sagas are refused, and where "
    "they fail. What few get to is far down the way, or undoes something.",
    unit="locale",
    expr=lambda scope: f"sort_desc({_steps(scope)} > 0)",
    legend=f"{_NAME}: {{{{{STEP}}}}} {{{{{OUTCOME}}}}}",
)
STEP_P95: Final = Signal(
    title="Step duration p95",
    description="From a step's command to its answer.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, SAGA_STEP_DURATION, by=(SAGA, STEP)),
    legend=f"{_NAME} {{{{{STEP}}}}}",
    exemplars=True,
)
COMPENSATIONS: Final = Signal(
    title="Compensations",
    description="Compensations per second that were done, by their name.",
    unit="cps",
    expr=lambda scope: (
        f"max by ({SAGA}, {STEP}) "
        f"(rate({scope.select(SAGA_COMPENSATIONS, _NAMED)}[{scope.window}]))"
    ),
    legend=f"{_NAME} {{{{{STEP}}}}}",
)

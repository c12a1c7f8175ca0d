"""The metrics that a tracker records: durations, and counts when no store supplies them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.metrics import catalog
from tracing.metrics.series import OTHER
from tracing.sagas.context import SAGA_OUTCOMES, STEP_OK, STEP_OUTCOMES

if TYPE_CHECKING:
    from tracing.metrics.instruments import Count, Durations
    from tracing.sagas.context import SagaOutcome, StepOutcome
    from tracing.telemetry import Telemetry

_MAX_STEPS: Final = 64


class SagaSeries:
    """The metric series of the sagas of one name. For one thread.

    Args:
        telemetry: The service's telemetry; its pipeline is that of the sagas.
        saga: The name of the sagas.
        counting: Whether to count as well; a durable store counts more reliably.
    """

    def __init__(self, telemetry: Telemetry, saga: str, *, counting: bool) -> None:
        metrics = self._metrics = telemetry.metrics
        self._attributes = {
            semconv.PIPELINE_LABEL: telemetry.pipeline,
            semconv.SAGA_LABEL: saga,
        }
        self._counted = {**self._attributes, semconv.COUNTED_BY_LABEL: semconv.BY_PROCESS}
        self._counting = counting
        self._steps: dict[tuple[str, StepOutcome], Durations] = {}
        self._undone: dict[str, Count] = {}
        self._durations = {
            outcome: metrics.durations(
                catalog.SAGA_DURATION, {**self._attributes, semconv.OUTCOME_LABEL: outcome}
            )
            for outcome in SAGA_OUTCOMES
        }
        if counting:
            self._started = metrics.count(catalog.SAGA_STARTED, self._counted)
            # A series without a step, so that there is a 0 before the first compensation.
            metrics.count(catalog.SAGA_COMPENSATIONS, self._counted)
            self._ended = {
                outcome: metrics.count(
                    catalog.SAGA_ENDED, {**self._counted, semconv.OUTCOME_LABEL: outcome}
                )
                for outcome in SAGA_OUTCOMES
            }

    def started(self) -> None:
        """Count a saga that started."""
        if self._counting:
            self._started.value += 1

    def ended(self, outcome: SagaOutcome, duration_s: float) -> None:
        """Record a saga that ended."""
        self._durations[outcome].record(duration_s)
        if self._counting:
            self._ended[outcome].value += 1

    def step(self, step: str, outcome: StepOutcome, duration_s: float, *, undoes: bool) -> None:
        """Record a step that ended; one that undoes another step is a compensation.

        Raises:
            ValueError: `outcome` is not an outcome of a step.
        """
        if outcome not in STEP_OUTCOMES:
            raise ValueError(f"{outcome!r} is not an outcome of a step")
        if (step, outcome) not in self._steps and len(self._steps) >= _MAX_STEPS:
            step = OTHER
        durations = self._steps.get((step, outcome))
        if durations is None:
            durations = self._steps[step, outcome] = self._metrics.durations(
                catalog.SAGA_STEP_DURATION,
                {**self._attributes, semconv.STEP_LABEL: step, semconv.OUTCOME_LABEL: outcome},
            )
        durations.record(duration_s)
        if undoes and outcome == STEP_OK and self._counting:
            count = self._undone.get(step)
            if count is None:
                count = self._undone[step] = self._metrics.count(
                    catalog.SAGA_COMPENSATIONS, {**self._counted, semconv.STEP_LABEL: step}
                )
            count.value += 1

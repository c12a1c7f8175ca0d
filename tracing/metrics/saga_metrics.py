"""The metrics of sagas: durations as services measure them, and what their durable store knows.

They are part of the catalogue, which is where other modules take them from.
"""

from typing import Final

from tracing.core import semconv
from tracing.metrics.buckets import SAGA_BUCKETS
from tracing.metrics.metric import Metric

SAGA_STARTED: Final = Metric(
    name="pipeline.saga.started",
    kind="counter",
    unit="{saga}",
    description="Sagas that have started. Counted by a store, all replicas report the same number: "
    "take the maximum. Counted by processes, each reports its own: take the sum.",
    labels=(semconv.PIPELINE_LABEL, semconv.SAGA_LABEL, semconv.COUNTED_BY_LABEL),
)
SAGA_ENDED: Final = Metric(
    name="pipeline.saga.ended",
    kind="counter",
    unit="{saga}",
    description="Sagas that have ended, by outcome. Maximum or sum as for those that have started.",
    labels=(
        semconv.PIPELINE_LABEL,
        semconv.SAGA_LABEL,
        semconv.OUTCOME_LABEL,
        semconv.COUNTED_BY_LABEL,
    ),
)
SAGA_DURATION: Final = Metric(
    name="pipeline.saga.duration",
    kind="histogram",
    unit="s",
    description="From a saga's start to its end, as the service that ended it measures it.",
    labels=(semconv.PIPELINE_LABEL, semconv.SAGA_LABEL, semconv.OUTCOME_LABEL),
    buckets=SAGA_BUCKETS,
)
SAGA_STEP_DURATION: Final = Metric(
    name="pipeline.saga.step.duration",
    kind="histogram",
    unit="s",
    description="Duration of one step of a saga, from its command to its answer.",
    labels=(semconv.PIPELINE_LABEL, semconv.SAGA_LABEL, semconv.STEP_LABEL, semconv.OUTCOME_LABEL),
    buckets=SAGA_BUCKETS,
)
SAGA_COMPENSATIONS: Final = Metric(
    name="pipeline.saga.compensations",
    kind="counter",
    unit="{step}",
    description="Compensations that were done, by name. Maximum or sum as for started sagas.",
    labels=(
        semconv.PIPELINE_LABEL,
        semconv.SAGA_LABEL,
        semconv.STEP_LABEL,
        semconv.COUNTED_BY_LABEL,
    ),
)
SAGA_ACTIVE: Final = Metric(
    name="pipeline.saga.active",
    kind="gauge",
    unit="{saga}",
    description="Sagas that have not ended, by state. Read from the durable store, so correct "
    "after a crash; all replicas report the same number.",
    labels=(semconv.PIPELINE_LABEL, semconv.SAGA_LABEL, semconv.STATE_LABEL),
)
SAGA_OVERDUE: Final = Metric(
    name="pipeline.saga.overdue",
    kind="gauge",
    unit="{saga}",
    description="Sagas that have not ended and are older than their deadline.",
    labels=(semconv.PIPELINE_LABEL, semconv.SAGA_LABEL),
)
SAGA_OLDEST_AGE: Final = Metric(
    name="pipeline.saga.oldest_age",
    kind="gauge",
    unit="s",
    description="Age of the oldest saga that has not ended; 0 if there is none.",
    labels=(semconv.PIPELINE_LABEL, semconv.SAGA_LABEL),
)
SAGA_STATE_OLDEST_AGE: Final = Metric(
    name="pipeline.saga.state.oldest_age",
    kind="gauge",
    unit="s",
    description="How long the active saga that has been in a state the longest has been in it; 0 "
    "if there is none. Where states are named after the steps that sagas wait for, it is the wait "
    "for that step, however often it was requested.",
    labels=(semconv.PIPELINE_LABEL, semconv.SAGA_LABEL, semconv.STATE_LABEL),
)

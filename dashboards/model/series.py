"""The series of each metric in Prometheus: their names, their labels and those of buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import BOUND, INSTANCE, SERVICE
from tracing.metrics.catalog import (
    CLUSTER_BROKERS,
    CLUSTER_LEADER_CHANGES,
    CLUSTER_OFFLINE,
    CLUSTER_REACHABLE,
    CLUSTER_UNDER_REPLICATED,
    COMMAND_READERS,
    CONSUMER_CATCH_UP_TIME,
    CONSUMER_CAUSE,
    CONSUMER_COMMITTED,
    CONSUMER_LAG,
    CONSUMER_LAG_TIME,
    CONSUMER_LOST,
    CONSUMER_RETENTION_LEFT,
    CONSUMER_RETENTION_USED,
    CONSUMER_REWOUND,
    CONSUMER_STATUS,
    DEAD_LETTERS_DEPTH,
    DEAD_LETTERS_OLDEST_AGE,
    DEAD_LETTERS_REPLAYED,
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
    from tracing.metrics.metric import Metric

# The lag monitor and the saga engines report these, not the service that they describe. Filtering
# by a service must not hide that its group is dead.
_WITHOUT_SERVICE: Final = frozenset(
    {
        CLUSTER_BROKERS,
        CLUSTER_LEADER_CHANGES,
        CLUSTER_OFFLINE,
        CLUSTER_REACHABLE,
        CLUSTER_UNDER_REPLICATED,
        COMMAND_READERS,
        CONSUMER_CATCH_UP_TIME,
        CONSUMER_CAUSE,
        CONSUMER_COMMITTED,
        CONSUMER_LAG,
        CONSUMER_LAG_TIME,
        CONSUMER_LOST,
        CONSUMER_RETENTION_LEFT,
        CONSUMER_RETENTION_USED,
        CONSUMER_REWOUND,
        CONSUMER_STATUS,
        DEAD_LETTERS_DEPTH,
        DEAD_LETTERS_OLDEST_AGE,
        DEAD_LETTERS_REPLAYED,
        SAGA_STARTED,
        SAGA_ENDED,
        SAGA_DURATION,
        SAGA_STEP_DURATION,
        SAGA_COMPENSATIONS,
        SAGA_ACTIVE,
        SAGA_OVERDUE,
        SAGA_OLDEST_AGE,
        SAGA_STATE_OLDEST_AGE,
    }
)


def labels_of(metric: Metric) -> frozenset[str]:
    """Return the labels of a metric, and that of the service unless it describes another one."""
    service = () if metric in _WITHOUT_SERVICE else (SERVICE, INSTANCE)
    return frozenset((*metric.prometheus_labels, *service))


def series_name(metric: Metric, part: str, *, native: bool) -> str:
    """Return the name of the series that have a part of a histogram, or that are the metric."""
    return f"{metric.prometheus}_{part}" if part and not native else metric.prometheus


def bucket_of(bound: float) -> str:
    """Return a matcher for a bucket's bound: `5` over OTLP, `5.0` when scraped."""
    whole, _, rest = str(float(bound)).partition(".")
    return f'{BOUND}=~"' + (rf"{whole}(\\.0)?" if rest == "0" else rf"{whole}\\.{rest}") + '"'

"""The names of recorded series, as Prometheus advises: `level:metric:operations`."""

from __future__ import annotations

from typing import Final

from tracing.metrics.catalog import CONSUMER_LAG, CONSUMER_LAG_TIME, END_TO_END_DURATION

LAG_RECORDS: Final = f"group_topic:{CONSUMER_LAG.prometheus}:sum"
LAG_SECONDS: Final = f"group_topic:{CONSUMER_LAG_TIME.prometheus}:max"


def burn_rate(window: str) -> str:
    """How many times faster than allowed the error budgets were spent in a window."""
    return f"pipeline_objective:{END_TO_END_DURATION.prometheus}:burn_rate{window}"


def enough_arrivals(window: str) -> str:
    """How many arrived in a window, where that is enough to judge by."""
    return f"pipeline_objective:{END_TO_END_DURATION.prometheus}:enough{window}"

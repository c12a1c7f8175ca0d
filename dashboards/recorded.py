"""The names of recorded series, as Prometheus advises: `level:metric:operations`."""

from __future__ import annotations

from typing import Final

from tracing.catalog import CONSUMER_LAG, CONSUMER_LAG_TIME, END_TO_END_DURATION

LAG_RECORDS: Final = f"group_topic:{CONSUMER_LAG.prometheus}:sum"
LAG_SECONDS: Final = f"group_topic:{CONSUMER_LAG_TIME.prometheus}:max"


def late_share(window: str) -> str:
    """The share of flows in a window that arrived later than promised."""
    return f"pipeline:{END_TO_END_DURATION.prometheus}:late_ratio_rate{window}"

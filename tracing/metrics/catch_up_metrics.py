"""The metrics of groups that work off history, which a consumer reports about itself.

They are part of the catalogue, which is where other modules take them from.
"""

from typing import Final

from tracing.core import semconv
from tracing.metrics.metric import Metric

_HOP: Final = (semconv.DESTINATION, semconv.GROUP)

CATCH_UP_RECORDS: Final = Metric(
    name="pipeline.catch_up.records",
    kind="counter",
    unit="{record}",
    description="Records that were history to a group that started on them. They are in no figure "
    "of wait, end-to-end or objectives.",
    labels=_HOP,
)
CATCH_UP_REMAINING: Final = Metric(
    name="pipeline.catch_up.remaining",
    kind="gauge",
    unit="{record}",
    description="Records that are left until a group reaches the end of the log that it saw when "
    "it started on history; 0 once it has. Each consumer reports its own partitions: add them up.",
    labels=_HOP,
)
CATCH_UP_RATE: Final = Metric(
    name="pipeline.catch_up.rate",
    kind="gauge",
    unit="{record}/s",
    description="History that a consumer works off per second, over the last half minute; 0 once "
    "it has caught up. The records that remain, divided by it, are the time left.",
    labels=_HOP,
)

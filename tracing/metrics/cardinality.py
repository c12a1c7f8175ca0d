"""The bound on the number of series that a metric may have.

Each new set of labels costs memory in the process and in the metrics backend, until the process
ends. A counter or histogram that reaches the bound puts all further series into a shared one. A
value that cannot be added up, such as an age, is left out instead.
"""

from collections.abc import Iterable
from typing import Final

from tracing.core import semconv
from tracing.core.log import warn_once
from tracing.metrics.metric import Labels, LabelSet, Metric

LEAST_MAX_SERIES: Final = 100
"""A bound has to leave room for the instrumentation's metrics about itself."""

DEFAULT_MAX_SERIES: Final = 2000
"""Series of one metric in one process, as the OpenTelemetry metrics SDK specification has it."""

OVERFLOW: Final = frozenset({("otel.metric.overflow", True)})
"""The labels of the one series that all further ones share; the name is the SDK's."""


class SeriesLimit:
    """Counts the series of each metric, and bounds them. Call it with the metrics' lock held.

    Args:
        max_series: How many a metric may have, the shared one included.
    """

    def __init__(self, max_series: int) -> None:
        self.max_series = max_series
        self.refused = 0
        """Number of requests for a series that did not fit."""
        self._left_out: dict[str, int] = {}
        self._labels: dict[str, set[LabelSet]] = {}

    def admit(self, metric: Metric, labels: LabelSet) -> LabelSet:
        """Return the labels under which a series is kept: its own, or those of the shared one."""
        admitted = self._labels.setdefault(metric.name, set())
        if labels in admitted:
            return labels
        if len(admitted) < self.max_series - 1:
            admitted.add(labels)
            return labels
        self.refused += 1
        warn_once(
            f"{metric.name} has {self.max_series} series; further ones share one, whose label is "
            "otel.metric.overflow; raise Telemetry(max_series=...) if they are really needed"
        )
        return OVERFLOW

    def leave_out(self, name: str, number: int) -> None:
        """Note that so many series of a metric were left out of a collection.

        A series that several collections leave out is counted once.
        """
        self.refused += max(0, number - self._left_out.get(name, 0))
        self._left_out[name] = max(number, self._left_out.get(name, 0))
        warn_once(f"{name} has more series than are taken; further ones are left out and counted")

    def readings(self) -> Iterable[tuple[Labels, float]]:
        """Return the number of refused series, for the metric that counts dropped telemetry."""
        return (({semconv.REASON: "series"}, self.refused),)

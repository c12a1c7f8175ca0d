"""How many series a metric may have in one process, whatever labels come from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracing.core.log import warn_once

if TYPE_CHECKING:
    from tracing.metrics.metric import Metric

LEAST_MAX_SERIES: Final = 100
"""A bound has to leave room for what the instrumentation says of itself."""

DEFAULT_MAX_SERIES: Final = 2000
"""Series of one metric in one process, as the OpenTelemetry metrics SDK specification has it."""

OVERFLOW: Final = frozenset({("otel.metric.overflow", True)})
"""The labels of the one series that all others share from there on; the name is the SDK's."""

Labels = frozenset[tuple[str, str | int]]


class SeriesLimit:
    """Counts the series of each metric, and says when there are enough. For one lock's holder.

    Args:
        max_series: How many a metric may have, the shared one included.
    """

    def __init__(self, max_series: int) -> None:
        self.max_series = max_series
        self.refused = 0
        """How often a series was asked for that did not fit."""
        self._left_out: dict[str, int] = {}
        self._known: dict[str, set[Labels]] = {}

    def admit(self, metric: Metric, labels: Labels) -> Labels:
        """The labels under which a series is kept: its own, or those of the shared one."""
        known = self._known.setdefault(metric.name, set())
        if labels in known:
            return labels
        if len(known) < self.max_series - 1:
            known.add(labels)
            return labels
        self.refused += 1
        warn_once(
            f"{metric.name} has {self.max_series} series; further ones share one, whose label is "
            "otel.metric.overflow; raise Telemetry(max_series=...) if they are really needed"
        )
        return OVERFLOW

    def leave_out(self, name: str, number: int) -> None:
        """Note that so many series of a metric were left out of a collection.

        What was left out of an earlier one as well is counted once.
        """
        self.refused += max(0, number - self._left_out.get(name, 0))
        self._left_out[name] = max(number, self._left_out.get(name, 0))
        warn_once(f"{name} has more series than are taken; further ones are left out and counted")

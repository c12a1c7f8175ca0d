"""The metric series of one operation on one destination, looked up once."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.core.text import is_name
from tracing.metrics.instruments import Durations, Metrics
from tracing.metrics.metric import Metric

if TYPE_CHECKING:
    from tracing.metrics.instruments import Count

MAX_ERROR_TYPES: Final = 32
OTHER: Final = semconv.OTHER
MAX_PIPELINES: Final = 31
"""Other pipelines that the metrics of one service name; further ones share one series."""


class OperationSeries:
    """Durations of an operation. For one thread."""

    __slots__ = ("_attributes", "_durations", "_failed", "_metrics", "succeeded")

    def __init__(
        self,
        metrics: Metrics,
        attributes: Mapping[str, str | int],
        *,
        durations: Metric,
    ) -> None:
        self._metrics = metrics
        self._attributes = attributes
        self._durations = durations
        self._failed: dict[str, Durations] = {}
        self.succeeded = metrics.durations(durations, attributes)

    def failed(self, error_type: str) -> Durations:
        """Return the durations of failed operations; rare error types share one series."""
        if error_type not in self._failed and len(self._failed) >= MAX_ERROR_TYPES:
            error_type = OTHER
        found = self._failed.get(error_type)
        if found is None:
            found = self._metrics.durations(
                self._durations, {**self._attributes, semconv.ERROR_TYPE: error_type}
            )
            self._failed[error_type] = found
        return found


class ErrorCounts:
    """A counter by `error.type`, of which there is a bounded number. For one thread."""

    def __init__(
        self, metrics: Metrics, metric: Metric, attributes: Mapping[str, str | int]
    ) -> None:
        self._metrics = metrics
        self._metric = metric
        self._attributes = attributes
        self._counts: dict[str, Count] = {}
        # Without a type: so that there is a 0 before the first error.
        metrics.count(metric, attributes)

    def add(self, error_type: str) -> None:
        """Count one error; rare types share one series."""
        if error_type not in self._counts and len(self._counts) >= MAX_ERROR_TYPES:
            error_type = OTHER
        found = self._counts.get(error_type)
        if found is None:
            found = self._counts[error_type] = self._metrics.count(
                self._metric, {**self._attributes, semconv.ERROR_TYPE: error_type}
            )
        found.value += 1


class PipelineNames:
    """The pipelines that one service's metrics name. Safe in any thread.

    Names come with the records. The bound holds for all topics and groups together: invented
    names add few series, however many topics there are.

    Args:
        own: The service's own pipeline, which always has its name.
    """

    __slots__ = ("_names", "_own")

    def __init__(self, own: str) -> None:
        self._own = own
        self._names: set[str] = set()

    def label(self, name: object) -> str:
        """Return the label of a pipeline: its name, or `_OTHER` once there are too many."""
        if not is_name(name) or name == self._own:
            return self._own
        if name not in self._names:
            if len(self._names) >= MAX_PIPELINES:
                return OTHER
            self._names.add(str(name))
        return str(name)

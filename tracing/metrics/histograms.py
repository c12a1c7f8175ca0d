"""Histograms aggregated where they are recorded, and handed over once per collection.

Recording through an SDK instrument costs 6-10 µs: it copies, sorts and hashes the attributes on
every call. Here a series is looked up once, and recording is a bisection and four additions.
`tracing.otlp` delivers the result by appending finished points to what a metric reader exports.
"""

import math
import sys
import threading
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from time import time_ns
from typing import NamedTuple

from opentelemetry.trace import Span

from tracing.core.ids import in_forked_child
from tracing.metrics.metric import Labels, LabelSet, Metric


class Exemplar(NamedTuple):
    """One value with the span that it was measured in; the time is unix ns."""

    value: float
    time_ns: int
    trace_id: int
    span_id: int


class LocalHistogram:
    """One series of a histogram. Written by the one thread that asked for it."""

    __slots__ = (
        "_bounds", "_bucket", "_counts", "_high", "_low", "_max", "_min", "_sum", "exemplars",
    )  # fmt: skip

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.clear()

    def clear(self) -> None:
        """Forget all values."""
        bounds = self._bounds
        self._find(0.0)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._min = sys.float_info.max
        self._max = 0.0
        self.exemplars: dict[int, Exemplar] = {}
        """An example of each bucket that got a value since they were last taken."""

    def record(self, value: float, span: Span | None = None) -> None:
        """Count one value; buckets include their upper bound, as OTLP defines.

        A sampled span becomes the exemplar of its bucket, where that has none since the last
        collection: making one costs more than counting does.
        """
        # Most values are in the bucket of the last one. To find another costs as much as the rest.
        if not self._low < value <= self._high:
            self._find(value)
        bucket = self._bucket
        self._counts[bucket] += 1
        self._sum += value
        if span is not None and bucket not in self.exemplars and span.is_recording():
            context = span.get_span_context()
            if context.trace_flags.sampled:
                self.exemplars[bucket] = Exemplar(
                    value, time_ns(), context.trace_id, context.span_id
                )
        # Comparisons, because calling `min` and `max` would double what a value costs.
        if value < self._min:  # noqa: PLR1730 - as said
            self._min = value
        if value > self._max:  # noqa: PLR1730 - as said
            self._max = value

    def record_all(self, values: Iterable[float], span: Span | None = None) -> None:
        """Count several values, as `record` does one after another."""
        bounds, counts, exemplars = self._bounds, self._counts, self.exemplars
        for value in values:
            bucket = bisect_left(bounds, value)
            if span is not None and bucket not in exemplars:
                # Rare, or the span is not sampled: then no value has an exemplar.
                self.record(value, span)
                if bucket not in self.exemplars:
                    span = None
                continue
            counts[bucket] += 1
            self._sum += value
            if value < self._min:  # noqa: PLR1730 - as above
                self._min = value
            if value > self._max:  # noqa: PLR1730 - as above
                self._max = value

    def _find(self, value: float) -> None:
        bounds = self._bounds
        self._bucket = bucket = bisect_left(bounds, value)
        self._low = bounds[bucket - 1] if bucket else -math.inf
        self._high = bounds[bucket] if bucket < len(bounds) else math.inf

    def add_to(
        self, point: "HistogramTotals", *, restart_extremes: bool = False
    ) -> "HistogramTotals":
        """Merge what was recorded so far into a point of the same bounds; take the exemplars.

        Args:
            point: What other threads have recorded.
            restart_extremes: Whether the smallest and largest value start anew. A value that is
                recorded at this very moment may be missing from both.
        """
        counts = tuple(
            mine + theirs for mine, theirs in zip(self._counts, point.counts, strict=True)
        )
        taken, self.exemplars = self.exemplars, {}
        exemplars = {**point.exemplars, **taken}
        least, most = self._min, self._max
        if restart_extremes:
            self._min, self._max = sys.float_info.max, 0.0
        return HistogramTotals(
            counts, self._sum + point.sum, min(least, point.min), max(most, point.max), exemplars
        )


class _WithoutExemplars(LocalHistogram):
    __slots__ = ()

    def record(self, value: float, span: Span | None = None) -> None:  # noqa: ARG002 - as the base
        super().record(value)

    def record_all(self, values: Iterable[float], span: Span | None = None) -> None:  # noqa: ARG002 - as the base
        super().record_all(values)


@dataclass(frozen=True, slots=True)
class HistogramTotals:
    """The totals of one series since the start.

    Bucket counts, sum, smallest and largest value, and the exemplars not yet collected, by bucket.
    """

    counts: tuple[int, ...]
    sum: float
    min: float
    max: float
    exemplars: Mapping[int, Exemplar]

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self.counts)


class Aggregator:
    """All locally aggregated histograms of one metric pipeline. Thread-safe.

    Args:
        by_the_sdk: The names of the histograms that the SDK has to aggregate instead.
        exemplars: Whether sampled spans become exemplars.
    """

    def __init__(self, by_the_sdk: Collection[str] = (), *, exemplars: bool = True) -> None:
        self._by_the_sdk = frozenset(by_the_sdk)
        self._new = LocalHistogram if exemplars else _WithoutExemplars
        self._lock = threading.Lock()
        self._series: dict[tuple[str, LabelSet, int], LocalHistogram] = {}
        self._metrics: dict[str, Metric] = {}
        in_forked_child(self._begin_anew)

    def _begin_anew(self) -> None:
        # What its parent measured is not the child's: as another instance, it would be added up.
        self._lock = threading.Lock()
        for series in self._series.values():
            series.clear()

    def takes(self, metric: Metric) -> bool:
        """Return whether a histogram is aggregated here; else the SDK has to."""
        return metric.name not in self._by_the_sdk

    def series(self, metric: Metric, attributes: Labels) -> LocalHistogram:
        """Find or make the calling thread's series. Look it up once, not per value."""
        # A series per thread: `+=` is not atomic, and a lock per message is what this avoids.
        key = (metric.name, frozenset(attributes.items()), threading.get_ident())
        with self._lock:
            self._metrics[metric.name] = metric
            found = self._series.get(key)
            if found is None:
                found = self._series[key] = self._new(metric.buckets)
            return found

    def totals(
        self, *, restart_extremes: bool = False
    ) -> dict[Metric, dict[LabelSet, HistogramTotals]]:
        """Add the threads' series up, by metric and attributes, leaving out empty ones.

        Args:
            restart_extremes: Whether the smallest and largest values start anew, as those of an
                interval do.
        """
        with self._lock:
            series = list(self._series.items())
        result: dict[Metric, dict[LabelSet, HistogramTotals]] = {}
        for (name, attributes, _thread), histogram in series:
            metric = self._metrics[name]
            points = result.setdefault(metric, {})
            empty = HistogramTotals(
                (0,) * (len(metric.buckets) + 1), 0.0, sys.float_info.max, 0.0, {}
            )
            point = histogram.add_to(
                points.get(attributes, empty), restart_extremes=restart_extremes
            )
            if point.count:
                points[attributes] = point
        return result

"""Histograms aggregated where they are recorded, and handed over once per collection.

Recording through an SDK instrument costs 6-10 µs: it copies, sorts and hashes the attributes on
every call. Here a series is looked up once, and recording appends to a list.
`tracing.otlp` delivers the result by appending finished points to what a metric reader exports.
"""

import math
import operator
import sys
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from time import time_ns
from typing import ClassVar, Final, NamedTuple

from opentelemetry.trace import Span

from tracing.core.ids import in_forked_child
from tracing.metrics.metric import Labels, LabelSet, Metric

_WAITING: Final = 100
"""Values of a series that are counted at once: 3 KB, of as many series as there are."""
_MANY: Final = 16
"""Values of a series that are worth counting."""
_SERIES: Final = 512
"""As many series are looked at for each 1,024 messages."""


class Exemplar(NamedTuple):
    """One value with the span that it was measured in; the time is unix ns."""

    value: float
    time_ns: int
    trace_id: int
    span_id: int


class LocalHistogram:
    """One series of a histogram. Written by the one thread that asked for it.

    Values wait in a list until there are many, or until they are collected. To sort a hundred
    values and cut them at the bounds costs a fraction of looking up a hundred buckets.

    Attributes:
        later: Receives a value without a span, as `record` does, but never counts: call
            `Aggregator.count` now and then.
        low: A value above this, up to `high`, needs no exemplar for now.
        high: See `low`.
    """

    __slots__ = (
        "_bounds", "_counts", "_in_one_bucket", "_lock", "_max", "_min", "_sum", "_waiting",
        "exemplars", "high", "later", "low",
    )  # fmt: skip

    _nothing_shown: ClassVar[tuple[float, float]] = (math.inf, -math.inf)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._waiting: list[float] = []
        self.later = self._waiting.append
        self.clear()

    def clear(self) -> None:
        """Forget all values."""
        # Held while what waits is counted, by the writing or by the collecting thread.
        self._lock = threading.Lock()
        self._waiting.clear()
        self._counts = [0] * (len(self._bounds) + 1)
        # Whether the values that were counted last are.
        self._in_one_bucket = True
        self._sum = 0.0
        self._min = sys.float_info.max
        self._max = 0.0
        self.exemplars: dict[int, Exemplar] = {}
        """An example of each bucket that got a value since they were last taken."""
        self.low, self.high = self._nothing_shown

    def record(self, value: float, span: Span | None = None) -> None:
        """Count one value; buckets include their upper bound, as OTLP defines.

        A sampled span becomes the exemplar of its bucket, where that has none since the last
        collection: making one costs more than counting does.
        """
        waiting = self._waiting
        waiting.append(value)
        if span is not None and not self.low < value <= self.high and span.is_recording():
            self._show(value, span)
        if len(waiting) >= _WAITING:
            self.count()

    def record_all(self, values: Iterable[float], span: Span | None = None) -> None:
        """Count several values, as `record` does one after another."""
        waiting = self._waiting
        before = len(waiting)
        waiting += values
        if span is not None and span.is_recording():
            for value in waiting[before:]:
                if not self.low < value <= self.high:
                    self._show(value, span)
        if len(waiting) >= _WAITING:
            self.count()

    def _show(self, value: float, span: Span) -> None:
        """Make a recorded span the exemplar of its value's bucket, if it has none and is sampled.

        From then on, values in the buckets around that one need none as far as those have one.
        """
        # A collection takes the exemplars, and what is known of them. Then a later value has one.
        if not self._lock.acquire(blocking=False):
            return
        try:
            shown, bounds = self.exemplars, self._bounds
            first = last = bucket = bisect_left(bounds, value)
            if bucket not in shown:
                context = span.get_span_context()
                if not context.trace_flags.sampled:
                    return
                shown[bucket] = Exemplar(value, time_ns(), context.trace_id, context.span_id)
            while first - 1 in shown:
                first -= 1
            while last + 1 in shown:
                last += 1
            self.low = bounds[first - 1] if first else -math.inf
            self.high = bounds[last] if last < len(bounds) else math.inf
        finally:
            self._lock.release()

    def count(self, least: int = 1) -> None:
        """Count what waits, unless another call does. Safe in any thread.

        Args:
            least: How many values have to wait.
        """
        # To wait would be a deadlock where the garbage collector ends a handling in here.
        if len(self._waiting) >= least and self._lock.acquire(blocking=False):
            try:
                self._count()
            finally:
                self._lock.release()

    def _count(self) -> None:
        """Count what waits. The lock is held; the writing thread may add values meanwhile."""
        values = self._waiting[:]
        if not values:
            return
        del self._waiting[: len(values)]
        # In the order in which they came, so that the sum does not depend on who asks when.
        self._sum = sum(values, self._sum)
        if not self._in_one_bucket:
            values.sort()
            least, most = values[0], values[-1]
        else:
            # Mostly they are again, as those of a quick handler, and need not be sorted.
            least, most = min(values), max(values)
        self._min, self._max = min(self._min, least), max(self._max, most)
        bounds, counts, last = self._bounds, self._counts, len(values)
        bucket = bisect_left(bounds, least)
        if bucket == len(bounds) or most <= bounds[bucket]:
            self._in_one_bucket = True
            counts[bucket] += last
            return
        if self._in_one_bucket:
            self._in_one_bucket = False
            values.sort()
        counted = 0
        while counted < last:
            if bucket == len(bounds):
                counts[bucket] += last - counted
                break
            if values[counted] <= bounds[bucket]:
                upto = bisect_right(values, bounds[bucket], counted)
                counts[bucket] += upto - counted
                counted = upto
            bucket += 1

    def totals(self, *, restart_extremes: bool = False) -> "HistogramTotals":
        """Return what was recorded so far, and take the exemplars.

        Args:
            restart_extremes: Whether the smallest and largest value start anew.
        """
        with self._lock:
            self._count()
            taken, self.exemplars = self.exemplars, {}
            self.low, self.high = self._nothing_shown
            totals = HistogramTotals(tuple(self._counts), self._sum, self._min, self._max, taken)
            if restart_extremes:
                self._min, self._max = sys.float_info.max, 0.0
        return totals


class _WithoutExemplars(LocalHistogram):
    __slots__ = ()

    # As if every bucket had one.
    _nothing_shown = (-math.inf, math.inf)


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

    def __add__(self, other: "HistogramTotals") -> "HistogramTotals":
        """Return the totals of both; of two exemplars of a bucket, the other's."""
        return HistogramTotals(
            tuple(map(operator.add, self.counts, other.counts)),
            self.sum + other.sum,
            min(self.min, other.min),
            max(self.max, other.max),
            {**self.exemplars, **other.exemplars},
        )


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
        # How often it was asked for nothing.
        self._asked = 0
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

    def count(self) -> None:
        """Count what waits in all series, so that it takes no more memory."""
        self._count_those(1)

    def count_some(self) -> None:
        """Count what waits in the series where that is much. Call it at every 1,024th message.

        Of a thousand topics, most series have a value or two by then. To count them all would stall
        an event loop, and to count one costs as much as to count several.
        """
        self._asked += 1
        if self._asked * _SERIES < len(self._series):
            return
        self._asked = 0
        self._count_those(_MANY)

    def _count_those(self, least: int) -> None:
        # To wait would be a deadlock where the garbage collector calls this within another method.
        if self._lock.acquire(blocking=False):
            try:
                series = list(self._series.values())
            finally:
                self._lock.release()
            for each in series:
                each.count(least)

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
        by_name: dict[str, dict[LabelSet, HistogramTotals]] = {}
        for (name, attributes, _thread), histogram in series:
            point = histogram.totals(restart_extremes=restart_extremes)
            if point.count:
                points = by_name.setdefault(name, {})
                others = points.get(attributes)
                points[attributes] = point if others is None else others + point
        return {self._metrics[name]: points for name, points in by_name.items()}

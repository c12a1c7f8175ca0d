"""Counters, gauges and histograms, and how they reach a meter provider.

Counters are observable: the hot path adds to an integer, and the SDK asks for the totals when it
collects. Durations go to a local aggregator where one is given, else to a histogram instrument,
which works with every meter provider and costs more per value.
"""

import itertools
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation
from opentelemetry.trace import Span, set_span_in_context

from tracing.core import semconv
from tracing.core.ids import in_forked_child
from tracing.core.log import warn_once
from tracing.metrics import catalog
from tracing.metrics.cardinality import DEFAULT_MAX_SERIES, SeriesLimit
from tracing.metrics.histograms import Aggregator
from tracing.metrics.message_types import TypeNames
from tracing.metrics.metric import Labels, Metric

if TYPE_CHECKING:
    from tracing.metrics.metric import LabelSet

Reading = Callable[[], float | None]
"""Returns the current value of a gauge; `None` for no value."""
Readings = Callable[[], Iterable[tuple[Labels, float]]]
"""Returns the current values of several series of one instrument."""


class Durations(Protocol):
    """One series of a histogram, mostly of durations.

    To record costs a call. What records for every message may do less::

        if series.later and (not sampled or series.low < value <= series.high):
            series.later(value)
        else:
            series.record(value, span)

    and `Metrics.count_later` now and then.

    Attributes:
        later: Receives a value without its span; `None` where each value needs it.
        low: A value above this, up to `high`, needs no exemplar for now.
        high: See `low`.
    """

    @property
    def later(self) -> Callable[[float], object] | None: ...  # noqa: D102 - see above
    @property
    def low(self) -> float: ...  # noqa: D102 - see above
    @property
    def high(self) -> float: ...  # noqa: D102 - see above

    def record(self, value: float, span: Span | None = None, /) -> None:
        """Record a value, durations in seconds; a sampled span becomes an exemplar of it."""

    def record_all(self, values: Iterable[float], span: Span | None = None, /) -> None:
        """Record several values, as `record` does one after another."""


class Count:
    """One series of a counter. Written by the one thread that asked for it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class _InstrumentDurations:
    __slots__ = ("_attributes", "_histogram")

    # The SDK decides which values become exemplars.
    later = None
    low = high = -math.inf

    def __init__(self, histogram: Histogram, attributes: Labels) -> None:
        self._histogram = histogram
        self._attributes = attributes

    def record(self, value: float, span: Span | None = None, /) -> None:
        context = None if span is None else set_span_in_context(span)
        self._histogram.record(value, self._attributes, context)

    def record_all(self, values: Iterable[float], span: Span | None = None, /) -> None:
        for value in values:
            self.record(value, span)


def histogram_on(meter: Meter, metric: Metric) -> Histogram:
    """Make the instrument of a histogram."""
    return meter.create_histogram(
        metric.name,
        unit=metric.unit,
        description=metric.description,
        explicit_bucket_boundaries_advisory=metric.buckets,
    )


class Metrics:
    """All instruments on one meter provider. Thread-safe; series belong to one thread each."""

    def __init__(
        self,
        meter: Meter,
        aggregator: Aggregator | None,
        max_series: int = DEFAULT_MAX_SERIES,
    ) -> None:
        self._aggregator = aggregator
        self._limit = SeriesLimit(max_series)
        self.message_types = TypeNames()
        self.schema_subjects = TypeNames()
        self.resources = TypeNames()
        self._lock = threading.Lock()
        in_forked_child(self._begin_anew)
        self._counts: dict[str, dict[tuple[LabelSet, int], Count]] = {}
        self._histograms: dict[str, Histogram] = {}
        self._readings: dict[str, dict[int | str, tuple[Readings, int]]] = {}
        self._registered = itertools.count()
        # Kept: some providers hold their observable instruments only weakly.
        self._instruments: list[object] = []
        for metric in catalog.METRICS:
            if metric.kind == "counter":
                self._counts[metric.name] = {}
                self._readings[metric.name] = {}
                self._instruments.append(
                    meter.create_observable_counter(
                        metric.name,
                        callbacks=[self._observer(metric)],
                        unit=metric.unit,
                        description=metric.description,
                    )
                )
            elif metric.kind == "gauge":
                self._readings[metric.name] = {}
                self._instruments.append(
                    meter.create_observable_gauge(
                        metric.name,
                        callbacks=[self._observer(metric)],
                        unit=metric.unit,
                        description=metric.description,
                    )
                )
            elif aggregator is None or not aggregator.takes(metric):
                self._histograms[metric.name] = histogram_on(meter, metric)
        self.observe(catalog.TELEMETRY_DROPPED, self._limit.readings)

    def _begin_anew(self) -> None:
        # What its parent counted is not the child's: as another instance, it would be added up.
        self._lock = threading.Lock()
        self._limit.refused = 0
        for series in self._counts.values():
            for count in series.values():
                count.value = 0

    def count(self, metric: Metric, attributes: Labels) -> Count:
        """Find or make the calling thread's series of a counter; it exists with 0 from now on."""
        thread = threading.get_ident()
        with self._lock:
            key = (self._limit.admit(metric, frozenset(attributes.items())), thread)
            return self._counts[metric.name].setdefault(key, Count())

    def durations(self, metric: Metric, attributes: Labels) -> Durations:
        """Find or make the calling thread's series of a histogram."""
        with self._lock:
            admitted = dict(self._limit.admit(metric, frozenset(attributes.items())))
        instrument = self._histograms.get(metric.name)
        if instrument is None and self._aggregator is not None:
            return self._aggregator.series(metric, admitted)
        return _InstrumentDurations(self._histograms[metric.name], admitted)

    def aggregates(self, metric: Metric) -> bool:
        """Return whether a histogram is aggregated by the library, and not by the SDK."""
        return self._aggregator is not None and self._aggregator.takes(metric)

    def count_later(self) -> None:
        """Count what was recorded to the histograms' `later`, so that it takes no more memory.

        Call it at every 1,024th message.
        """
        if self._aggregator is not None:
            self._aggregator.count_some()

    def gauge(self, metric: Metric, attributes: Labels, reading: Reading) -> Callable[[], None]:
        """Let a gauge be read from now on.

        Args:
            metric: The gauge.
            attributes: The series.
            reading: Called at each collection, in the collecting thread, so it must not block;
                `None` leaves the series out. What it raises leaves the series out, too.

        Returns:
            What ends that.
        """

        def readings() -> Iterable[tuple[Labels, float]]:
            value = reading()
            return () if value is None else ((attributes, value),)

        return self.observe(metric, readings)

    def observe(
        self,
        metric: Metric,
        readings: Readings,
        key: str | None = None,
        max_series: int | None = None,
    ) -> Callable[[], None]:
        """Let several series of a gauge or counter be read from now on.

        Args:
            metric: The gauge, or a counter whose totals are kept elsewhere.
            readings: Called at each collection, in the collecting thread. What it raises leaves
                its series out.
            key: A later registration with the same key replaces this one; by default
                none does.
            max_series: How many series are taken at a collection, by default as many as a metric
                may have. Further ones are left out and counted: what cannot be added up, such as
                ages, has no series that could stand for the rest.

        Returns:
            What ends that.
        """
        place = next(self._registered) if key is None else key
        with self._lock:
            found = readings, max_series or self._limit.max_series
            self._readings[metric.name][place] = found

        def end() -> None:
            with self._lock:
                if self._readings[metric.name].get(place) is found:
                    del self._readings[metric.name][place]

        return end

    def _observer(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _options: self._observations(metric.name)

    def _observations(self, name: str) -> Iterable[Observation]:
        with self._lock:
            series = list(self._counts.get(name, {}).items())
            readings = list(self._readings[name].values())
        totals: dict[LabelSet, int] = {}
        for (attributes, _thread), count in series:
            totals[attributes] = totals.get(attributes, 0) + count.value
        found = [Observation(total, dict(attributes)) for attributes, total in totals.items()]
        for read, most in readings:
            try:
                observations = [Observation(value, attributes) for attributes, value in read()]
                if len(observations) > most:
                    self._limit.leave_out(name, len(observations) - most)
                found += observations[:most]
            except Exception as error:
                warn_once(f"{name} cannot be read", error=error)
        return found


_shared: "weakref.WeakKeyDictionary[MeterProvider, Metrics]" = weakref.WeakKeyDictionary()
_shared_lock = threading.Lock()


def _free_lock() -> None:
    global _shared_lock  # noqa: PLW0603 - a thread that the child lacks may have held it
    _shared_lock = threading.Lock()


os.register_at_fork(after_in_child=_free_lock)


def metrics_on(
    provider: MeterProvider,
    aggregator: Aggregator | None,
    max_series: int = DEFAULT_MAX_SERIES,
) -> Metrics:
    """Make the instruments on a provider, once: a second set would report everything twice."""
    with _shared_lock:
        found = _shared.get(provider)
        if found is None:
            meter = provider.get_meter(
                semconv.SCOPE_NAME, semconv.SCOPE_VERSION, schema_url=semconv.SCHEMA_URL
            )
            found = _shared[provider] = Metrics(meter, aggregator, max_series)
        return found

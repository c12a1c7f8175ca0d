"""Local histograms count as OTLP defines, over all threads."""

import math
import threading
from bisect import bisect_left
from dataclasses import replace
from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from tracing.metrics.catalog import METRICS, PROCESS_DURATION
from tracing.metrics.histograms import Aggregator

LABELS = {"messaging.system.name": "kafka"}


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_a_local_histogram_equals_the_sdks(values: list[float]) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    reference = provider.get_meter("t").create_histogram(
        "h", explicit_bucket_boundaries_advisory=PROCESS_DURATION.buckets
    )
    aggregator = Aggregator()
    series = aggregator.series(PROCESS_DURATION, LABELS)
    for value in values:
        series.record(value)
        reference.record(value)

    data = reader.get_metrics_data()
    assert data is not None
    expected = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0]
    actual = aggregator.totals()[PROCESS_DURATION][frozenset(LABELS.items())]
    assert tuple(expected.bucket_counts) == actual.counts  # type: ignore[union-attr]  # a histogram
    assert expected.count == actual.count  # type: ignore[union-attr]  # as above
    assert (expected.min, expected.max) == (actual.min, actual.max)  # type: ignore[union-attr]  # as above
    assert abs(expected.sum - actual.sum) < 1e-6  # type: ignore[union-attr]  # as above
    provider.shutdown()


@given(
    st.lists(
        st.lists(
            # Both within one bucket and over all of them.
            st.floats(0, 100) | st.floats(0, 0.005) | st.sampled_from(PROCESS_DURATION.buckets),
            max_size=8,
        )
    )
)
def test_values_are_counted_in_their_buckets_however_many_at_once(
    groups: list[list[float]],
) -> None:
    aggregator = Aggregator()
    series = aggregator.series(PROCESS_DURATION, LABELS)
    expected = [0] * (len(PROCESS_DURATION.buckets) + 1)
    for group in groups:
        for value in group:
            series.later(value)
            expected[bisect_left(PROCESS_DURATION.buckets, value)] += 1
        series.count()

    values = [value for group in groups for value in group]
    totals = aggregator.totals()
    if values:
        actual = totals[PROCESS_DURATION][frozenset(LABELS.items())]
        assert (tuple(expected), min(values), max(values)) == (
            actual.counts, actual.min, actual.max
        )  # fmt: skip


@given(st.lists(st.floats(0, 100), max_size=20), st.booleans(), st.booleans())
def test_several_values_at_once_count_as_one_after_another(
    values: list[float], sampled: bool, exemplars: bool
) -> None:
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(sampled)))
    span.is_recording = lambda: True  # type: ignore[method-assign]  # as one that is
    totals = []
    for at_once in (False, True):
        aggregator = Aggregator(exemplars=exemplars)
        series = aggregator.series(PROCESS_DURATION, LABELS)
        series.record(3.0)
        if at_once:
            series.record_all(values, span)
        else:
            for value in values:
                series.record(value, span)
        totals.append(aggregator.totals()[PROCESS_DURATION][frozenset(LABELS.items())])

    first, second = totals
    shown = [
        {bucket: (each.value, each.span_id) for bucket, each in total.exemplars.items()}
        for total in totals
    ]
    assert shown[0] == shown[1]
    assert replace(first, exemplars={}) == replace(second, exemplars={})


def _span(number: int, *, sampled: bool = True) -> NonRecordingSpan:
    span = NonRecordingSpan(SpanContext(1, number, False, TraceFlags(sampled)))
    span.is_recording = lambda: True  # type: ignore[method-assign]  # as one that is
    return span


@given(st.lists(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=250), max_size=4))
def test_the_first_sampled_value_of_a_bucket_since_a_collection_is_its_exemplar(
    collections: list[list[tuple[float, bool]]],
) -> None:
    aggregator = Aggregator()
    series = aggregator.series(PROCESS_DURATION, LABELS)
    spans = count(1)
    values = []
    for recorded in collections:
        expected: dict[int, tuple[float, int]] = {}
        for value, sampled in recorded:
            number = next(spans)
            series.record(value, _span(number, sampled=sampled))
            values.append(value)
            if sampled:
                expected.setdefault(bisect_left(PROCESS_DURATION.buckets, value), (value, number))
        totals = aggregator.totals().get(PROCESS_DURATION, {}).get(frozenset(LABELS.items()))
        if totals is None:
            assert not values
            continue
        shown = {bucket: (each.value, each.span_id) for bucket, each in totals.exemplars.items()}
        assert expected == shown
        assert len(values) == totals.count
        assert abs(sum(values) - totals.sum) < 1e-6
        assert (min(values), max(values)) == (totals.min, totals.max)


def test_values_of_a_series_that_is_collected_meanwhile_are_counted_once() -> None:
    aggregator = Aggregator()
    recorded = threading.Event()

    def record() -> None:
        series = aggregator.series(PROCESS_DURATION, LABELS)
        for number in range(20_000):
            series.record(number % 7 / 10, _span(number + 1) if number % 3 == 0 else None)
        recorded.set()

    thread = threading.Thread(target=record)
    thread.start()
    while not recorded.is_set():
        aggregator.totals()
    thread.join()

    totals = aggregator.totals()[PROCESS_DURATION][frozenset(LABELS.items())]
    assert 20_000 == totals.count
    assert abs(sum(number % 7 / 10 for number in range(20_000)) - totals.sum) < 1e-6


def test_a_record_within_a_collection_of_the_same_thread_waits_for_nothing() -> None:
    aggregator = Aggregator()
    series = aggregator.series(PROCESS_DURATION, LABELS)

    class Value(float):
        """Ends another handling while it is counted, as the garbage collector may."""

        def __lt__(self, other: object) -> bool:
            if aggregator_counts:
                aggregator_counts.clear()
                series.record_all([0.2] * 150, _span(1))
            return float(self) < float(other)  # type: ignore[arg-type]  # a number

    aggregator_counts = [True]
    series.record(Value(0.1))
    series.record(Value(0.3))

    counted = aggregator.totals()[PROCESS_DURATION][frozenset(LABELS.items())].count
    counted_later = aggregator.totals()[PROCESS_DURATION][frozenset(LABELS.items())].count
    assert (2, 152) == (counted, counted_later)


def test_values_that_wait_are_in_every_total_and_take_memory_only_for_a_while() -> None:
    aggregator = Aggregator()
    series = aggregator.series(PROCESS_DURATION, LABELS)

    for number in range(3000):
        series.later(0.02)
        series.record(0.01)
        if number % 100 == 0:
            aggregator.count()
            assert not series._waiting
    assert len(series._waiting) < 200

    series.later(3.0)
    total = aggregator.totals()[PROCESS_DURATION][frozenset(LABELS.items())]
    assert (6001, 0.01, 3.0) == (total.count, total.min, total.max)


def test_of_many_series_those_are_counted_now_and_then_in_which_much_waits() -> None:
    aggregator = Aggregator()
    many = [aggregator.series(PROCESS_DURATION, {"t": number}) for number in range(2000)]
    most = 0

    for number in range(40):
        for _ in range(1024):
            many[0].later(0.1)
        many[number].later(0.2)
        aggregator.count_some()
        most = max(most, len(many[0]._waiting))

    # What one message leaves is not worth a look; a thousand are looked at as often as they are.
    assert 1 == len(many[20]._waiting)
    assert 1024 <= most <= 4 * 1024
    assert 40 * 1024 + 40 == sum(
        totals.count for totals in aggregator.totals()[PROCESS_DURATION].values()
    )


def test_a_value_within_the_bounds_that_need_no_exemplar_has_one_in_its_bucket() -> None:
    aggregator = Aggregator()
    series = aggregator.series(PROCESS_DURATION, LABELS)
    assert not series.low < 4.0 <= series.high

    series.record(4.0)
    series.record(4.0, _span(1, sampled=False))
    assert not series.low < 4.0 <= series.high

    series.record(4.0, _span(1))
    assert series.low < 4.0 <= series.high
    assert not series.low < 0.01 <= series.high

    aggregator.totals()
    assert not series.low < 4.0 <= series.high


def test_without_exemplars_no_value_needs_one() -> None:
    series = Aggregator(exemplars=False).series(PROCESS_DURATION, LABELS)
    assert (-math.inf, math.inf) == (series.low, series.high)


def test_threads_add_up_and_lose_nothing() -> None:
    aggregator = Aggregator()

    def record() -> None:
        series = aggregator.series(PROCESS_DURATION, LABELS)
        for _ in range(10_000):
            series.record(0.01)

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 40_000 == aggregator.totals()[PROCESS_DURATION][frozenset(LABELS.items())].count


def test_the_catalogue_names_each_metric_once_and_histograms_have_ascending_buckets() -> None:
    names = [metric.name for metric in METRICS]

    assert sorted(set(names)) == sorted(names)
    for metric in METRICS:
        assert tuple(sorted(set(metric.buckets))) == metric.buckets
        assert bool(metric.buckets) == (metric.kind == "histogram")

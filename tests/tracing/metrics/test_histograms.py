"""Local histograms count as OTLP defines, over all threads."""

import threading
from dataclasses import replace

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

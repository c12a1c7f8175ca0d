"""Local histograms count as OTLP defines, over all threads."""

import threading

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

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

"""Measure what the buckets of durations cost, and how far quantiles are off.

Compares the bounds that the messaging conventions advise with those of the catalogue, aggregated
locally, and with the SDK's exponential histogram. A log-normal spread of durations is recorded in
turns; the CPU time is the best round of each, because the machine's other work only adds to it.

    python -m benchmarks.duration_buckets [--values N] [--rounds R] [--json]
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from time import process_time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
)

from tracing.metrics.catalog import PROCESS_DURATION
from tracing.metrics.histograms import LocalHistogram

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.metrics.view import Aggregation

_ADVISED: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
_LABELS: Final = {
    "messaging.system.name": "kafka",
    "messaging.operation.name": "process",
    "messaging.destination.name": "payment.commands",
    "messaging.consumer.group.name": "payment",
}
_LEAST_S, _MOST_S = 0.005, 60.0
_SHARE: Final = 0.95


class Row(NamedTuple):
    """What one kind of histogram costs, for each set of labels.

    Attributes:
        name: The kind of histogram.
        record_ns: CPU time to record a value.
        otlp_bytes: Size of an export.
        gzip_bytes: Its size, compressed.
        prometheus_series: Number of series in Prometheus.
        worst_error: Largest error of the 95th percentile of a constant duration.
    """

    name: str
    record_ns: float
    otlp_bytes: int
    gzip_bytes: int
    prometheus_series: int
    worst_error: float


def measure(values: int, rounds: int) -> list[Row]:
    """Measure all kinds of histograms in turns."""
    spread = random.Random(1)  # noqa: S311 - durations, no secrets
    durations = [spread.lognormvariate(-3, 1.5) for _ in range(values)]
    kinds: list[tuple[str, Aggregation, tuple[float, ...]]] = [
        ("advised", ExplicitBucketHistogramAggregation(_ADVISED), _ADVISED),
        (
            "catalogue",
            ExplicitBucketHistogramAggregation(PROCESS_DURATION.buckets),
            PROCESS_DURATION.buckets,
        ),
        ("exponential", ExponentialBucketHistogramAggregation(), ()),
    ]
    best: dict[str, float] = {}
    exported: dict[str, bytes] = {}
    for _ in range(rounds):
        for name, aggregation, bounds in kinds:
            reader = InMemoryMetricReader(preferred_aggregation={Histogram: aggregation})
            provider = MeterProvider([reader], shutdown_on_exit=False)
            histogram = provider.get_meter("benchmark").create_histogram("duration", unit="s")
            record: Callable[[float], None] = (
                LocalHistogram(bounds).record
                if bounds
                else lambda value, into=histogram: into.record(value, _LABELS)  # type: ignore[misc]  # a default argument
            )
            spent = _spent(record, durations) / values
            best[name] = min(best.get(name, spent), spent)
            if bounds:
                for value in durations:
                    histogram.record(value, _LABELS)
            data = reader.get_metrics_data()
            if data is not None:
                exported[name] = encode_metrics(data).SerializeToString()
            provider.shutdown()
    return [
        Row(
            name,
            best[name] * 1e9,
            len(exported[name]),
            len(gzip.compress(exported[name])),
            len(bounds) + 3 if bounds else 1,
            worst_error(bounds) if bounds else _exponential_error(),
        )
        for name, _, bounds in kinds
    ]


def worst_error(bounds: Sequence[float]) -> float:
    """Return the largest relative error of a constant's percentile, interpolated linearly."""
    errors = [0.0]
    for lower, upper in zip((0.0, *bounds), bounds, strict=False):
        estimate = lower + (upper - lower) * _SHARE
        errors += [
            abs(estimate / value - 1)
            for value in (max(lower, _LEAST_S), upper)
            if _LEAST_S <= value <= _MOST_S
        ]
    if bounds[-1] < _MOST_S:
        errors.append(1 - bounds[-1] / _MOST_S)
    return max(errors)


def _exponential_error() -> float:
    # 160 buckets from 5 ms to 60 s leave scale 3: eight buckets for each doubling.
    return float(2 ** (1 / 8) - 1)


def _spent(record: Callable[[float], None], durations: Sequence[float]) -> float:
    started = process_time()
    for value in durations:
        record(value)
    return process_time() - started


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--values", type=int, default=200_000, help="Durations in a round.")
    parser.add_argument("--rounds", type=int, default=5, help="Rounds of each kind.")
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    options: Any = parser.parse_args(arguments)
    rows = measure(options.values, options.rounds)
    if options.json:
        print(json.dumps([row._asdict() for row in rows]))
        return
    print(f"{'histogram':<12} {'ns/value':>9} {'OTLP':>6} {'gzip':>6} {'series':>7} {'p95 off':>8}")
    for row in rows:
        print(
            f"{row.name:<12} {row.record_ns:>9.0f} {row.otlp_bytes:>6} {row.gzip_bytes:>6} "
            f"{row.prometheus_series:>7} {row.worst_error:>8.1%}"
        )


if __name__ == "__main__":
    main()

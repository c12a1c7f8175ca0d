"""Quantiles of durations, as Prometheus computes them from the buckets, are near the true ones."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracing.metrics.prometheus_quantile import bucket_counts, histogram_quantile
from tracing.metrics.buckets import DURATION_BUCKETS
from tracing.metrics.catalog import BODY_SIZE, END_TO_END_DURATION, METRICS, PROCESS_DURATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.metrics.metric import Metric

LEAST: Final = 0.005
MOST: Final = 60.0
ERROR: Final = 0.15
# The bounds that the messaging conventions advise.
ADVISED: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
DURATIONS: Final = [
    metric for metric in METRICS if metric.kind == "histogram" and metric.unit == "s"
]
LONGEST: Final = 900.0
# A service that is down makes records, retries and sagas wait.
WAITS: Final = [metric for metric in DURATIONS if metric.buckets[-1] > MOST]
NORMAL: Final = NormalDist()

# Distributions by their inverse: the value below which a share of all values lies.
DISTRIBUTIONS: Final[dict[str, Callable[[float], float]]] = {
    "constant, such as a time-out": lambda _: 1.0,
    "uniform": lambda share: share,
    "exponential": lambda share: -math.log(1 - share),
    "log-normal, narrow": lambda share: math.exp(0.1 * NORMAL.inv_cdf(share)),
    "log-normal": lambda share: math.exp(0.5 * NORMAL.inv_cdf(share)),
    "log-normal, wide": lambda share: math.exp(1.5 * NORMAL.inv_cdf(share)),
    "Pareto": lambda share: (1 - share) ** (-1 / 1.5),
    "cached or not": lambda share: 0.01 if share < 0.8 else 1.0 + share / 10,
    "one in fifteen slow": lambda share: 1.0 if share < 14 / 15 else 9.0,
}


def true_quantile(share: float, values: list[float]) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def estimated(bounds: tuple[float, ...], values: list[float], share: float = 0.95) -> float:
    return histogram_quantile(share, bounds, bucket_counts(bounds, values))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_95th_percentile_is_within_15_percent_from_5_ms_to_60_s(distribution: str) -> None:
    shape = [DISTRIBUTIONS[distribution]((number + 0.5) / 500) for number in range(500)]
    unit = true_quantile(0.95, shape)

    errors = {}
    for step in range(300):
        p95 = LEAST * (MOST / LEAST) ** (step / 299)
        values = [value / unit * p95 for value in shape]
        errors[p95] = abs(estimated(DURATION_BUCKETS, values) / true_quantile(0.95, values) - 1)

    assert max(errors.values()) <= ERROR, max(errors, key=lambda p95: errors[p95])


@given(
    st.lists(st.floats(LEAST, MOST, exclude_min=True), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_any_quantile_of_any_values_is_within_15_percent(values: list[float], share: float) -> None:
    true = true_quantile(share, values)

    assert abs(estimated(DURATION_BUCKETS, values, share) / true - 1) <= ERROR


def test_1_3_and_2_3_seconds_differ() -> None:
    # With the advised bounds, they are one value.
    assert estimated(ADVISED, [1.3] * 50) == estimated(ADVISED, [2.3] * 50) == 2.425
    assert 1.29 == pytest.approx(estimated(PROCESS_DURATION.buckets, [1.3] * 50), abs=0.01)
    assert 2.48 == pytest.approx(estimated(PROCESS_DURATION.buckets, [2.3] * 50), abs=0.01)


@pytest.mark.parametrize("metric", WAITS, ids=lambda metric: metric.name)
@given(
    st.lists(st.floats(LEAST, LONGEST, exclude_min=True), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.95]),
)
def test_waits_for_a_service_that_is_down_are_within_15_percent_up_to_a_quarter_of_an_hour(
    metric: Metric, values: list[float], share: float
) -> None:
    true = true_quantile(share, values)

    assert abs(estimated(metric.buckets, values, share) / true - 1) <= ERROR


@pytest.mark.parametrize("metric", DURATIONS, ids=lambda metric: metric.name)
def test_all_durations_share_the_bounds_up_to_a_minute(metric: Metric) -> None:
    buckets = metric.buckets
    assert DURATION_BUCKETS == buckets[: len(DURATION_BUCKETS)]
    assert all(bound > MOST for bound in buckets[len(DURATION_BUCKETS) :])


def test_sizes_have_bounds_from_a_few_bytes_to_more_than_the_largest_message() -> None:
    bounds = BODY_SIZE.buckets
    assert all(2 * below == above for below, above in pairwise(bounds))
    assert bounds[0] <= 64
    # Kafka's limit is near 1 MiB, and may be raised.
    assert 2**20 in bounds
    assert bounds[-1] >= 2**24


def test_the_bounds_include_the_advised_ones_and_those_that_objectives_used() -> None:
    assert set(ADVISED) <= set(DURATION_BUCKETS)
    assert {30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0} <= set(END_TO_END_DURATION.buckets)
    assert (LEAST, MOST) == (DURATION_BUCKETS[0], DURATION_BUCKETS[-1])

"""What native histograms have added: the same as the series of classic ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from dashboards.config import Config
from dashboards.model.labels import GROUP, TOPIC
from dashboards.model.promql import Scope
from dashboards.signals import flows, hop_time, services
from tests.dashboards.alert_series import HOP
from tests.dashboards.promtool import check_queries
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from dashboards.model.signal import Signal
    from tracing.metrics.metric import Metric

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

WAIT: Final = catalog.WAIT_DURATION.prometheus
# How many values each sample has, and how many of them are up to 1 s; every minute, at 0 min first.
RISING: Final = tuple((3 * minute, minute) for minute in range(61))
RESTARTED: Final = (*((300, 200),) * 56, *((30 * minute, 10 * minute) for minute in range(1, 6)))
RESTARTED_BEFORE: Final = (*((300, 200),) * 51, *((3 * each, each) for each in range(1, 11)))


def _classic(name: str, labels: str, samples: Sequence[tuple[int, int]]) -> dict[str, str]:
    """Return the series of a histogram whose values take 0.5 s or 2 s."""
    totals = [0.5 * low + 2 * (count - low) for count, low in samples]
    parts: dict[str, Sequence[float]] = {
        f'_bucket{{{labels}, le="1"}}': [low for _, low in samples],
        f'_bucket{{{labels}, le="2.5"}}': [count for count, _ in samples],
        f"_count{{{labels}}}": [count for count, _ in samples],
        f"_sum{{{labels}}}": totals,
    }
    return {f"{name}{part}": " _ ".join(map(str, values)) for part, values in parts.items()}


def _native(name: str, labels: str, samples: Sequence[tuple[int, int]]) -> dict[str, str]:
    """Return the same as one series."""
    values = [
        "{{schema:-53 custom_values:[1 2.5] "
        f"sum:{0.5 * low + 2 * (count - low)} count:{count} buckets:[{low} {count - low} 0]}}}}"
        for count, low in samples
    ]
    return {f"{name}{{{labels}}}": " _ ".join(values)}


KINDS: Final = [
    pytest.param(False, _classic, id="classic"),
    pytest.param(True, _native, id="native"),
]


@pytest.mark.parametrize(("native", "made"), KINDS)
@pytest.mark.parametrize(
    ("signal", "metric"),
    [
        (flows.FAILED, catalog.PROCESS_DURATION),
        (services.CLIENT_ERRORS, catalog.OPERATION_DURATION),
    ],
    ids=lambda value: getattr(value, "title", ""),
)
def test_failures_are_counted_although_a_bar_has_only_one_export(
    native: bool,
    made: Callable[..., dict[str, str]],
    signal: Signal,
    metric: Metric,
    binaries: Path,
    tmp_path: Path,
) -> None:
    labels = f'{HOP}, job="s", error_type="E", messaging_operation_name="send"'
    series = made(metric.prometheus, labels, RISING)
    scope = Scope.of(Config(native_histograms=native), window="1m")
    check_queries([(f"sum({signal.expr(scope)})", 3)], series, binaries, tmp_path)


@pytest.mark.parametrize(("native", "made"), KINDS)
@pytest.mark.parametrize(
    ("samples", "window", "count", "in_time"),
    [
        pytest.param(RISING, "1m", 3, 1, id="one export"),
        pytest.param(RISING, "10m", 30, 10, id="ten exports"),
        pytest.param(RESTARTED, "10m", 150, 50, id="a restart in the window"),
        pytest.param(RESTARTED_BEFORE, "10m", 30, 10, id="a restart just before it"),
        pytest.param(((0, 0),) * 61, "10m", 0, 0, id="no values"),
        pytest.param(((9, 4),) * 61, "10m", 0, 0, id="no new values"),
    ],
)
def test_the_parts_of_a_histogram_fit_together(
    native: bool,
    made: Callable[..., dict[str, str]],
    samples: Sequence[tuple[int, int]],
    window: str,
    count: float,
    in_time: float,
    binaries: Path,
    tmp_path: Path,
) -> None:
    scope = Scope.of(Config(native_histograms=native), window=window)
    by, metric = (GROUP, TOPIC), catalog.WAIT_DURATION
    mean = (0.5 * in_time + 2 * (count - in_time)) / count if count else None
    expected = [
        (f"sum({scope.increase(metric, by=by, part='count')})", count),
        (f"sum({scope.increase_up_to(1, metric, by=by)})", in_time),
        (f"sum({hop_time.WAIT.expr(scope)})", mean),
    ]
    check_queries(expected, made(WAIT, HOP, samples), binaries, tmp_path)

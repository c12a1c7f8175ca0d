"""What counters show of processes that restart, as a new series or as the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from dashboards.config import Config
from dashboards.model.labels import GROUP, TOPIC
from dashboards.model.promql import Scope
from dashboards.signals import cluster, completeness, flows, hop_time, lag, sagas
from tests.dashboards.alert_series import HOP
from tests.dashboards.promtool import check_queries
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dashboards.model.signal import Signal

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SCOPE: Final = Scope.of(Config(), window="10m")
CONSUMED: Final = 'messaging_client_consumed_messages_total{instance="orders-0"}'
WAIT: Final = catalog.WAIT_DURATION.prometheus
PART: Final = f'{HOP}, messaging_destination_partition_id="0"'
OF_SAGAS: Final = {
    sagas.FAILED: 'pipeline_saga_ended_total{saga="s", outcome="failed"',
    sagas.ENDED: 'pipeline_saga_ended_total{saga="s", outcome="failed"',
    sagas.STARTED: 'pipeline_saga_started_total{saga="s"',
    sagas.COMPENSATIONS: 'pipeline_saga_compensations_total{saga="s", step="refund"',
}
# Of these, each monitor counts the same.
OF_MONITORS: Final = {
    lag.LOST: f"pipeline_consumer_lost_total{{{PART}",
    completeness.REWOUND: f"pipeline_consumer_rewound_total{{{PART}",
    cluster.LEADER_CHANGES: 'pipeline_cluster_leader_changes_total{job="m"',
}
IN_STORE: Final = {signal: f'{series}, counted_by="store"' for signal, series in OF_SAGAS.items()}
BY_PROCESS: Final = {
    signal: f'{series}, counted_by="process"' for signal, series in OF_SAGAS.items()
}


def _waits(in_time: str, count: str, total: str = "0x200") -> dict[str, str]:
    return {
        f'{WAIT}_bucket{{{HOP}, le="1"}}': in_time,
        f"{WAIT}_count{{{HOP}}}": count,
        f"{WAIT}_sum{{{HOP}}}": total,
    }


def _late_share() -> str:
    in_time = SCOPE.increase_up_to(1, catalog.WAIT_DURATION, by=(GROUP, TOPIC))
    total = SCOPE.increase(catalog.WAIT_DURATION, by=(GROUP, TOPIC), part="count")
    return f"round(sum(1 - {in_time} / {total}), 0.001)"


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        pytest.param("100x105 0+12x14", 168, id="within the window"),
        pytest.param("100x105 110 4x3 8 3x9", 21, id="twice within the window"),
        pytest.param("100x100 20+10x19", 210, id="just before the window"),
        pytest.param("100x100 _x19 30", 30, id="just before the window, with one value in it"),
        # Of the first values of a series, Prometheus leaves out what came before them.
        pytest.param("_x102 5+5x8 3+3x9", 70 * (555 / 540) * (18 / 19), id="soon after it began"),
        pytest.param("100+5x120", 100, id="never"),
    ],
)
def test_a_process_that_restarts_as_the_same_series_counts_from_zero(
    values: str, counted: float, binaries: Path, tmp_path: Path
) -> None:
    query = f"sum({flows.CONSUMED.expr(SCOPE)}) * 600"
    check_queries([(query, counted)], {CONSUMED: values}, binaries, tmp_path)


@pytest.mark.parametrize(
    ("series", "late"),
    [
        pytest.param(_waits("50x105 0+12x14", "100x105 0+12x14"), 0.0, id="within the window"),
        pytest.param(_waits("50x100 20+10x19", "100x100 20+10x19"), 0.0, id="just before it"),
        pytest.param(
            _waits("0x100 20+10x19", "100x100 20+10x19"), 0.0, id="all were late before it"
        ),
        pytest.param(_waits("50x100 0+5x19", "100x100 0+10x19"), 0.5, id="half are late since"),
        pytest.param(
            _waits("50x100 10x20", "100x100 120+10x19"), 0.952, id="more have come since, and late"
        ),
        pytest.param(
            _waits("10x105 30+30x14", "100x105 30+30x14"), 0.0, id="more than before are in time"
        ),
        pytest.param(
            _waits("50x105 _x4 200x10", "1000x105 _x4 300x10"), 0.333, id="it was away for a while"
        ),
    ],
)
def test_the_parts_of_a_histogram_count_a_restart_alike(
    series: Mapping[str, str], late: float, binaries: Path, tmp_path: Path
) -> None:
    check_queries([(_late_share(), late)], series, binaries, tmp_path)


def test_the_mean_after_a_restart_is_that_of_the_new_values(binaries: Path, tmp_path: Path) -> None:
    series = _waits("0x200", "100x100 1+1x19", "10x100 2+2x19")
    check_queries([(f"sum({hop_time.WAIT.expr(SCOPE)})", 2)], series, binaries, tmp_path)


def test_the_mean_after_a_restart_in_the_window_is_that_of_the_new_values(
    binaries: Path, tmp_path: Path
) -> None:
    # Their sum is higher than that of all before.
    series = _waits("0x200", "59000x105 10x80", "590x105 600x80")
    check_queries([(f"round(sum({hop_time.WAIT.expr(SCOPE)}))", 60)], series, binaries, tmp_path)


def test_a_quantile_counts_the_one_value_of_a_process_that_has_ended(
    binaries: Path, tmp_path: Path
) -> None:
    name = catalog.END_TO_END_DURATION.prometheus
    series = {
        f'{name}_bucket{{pipeline="p", instance="{instance}", le="{bound}"}}': values
        for instance, bound, values in (
            ("a", "1", "0x200"),
            ("a", "10", "0+100x101 _x80"),
            ("a", "+Inf", "0+100x101 _x80"),
            ("b", "1", "_x102 1+1x80"),
            ("b", "10", "_x102 1+1x80"),
            ("b", "+Inf", "_x102 1+1x80"),
        )
    }
    # 100 of up to 10 s, and 18 of up to 1 s.
    query = f"sum({flows.end_to_end(0.95).expr(SCOPE)}) > bool 9"
    check_queries([(query, 1)], series, binaries, tmp_path)


def test_a_quantile_after_a_restart_is_that_of_the_new_values(
    binaries: Path, tmp_path: Path
) -> None:
    name = catalog.END_TO_END_DURATION.prometheus
    # Before, 200 of 2000 were in time; since then, all are, so only the higher buckets fall.
    values = {"1": "200x110 210+10x80", "10": "2000x110 210+10x80", "+Inf": "2000x110 210+10x80"}
    series = {f'{name}_bucket{{pipeline="p", le="{bound}"}}': v for bound, v in values.items()}
    series[f'{name}_count{{pipeline="p"}}'] = values["+Inf"]
    query = f"sum({flows.end_to_end(0.95).expr(SCOPE)}) <= bool 1"
    check_queries([(query, 1)], series, binaries, tmp_path)


def _check_shared(
    values: Mapping[str, str],
    counted: float,
    signals: Mapping[Signal, str],
    binaries: Path,
    folder: Path,
) -> None:
    """Check counters that several processes report, each with its values."""
    series = {
        f'{start}, instance="{name}"}}': value
        for start in signals.values()
        for name, value in values.items()
    }
    expected = [
        (f"round(sum({signal.expr(SCOPE)}) * {600 if signal.unit == 'cps' else 1})", counted)
        for signal in signals
    ]
    check_queries(expected, series, binaries, folder)


@pytest.mark.parametrize("ended", [117, 114, 106])
@pytest.mark.parametrize("signals", [OF_MONITORS, BY_PROCESS])
def test_what_an_ended_process_has_counted_is_not_new(
    ended: int, signals: Mapping[Signal, str], binaries: Path, tmp_path: Path
) -> None:
    values = {"a": f"7x{ended} _x80", "b": f"_x{ended + 2} 0x80"}
    _check_shared(values, 0, signals, binaries, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "counted"),
    [
        pytest.param("7x110 _x80", "_x112 0x3 2x80", 2, id="the new one reports"),
        pytest.param("7x114 _x80", "_x116 2x80", 2, id="the old one is still remembered"),
        pytest.param("7x95 _x100", "_x90 0x20 1x80", 1, id="before the window"),
    ],
)
@pytest.mark.parametrize("signals", [OF_MONITORS, BY_PROCESS])
def test_a_new_process_counts_from_zero(
    old: str,
    new: str,
    counted: int,
    signals: Mapping[Signal, str],
    binaries: Path,
    tmp_path: Path,
) -> None:
    _check_shared({"a": old, "b": new}, counted, signals, binaries, tmp_path)


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        pytest.param({"a": "_x102 5x8 _x80", "b": "_x112 0x3 2x80"}, 7, id="one after the other"),
        pytest.param({"a": "3x200", "b": "0x112 2x80"}, 2, id="the one that had fewer"),
        pytest.param({"a": "0+1x200", "b": "0+1x200"}, 40, id="both all the time"),
    ],
)
def test_without_a_store_what_two_processes_count_adds_up(
    values: Mapping[str, str], counted: int, binaries: Path, tmp_path: Path
) -> None:
    _check_shared(values, counted, BY_PROCESS, binaries, tmp_path)


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        pytest.param({"a": "500x110 20x80", "b": "500x111 20x80"}, 0, id="old ones are deleted"),
        pytest.param(
            {"a": "30x102 0+3x10 30x80", "b": "30x102 0+3x10 30x80"}, 0, id="they are rebuilt"
        ),
        pytest.param(
            {"a": "30x95 0+3x10 30x80", "b": "30x95 0+3x10 30x80"},
            # The window begins with 12.
            18,
            id="they are still being rebuilt when the window begins",
        ),
        pytest.param(
            {"a": "500x80 _x120", "b": "_x82 0x24 3x80"}, 3, id="a new store, a while ago"
        ),
        pytest.param({"a": "3x110 4x80", "b": "3x110 4x80"}, 1, id="one, and two replicas"),
        pytest.param({"a": "3x110 _x80", "b": "_x112 4x80"}, 1, id="one during a restart"),
        pytest.param({"a": "_x110 7x80"}, 0, id="a new Prometheus"),
    ],
)
def test_of_a_store_only_what_is_above_the_last_total_is_new(
    values: Mapping[str, str], counted: int, binaries: Path, tmp_path: Path
) -> None:
    _check_shared(values, counted, IN_STORE, binaries, tmp_path)


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        ("5x100 0 9x80", 9),
        ("5x100 1+1x8 9x80", 9),
        ("0x102 1x6 0x3 2x80", 3),
    ],
)
@pytest.mark.parametrize("signals", [OF_MONITORS, BY_PROCESS])
def test_a_process_counts_from_zero_also_as_the_same_series(
    values: str, counted: int, signals: Mapping[Signal, str], binaries: Path, tmp_path: Path
) -> None:
    _check_shared({"a": values}, counted, signals, binaries, tmp_path)


def test_what_two_monitors_see_counts_once(binaries: Path, tmp_path: Path) -> None:
    _check_shared({"a": "0x110 3x80", "b": "0x110 3x80"}, 3, OF_MONITORS, binaries, tmp_path)


def test_what_a_second_monitor_sees_counts_once_although_it_has_begun_later(
    binaries: Path, tmp_path: Path
) -> None:
    _check_shared({"a": "7x112 9x80", "b": "_x104 0x8 2x80"}, 2, OF_MONITORS, binaries, tmp_path)


def _compensations(**processes: tuple[str, str]) -> dict[str, str]:
    """Return the series without a step and that of a step, by process."""
    return {
        f'pipeline_saga_compensations_total{{saga="s"{step}, instance="{name}"}}': values
        for name, both in processes.items()
        for step, values in zip(("", ', step="refund"'), both, strict=True)
    }


@pytest.mark.parametrize(
    ("series", "counted"),
    [
        pytest.param(_compensations(a=("0x200", "_x110 4x80")), 4, id="the first ones of a step"),
        pytest.param(_compensations(a=("0x200", "3x110 4x80")), 1, id="a later one"),
        pytest.param(
            _compensations(a=("0x105 _x80", "4x105 _x80"), b=("_x107 0x80", "_x107 4x80")),
            0,
            id="none, and a restart",
        ),
        pytest.param(
            _compensations(a=("0x105 _x80", "_x200"), b=("_x107 0x80", "_x107 4x80")),
            4,
            id="the first ones of a step during a restart",
        ),
        pytest.param(
            _compensations(a=("_x110 0x80", "_x110 4x80")), 0, id="old ones in a new Prometheus"
        ),
    ],
)
def test_the_first_compensations_of_a_step_count(
    series: Mapping[str, str], counted: float, binaries: Path, tmp_path: Path
) -> None:
    query = f"sum({sagas.COMPENSATIONS.expr(SCOPE)}) * 600"
    check_queries([(query, counted)], series, binaries, tmp_path)

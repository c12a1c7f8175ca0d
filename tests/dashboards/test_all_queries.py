"""What holds for all queries of panels, annotations, alerts and recordings."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dashboards.boards.all_boards import make_boards
from dashboards.config import Config
from dashboards.durations import seconds_of
from dashboards.model.labels import VARIABLE_OF
from dashboards.model.promql import Scope
from dashboards.rules.alerts import make_alerts
from dashboards.rules.recordings import make_recordings
from dashboards.signals import lag
from tests.dashboards.board_documents import promql
from tests.dashboards.prometheus_server import PrometheusServer, prometheus_server
from tracing.metrics.catalog import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dashboards.model.rule import Alert

CONFIG = Config(pipelines=("orders", "returns"), sagas=("place-order",))
QUERIES = sorted(
    {
        *(query for board in make_boards(CONFIG) for query in promql(board, CONFIG)),
        *(rule.expr for rule in make_recordings(CONFIG)),
        *(rule.expr for rule in make_alerts(CONFIG)),
        *(rule.expr for rule in make_alerts(CONFIG, recorded=False)),
    }
)
LAST = r"last_over_time\(\1\[\2\]\)"
EARLIER = r"last_over_time\(\1\[6h\] offset \2\)"
# What decides whether a series has restarted: its own values, or the count of its histogram.
MATCHING = r"(?: ignoring \(le\))?"
COUNTED = re.compile(
    r"\(\(increase\(([^\[]+)\[([^\]]+)\]\) \* \(1 - 1 / count_over_time\(\1\[\2\]\)\) "
    rf"> {LAST} or {LAST}\) and{MATCHING} resets\(([^\[]+)\[\2\]\) > 0\) "
    rf"or {LAST} - \({EARLIER} (?:<= min_over_time\(\1\[\2\]\)"
    rf"|unless{MATCHING} last_over_time\(\3\[6h\] offset \2\) "
    rf"> min_over_time\(\3\[\2\]\))\) >= 0 or {LAST}"
)
# Of buckets, of which there are thousands, the count of their histogram decides.
EXTRAPOLATED = re.compile(
    r"last_over_time\((([^\[{]+)_bucket(\{[^\[]*))\[([^\]]+)\]\) unless ignoring \(le\) "
    r"\(last_over_time\(\2_count\3\[6h\] offset \4\) <= min_over_time\(\2_count\3\[\4\]\) "
    r"unless resets\(\2_count\3\[\4\]\) > 0\) unless resets\(\1\[\4\]\) > 0 "
    r"or increase\(\1\[\4\]\) "
    r"or last_over_time\(\1\[\4\]\) - last_over_time\(\1\[5m\] offset \4\) >= 0"
)
GAUGES = "|".join(metric.prometheus for metric in METRICS if "gauge" == metric.kind)
# Prometheus returns the last sample of a series that has ended for five minutes.
LOOKBACK_S = 300
INSTANT_GAUGE = re.compile(rf"\b(?:{GAUGES})\{{[^}}]*\}}(?!\[)")
FRESH_GAUGE = re.compile(
    rf"((?:{GAUGES})\{{[^}}]*\}}) and \(timestamp\(\1\) == on \([^)]*\) group_left \(\) "
    rf"max by \([^)]*\) \((?:timestamp\((?:{GAUGES})\{{[^}}]*\}}\) or )?timestamp\(\1\)\)\) "
    r"> time\(\) - (\d+)"
)
ALIVE_GAUGE = re.compile(rf"\(((?:{GAUGES})\{{[^}}]*\}}) and timestamp\(\1\) > time\(\) - (\d+)\)")
# What it compares is a share of all flows of five minutes: one sample is enough, and no more than
# one export is needed to resolve it.
ONE_SAMPLE = {"EndToEndOutage"}


@pytest.fixture(scope="module")
def server(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with prometheus_server(binaries, tmp_path_factory.mktemp("prometheus")) as running:
        yield running


def _children(node: dict[str, Any]) -> list[dict[str, Any]]:
    values = [each for value in node.values() for each in _as_list(value)]
    return [each for each in values if isinstance(each, dict) and "type" in each]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _filters(node: dict[str, Any]) -> set[tuple[str, ...]]:
    """Return the labels that each selector filters, without those after `and` and `unless`.

    Neither does a factor count that is joined: it scales what has the labels.
    """
    if node["type"] in {"vectorSelector", "matrixSelector"}:
        chosen = {each["name"] for each in node["matchers"] if "=~" == each["type"]}
        return {tuple(sorted(chosen & set(VARIABLE_OF)))}
    joined = (node.get("matching") or {}).get("card") == "many-to-one"
    if node.get("op") in {"and", "unless"} or ("*" == node.get("op") and joined):
        return _filters(node["lhs"])
    return {labels for child in _children(node) for labels in _filters(child)}


def _uneven(tree: dict[str, Any]) -> list[set[tuple[str, ...]]]:
    """Return by what the parts of fractions are filtered, of those where it is not the same."""
    parts = [
        (_filters(node["lhs"]), _filters(node["rhs"]))
        for node in _nodes(tree)
        if "/" == node.get("op")
    ]
    return [above ^ below for above, below in parts if above and below and above != below]


def _as_grafana_sends(query: str) -> str:
    return re.sub(r"\$(__rate_interval|__interval|__range|interval)\b", "5m", query)


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_both_parts_of_every_fraction_are_filtered_by_the_same_labels(
    server: PrometheusServer,
) -> None:
    trees = {query: server.parsed(_as_grafana_sends(query)) for query in QUERIES}
    fractions = [node for tree in trees.values() for node in _nodes(tree) if "/" == node.get("op")]
    assert any(_filters(fraction) - {()} for fraction in fractions)
    assert {} == {query: uneven for query, tree in trees.items() if (uneven := _uneven(tree))}


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "query",
    [
        'sum(a{pipeline=~"$pipeline"}) / sum(b)',
        'sum(a{job=~"$service"}) / (sum(b{job=~"$service"}) + sum(c) > 0)',
        'sum(rate(a{job=~"$service"}[5m])) / sum(rate(a[5m]))',
    ],
)
def test_an_uneven_fraction_is_noticed(query: str, server: PrometheusServer) -> None:
    assert _uneven(server.parsed(query))


def test_every_counter_counts_the_first_value_of_a_series() -> None:
    rests = [EXTRAPOLATED.sub("", COUNTED.sub("", query)) for query in QUERIES]
    assert [] == [rest for rest in rests if re.search(r"\b(increase|rate|irate)\(", rest)]


def _outlived(alert: Alert) -> list[str]:
    """Return the gauges by which an alert fires although the process of their last sample ended."""
    wait_s = seconds_of(alert.wait)
    # Without a wait, the first sample decides, and nothing has to outlive it.
    if wait_s == 0 or wait_s >= LOOKBACK_S or alert.name in ONE_SAMPLE:
        return []
    aged = [found for found in FRESH_GAUGE.finditer(alert.expr) if int(found[2]) >= wait_s]
    aged += [found for found in ALIVE_GAUGE.finditer(alert.expr) if int(found[2]) >= wait_s]
    rest = ALIVE_GAUGE.sub("", FRESH_GAUGE.sub("", alert.expr))
    return [found[0] for found in (*aged, *INSTANT_GAUGE.finditer(rest))]


@pytest.mark.parametrize("min_step", ["15s", "1m", "100s", "2m"])
def test_no_alert_fires_by_the_last_sample_of_a_process_that_has_ended(min_step: str) -> None:
    alerts = make_alerts(Config(min_step=min_step), recorded=False)
    assert {} == {alert.name: gauges for alert in alerts if (gauges := _outlived(alert))}


def test_a_gauge_that_outlives_the_wait_of_an_alert_is_noticed() -> None:
    stalled = next(
        alert for alert in make_alerts(CONFIG, recorded=False) if "ConsumerStalled" == alert.name
    )
    assert [] != _outlived(replace(stalled, wait="1m"))
    assert [] != _outlived(replace(stalled, expr=lag.GROUP_STATUS.expr(Scope.of(CONFIG))))

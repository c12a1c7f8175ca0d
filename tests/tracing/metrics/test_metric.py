"""Metric names as Prometheus derives them from OTLP."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing.metrics.metric import prometheus_label, prometheus_name


@pytest.mark.parametrize(
    ("name", "kind", "unit", "expected"),
    [
        ("pipeline.wait.duration", "histogram", "s", "pipeline_wait_duration_seconds"),
        ("pipeline.consumer.lag", "gauge", "{message}", "pipeline_consumer_lag"),
        ("pipeline.consumer.lag.time", "gauge", "s", "pipeline_consumer_lag_time_seconds"),
        ("pipeline.retries", "counter", "{attempt}", "pipeline_retries_total"),
        ("already.total", "counter", "{thing}", "already_total"),
        ("total.things", "counter", "", "things_total"),
        ("wait.seconds", "gauge", "s", "wait_seconds"),
        ("spent.seconds.total", "counter", "s", "spent_seconds_total"),
        ("cpu.utilization", "gauge", "1", "cpu_utilization_ratio"),
        ("requests", "counter", "1", "requests_total"),
        ("body.size", "histogram", "By", "body_size_bytes"),
        ("a..b--c", "gauge", "", "a_b_c"),
    ],
)
def test_a_metric_has_its_prometheus_name(name: str, kind: str, unit: str, expected: str) -> None:
    assert expected == prometheus_name(name, kind, unit)


def test_a_label_has_underscores_for_dots() -> None:
    assert "messaging_consumer_group_name" == prometheus_label("messaging.consumer.group.name")


@given(st.from_regex(r"[a-z][a-z0-9._-]{0,40}", fullmatch=True), st.sampled_from(["s", "1", "{a}"]))
def test_prometheus_accepts_every_name(name: str, unit: str) -> None:
    for kind in ("counter", "gauge", "histogram"):
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", prometheus_name(name, kind, unit))

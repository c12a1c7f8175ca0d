"""Retries, duplicates and dead letters: counted from the metrics, shown with a trace."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.trace import SpanKind
from rich.console import Console

from demo_pipeline.report import check_traces, print_summary
from demo_pipeline.report.analysis import analyse
from demo_pipeline.report.delivery import deliveries
from demo_pipeline.report.page import render_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demo_pipeline.report import RunResult
    from tests.report.conftest import Recorder

EVIL = "<script>alert(1)</script>"


def counted(*counts: tuple[str, int, Mapping[str, str]]) -> MetricsData:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("test")
    for name, value, attributes in counts:
        meter.create_counter(name).add(value, attributes)
    data = reader.get_metrics_data()
    assert data is not None
    provider.shutdown()
    return data


def labels(group: str = "payment", topic: str = "orders", **error: str) -> dict[str, str]:
    found = {"messaging.destination.name": topic, "messaging.consumer.group.name": group}
    return found | {name.replace("_", "."): value for name, value in error.items()}


@pytest.fixture
def lost(recorder: Recorder) -> RunResult:
    """An order that payment gave up on after two attempts, in a trace of two services."""
    about: dict[str, Any] = {
        "messaging.destination.name": "orders.events",
        "messaging.message.conversation_id": "lost",
    }
    root = recorder.span("orders", "POST /orders", SpanKind.SERVER, 0, 10)
    process = recorder.span(
        "payment", "process orders.events", SpanKind.CONSUMER, 10, 900, parent=root,
        attributes={**about, "messaging.operation.name": "process",
                    "pipeline.outcome": "dead_lettered"},
        error=ConnectionError("away"),
    )  # fmt: skip
    recorder.span(
        "payment", "retry orders.events", SpanKind.CONSUMER, 500, 510, parent=process,
        attributes={**about, "messaging.operation.name": "retry"}, error=ConnectionError("away"),
    )  # fmt: skip
    recorder.span(
        "payment", "dead_letter orders.events.payment.dlq", SpanKind.PRODUCER, 520, 530,
        parent=process, attributes={**about, "messaging.operation.name": "dead_letter"},
    )  # fmt: skip
    metrics = counted(
        ("pipeline.retries", 1, labels(error_type="ConnectionError")),
        ("pipeline.dead_letters", 0, labels()),
        ("pipeline.dead_letters", 1, labels(error_type=EVIL)),
        ("pipeline.duplicates", 3, labels(group="shipping")),
        ("pipeline.duplicates", 0, labels(group="analytics")),
    )
    return replace(recorder.result("lost"), metrics=(metrics,))


def printed(result: RunResult) -> str:
    file = io.StringIO()
    print_summary(result, Console(file=file, width=140, color_system=None, _environ={}))
    return file.getvalue()


def test_counts_are_summed_up_by_group_and_topic_without_the_zeros() -> None:
    metrics = (
        counted(("pipeline.retries", 2, labels(error_type="A"))),
        counted(
            ("pipeline.retries", 3, labels(error_type="A")),
            ("pipeline.retries", 1, labels(error_type="B")),
            ("pipeline.duplicates", 0, labels(group="shipping")),
        ),
    )

    (found,) = deliveries(metrics)

    assert {"A": 5, "B": 1} == found.retries
    assert ("payment", "orders", 0) == (found.group, found.topic, found.duplicates)


def test_the_summary_shows_them_by_error_and_a_lost_orders_trace(lost: RunResult) -> None:
    text = printed(lost)

    assert "1 ConnectionError" in text
    assert "dead_letter orders.events.payment.dlq" in text
    assert "▓ another attempt" in text
    assert "python -m tracing dlq" in text
    assert "analytics ←" not in text


def test_a_lost_order_need_not_have_reached_all_services(lost: RunResult) -> None:
    assert () == check_traces(lost)


def test_the_page_shows_them_escaped_and_names_the_order(lost: RunResult) -> None:
    page = render_page(lost, analyse(lost))

    assert "Orders with a dead letter" in page
    assert "<code>lost</code>" in page
    assert "1 ConnectionError" in page
    assert EVIL not in page


def test_a_run_without_any_says_so(recorder: Recorder) -> None:
    recorder.order("a")
    result = recorder.result("a")

    assert "No retries, no duplicates, no dead letters" in printed(result)
    assert "No retries, no duplicates, no dead letters" in render_page(result, analyse(result))

"""Spans and counts of sagas as the demo records them, with chosen times."""

from collections.abc import Mapping

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import Span, SpanKind

from tests.demo_pipeline.report.recording import Recorder

NAME = "place-order"
TOO_LATE = TimeoutError("cancel-shipment got no answer")


def saga(
    recorder: Recorder,
    saga_id: str,
    start: float,
    end: float,
    parent: Span | None = None,
    *,
    name: str = NAME,
    outcome: str = "completed",
    overdue: bool = False,
) -> Span:
    """Record a saga; times are ms after the start of the run."""
    attributes = about(saga_id, name) | {"pipeline.saga.outcome": outcome}
    if overdue:
        attributes["pipeline.saga.overdue"] = True
    error = TOO_LATE if outcome == "failed" else None
    return recorder.span(
        "orders", f"saga {name}", SpanKind.INTERNAL, start, end,
        parent=parent, attributes=attributes, error=error,
    )  # fmt: skip


def step(
    recorder: Recorder,
    of: Span,
    saga_id: str,
    step: str,
    start: float,
    end: float,
    *,
    name: str = NAME,
    outcome: str = "ok",
    compensation: bool = False,
) -> Span:
    """Record a step of a saga, or a compensation."""
    attributes = about(saga_id, name) | {"pipeline.saga.step": step, "pipeline.outcome": outcome}
    if compensation:
        attributes["pipeline.saga.compensation"] = True
    error = TOO_LATE if outcome == "error" else None
    return recorder.span(
        "orders", f"saga.step {name}/{step}", SpanKind.INTERNAL, start, end,
        parent=of, attributes=attributes, error=error,
    )  # fmt: skip


def about(saga_id: str, name: str = NAME) -> dict[str, str | int | float]:
    return {"pipeline.saga.name": name, "pipeline.saga.id": saga_id}


def completed_order(recorder: Recorder, order: str, at: float = 0) -> Span:
    """Place an order whose saga takes 80 ms."""
    request = recorder.order(order, at)
    whole = saga(recorder, order, at + 3, at + 83, request)
    step(recorder, whole, order, "reserve-inventory", at + 3, at + 23)
    step(recorder, whole, order, "charge-card", at + 23, at + 53)
    step(recorder, whole, order, "ship-order", at + 53, at + 83)
    return whole


def refused_order(recorder: Recorder, order: str, at: float = 0) -> Span:
    """Place an order whose shipment is refused, and whose saga compensates in 40 ms."""
    request = recorder.order(order, at)
    whole = saga(recorder, order, at + 3, at + 123, request, outcome="compensated", overdue=True)
    step(recorder, whole, order, "reserve-inventory", at + 3, at + 33)
    step(recorder, whole, order, "charge-card", at + 33, at + 63)
    step(recorder, whole, order, "ship-order", at + 63, at + 83, outcome="rejected")
    step(recorder, whole, order, "refund-card", at + 83, at + 103, compensation=True)
    step(
        recorder, whole, order, "release-inventory", at + 103, at + 123,
        outcome="error", compensation=True,
    )  # fmt: skip
    return whole


def reported(
    service: str, *values: tuple[str, int, Mapping[str, str]], name: str = NAME
) -> MetricsData:
    """Return the metrics that a replica reads from the store, about the sagas of one name."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(
        [reader], resource=Resource({"service.name": service}), shutdown_on_exit=False
    )
    meter = provider.get_meter("test")
    for metric, value, attributes in values:
        labels = {"saga": name, **attributes}
        if metric in {"active", "overdue", "oldest_age"}:
            meter.create_gauge(f"pipeline.saga.{metric}").set(value, labels)
        else:
            meter.create_counter(f"pipeline.saga.{metric}").add(value, labels)
    data = reader.get_metrics_data()
    assert data is not None
    provider.shutdown()
    return data


def ended(outcome: str, count: int) -> tuple[str, int, Mapping[str, str]]:
    return "ended", count, {"outcome": outcome}

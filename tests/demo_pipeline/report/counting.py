"""Metrics of retries, duplicates and dead letters, as the demo's services count them."""

from collections.abc import Mapping

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource


def counted(service: str, *counts: tuple[str, int, Mapping[str, str]]) -> MetricsData:
    reader = InMemoryMetricReader()
    provider = MeterProvider(
        [reader], resource=Resource({"service.name": service}), shutdown_on_exit=False
    )
    meter = provider.get_meter("test")
    for name, value, attributes in counts:
        meter.create_counter(name).add(value, attributes)
    meter.create_histogram("pipeline.retry.duration").record(0.4)
    data = reader.get_metrics_data()
    assert data is not None
    provider.shutdown()
    return data


def labels(group: str, topic: str, error: str | None = None) -> dict[str, str]:
    attributes = {"messaging.destination.name": topic, "messaging.consumer.group.name": group}
    return attributes if error is None else attributes | {"error.type": error}


def payment_counts(error: str = "ConnectionError", *, dead_letters: int = 1) -> MetricsData:
    """Return the counts of payment that belong to `Recorder.given_up`."""
    topic = "inventory.events"
    return counted(
        "payment",
        ("pipeline.retries", 0, labels("payment", topic)),
        ("pipeline.retries", 2 * dead_letters, labels("payment", topic, error)),
        ("pipeline.dead_letters", 0, labels("payment", topic)),
        ("pipeline.dead_letters", dead_letters, labels("payment", topic, error)),
        ("pipeline.duplicates", 0, labels("payment", topic)),
    )

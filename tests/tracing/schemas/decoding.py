"""Values with ids of schemas, a plain deserializer, and what was counted of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tracing.testing.metric_values import points_of

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS: Final[Mapping[int, tuple[str, int]]] = {
    1: ("shop.OrderPlaced", 1),
    2: ("shop.OrderPlaced", 2),
    3: ("shop.OrderCancelled", 1),
}


def framed(schema_id: int, payload: bytes = b"ok") -> bytes:
    return b"\0" + schema_id.to_bytes(4) + payload


def decode(value: bytes) -> str:
    """Read the text after the id, as a deserializer with known ids would."""
    VERSIONS[int.from_bytes(value[1:5])]
    return value[5:].decode()


class Meter:
    """A meter provider, and what was counted on it."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader], shutdown_on_exit=False)

    def series(self) -> dict[tuple[str, str, str], float]:
        """Return the counts by subject, version and outcome, with those that are 0."""
        return {
            (str(labels["subject"]), str(labels["version"]), str(labels["outcome"])): value
            for labels, value in self._points("pipeline.schema.records")
        }

    def counts(self) -> dict[tuple[str, str, str], float]:
        """Return the counts that are not 0."""
        return {labels: value for labels, value in self.series().items() if value}

    def faults(self) -> float:
        """Return how many faults of the instrumentation of schemas were counted."""
        return sum(
            value
            for labels, value in self._points("pipeline.telemetry.dropped")
            if labels["reason"] == "schema"
        )

    def _points(self, name: str) -> list[tuple[dict[str, object], float]]:
        return [
            (dict(point.attributes), point.value)
            for point in points_of(self._reader.get_metrics_data())
            if point.name == name and isinstance(point.value, int | float)
        ]

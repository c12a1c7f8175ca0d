"""Recorded metrics as plain values that can be added and compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import Gauge, NumberDataPoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.metrics.export import (
        ExponentialHistogramDataPoint,
        HistogramDataPoint,
        MetricsData,
    )
    from opentelemetry.util.types import AttributeValue


@dataclass(frozen=True, slots=True)
class HistogramValue:
    """What a histogram recorded.

    Attributes:
        count: The number of measurements.
        sum: Their total, in the instrument's unit.
    """

    count: int
    sum: float


MetricValue = int | float | HistogramValue


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One series of an instrument.

    Attributes:
        name: The instrument's name.
        attributes: The series' attributes.
        value: Its value.
        adds_up: Whether the value accumulates; a gauge's does not.
    """

    name: str
    attributes: frozenset[tuple[str, AttributeValue]]
    value: MetricValue
    adds_up: bool


def points_of(data: MetricsData | None) -> Iterator[MetricPoint]:
    """Yield every point that a metric reader collected."""
    for resource_metrics in data.resource_metrics if data else ():
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                adds_up = not isinstance(metric.data, Gauge)
                for point in metric.data.data_points:
                    attributes = frozenset((point.attributes or {}).items())
                    yield MetricPoint(metric.name, attributes, _value_of(point), adds_up)


def plus(one: MetricValue, other: MetricValue) -> MetricValue:
    """Add two values of the same instrument."""
    if isinstance(one, HistogramValue) and isinstance(other, HistogramValue):
        return HistogramValue(one.count + other.count, one.sum + other.sum)
    if isinstance(one, HistogramValue) or isinstance(other, HistogramValue):
        raise TypeError("a histogram and a number share a name; give the instruments own names")
    return one + other


def minus(one: MetricValue, other: MetricValue) -> MetricValue:
    """Subtract an earlier value of a series from a later one."""
    if isinstance(other, HistogramValue):
        return plus(one, HistogramValue(-other.count, -other.sum))
    return plus(one, -other)


def _value_of(
    point: NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint,
) -> MetricValue:
    if isinstance(point, NumberDataPoint):
        return point.value
    return HistogramValue(point.count, point.sum)

"""The definition of a metric, and its name in Prometheus."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Labels = Mapping[str, str | int]
"""The attributes of one metric series."""
LabelSet = frozenset[tuple[str, str | int]]
"""The same, as the key of a series."""

_OTHER: Final = re.compile(r"[^a-zA-Z0-9]+")
_UNITS: Final = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "%": "percent"}
_PER: Final = {"s": "per_second"}
_TOTAL: Final = "total"
_RATIO: Final = "ratio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: The OpenTelemetry instrument name.
        kind: What instrument records it.
        unit: UCUM unit; annotations such as `{message}` count things.
        description: One sentence for people.
        labels: The attributes that its series may carry. One that does not apply is absent:
            `error.type` where nothing failed, the group of a consumer that has none.
        buckets: Upper bounds of a histogram's buckets, in `unit`, ascending.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()

    @property
    def prometheus(self) -> str:
        """Its name in Prometheus, to which a histogram's `_bucket`, `_sum` or `_count` is added."""
        return prometheus_name(self.name, self.kind, self.unit)

    @property
    def prometheus_labels(self) -> tuple[str, ...]:
        """Its labels in Prometheus, apart from those of the resource."""
        return tuple(prometheus_label(label) for label in self.labels)


def prometheus_name(name: str, kind: str, unit: str) -> str:
    """Return the name of a metric in Prometheus: words joined by underscores, with its unit.

    Of a histogram it is the base name, to which `_bucket`, `_sum` and `_count` are added.

    Args:
        name: The OpenTelemetry name.
        kind: `counter`, `gauge` or `histogram`.
        unit: UCUM; annotations such as `{message}` add nothing, and `{message}/s` adds the time.
    """
    words = [word for word in _OTHER.split(name) if word]
    counted, _, per = unit.partition("/")
    spelled = "" if counted.startswith("{") else _UNITS.get(counted, "")
    if spelled and spelled not in words:
        words.append(spelled)
    if per in _PER:
        words.append(_PER[per])
    if kind == "counter":
        words = [*(word for word in words if word != _TOTAL), _TOTAL]
    elif kind == "gauge" and unit == "1":
        words = [*(word for word in words if word != _RATIO), _RATIO]
    return "_".join(words)


def prometheus_label(attribute: str) -> str:
    """Return the label that an attribute becomes in Prometheus."""
    return _OTHER.sub("_", attribute)

"""How metrics and labels are called in Prometheus, once they have come there by OTLP.

As Prometheus 3 translates them by default (`UnderscoreEscapingWithSuffixes`) and as the
OpenTelemetry specification on compatibility with Prometheus has it.
"""

from __future__ import annotations

import re
from typing import Final

_OTHER: Final = re.compile(r"[^a-zA-Z0-9]+")
_UNITS: Final = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "%": "percent"}
_TOTAL: Final = "total"
_RATIO: Final = "ratio"


def prometheus_name(name: str, kind: str, unit: str) -> str:
    """The name of a metric: words joined by underscores, with its unit and what it counts.

    Of a histogram it is the base name, to which `_bucket`, `_sum` and `_count` are added.

    Args:
        name: The OpenTelemetry name.
        kind: `counter`, `gauge` or `histogram`.
        unit: UCUM; annotations such as `{message}` add nothing.
    """
    words = [word for word in _OTHER.split(name) if word]
    spelled = "" if unit.startswith("{") else _UNITS.get(unit, "")
    if spelled and spelled not in words:
        words.append(spelled)
    if kind == "counter":
        words = [*(word for word in words if word != _TOTAL), _TOTAL]
    elif kind == "gauge" and unit == "1":
        words = [*(word for word in words if word != _RATIO), _RATIO]
    return "_".join(words)


def prometheus_label(attribute: str) -> str:
    """The label that an attribute becomes."""
    return _OTHER.sub("_", attribute)
